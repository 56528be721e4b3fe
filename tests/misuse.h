// Turns misuse into an exception for as long as it lives, so that a test can ask for it.
#pragma once

#include <exec/assert.h>

#include <stdexcept>

namespace test {

struct misuse : std::logic_error {
    using std::logic_error::logic_error;
};

class misuse_throws {
   public:
    misuse_throws()
        : before_(exec::set_misuse_handler([](const char*, int, const char* sentence) { throw misuse(sentence); })) {}
    ~misuse_throws() { exec::set_misuse_handler(before_); }
    misuse_throws(const misuse_throws&) = delete;
    misuse_throws& operator=(const misuse_throws&) = delete;

   private:
    exec::misuse_handler before_;
};

}  // namespace test
