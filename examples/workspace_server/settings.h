// settings: who may call, and which machines there are, from two small files. One line each, words by blanks, '#' begins a
// comment.
//
//     tokens (mode 0600, since digests can be tried against guesses):
//         token <sha-256 of it, hex> <subject> <tenant> <tier>
//     machines:
//         workspace <id> <tenant> none      (nobody serves it)
//         workspace <id> <tenant> local
//         workspace <id> <tenant> ssh <port> <user>@<host> <known_hosts> key <private key>
//         workspace <id> <tenant> ssh <port> <user>@<host> <known_hosts> grant <authorized_keys>
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exec/dispatcher_parts.h"
#include "exec/ssh/pool.h"
#include "exec/ssh/runner.h"

struct token {
    std::string digest{};  // 64 hexadecimal digits
    exec::caller who{};
    int tier = 0;
};

class tokens {
   public:
    static exec::result<tokens> read(const std::string& file);
    // Of an Authorization header. Looks at every digest, all of it, so that its time tells nothing.
    const token* find(std::string_view authorization) const;

   private:
    std::vector<token> all_{};
};

// The directory of this server: another tenant's workspace is as missing as one that does not exist.
class machines final : public exec::directory {
   public:
    static exec::result<std::shared_ptr<machines>> read(const std::string& file, exec::ssh::pool& pool,
                                                        std::shared_ptr<exec::runner> local);
    void find(const exec::caller& who, const exec::target_id& target, exec::reply<exec::route> answer) override;

   private:
    std::map<std::pair<std::string, std::string>, exec::route> of_{};  // tenant and id; read only once it is made
};

// Tier 3 may run commands.
class tiers final : public exec::gate {
   public:
    void check(const exec::caller& who, exec::verb what, const exec::target_id& target, const exec::route& way,
               exec::reply<void> answer) override;
};
