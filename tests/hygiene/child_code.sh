#!/bin/sh
# What runs in a child between its birth and its exec calls nothing: no libc, no allocation, nothing of a sanitizer.
# usage: child_code.sh OBJECT..., of which those of child_code.cpp and init_code.cpp are looked at. NM names the tool.
#
# The one file may call the other's child code, and the linker's symbols are addresses. What a compiler adds for an
# exception that leaves a noexcept function, or a sanitizer for its own, is not called on the way.
set -eu
ours='_ZN4exec.*(close_all_but|reset_dispositions|run_child)E.*|__(start|stop)_exec_init|__rseq_(offset|size)'
added='__gxx_personality_v0|__cxa_begin_catch|_ZSt9terminatev|_ZTVN10__cxxabiv1.*|_GLOBAL_OFFSET_TABLE_'
tools='__(asan|tsan|ubsan|sanitizer|sancov|gcov)_.*|__(start|stop)___sancov_.*'
looked_at=0
status=0
for object in "$@"; do
  case ${object##*/} in
    child_code.cpp.o | init_code.cpp.o) ;;
    *) continue ;;
  esac
  looked_at=$((looked_at + 1))
  for symbol in $(${NM:-nm} -u "$object" | awk 'NF == 2 && $1 ~ /^[Uvw]$/ { print $2 }'); do
    echo "$symbol" | grep -qE "^($ours|$added|$tools)\$" && continue
    echo "${object##*/}: calls $symbol"
    status=1
  done
done
[ $looked_at -eq 2 ] || { echo "child_code.sh: $looked_at of 2 objects"; exit 1; }
exit $status
