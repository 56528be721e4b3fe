#!/bin/sh
# Rules about the source text itself. usage: check.sh RULE [ROOT], with RULE one of
#
#   rooms     every file is in a room, every source is built, and includes point one way (rooms.txt)
#   headers   public headers name no header of the system's or of another library's
#   tests     every test, example and benchmark is registered
#   words     no notes to self and no paths of somebody's machine
#   balance   more lines under include/ than under src/
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
rule=$1
cd -- "${2:-$here/../..}"

sources() { find include src \( -name '*.h' -o -name '*.cpp' \) | LC_ALL=C sort; }

# Reads rooms.txt, src/CMakeLists.txt, then the list of files, then each `file:#include ...` line of them.
rooms() {
  {
    sed 's/#.*//; /:/!d; s/^/may /; s/:/ /' "$here/rooms.txt"
    # exec_room(base TARGET t HEADERS a.h b.h SOURCES c.cpp)  ->  header base a.h, ..., source base c.cpp
    sed 's/#.*//' src/CMakeLists.txt | tr '()\n' '\n\n ' | awk '
      call { kind = ""
             for (i = 2; i <= NF; i++)
               if ($i ~ /^(TARGET|HEADERS|SOURCES)$/) kind = $i
               else if (kind == "HEADERS") print "header", $1, $i
               else if (kind == "SOURCES") print "source", $1, $i }
      { call = $NF == "exec_room" }'
    sources | sed 's/^/file /'
    sources | xargs grep -HE '^[[:space:]]*#[[:space:]]*include[[:space:]]' |
      sed -nE 's/^([^:]*):[^<"]*[<"]([^>"]*)[>"].*/include \1 \2/p'
  } | awk '
    function fail(text) { print text; failed = 1 }
    # The file that an #include line means, if it is one of ours.
    function target(from, name,   dir) {
      dir = from; sub(/[^\/]*$/, "", dir)
      if (dir name in seen) return dir name
      if ("include/" name in seen) return "include/" name
      if ("src/" name in seen) return "src/" name
      return ""
    }
    $1 == "may"    { known[$2]; for (i = 3; i <= NF; i++) may[$2, $i]; next }
    $1 == "header" { listed["include/exec/" $3] = $2; next }
    $1 == "source" { listed["src/" $2 "/" $3] = $2; next }
    $1 == "file" {
      seen[$2]
      split($2, part, "/")
      if ($2 in listed) room[$2] = listed[$2]
      else if ($2 ~ /^src\/[^\/]+\/.*\.h$/) room[$2] = part[2]
      else fail($2 ": not listed in src/CMakeLists.txt")
      if ($2 in room && !(room[$2] in known)) fail($2 ": no room " room[$2] " in rooms.txt")
      next
    }
    $1 == "include" {
      to = target($2, $3)
      if (to == "") {
        if ($3 ~ /^exec\//) fail($2 ": includes <" $3 ">, which does not exist")
        next
      }
      if ($2 ~ /^include\// && to ~ /^src\//) fail($2 ": a public header includes the private " to)
      if (!($2 in room) || !(to in room)) next  # said already
      if (room[$2] == room[to] || (room[$2], room[to]) in may) next
      fail($2 ": room " room[$2] " may not include " to " (room " room[to] ")")
    }
    END {
      for (path in listed) if (!(path in seen)) fail(path ": listed in src/CMakeLists.txt, but not there")
      exit failed
    }'
}

headers() {
  posix='unistd|signal|poll|fcntl|pthread|dirent|errno|termios|spawn|sched|dlfcn|(sys|linux|netinet|arpa)/.*'
  heavy='iostream|filesystem|regex|thread|format'
  find include -name '*.h' | LC_ALL=C sort | xargs awk -v posix="^($posix)(\\.h)?\$" -v heavy="^($heavy)\$" '
    FNR == 1 { guarded = 0 }
    /^#pragma once$/ { guarded = 1 }
    /^[ \t]*#[ \t]*include/ {
      name = $0; sub(/^[^<"]*[<"]/, "", name); sub(/[>"].*/, "", name)
      why = ""
      if (!guarded) why = "include before #pragma once"
      else if ($0 ~ /"/ && name !~ /^exec\//) why = "public headers are included as exec/..."
      else if (name ~ posix) why = "a header of the system"
      else if (name ~ heavy) why = "a heavy header"
      else if (name ~ /^fmt\// && FILENAME !~ /exec\/fmt\.h$/) why = "fmt belongs into exec/fmt.h"
      else if (name ~ /^boost\// && FILENAME !~ /exec\/asio\.h$/) why = "Boost belongs into exec/asio.h"
      else if (name ~ /^(libssh|nlohmann|nats)\/|^(sqlite3|nats)\.h/) why = "another library"
      if (why != "") { printf "%s:%d: includes %s: %s\n", FILENAME, FNR, name, why; failed = 1 }
    }
    END { exit failed }'
}

tests() {
  status=0
  for source in tests/*_test.cpp tests/examples/*_test.cpp tests/hosts/*_test.cpp tests/servers/*_test.cpp tests/ssh/*_test.cpp tests/dispatch/*_test.cpp tests/wire/*_test.cpp tests/sqlite/*_test.cpp tests/workspace/*_test.cpp tests/fuzz/*.cpp examples/*.cpp bench/*.cpp; do
    [ -e "$source" ] || continue
    list=$(dirname "$source")/CMakeLists.txt
    [ -e "$list" ] || list=tests/CMakeLists.txt
    grep -qE "(^|[ (/])$(basename "$source" .cpp)(\\.cpp)?([ )]|\$)" "$list" && continue
    echo "$source: not registered in $list"
    status=1
  done
  return $status
}

# Written so that this file does not contain what it looks for.
words() {
  notes='\<(TO[D]O|FI[X]ME|XX[X]|HA[C]K)\>'
  paths='(^|[^[:alnum:]_.])/(wor[k]|Use[r]s)/|/hom[e]/[a-z]+/[a-z]|/roo[t]/[.a-z]'
  found=$(find . \( -name .git -o -name build -o -name .cache \) -prune -o -type f -print |
    LC_ALL=C sort | xargs grep -nIE "$notes|$paths") || return 0
  printf '%s\n' "$found"
  return 1
}

# Prints the figures; fails on them where EXEC_HEADER_MOSTLY=yes.
balance() {
  public=$(find include -name '*.h' -exec cat {} + | wc -l)
  private=$(find src \( -name '*.h' -o -name '*.cpp' \) -exec cat {} + | wc -l)
  echo "lines: include $public, src $private"
  [ "$public" -gt "$private" ] || [ "${EXEC_HEADER_MOSTLY:-no}" = no ]
}

case $rule in
  rooms | headers | tests | words | balance) $rule ;;
  *) echo "check.sh: no rule '$rule'" >&2; exit 2 ;;
esac
