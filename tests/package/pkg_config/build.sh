#!/bin/sh
# A consumer without CMake. usage: build.sh PREFIX MODULE SOURCE PROGRAM
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
PKG_CONFIG_PATH=$(find "$1" -name pkgconfig -type d)
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
${CXX:-g++} -std=c++20 $(pkg-config --cflags "$2") "$here/../$3" -o "$4" $(pkg-config --libs "$2")
