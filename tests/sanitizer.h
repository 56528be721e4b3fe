// What a sanitizer changes in the process that it watches, for tests that look at exactly that.
#pragma once

namespace test {

// ThreadSanitizer keeps a thread of its own from the first one on, stands in for signal handlers, needs deep stacks, and takes
// clone() with shared memory for a fork.
#if defined(__SANITIZE_THREAD__)
constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
constexpr bool thread_sanitizer = false;
#endif

// AddressSanitizer maps so much that a fork takes long, during which the copy holds every pipe of the process.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool address_sanitizer = true;
#elif defined(__has_feature)
constexpr bool address_sanitizer = __has_feature(address_sanitizer);
#else
constexpr bool address_sanitizer = false;
#endif

}  // namespace test
