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
# ---- the rules that have a file of their own --------------------------------------------------------------------------

says() { # WHAT TEXT...: `found` has a line with each text, and no other line
  rule=$1
  shift
  for text in "$@"; do
    echo "$found" | grep -qF "$text" || { echo "$rule: did not say '$text', but:"; echo "$found"; exit 1; }
  done
  [ "$(echo "$found" | wc -l)" -eq $# ] || { echo "$rule: said more than it should:"; echo "$found"; exit 1; }
}

mkdir "$tree/doc" "$tree/tests/hygiene" "$tree/tests/mutants"
printf 'TEST_CASE("room: it works") {\n}\nTEST_CASE(\n    "room: it works, too") {\n}\n' > "$tree/tests/good_test.cpp"
printf 'add_test(NAME hygiene.good COMMAND true)\n' > "$tree/tests/hygiene/CMakeLists.txt"
{
  for number in $(seq 5 49); do echo "| $number | a trap | \`room: it works\`; \`room: it works, too\` |"; done
  echo '| 1 | a trap | No test: it cannot be made to happen. |'
  echo '| 2 | a trap | `hygiene.good`. Not `code_of_ours()`. |'
  echo '| 3 | a trap | `room: it does not` |'
  echo '| 4 | a trap | it is obvious |'
  echo '| 4 | a trap | `hygiene.none` |'
  echo '| 51 | a trap | `room: it works` |'
} > "$tree/doc/traps.md"
if found=$(sh "$here/traps.sh" "$tree"); then echo "traps: passed a table that is wrong"; exit 1; fi
says traps 'trap 3: no test room: it does not' 'trap 4: neither' 'trap 4 is there twice' 'trap 4: no test hygiene.none' \
  'trap 50 is missing' 'trap 51 is none'

printf 'one\ntwo\ntwo\n' > "$tree/src/base/good.cpp"
record() { # NAME FILE LINE WITH TEST [NTH]
  printf 'fault %s\nfile %s\nline %s\nwith %s\ntest %s\nwhy because\n' "$1" "$2" "$3" "$4" "$5"
  [ $# -lt 6 ] || printf 'nth %s\n' "$6"
  echo
}
{
  record good src/base/good.cpp one 1 'base: room: it works'
  record second src/base/good.cpp two 2 'base: room: it works, too' 2
  record third src/base/good.cpp two 2 'base: room: it works' 3
  record gone src/base/good.cpp three 3 'base: room: it works'
  record several src/base/good.cpp two 2 'base: room: it works'
  record idle src/base/good.cpp one one 'base: room: it works'
  record untested src/base/good.cpp one 1 'base: room: it does not'
  record lost src/base/lost.cpp one 1 'base: room: it works'
} > "$tree/tests/mutants/faults.txt"
if found=$(sh "$here/../mutants/run.sh" --check "$tree"); then echo "mutants: passed faults that do not fit"; exit 1; fi
says mutants 'third: its line is there 2 times only' 'gone: its line is not there' 'several: its line is there 2 times' \
  'idle: it changes nothing' "untested: no test 'room: it does not'" 'lost: no file src/base/lost.cpp'

cat > "$tree/nm" <<'END'
case $2 in *child_code*) printf '                 U malloc\n                 U __rseq_size\n' ;; esac
END
if found=$(NM="sh $tree/nm" sh "$here/child_code.sh" a/child_code.cpp.o a/init_code.cpp.o a/pump.cpp.o); then
  echo "child_code: passed one that allocates"
  exit 1
fi
says child_code 'child_code.cpp.o: calls malloc'
if found=$(NM="sh $tree/nm" sh "$here/child_code.sh" a/init_code.cpp.o); then
  echo "child_code: passed although it saw only one"
  exit 1
fi
says child_code '1 of 2 objects'

echo "selftest: every rule names what breaks it"
