// request_digest: what binds an idempotency key to one request.
//
// SHA-256 over command and limits as they were asked for, each part with its length, so that no two requests read alike; with
// a key, HMAC-SHA256. The deadline is left out: it is a moment, and a second attempt has another one.
// Threads: a pure function.
#pragma once

#include <exec/command.h>
#include <exec/limits.h>

#include <string>
#include <string_view>

namespace exec::inline v0::dispatch {

// 64 hexadecimal digits.
std::string request_digest(const command& what, const limits& within, std::string_view key);

}  // namespace exec::inline v0::dispatch
