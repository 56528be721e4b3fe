// The one judgement about a server's key: what was shown, beside what is known.
#pragma once

#include <string>
#include <vector>

#include "exec/result.h"
#include "exec/ssh/host_keys.h"
#include "ssh/known_hosts.h"

namespace exec::inline v0::ssh {

// Success: one of `known` is the key, and none revokes it. `known` is of this host alone.
// Fails with: errc::host_key_mismatch; errc::unsupported, where only certificate authorities are known. At stage::host_key; one
// sentence of less than 2 KiB, in which everything from outside was through display().
result<void> judge(const host_name& of, const host_key& shown, const std::vector<known_key>& known);

// Whether it is this key, by its bytes or, where only that is known, by its fingerprint.
bool is_same(const known_key& known, const host_key& shown);

// What to ask a server for that has one of these keys, the best first. Keys that are revoked or of an authority do not count;
// empty, if one is known by its fingerprint alone.
std::vector<std::string> algorithms_of(const std::vector<known_key>& known);

}  // namespace exec::inline v0::ssh
