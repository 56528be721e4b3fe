// What the kit has to know about the runner that it tests, and what a row of its table is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exec/argv.h"
#include "exec/capabilities.h"
#include "exec/command.h"
#include "exec/loop.h"
#include "exec/result.h"
#include "exec/runner.h"
#include "exec/time.h"

namespace exec::inline v0::testing {

// Who makes the calls of the observers happen.
enum class drive : std::uint8_t {
    blocking,   // runner::run in the calling thread; rows about handles do not apply
    here,       // start(), and the kit drives the loop in the calling thread
    elsewhere,  // start(), and a thread of the subject's drives the loop
};

struct conformance_subject {
    std::shared_ptr<runner> tested{};
    drive how = drive::blocking;
    loop* on = nullptr;  // the loop on which `tested` delivers; needed unless blocking

    // A loop of its own with a runner on it, for rows that end the loop or the runner. Empty: they do not apply.
    struct pair {
        std::unique_ptr<loop> on{};
        std::shared_ptr<runner> tested{};
    };
    std::function<pair()> fresh{};

    // A shell script there. The default is /bin/sh -c SCRIPT sh WORDS...; a double maps scripts to what it plays.
    std::function<command(std::string_view script, const std::vector<std::string>& words)> shell =
        [](std::string_view script, const std::vector<std::string>& words) {
            std::vector<std::string> all{"/bin/sh", "-c", std::string(script), "sh"};
            all.insert(all.end(), words.begin(), words.end());
            return command{.program_and_args = *argv::make(all)};
        };
    // Names beyond the base that every command there is given (by sshd, by PAM).
    std::vector<std::string> also_in_environment{};

    // How long what should happen soon may take before that is a violation. For slow machines and far places.
    milliseconds patience{30'000};
    // Makes time pass until `patience` is up, in place of waiting: moves a manual clock and drives the loop. drive::here.
    std::function<void()> turn{};
    // Which rows are played, by name; empty: all.
    std::function<bool(std::string_view row)> only{};
};

namespace conformance {

class bench;

// In which drive modes a row means something.
enum class asks_for : std::uint8_t {
    either,    // a run and its end
    a_handle,  // start()
    blocking,  // run()
    a_loop,    // a fresh pair
};

struct row {
    const char* name;
    void (*play)(bench&);
    asks_for with = asks_for::either;
    // Without it the row's first command must be refused.
    bool capabilities::*need = nullptr;
};

inline bool applies(const row& which, const conformance_subject& to) {
    switch (which.with) {
        case asks_for::either: return true;
        case asks_for::a_handle: return to.how != drive::blocking;
        case asks_for::blocking: return to.how == drive::blocking;
        case asks_for::a_loop: return to.how == drive::here && static_cast<bool>(to.fresh);
    }
    return false;
}

}  // namespace conformance

}  // namespace exec::inline v0::testing
