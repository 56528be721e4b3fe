// The one place where doctest's implementation and main() are compiled; every test binary links this object.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include "sanitizer.h"

#if defined(__SANITIZE_THREAD__)
#include <thread>

// The sanitizer's own thread comes with the first one of ours: before the tests, so that none of them finds it.
static const bool first_thread = [] {
    std::thread([] {}).join();
    return true;
}();
#endif
