#include "real_shells.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exec/argv.h>
#include <exec/display.h>

namespace real {
namespace {

[[noreturn]] void broken(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

class descriptor {
   public:
    explicit descriptor(int number) : number_(number) {
        if (number_ < 0) broken("a descriptor");
    }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    ~descriptor() { ::close(number_); }
    int get() const noexcept { return number_; }

   private:
    int number_;
};

// A file in memory: a child that is never read cannot block on it.
descriptor memory() { return descriptor(::memfd_create("real_shells", MFD_CLOEXEC)); }

void fill(const descriptor& file, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto count = ::write(file.get(), bytes.data(), bytes.size());
        if (count < 0) broken("write");
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    if (::lseek(file.get(), 0, SEEK_SET) != 0) broken("lseek");
}

std::string contents(const descriptor& file) {
    std::string all(static_cast<std::size_t>(::lseek(file.get(), 0, SEEK_END)), '\0');
    std::size_t at = 0;
    while (at < all.size()) {
        const auto count = ::pread(file.get(), all.data() + at, all.size() - at, static_cast<off_t>(at));
        if (count <= 0) broken("pread");
        at += static_cast<std::size_t>(count);
    }
    return all;
}

std::vector<char*> pointers(const words& of) {
    std::vector<char*> all;
    for (const auto& word : of) all.push_back(const_cast<char*>(word.c_str()));
    all.push_back(nullptr);
    return all;
}

// A directory of our own, gone at the end of the process.
class scratch {
   public:
    scratch() {
        std::string pattern = (std::filesystem::temp_directory_path() / "exec-shells-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) broken("mkdtemp");
        path_ = pattern;
    }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const { return path_; }

   private:
    std::filesystem::path path_;
};
const scratch& directory() {
    static const scratch only;
    return only;
}

}  // namespace

const std::vector<shell>& shells() {
    using enum exec::dialect;
    static const std::vector<shell> all{
        {"dash", {"dash"}, {posix, universal}},
        {"bash", {"bash"}, {posix, universal}},
        {"bash --posix", {"bash", "--posix"}, {posix, universal}},
        {"zsh", {"zsh", "-f"}, {posix, universal}},
        {"ksh93", {"ksh93"}, {posix, universal}},
        {"mksh", {"mksh"}, {posix, universal}},
        {"busybox", {"busybox", "sh"}, {posix, universal}},
        {"posh", {"posh"}, {posix, universal}},
        {"yash", {"yash"}, {posix, universal}},
        {"fish", {"fish", "--no-config"}, {fish, universal}},
        {"tcsh", {"tcsh", "-f"}, {csh, universal}},
        // Settings of users that change how a line is read.
        {"bash with history", {"bash"}, {universal}, "set -o history -o histexpand; shopt -s extglob failglob\n"},
        {"zsh with options",
         {"zsh", "-f"},
         {posix, universal},
         "setopt rc_quotes extended_glob bang_hist glob_subst\n"},
        {"zsh with aliases", {"zsh", "-f"}, {posix, universal}, "alias -g 2='| cat' G='| cat'; alias if=false\n"},
        {"mksh in UTF-8", {"mksh", "-o", "utf8-mode"}, {posix, universal}},
        {"tcsh with backslash_quote", {"tcsh", "-f"}, {csh, universal}, "set backslash_quote\n"},
    };
    return all;
}

const shell& find_shell(std::string_view name) {
    const auto found =
        std::find_if(shells().begin(), shells().end(), [&](const shell& each) { return each.name == name; });
    if (found == shells().end()) broken("no shell of this name: " + std::string(name));
    return *found;
}

ended run(const words& argv, const words& environment, std::string_view input) {
    const auto in = memory();
    const auto out = memory();
    const auto err = memory();
    fill(in, input);

    posix_spawn_file_actions_t actions;
    if (::posix_spawn_file_actions_init(&actions) != 0) broken("posix_spawn_file_actions_init");
    ::posix_spawn_file_actions_adddup2(&actions, in.get(), 0);
    ::posix_spawn_file_actions_adddup2(&actions, out.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, err.get(), 2);
    pid_t child = 0;
    errno = ::posix_spawnp(&child, argv.front().c_str(), &actions, nullptr, pointers(argv).data(),
                           pointers(environment).data());
    const bool started = errno == 0;
    ::posix_spawn_file_actions_destroy(&actions);
    if (!started) broken(argv.front());

    ended how;
    while (::waitpid(child, &how.status, 0) < 0) {
        if (errno != EINTR) broken("waitpid");
    }
    how.out = contents(out);
    how.err = contents(err);
    return how;
}

ended run_script(const shell& in, std::string_view locale, door through, std::string_view script,
                 const words& more_environment) {
    const auto home = directory().path().string();
    words environment{"PATH=" + home + ":/usr/bin:/bin", "HOME=" + home, "LC_ALL=" + std::string(locale)};
    environment.insert(environment.end(), more_environment.begin(), more_environment.end());
    const auto text = in.first_line + std::string(script);
    auto command = in.invocation;
    switch (through) {
        case door::argument: command.insert(command.end(), {"-c", text}); return run(command, environment);
        case door::input: return run(command, environment, text);
        case door::file: break;
    }
    const auto path = directory().path() / "script";
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
    command.push_back(path.string());
    return run(command, environment);
}

std::string print_args() { return EXEC_TEST_PRINT_ARGS; }

std::string print_args_called(std::string_view name) {
    const auto path = directory().path() / std::filesystem::path(std::string(name));
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path))) {
        std::filesystem::create_symlink(print_args(), path);
    }
    return path.string();
}

