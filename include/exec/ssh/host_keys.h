// host_keys: whether the machine that answered is the one that was meant.
//
// Asked in every connection after the key exchange has proven that the server holds the key, before any credential is
// minted or sent. There is no default: an endpoint without a policy is refused, and a policy refuses what it does not know.
// Two endpoints share sessions only if they share the policy object itself.
// Threads: check() and algorithms() are called in the thread that drives the connection's loop, several connections may be
// asking at once; the answer may come on any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exec/executor.h"
#include "exec/export.h"
#include "exec/reply.h"
#include "exec/result.h"

namespace exec::inline v0::ssh {

// The name under which a server's key is known. Not an address: that of a machine behind a jump host or a forwarded port
// says nothing about who it is.
struct host_name {
    std::string host{};
    std::uint16_t port = 22;
    bool operator==(const host_name&) const = default;
};

// A server's public key.
struct host_key {
    std::string algorithm{};    // "ssh-ed25519", as in RFC 4253 section 6.6
    std::string blob{};         // raw, as it crosses the wire
    std::string fingerprint{};  // "SHA256:" and base64 without padding, as OpenSSH prints it
};
// From the words of a public key line: "ssh-ed25519 AAAA... comment".
// Fails with: errc::invalid_argument.
EXEC_API result<host_key> parse_host_key(std::string_view line);

class host_keys {
   public:
    virtual ~host_keys() = default;

    // Which algorithms to ask this server for, the best first; empty: no preference. A server that has several keys may
    // otherwise show one that is not the known one.
    virtual std::vector<std::string> algorithms(const host_name& of) const {
        static_cast<void>(of);
        return {};
    }
    // Answers with success to go on. Anything else ends the connection; the context says what was shown, what was expected
    // and where that is written. Must not block.
    // Fails with: errc::host_key_mismatch (not known, changed or revoked), errc::unsupported (only a certificate authority
    // is known), or what the policy's own store says.
    virtual void check(const host_name& of, const host_key& shown, reply<void> trusted) = 0;
};

// Files in OpenSSH's format, read now and kept: plain and hashed names, patterns, ports, negations. A host at another port
// than 22 is looked up as [host]:port and under no other name. A `@revoked` key is refused
// wherever else it stands; a host that only `@cert-authority` lines cover is refused with errc::unsupported, naming the
// line, because the SSH library underneath has no host certificates. A line that cannot be read is an error, not a gap. A
// file that does not exist counts as empty if another one does exist. Blocks for the reading.
// Fails with: errc::invalid_argument (the file and line), or what the kernel says to the reading.
EXEC_API result<std::shared_ptr<host_keys>> known_hosts(const std::vector<std::string>& files);
// The same from memory. `origin` is what errors call it.
EXEC_API result<std::shared_ptr<host_keys>> known_hosts_text(std::string_view text, std::string origin);

// These keys and no others, for whatever host: public key lines, or fingerprints ("SHA256:...").
// Fails with: errc::invalid_argument (which one).
EXEC_API result<std::shared_ptr<host_keys>> pinned(const std::vector<std::string>& keys);

// What trust on first use remembers. Both verbs may answer at once or later, on any thread, and must not block.
class host_key_store {
   public:
    virtual ~host_key_store() = default;
    // Public key lines that are remembered for this host; none: it was never seen. What follows the key in a line is where it
    // is written, for errors. A line that cannot be read is a failure for this host.
    virtual void find(const host_name& of, reply<std::vector<std::string>> known) = 0;
    virtual void remember(const host_name& of, const host_key& key, reply<void> done) = 0;
};
// Lines appended to a file in OpenSSH's format (created 0600, names not hashed), read anew at each question. Its
// @revoked lines are heeded; a line that cannot be read fails every host. The file is read and written on `on`, which outlives
// the store. Two processes that see a host for the first time at one moment may both write: each goes on with its key.
// Fails with: as known_hosts, but for a missing file; errc::invalid_argument for a host name that a file cannot hold.
EXEC_API std::shared_ptr<host_key_store> make_file_store(executor& on, std::string path);
// Trusts the first key that a host shows and remembers it before the connection goes on; refuses any other later. The store
// is asked one question at a time for each host; what it fails with is the answer.
// REQUIRES: a store.
EXEC_API std::shared_ptr<host_keys> first_use(std::shared_ptr<host_key_store> store);

// Trusts whoever answers: anybody on the way can read and change everything, credentials of kind `password` included. For
// throw-away machines on a network that nobody else is on.
EXEC_API std::shared_ptr<host_keys> accept_anything();

}  // namespace exec::inline v0::ssh
