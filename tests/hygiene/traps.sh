#!/bin/sh
# doc/traps.md names all fifty traps, and only tests that exist. usage: traps.sh [ROOT]
#
# Each row is "| NUMBER | trap | shown by |". What stands in backquotes in the third column, with a blank in it, is the
# name of a test case or of a row of the conformance kit; hygiene.NAME is a test of ctest. A row without a name says why.
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
cd -- "${1:-$here/../..}"

# The first string behind each TEST_CASE, also on the next line; and of each row of the kit.
cases() {
  find tests -name '*_test.cpp' -exec cat {} + | awk '
    function first_string(text) {
      sub(/^[^"]*"/, "", text)
      match(text, /^([^"\\]|\\.)*/)
      print substr(text, 1, RLENGTH)
    }
    after { first_string($0); after = 0; next }
    /TEST_CASE(_TEMPLATE)?\($/ { after = 1; next }
    /TEST_CASE(_TEMPLATE)?\("/ { first_string($0) }'
  find include/exec/testing/conformance -name '*.h' -exec sed -nE 's/^ *\{"([^"]*)",.*/\1/p' {} + 2> /dev/null || :
  sed -nE 's/.*NAME hygiene\.([a-z_]+).*/hygiene.\1/p' tests/hygiene/CMakeLists.txt
}

known=$(mktemp)
trap 'rm -f "$known"' EXIT
cases > "$known"
awk -F '|' -v known="$known" '
  function fail(text) { print "doc/traps.md: " text; failed = 1 }
  BEGIN { while ((getline name < known) > 0) is_test[name] }
  $2 ~ /^ [0-9]+ $/ {
    number = $2 + 0
    if (number in seen) fail("trap " number " is there twice")
    seen[number]
    if (NF != 5) fail("trap " number ": not three columns")
    names = 0
    count = split($4, part, "`")
    for (i = 2; i <= count; i += 2) {
      if (part[i] !~ /^[^ ]+: |^hygiene\.| .* /) continue  # a name of the code
      ++names
      if (!(part[i] in is_test)) fail("trap " number ": no test " part[i])
    }
    if (names == 0 && $4 !~ /^ No test: /) fail("trap " number ": neither a test nor \"No test: \" and why")
  }
  END {
    for (number = 1; number <= 50; ++number) if (!(number in seen)) fail("trap " number " is missing")
    for (number in seen) if (number + 0 < 1 || number + 0 > 50) fail("trap " number " is none of the fifty")
    exit failed
  }' doc/traps.md
