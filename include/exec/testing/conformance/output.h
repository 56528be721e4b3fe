// Rows about what a command says, what is kept of it and what is shown, and about exit statuses.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "exec/testing/conformance/bench.h"

namespace exec::inline v0::testing::conformance {

// What `seq 1 N` says: every part of it is different, so a byte that is lost, doubled or moved is seen.
inline std::string counted_to(int last) {
    std::string all;
    for (int number = 1; number <= last; ++number) all += std::to_string(number) + '\n';
    return all;
}
inline constexpr int ten_mebibytes = 1'472'000;  // counted to this
inline constexpr char say_ten_mebibytes[] = "exec seq 1 1472000";

inline limits kept_as(keep kept, std::size_t cap) {
    limits within;
    within.out.kept = kept;
    within.out.cap = cap;
    return within;
}

// Ten mebibytes through a cap of `cap`.
inline void keeps(bench& here, keep kept, std::size_t cap, std::size_t head, std::size_t tail) {
    const auto all = counted_to(ten_mebibytes);
    const auto how = here.run_sh(say_ten_mebibytes, kept_as(kept, cap));
    if (!here.exits(how)) return;
    here.claim(how->out.total == all.size(), "said " + std::to_string(all.size()) + " bytes; " + describe(how));
    here.claim(how->out.truncated && how->out.complete, "it must be truncated and complete; " + describe(how));
    here.claim(how->out.head() == std::string_view(all).substr(0, head), "the head is not the first bytes");
    here.claim(how->out.tail() == std::string_view(all).substr(all.size() - tail), "the tail is not the last bytes");
    here.claim(how->out.gap_at == head && how->out.gap_size() == all.size() - head - tail,
               "the gap is not where it was");
}

inline std::vector<row> output_rows() {
    return {
        {"every exit code from 0 to 255 is told as it is",
         [](bench& here) {
             for (int code = 0; code < 256; ++code) here.exits(here.run_sh("exit " + std::to_string(code)), code);
         }},
        {"a signal is told as a signal, and not as 128 + n",
         [](bench& here) {
             for (const int number : {1, 2, 3, 6, 9, 13, 14, 15}) {
                 here.exits(here.run_sh("kill -" + std::to_string(number) + " $$"), exit_status::signaled(number));
             }
         }},
        {"ok means 0, and nothing else",
         [](bench& here) {
             const auto good = here.run_sh("exit 0");
             const auto bad = here.run_sh("exit 1");
             here.claim(good && good->ok() && bad && !bad->ok(),
                        "exit 0; " + describe(good) + "; exit 1; " + describe(bad));
         }},
        {"where it ran is told, and its limits",
         [](bench& here) {
             limits within;
             within.run_timeout = milliseconds(123'456);
             within.out.cap = 4321;
             trial one(here);
             const auto how = one.run(here.sh("exit 0"), within);
             if (!here.exits(how)) return;
             here.claim(!how->where.empty() && one.look([](const heard& all) { return all.named; }), "it ran nowhere");
             here.claim(how->within.run_timeout == within.run_timeout && how->within.out.cap == within.out.cap,
                        "the effective limits are not those that were given, and not said to be others");
         }},
        {"out and err are told apart, and both end",
         [](bench& here) {
             here.says(here.run_sh("printf o1; printf e1 >&2; printf o2; printf e2 >&2"), "o1o2", "e1e2");
         }},
        {"a command that says nothing said nothing, completely",
         [](bench& here) { here.says(here.run_sh("exit 0"), ""); }},
        {"no byte is changed on the way, NUL and line ends included",
         [](bench& here) {
             here.says(here.run_sh("printf '\\000\\001\\r\\n\\n\\r\\377\\376\\033[0m'; printf '\\000' >&2"),
                       std::string("\0\1\r\n\n\r\377\376\033[0m", 12), std::string("\0", 1));
         }},
        {"merged output is in the order in which it was said",
         [](bench& here) {
             auto what = here.sh("n=0; while [ $n -lt 500 ]; do echo o$n; echo e$n >&2; n=$((n+1)); done");
             what.merge_err_into_out = true;
             std::string expected;
             for (int n = 0; n < 500; ++n) expected += 'o' + std::to_string(n) + "\ne" + std::to_string(n) + '\n';
             here.says(here.run(what), expected);
         },
         asks_for::either, &capabilities::merge},
        {"ten mebibytes: the head is kept", [](bench& here) { keeps(here, keep::head, 1001, 1001, 0); }},
        {"ten mebibytes: the tail is kept", [](bench& here) { keeps(here, keep::tail, 1001, 0, 1001); }},
        {"ten mebibytes: both ends are kept", [](bench& here) { keeps(here, keep::head_and_tail, 1001, 500, 501); }},
        {"ten mebibytes: nothing is kept, and everything counted",
         [](bench& here) { keeps(here, keep::nothing, 1001, 0, 0); }},
        {"ten mebibytes: both ends of a cap larger than any pipe",
         [](bench& here) { keeps(here, keep::head_and_tail, 3 * MiB, 3 * MiB / 2, 3 * MiB / 2); }},
        {"a cap that is exactly met cuts nothing, one byte less cuts one",
         [](bench& here) {
             const auto met = here.run_sh("printf 12345", kept_as(keep::head_and_tail, 5));
             here.says(met, "12345");
             here.claim(met && !met->out.truncated, "the met cap is told as truncated");
             const auto missed = here.run_sh("printf 123456", kept_as(keep::head, 5));
             here.claim(missed && missed->out.bytes == "12345" && missed->out.truncated && missed->out.gap_size() == 1,
                        "one byte over the cap of 5; " + describe(missed));
         }},
        {"at_cap::stop ends an endless command, and keeps what the policy says",
         [](bench& here) {
             auto within = kept_as(keep::head, 10'000);
             within.out.then = at_cap::stop;
             const auto how = here.run_sh("while :; do echo 1234567; done", within);
             here.claim(how && how->stopped_by == stop_reason::output_limit && how->how() == ended::output_limit,
                        "an endless command over its cap; " + describe(how));
             here.claim(how && how->out.bytes.size() == 10'000 && how->out.truncated,
                        "10000 bytes are kept; " + describe(how));
         }},
        {"at_cap::stop leaves a command alone that says exactly its cap",
         [](bench& here) {
             auto within = kept_as(keep::head, 5);
             within.out.then = at_cap::stop;
             here.says(here.run_sh("printf 12345; sleep 0.2", within), "12345");
         }},
        {"the observer sees every byte of both streams, in order, with its offset",
         [](bench& here) {
             trial one(here);
             if (!here.exits(one.run(here.sh("seq 1 300000; seq 1 300000 >&2"), kept_as(keep::nothing, 0)))) return;
             const auto all = counted_to(300'000);
             here.claim(
                 one.look([&](const heard& told) { return told.out == all && told.err == all && told.gaps.empty(); }),
                 "what was shown is not what was said");
         }},
        {"past the show limit nothing is shown, one gap is told, and what is kept stays the same",
         [](bench& here) {
             auto within = kept_as(keep::tail, 100);
             within.out.show = 1000;
             const auto all = counted_to(100'000);
             trial one(here);
             const auto how = one.run(here.sh("exec seq 1 100000"), within);
             if (!here.exits(how)) return;
             here.claim(one.look([&](const heard& told) {
                 return told.out == std::string_view(all).substr(0, 1000) && told.gaps.size() == 1 &&
                        told.gaps[0].at == 1000 && told.gaps[0].missing == all.size() - 1000;
             }),
                        "not exactly 1000 bytes and one gap were told");
             here.claim(how->out.bytes == std::string_view(all).substr(all.size() - 100) && how->out.complete,
                        "the last 100 bytes are kept; " + describe(how));
         }},
        {"a command that closes its output runs on, and its exit is told",
         [](bench& here) { here.exits(here.run_sh("exec >&- 2>&-; sleep 0.2; exit 5"), 5); }},
    };
}

}  // namespace exec::inline v0::testing::conformance