std::vector<words> calls_in(std::string_view output) {
    const auto next = [&output]() -> std::string {
        const auto end = output.find('\0');
        if (end == std::string_view::npos) return {};
        std::string item(output.substr(0, end));
        output.remove_prefix(end + 1);
        return item;
    };
    std::vector<words> calls;
    while (!output.empty()) {
        const auto count = std::strtoul(next().c_str(), nullptr, 10);
        if (count == 0 || static_cast<std::size_t>(std::count(output.begin(), output.end(), '\0')) < count) return {};
        auto& call = calls.emplace_back();
        while (call.size() < count) call.push_back(next());
    }
    return calls;
}

std::string joined(const words& line, exec::dialect by) {
    return exec::join(exec::argv::make(line).value(), by).value();
}

std::string difference(const std::vector<words>& sent, std::string_view output, std::string_view said) {
    const auto came = calls_in(output);
    if (came == sent) return {};

    const auto report = [&](const std::string& what) { return what + "; the shell says: " + exec::display(said); };
    const auto shown = [](const words& call, std::size_t word) {
        return word < call.size() ? "[" + exec::display(call[word]) + "]" : std::string("nothing");
    };
    for (std::size_t at = 0; at < std::max(sent.size(), came.size()); ++at) {
        if (at >= came.size()) {
            return report("only " + std::to_string(came.size()) + " of " + std::to_string(sent.size()) + " calls came");
        }
        if (at >= sent.size()) return report("more calls came than were sent");
        for (std::size_t word = 0; word < std::max(sent[at].size(), came[at].size()); ++word) {
            if (word < sent[at].size() && word < came[at].size() && sent[at][word] == came[at][word]) continue;
            return report("call " + std::to_string(at) + " word " + std::to_string(word) + ": sent " +
                          shown(sent[at], word) + ", came " + shown(came[at], word));
        }
    }
    return {};
}

std::string travel(const shell& in, std::string_view locale, door through, exec::dialect by,
                   const std::vector<words>& lines, quoter quote_by, const words& more_environment) {
    std::string script;
    std::vector<words> sent;
    for (const auto& line : lines) {
        auto& call = sent.emplace_back(words{print_args()});
        call.insert(call.end(), line.begin(), line.end());
        script += quote_by(call, by);
        script += '\n';
    }
    const auto ended = run_script(in, locale, through, script, more_environment);
    return difference(sent, ended.out, ended.err);
}

std::vector<words> lines_of(const words& all) {
    constexpr std::size_t most_words = 2'000;
    constexpr std::size_t most_bytes = 64 * 1024;
    std::vector<words> lines;
    std::size_t bytes = most_bytes;
    for (const auto& word : all) {
        if (bytes + word.size() >= most_bytes || lines.back().size() == most_words) {
            lines.emplace_back();
            bytes = 0;
        }
        lines.back().push_back(word);
        bytes += word.size() + 3;
    }
    return lines;
}

}  // namespace real
