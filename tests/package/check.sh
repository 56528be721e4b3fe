#!/bin/sh
# Installs the library and builds the consumers against it, each of which runs a command. usage: check.sh WORK
#
# WORK is a folder of ours: it is emptied first. Consumers are told where the package is, nothing else.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
root=$(cd -- "$here/../.." && pwd)
rm -rf "$1"
mkdir -p "$1"
work=$(cd -- "$1" && pwd)
launcher=$(command -v ccache) || launcher=

consume() { # NAME [CMAKE OPTION...]
  name=$1
  shift
  cmake -S "$here/$name" -B "$work/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=g++ \
    ${launcher:+"-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher"} "$@" > "$work/$name.log" || { cat "$work/$name.log"; return 1; }
  cmake --build "$work/$name"
  ctest --test-dir "$work/$name" --output-on-failure --no-tests=error
}

echo "-- install"
cd "$root"
cmake --preset core > "$work/install.log"
cmake --build --preset core
cmake --install build/core --prefix "$work/prefix" > /dev/null
# Moved once, so that a path of the build tree in a package file is found out.
mv "$work/prefix" "$work/moved"

echo "-- find_package"
consume find_package "-DCMAKE_PREFIX_PATH=$work/moved"

echo "-- pkg-config"
sh "$here/pkg_config/build.sh" "$work/moved" "$work/pkg_config"
"$work/pkg_config"

echo "-- add_subdirectory, shared"
consume add_subdirectory

echo "-- FetchContent"
consume fetch_content
