// What to run: argv, environment, directory, input, terminal.
//
// A value; nothing in it says where, as whom, how long or how much: that is the runner's and limits.h.
// Threads: a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "exec/argv.h"
#include "exec/environment.h"

namespace exec::inline v0 {

// Characters, not pixels.
struct terminal_size {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
    bool operator==(const terminal_size&) const = default;
};

// What the command reads on descriptor 0.
class input {
   public:
    enum class kind : std::uint8_t {
        none,      // /dev/null; on a terminal: whatever is typed, which is nothing
        bytes,     // these bytes, then the end
        streamed,  // execution::write_in and close_in
    };
    input() = default;
    static input none() { return {}; }
    static input bytes(std::string all) { return input(kind::bytes, std::move(all)); }
    static input streamed() { return input(kind::streamed, {}); }

    kind what() const noexcept { return what_; }
    const std::string& data() const noexcept { return data_; }

   private:
    input(kind what, std::string all) : what_(what), data_(std::move(all)) {}
    kind what_ = kind::none;
    std::string data_{};
};

struct command {
    argv program_and_args{};
    environment env{};
    std::string cwd{};  // "" = the runner's default; opened once, entered by descriptor
    input in{};
    std::optional<terminal_size> terminal{};  // set = run on a PTY; everything it says is stream::out
    bool merge_err_into_out = false;          // one shared pipe, so the order is true; everything is stream::out
};

}  // namespace exec::inline v0
