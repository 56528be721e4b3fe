#!/bin/sh
# The rules can fail: a small tree with one offence of each kind, each of which must be named, and nothing else.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/include/exec" "$tree/src/base" "$tree/src/loop" "$tree/src/attic"

cat > "$tree/src/CMakeLists.txt" <<'END'
exec_room(base HEADERS good.h upward.h # a comment with ) in it
  missing.h SOURCES good.cpp)
exec_room(loop
  HEADERS loop.h)
END
put() { printf '#pragma once\n%s\n' "$2" > "$tree/$1"; }
put include/exec/good.h '#include <string>'
put include/exec/upward.h '#include <exec/loop.h>'
put include/exec/loop.h '#include <exec/good.h>'
put include/exec/stray.h '#include <exec/nowhere.h>'
put include/exec/private.h '#include "loop/private.h"'
put src/loop/private.h '#include <exec/good.h>'
put src/attic/old.h ''
printf '#include <exec/good.h>\n' > "$tree/src/base/good.cpp"
printf '#include <exec/good.h>\n' > "$tree/src/base/unbuilt.cpp"

finds() { # RULE TEXT...: the rule fails, prints a line with each text, and no other line
  rule=$1
  shift
  if found=$(sh "$here/check.sh" "$rule" "$tree"); then
    echo "$rule: passed a tree that breaks it"
    exit 1
  fi
  for text in "$@"; do
    echo "$found" | grep -qF "$text" || { echo "$rule: did not say '$text', but:"; echo "$found"; exit 1; }
  done
  [ "$(echo "$found" | wc -l)" -eq $# ] || { echo "$rule: said more than it should:"; echo "$found"; exit 1; }
}

finds rooms \
  'include/exec/stray.h: not listed' \
  'include/exec/private.h: not listed' \
  'include/exec/private.h: a public header includes the private src/loop/private.h' \
  'include/exec/stray.h: includes <exec/nowhere.h>' \
  'include/exec/upward.h: room base may not include include/exec/loop.h' \
  'src/attic/old.h: no room attic' \
  'src/base/unbuilt.cpp: not listed' \
  'include/exec/missing.h: listed in src/CMakeLists.txt, but not there'

rm "$tree"/include/exec/*.h
put include/exec/a.h '#include <unistd.h>'
put include/exec/b.h '#include <sys/epoll.h>'
put include/exec/c.h '  #  include <regex> // heavy'
put include/exec/d.h '#include <fmt/core.h>'
put include/exec/e.h '#include <libssh/libssh.h>'
put include/exec/f.h '#include "result.h"'
put include/exec/fmt.h '#include <fmt/core.h>'
put include/exec/asio.h '#include <boost/asio.hpp>'
put include/exec/g.h '#include <boost/asio.hpp>'
printf '#include <string>\n#pragma once\n' > "$tree/include/exec/h.h"
finds headers 'a.h:2: includes unistd.h' 'b.h:2: includes sys/epoll.h' 'c.h:2: includes regex' \
  'd.h:2: includes fmt/core.h' 'e.h:2: includes libssh/libssh.h' 'f.h:2: includes result.h' \
  'g.h:2: includes boost/asio.hpp' 'h.h:1: includes string'

mkdir "$tree/tests" "$tree/examples"
printf 'exec_test_room(base\n  SOURCES good_test.cpp other_test.cpp)\n' > "$tree/tests/CMakeLists.txt"
printf 'exec_example(tour)\n' > "$tree/examples/CMakeLists.txt"
touch "$tree/tests/good_test.cpp" "$tree/tests/other_test.cpp" "$tree/tests/her_test.cpp" "$tree/examples/tour.cpp" \
  "$tree/examples/tou.cpp"
finds tests 'tests/her_test.cpp: not registered' 'examples/tou.cpp: not registered'

printf '// %s: later\nmkstemp("aXXXXXX");\n' TO'DO' > "$tree/src/base/note.cpp"
printf '// see %s\n' /hom'e/somebody/notes' > "$tree/src/base/path.cpp"
finds words 'note.cpp:1:' 'path.cpp:1:'

seq 100 > "$tree/src/base/long.cpp"
export EXEC_HEADER_MOSTLY=yes
finds balance 'lines: include'
echo "selftest: every rule names what breaks it"
