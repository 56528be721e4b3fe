// The version of the library, and the platforms it is for: Linux >= 5.10 with glibc, on x86-64 or arm64, as C++20.
//
// The three numbers are written here and nowhere else: CMake, the package files and the shared object's name read them.
// While the major number is 0, a new minor number may break sources and binaries; a new patch number breaks neither.
#pragma once

#if __cplusplus < 202002L
#error "exec needs C++20: compile with -std=c++20 or later"
#endif

#if !defined(__linux__)
#error "exec runs on Linux only: it is built on pidfd, epoll and clone3"
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#error "exec knows x86-64 and arm64 only: it starts processes with code written for each processor"
#endif

#if !defined(__LP64__)
#error "exec is for 64-bit programs: x32 and ILP32 are not supported"
#endif

#include <version>  // also the cheapest way to learn which C library this is

#if !defined(__GLIBC__)
#error "exec needs glibc: musl and bionic are untested"
#endif

#define EXEC_VERSION_MAJOR 0
#define EXEC_VERSION_MINOR 1
#define EXEC_VERSION_PATCH 0

// One number to compare with: major * 10000 + minor * 100 + patch.
#define EXEC_VERSION (EXEC_VERSION_MAJOR * 10000 + EXEC_VERSION_MINOR * 100 + EXEC_VERSION_PATCH)
