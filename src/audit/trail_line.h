// The lines of a trail: written from records, and read as far as it takes to know what is open.
//
//   {"v":1,"t":"2026-01-31T23:59:59.123456Z","w":"<instance>","seq":7,"prev":"<hash>","begin":{"id":"<audit_id>",...}}
//
// The members up to the body's id stand in this order, and nothing of a caller's stands before it: a reader needs no JSON.
// Threads: pure functions; line_clock is for one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "audit/writer.h"
#include "exec/audit.h"

namespace exec::inline v0::audit {

// Bodies: "begin":{...}, "end":{...}, "writer":{...}. All text is display-safe UTF-8 and bounded; what was cut says so.
void append_begin(std::string& out, const audit_record& what);
void append_end(std::string& out, const audit_id& of, const audit_end& how);
void append_writer(std::string& out, const writer_id& who);

// The time of day, in UTC, to the microsecond.
class line_clock {
   public:
    void append_now(std::string& out);
    // Of the last time that was appended, since 1970.
    std::int64_t second() const noexcept { return second_; }

   private:
    std::int64_t second_ = -1;
    std::string shown_{};  // of that second
};

struct line_facts {
    enum class kind : std::uint8_t { begin, end, writer };
    kind what{};
    std::uint64_t writer = 0;
    audit_id id{};            // of begin and end
    std::string_view text{};  // without what is left of a torn one
};

// Nothing, if it is none of ours, or not all of one. A whole line behind what is left of a torn one is found.
std::optional<line_facts> read_line(std::string_view line);

}  // namespace exec::inline v0::audit
