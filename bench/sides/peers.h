// peers: what a C++ user picks today, each where its headers were found.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "sides/side.h"

namespace bench {

side libuv();
side boost_v1();
side boost_v2();
side glib();
side poco();

[[noreturn]] inline void must_not(const char* what) {
    std::fprintf(stderr, "%s failed\n", what);
    std::exit(2);
}

// A library that has a loop and nothing else.
template <class Flight>
side looping_peer(std::string name) {
    side made{std::move(name), kind::peer};
    made.run = [loop = std::shared_ptr<Flight>()](words what) mutable {
        if (!loop) loop = std::make_shared<Flight>();
        return run_in(*loop, what);
    };
    made.fly = [] { return std::make_unique<Flight>(); };
    return made;
}

}  // namespace bench
