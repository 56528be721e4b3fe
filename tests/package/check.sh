#!/bin/sh
# Installs the library and builds the consumers against it, each of which runs a command, is refused by a machine, reads a request,
# or keeps a record. usage: check.sh WORK
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

# Moved once, so that a path of the build tree in a package file is found out.
install() { # BUILD PREFIX
  cmake --install "$1" --prefix "$work/unmoved" > /dev/null
  mv "$work/unmoved" "$2"
}

without_cmake() { # PREFIX
  for what in 'exec main.cpp' 'exec-ssh ssh.cpp' 'exec-sqlite sqlite.cpp' 'exec-wire wire.cpp'; do
    # shellcheck disable=SC2086
    sh "$here/pkg_config/build.sh" "$1" $what "$work/pkg_config"
    LD_LIBRARY_PATH=$(dirname "$(find "$1" -name pkgconfig -type d)") "$work/pkg_config"
  done
}

cd "$root"
echo "-- find_package, core alone"
cmake --preset core > "$work/core.log"
cmake --build --preset core
install build/core "$work/core"
consume find_package "-DCMAKE_PREFIX_PATH=$work/core" -DWITH_OPTIONAL=OFF
rm -rf "$work/find_package"

echo "-- find_package"
cmake --preset core -B "$work/all" -DEXEC_SSH=ON -DEXEC_SQLITE=ON -DEXEC_WIRE=ON > "$work/all.log"
cmake --build "$work/all"
install "$work/all" "$work/static"
consume find_package "-DCMAKE_PREFIX_PATH=$work/static" -DWITH_OPTIONAL=ON
rm -rf "$work/find_package"

echo "-- pkg-config"
without_cmake "$work/static"

echo "-- add_subdirectory, shared"
consume add_subdirectory

echo "-- FetchContent"
consume fetch_content

echo "-- find_package and pkg-config, shared"
install "$work/fetch_content" "$work/shared"
consume find_package "-DCMAKE_PREFIX_PATH=$work/shared" -DWITH_OPTIONAL=ON
without_cmake "$work/shared"
