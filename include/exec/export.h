// Which symbols leave the library.
//
// Everything is compiled with hidden visibility. EXEC_API marks what a host may link against, and in private headers what
// another library of ours does. Only the shared library
// exports: a host that puts the static library into a plug-in does not pass our symbols on to its neighbours.
#pragma once

#if defined(EXEC_SHARED)  // set by the build of the shared library, and for its users by CMake and pkg-config
#define EXEC_API __attribute__((visibility("default")))
#else
#define EXEC_API
#endif
