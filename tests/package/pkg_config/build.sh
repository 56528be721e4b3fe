#!/bin/sh
# A consumer without CMake. usage: build.sh PREFIX PROGRAM
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
PKG_CONFIG_PATH=$(find "$1" -name pkgconfig -type d)
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
${CXX:-g++} -std=c++20 $(pkg-config --cflags exec) "$here/../main.cpp" -o "$2" $(pkg-config --libs exec)
