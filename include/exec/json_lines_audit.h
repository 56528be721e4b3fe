// json_lines_audit: an audit trail in a file, one JSON object a line, one write(2) a line.
//
// What the trail promises, and what a line looks like, is doc/audit.md. In short: a call whose begin() was answered with
// success has its line in the file, as safe as `sync` says; each begun call gets exactly one line that ends it, written
// by its own process or, where that has died, by the next that opens the trail (status "interrupted"). Several processes
// may write one trail.
// Threads: members are called from any thread, several at once. With an executor begin() and finish() never block, and
// answer on one of its threads. Without one they write, and answer, inside the call.
// Never: follows a symbolic link at the end of the path, changes a line that is written, writes output or values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "exec/audit.h"
#include "exec/bytes.h"
#include "exec/executor.h"
#include "exec/export.h"
#include "exec/result.h"

namespace exec::inline v0 {

// When a line is safe from a loss of power. Against the death of this process it is safe in each.
enum class audit_sync : std::uint8_t {
    none,   // when the kernel likes, within 30 s as a rule
    group,  // before it is answered; one fdatasync for the lines that came during the one before, at most 64
    each,   // the same, with one fdatasync for each
};

struct json_lines_options {
    // The file. Made with mode 0600 if it is missing; its directory must be there. Beside it: path.1 to path.<kept>,
    // older lines; path.lock, which must stay for as long as anybody writes.
    std::string path{};
    audit_sync sync = audit_sync::group;
    // Where lines are written; outlives the trail. May be null for audit_sync::none alone, where a line costs a
    // microsecond and a full page cache is all that can hold it up.
    executor* blocking = nullptr;
    // A file that would grow beyond this becomes path.1, and so on. unlimited_bytes = never, for logrotate and reopen().
    std::uint64_t max_file_bytes = 64 * MiB;
    unsigned kept = 8;  // files behind the one that is written; the oldest line goes with the oldest file
    // Each line names the SHA-256 of the line before of the same writer. With a key it is an HMAC, which whoever can write
    // the file but has no key cannot forge.
    bool chain = false;
    std::string chain_key{};
};

class json_lines_audit : public audit_sink {
   public:
    // Opens the path anew, for whoever has moved the file away. Waits for the line that is being written. The old file is
    // kept on failure.
    // Fails with: what open answers, as an OS error.
    virtual result<void> reopen() = 0;
};

// Opens or makes a trail, and ends what dead writers left open in it: reads all its files, and waits for another process
// that does so. Blocks for that long.
// The trail cannot be searched: find() answers errc::unsupported.
// Fails with: errc::invalid_argument (no path; a sync without an executor; a limit of zero), errc::unsupported (the path
// is no regular file), and what the calls on the files answer: ELOOP for a symbolic link, ENOENT, EACCES, ENOSPC.
EXEC_API result<std::unique_ptr<json_lines_audit>> make_json_lines_audit(json_lines_options options);

}  // namespace exec::inline v0
