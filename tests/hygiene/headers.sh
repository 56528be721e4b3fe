#!/bin/sh
# Compiles every public header the ways that hosts do. usage: headers.sh COMPILER...
#
#   alone      first in its file, twice: as -std=c++20 by the first compiler, as -std=gnu++20 by the last
#   rude host  after the macros that old and rude headers define (rude_host.h)
#   two units  all headers in two units, in opposite orders, linked together: nothing is defined twice
#   platform   version.h refuses what the library is not for
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "$here/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

flags='-Iinclude -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror'
all=$(find include -name '*.h' | LC_ALL=C sort | sed 's|^include/||')

for last in "$@"; do :; done

# One line a compilation; each prints nothing, or what is wrong with one header.
for header in $all; do
  unit=$work/$(echo "$header" | tr / _).cpp
  printf '#include <%s>\n#include <%s>\n' "$header" "$header" > "$unit"
  echo "$1 -std=c++20 $flags -fsyntax-only $unit"
  echo "$last -std=gnu++20 $flags -fsyntax-only $unit"
done > "$work/jobs"

# What our headers include of others comes before the macros, as it does in a rude host.
foreign=$(find include -name '*.h' | xargs sed -nE 's/^ *# *include <([^>]*)>.*/\1/p' | grep -v '^exec/' | LC_ALL=C sort -u)
{
  printf '#include <%s>\n' $foreign
  echo '#include "rude_host.h"'
  printf '#include <%s>\n' $all
} > "$work/rude.cpp"
for compiler in "$@"; do
  echo "$compiler -std=gnu++20 $flags -I$here -fsyntax-only $work/rude.cpp"
done >> "$work/jobs"

printf '#include <%s>\n' $all > "$work/forward.cpp"
printf '#include <%s>\n' $(echo "$all" | LC_ALL=C sort -r) > "$work/backward.cpp"
for unit in forward backward; do
  echo "$1 -std=c++20 $flags -c $work/$unit.cpp -o $work/$unit.o"
done >> "$work/jobs"

xargs -P 2 -I '{}' sh -c '{}' < "$work/jobs"
"$1" -r -nostdlib "$work/forward.o" "$work/backward.o" -o "$work/both.o"

refuses() { # WORD FLAG...: version.h fails to compile, and the message has the word
  word=$1
  shift
  if "$compiler" -std=c++20 -Iinclude -fsyntax-only "$@" -x c++ include/exec/version.h 2> "$work/refusal" ||
    ! grep -q "error: .*$word" "$work/refusal"; then
    echo "version.h under $compiler $*: no error that names $word"
    exit 1
  fi
}
for compiler in "$@"; do
  refuses Linux -U__linux__
  refuses 'C++20' -std=c++17
  refuses arm64 -U__x86_64__ -U__aarch64__
  refuses 64-bit -U__LP64__
done
echo "headers: $(echo "$all" | wc -l) headers, $(($(wc -l < "$work/jobs"))) compilations, compilers: $*"
