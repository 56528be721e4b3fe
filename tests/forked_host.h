// A host that does to itself what a test cannot take back: closes its streams, ignores signals, gives up privileges.
#pragma once

#include <functional>
#include <string>

namespace test {

// What such a host found wrong. It writes sentences instead of using doctest, which knows nothing of its process.
class findings {
   public:
    // Notes `claim` unless it holds, and returns whether it did.
    bool check(bool holds, const std::string& claim) {
        if (!holds) text_ += (text_.empty() ? "" : "; ") + claim;
        return holds;
    }
    const std::string& text() const noexcept { return text_; }

   private:
    std::string text_{};
};

// Runs `body` in a forked copy of this process, and returns what it found; "" if nothing was wrong. A host that does not
// come to an end is killed, and that is a finding. REQUIRES: no other thread runs.
std::string in_forked_host(const std::function<void(findings&)>& body);

}  // namespace test

// In the body of a forked host, whose findings are called `found`.
#define HOLDS(...) found.check((__VA_ARGS__), std::string("line ") + std::to_string(__LINE__) + ": " #__VA_ARGS__)
