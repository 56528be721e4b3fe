// A request's body, read strictly: what two readers could understand differently is refused, with the place.
//
// Refused: more bytes than allowed (before anything is read), a byte order mark, bytes behind the document, what is no JSON
// or no UTF-8, a NUL in a string, a name that stands twice in an object, more than `max_depth` open brackets, more values or
// members than allowed, numbers that are no integers of 64 bits where one is asked for, `null` for anything, and unknown
// members. The context of a failure is "cmd[3]: must be a string, is a number (byte 27)"; of the body it quotes names alone,
// at most 64 bytes each.
// Threads: values. Reading takes time and memory in proportion to the body, whatever is in it; nothing here throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "exec/bytes.h"
#include "exec/error.h"
#include "exec/export.h"
#include "exec/result.h"

namespace exec::inline v0::wire {

struct json_bounds {
    std::size_t max_bytes = 1 * MiB;  // of the whole text; a host that knows Content-Length answers 413 before it reads
    std::size_t max_depth = 16;       // open brackets
    std::size_t max_values = 16'384;  // in all
    std::size_t max_members = 256;    // of one object; the policy's bound of an environment
};

class json_document;

// A value in a document, which must outlive it.
class json_value {
   public:
    enum class kind : std::uint8_t { null, boolean, number, string, array, object };

    kind what() const noexcept;
    // "cmd[3]", "context.limits"; "body" for the whole. At most 64 bytes a name and 131 in all.
    EXEC_API std::string path() const;
    // Of its first byte, in the text.
    std::size_t byte() const noexcept;
    // A failure that names this place: "cmd[3]: `why` (byte 27)".
    EXEC_API failure wrong(std::string_view why) const;

    // Each fails with: errc::invalid_argument, if it is something else.
    EXEC_API result<std::string_view> string() const;  // UTF-8 without a NUL; valid as long as the document
    EXEC_API result<bool> boolean() const;
    // An integer, written as one: 1e3 and 1.0 are none.
    EXEC_API result<std::int64_t> integer(std::int64_t least, std::int64_t most) const;
    EXEC_API result<std::vector<json_value>> elements() const;
    EXEC_API result<std::vector<std::string_view>> strings() const;  // an array of nothing but strings

    // Whether it is an object all of whose members have one of these names, or one that begins with "x-", which nobody
    // reads.
    // Fails with: errc::invalid_argument, naming the first other one.
    EXEC_API result<void> only(std::initializer_list<std::string_view> names) const;
    // Empty if it is not there, or this is no object.
    EXEC_API std::optional<json_value> find(std::string_view name) const;

   private:
    friend class json_document;
    friend class json_reader;
    failure wrong(std::string_view why, std::size_t byte) const;
    failure is_no(std::string_view wanted) const;
    json_value(const json_document& in, std::uint32_t index) noexcept : in_(&in), index_(index) {}

    const json_document* in_;
    std::uint32_t index_;
};

class json_document {
   public:
    // Fails with: errc::invalid_argument.
    EXEC_API static result<json_document> parse(bytes_view text, const json_bounds& within = {});

    json_value root() const noexcept { return {*this, 0}; }

   private:
    friend class json_value;
    friend class json_reader;

    enum class form : std::uint8_t { integer, too_large, fraction };
    struct node {
        json_value::kind what = json_value::kind::null;
        form written = form::integer;  // a number
        std::uint32_t parent = 0;      // the root is its own
        std::uint32_t index = 0;       // among its siblings
        std::uint32_t next = 0;        // the next sibling; 0 = none
        std::uint32_t first = 0;       // the first child; 0 = none
        std::uint32_t byte = 0;
        std::uint32_t name = 0, name_size = 0;  // in text_
        std::uint32_t text = 0, text_size = 0;
        std::int64_t number = 0;
    };
    std::string_view slice(std::uint32_t from, std::uint32_t size) const noexcept {
        return std::string_view(text_).substr(from, size);
    }

    std::vector<node> nodes_{};
    std::string text_{};  // all names and strings, decoded
};

inline json_value::kind json_value::what() const noexcept { return in_->nodes_[index_].what; }
inline std::size_t json_value::byte() const noexcept { return in_->nodes_[index_].byte; }

}  // namespace exec::inline v0::wire
