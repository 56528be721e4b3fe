// What the shell scripts of the conformance kit come to, for a double that plays them: the same words said, the same time
// taken, the same ends. Rows about the kernel, about a real environment or about a terminal's own rules are not among them.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <exec/testing/runner_conformance.h>
#include <exec/testing/script.h>

namespace test {

using words = std::vector<std::string>;
using written = std::function<exec::testing::script(const words&)>;

inline exec::testing::script says_numbers(int last, exec::stream on = exec::stream::out) {
    return exec::testing::script().says(exec::testing::conformance::counted_to(last), on);
}

inline const std::map<std::string, written, std::less<>>& scripted_shell() {
    using namespace std::chrono_literals;
    using exec::stream;
    using exec::testing::script;
    namespace kit = exec::testing::conformance;
    constexpr auto err = stream::err;
    static const std::map<std::string, written, std::less<>> all{
        // before
        {"f=$(mktemp) && printf '#!/no/such/interpreter\\n' > \"$f\" && chmod 755 \"$f\" && printf %s \"$f\"",
         [](const words&) { return script().says("/tmp/without-interpreter"); }},
        {"rm \"$1\"", [](const words&) { return script(); }},
        {"pwd -P", [](const words&) { return script().says("/usr\n"); }},
        {"printf %s \"$1\"", [](const words& given) { return script().says(given.at(0)); }},
        {"for word do printf '<%s>' \"$word\"; done",
         [](const words& given) {
             script all_of_them;
             for (const auto& word : given) all_of_them.says("<" + word + ">");
             return all_of_them;
         }},
        {"printf %s \"${#1}\"", [](const words& given) { return script().says(std::to_string(given.at(0).size())); }},
        {"cat; [ ! -t 0 ] && echo end", [](const words&) { return script().copies_input().says("end\n"); }},
        // output
        {"printf o1; printf e1 >&2; printf o2; printf e2 >&2",
         [](const words&) { return script().says("o1").says("e1", err).says("o2").says("e2", err); }},
        {"printf '\\000\\001\\r\\n\\n\\r\\377\\376\\033[0m'; printf '\\000' >&2",
         [](const words&) {
             return script().says(std::string("\0\1\r\n\n\r\377\376\033[0m", 12)).says(std::string("\0", 1), err);
         }},
        {"n=0; while [ $n -lt 500 ]; do echo o$n; echo e$n >&2; n=$((n+1)); done",
         [](const words&) {
             script alternating;
             for (int n = 0; n < 500; ++n) {
                 alternating.says('o' + std::to_string(n) + '\n').says('e' + std::to_string(n) + '\n', err);
             }
             return alternating;
         }},
        {kit::say_ten_mebibytes, [](const words&) { return says_numbers(kit::ten_mebibytes); }},
        {"printf 12345", [](const words&) { return script().says("12345"); }},
        {"printf 123456", [](const words&) { return script().says("123456"); }},
        {"printf 12345; sleep 0.2", [](const words&) { return script().says("12345").waits(200ms); }},
        {kit::endless, [](const words&) { return script().says("1234567\n").repeats_after(1ms); }},
        {"seq 1 300000; seq 1 300000 >&2",
         [](const words&) { return says_numbers(300'000).says(kit::counted_to(300'000), err); }},
        {"exec seq 1 100000", [](const words&) { return says_numbers(100'000); }},
        {"exec seq 1 300000", [](const words&) { return says_numbers(300'000); }},
        {"exec >&- 2>&-; sleep 0.2; exit 5", [](const words&) { return script().waits(200ms).exits(5); }},
        // input
        {"exec cat", [](const words&) { return script().copies_input(); }},
        {"dd bs=5 count=1 2>/dev/null; exec <&-; sleep 0.2",
         [](const words&) { return script().reads_until("xxxxx").says("xxxxx").closes_input().waits(200ms); }},
        {"cat; echo end", [](const words&) { return script().copies_input().says("end\n"); }},
        {"echo up; read go; exec wc -c",
         [](const words&) { return script().says("up\n").reads_until("\n").waits(1ms).reads_all().says("4194304\n"); }},
        {"echo up; exec sleep 60", [](const words&) { return script().says("up\n").waits(60s); }},
        {"exec <&-; echo closed; sleep 0.5; exit 4",
         [](const words&) { return script().closes_input().says("closed\n").waits(500ms).exits(4); }},
        // time
        {kit::ignores_term, [](const words&) { return script().ignores(15).says("up\n").hangs(); }},
        {"trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done",
         [](const words&) { return script().on_signal(15, script().says("bye\n").exits(0)).hangs(); }},
        {"echo before; echo too >&2; exec sleep 60",
         [](const words&) { return script().says("before\n").says("too\n", err).waits(60s); }},
        {"kill -STOP $$; exec sleep 60", [](const words&) { return script().waits(60s); }},
        {"trap 'echo asked' TERM; while :; do sleep 0.02; done",
         [](const words&) { return script().on_signal(15, script().says("asked\n")).hangs(); }},
        {"echo a; exec sleep 60", [](const words&) { return script().says("a\n").waits(60s); }},
        {"for i in 1 2 3 4 5; do echo o; sleep 0.25; echo e >&2; sleep 0.25; done; exit 3",
         [](const words&) {
             script slow;
             for (int i = 0; i < 5; ++i) slow.says("o\n").waits(250ms).says("e\n", err).waits(250ms);
             return slow.exits(3);
         }},
        {"n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done",
         [](const words&) {
             exec::resource_use busy;
             busy.user = 80ms;
             busy.max_rss = 2 * exec::MiB;
             return script().uses(busy);
         }},
        // tree
        {"sleep 300 & echo $!; exit 3",
         [](const words&) { return script().says("17\n").exits(3).leaves_behind(script().hangs()); }},
        {"(for i in 1 2 3 4 5; do sleep 0.2; echo $i; done) & exit 3",
         [](const words&) {
             script later;
             for (int i = 1; i <= 5; ++i) later.waits(200ms).says(std::to_string(i) + '\n');
             return script().exits(3).leaves_behind(later);
         }},
        {"(while :; do echo x; sleep 0.02; done) & exit 3",
         [](const words&) { return script().exits(3).leaves_behind(script().says("x\n").repeats_after(20ms)); }},
        {"sleep 300 </dev/null >/dev/null 2>&1 & echo $!",
         [](const words&) { return script().says("17\n").leaves_behind(script().hangs()); }},
        {"sleep 300 & echo $!; sleep 300 & echo $!; wait", [](const words&) { return script().says("17\n").hangs(); }},
        {"(trap '' TERM; exec sleep 300) & echo $!; exec sleep 300",
         [](const words&) { return script().says("17\n").hangs().leaves_behind(script().hangs()); }},
        {"setsid sh -c 'echo $$; exec sleep 300' & sleep 0.3; exit 3",
         [](const words&) { return script().says("17\n").waits(300ms).exits(3).leaves_behind(script().hangs()); }},
        {"setsid sleep 300 & exit 3", [](const words&) { return script().exits(3).leaves_behind(script().hangs()); }},
        // observing and pausing
        {"echo a; echo b >&2", [](const words&) { return script().says("a\n").says("b\n", err); }},
        {"echo a", [](const words&) { return script().says("a\n"); }},
        {"echo abc", [](const words&) { return script().says("abc\n"); }},
        {"echo a; sleep 0.3; echo b; sleep 0.3; echo c",
         [](const words&) { return script().says("a\n").waits(300ms).says("b\n").waits(300ms).says("c\n"); }},
        {"f=$(mktemp) && rm \"$f\" && printf %s \"$f\"", [](const words&) { return script().says("/tmp/marker"); }},
        {"echo done > \"$1\"", [](const words&) { return script(); }},
        {"[ -s '/tmp/marker' ] && rm '/tmp/marker'", [](const words&) { return script(); }},
        {"echo o; sleep 0.2; echo e >&2; exec sleep 60",
         [](const words&) { return script().says("o\n").waits(200ms).says("e\n", err).waits(60s); }},
        {"seq 1 60000; exec seq 1 60000 >&2",
         [](const words&) { return says_numbers(60'000).says(kit::counted_to(60'000), err); }},
        {"echo one; sleep 0.2; echo two; exit 3",
         [](const words&) { return script().says("one\n").waits(200ms).says("two\n").exits(3); }},
        {"echo one; sleep 0.1; echo two; exit 3",
         [](const words&) { return script().says("one\n").waits(100ms).says("two\n").exits(3); }},
        // handle
        {kit::says_its_pid, [](const words&) { return script().says("17\n").waits(300s); }},
        {"sleep 300 & echo up; exit 3",
         [](const words&) { return script().says("up\n").exits(3).leaves_behind(script().hangs()); }},
        {"sleep 0.2; echo done; exit 3", [](const words&) { return script().waits(200ms).says("done\n").exits(3); }},
        {"(trap 'echo child; exit 0' USR1; while :; do sleep 0.02; done) & "
         "trap 'echo leader' USR1; echo up; wait; wait; exit 3",
         [](const words&) {
             return script().on_signal(10, script().says("leader\n").says("child\n").exits(3)).says("up\n").hangs();
         }},
        {"echo \"$1\"; exit \"$1\"",
         [](const words& given) { return script().says(given.at(0) + '\n').exits(std::atoi(given.at(0).c_str())); }},
        // terminal
        {"echo 1; echo 2 >&2; echo 3; echo 4 >&2",
         [](const words&) { return script().says("1\r\n").says("2\r\n", err).says("3\r\n").says("4\r\n", err); }},
        {"read line; exit 3", [](const words&) { return script().reads_until("\n").exits(3); }},
        {"stty -echo; echo up; cat; echo end",
         [](const words&) {
             return script()
                 .says("up\r\n")
                 .answers([](std::string_view line) { return std::string(line) + "\r\n"; })
                 .says("end\r\n");
         }},
    };
    return all;
}

// A number behind a word, as in "exit 3".
inline std::optional<double> number_after(std::string_view text, std::string_view word) {
    if (text.substr(0, word.size()) != word) return std::nullopt;
    const std::string rest(text.substr(word.size()));
    char* end = nullptr;
    const double number = std::strtod(rest.c_str(), &end);
    return end == rest.c_str() || (*end != '\0' && *end != ' ') ? std::nullopt : std::optional(number);
}

// What is played for a command of the kit; empty for one that is not known.
inline std::optional<exec::testing::script> plays_as_a_shell(const exec::command& what) {
    using exec::os_failure;
    using exec::stage;
    using exec::testing::script;
    const words given(what.program_and_args.begin(), what.program_and_args.end());
    if (what.cwd == "/no/such/directory") return script::fails(os_failure(ENOENT, stage::cwd, what.cwd));
    if (what.cwd == "/etc/passwd") return script::fails(os_failure(ENOTDIR, stage::cwd, what.cwd));
    if (given[0] == "/etc/passwd" || given[0] == "/")
        return script::fails(os_failure(EACCES, stage::program, given[0]));
    if (given[0] == "/tmp/without-interpreter") return script::fails(os_failure(ENOENT, stage::interpreter, given[0]));
    if (given[0] != "/bin/sh") return script::fails(os_failure(ENOENT, stage::program, given[0]));

    const auto& text = given.at(2);
    const auto& all = scripted_shell();
    if (const auto found = all.find(text); found != all.end()) {
        constexpr std::ptrdiff_t shell_itself = 4;  // /bin/sh -c SCRIPT sh
        return found->second(given.size() < 4 ? words{} : words(given.begin() + shell_itself, given.end()));
    }
    for (const auto* sleep : {"sleep ", "exec sleep "}) {
        if (const auto seconds = number_after(text, sleep)) {
            return script().waits(exec::milliseconds(static_cast<long>(*seconds * 1000)));
        }
    }
    if (const auto code = number_after(text, "exit ")) return script().exits(static_cast<int>(*code));
    if (text.substr(0, 7) == "kill -0" || text.substr(0, 8) == "kill -9 ") {
        if (text.substr(text.size() - 2) != "$$") return script();  // it was there, or is gone: nobody is here
    }
    if (const auto number = number_after(text, "kill -")) return script().dies(static_cast<int>(*number));
    return std::nullopt;
}

}  // namespace test
