#!/bin/sh
# Does a test notice when a line is wrong? Puts one fault at a time (faults.txt) into a copy of the sources, builds what
# its test needs and runs that test, which must fail.
#
#   run.sh BUILD [FAULT...]   all faults, or these; BUILD is a directory outside of the sources, or in build/
#   run.sh --check [ROOT]     only whether each fault still fits the sources, and whether its test is there
#
# Ends with 1 if a fault survives, does not fit, does not compile, or if a test fails without any fault.
# EXEC_PATIENCE multiplies the time limit of a test (120 s).
set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
root=$(cd -- "$here/../.." && pwd)
faults=$here/faults.txt
unset FROM TO NTH

# A record is a few lines "KEY value", ended by an empty line; # begins a comment.
names() { sed -n 's/^fault //p' "$faults"; }
field() { # FAULT KEY
  awk -v fault="$1" -v key="$2" '
    /^#/ { next }
    $1 == "fault" { here = $2 == fault }
    here && $1 == key { print substr($0, length(key) + 2) }' "$faults"
}
# How often the line stands in the file.
standing() { # FAULT
  FROM=$(field "$1" line) awk 'index($0, ENVIRON["FROM"]) { ++count } END { print count + 0 }' "$(field "$1" file)"
}
# The file with the fault in it.
changed() { # FAULT
  FROM=$(field "$1" line) TO=$(field "$1" with) NTH=$(field "$1" nth) awk '
    BEGIN { from = ENVIRON["FROM"]; nth = ENVIRON["NTH"] + 0; if (nth == 0) nth = 1 }
    (at = index($0, from)) && ++seen == nth {
      $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(from))
    }
    { print }' "$(field "$1" file)"
}
room_of() { field "$1" test | sed 's/:.*//'; }
test_of() { field "$1" test | sed 's/^[a-z]*: //'; }

# "" or what is wrong with the record, in the sources that are the current directory.
unfit() { # FAULT
  [ -f "$(field "$1" file)" ] || { echo "no file $(field "$1" file)"; return; }
  count=$(standing "$1")
  nth=$(field "$1" nth)
  if [ "$count" -eq 0 ]; then echo "its line is not there"; return; fi
  if [ "$count" -ne 1 ] && [ -z "$nth" ]; then echo "its line is there $count times"; return; fi
  if [ "$count" -lt "${nth:-1}" ]; then echo "its line is there $count times only"; return; fi
  [ "$(field "$1" line)" != "$(field "$1" with)" ] || { echo "it changes nothing"; return; }
  grep -qF "\"$(test_of "$1")\"" tests/*_test.cpp || echo "no test '$(test_of "$1")'"
}

check() { # ROOT
  cd -- "$1"
  [ -f tests/mutants/faults.txt ] && faults=$PWD/tests/mutants/faults.txt
  status=0
  for fault in $(names | sort | uniq -d); do
    echo "$fault: is there twice"
    status=1
  done
  for fault in $(names); do
    wrong=$(unfit "$fault")
    [ "$wrong" ] || continue
    echo "$fault: $wrong"
    status=1
  done
  return $status
}

if [ "${1-}" = --check ]; then
  check "${2:-$root}"
  exit
fi
[ $# -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
build=$(cd -- "$1" && pwd)
shift
base=$build/base
tree=$build/tree
limit=$((120 * ${EXEC_PATIENCE:-1}))

# The sources as they are now, whatever is written into the originals meanwhile, and the tree that is built. There, what
# differs gets a new time, so that what a run that was cut short left behind is built again.
copy_sources() {
  rm -rf "$base"
  mkdir -p "$base" "$tree"
  (cd "$root" && cp -R CMakeLists.txt cmake include src tests "$base")
  (cd "$base" && find . -type f | sort) > "$build/files"
  (cd "$tree" && find . -type f | sort) | comm -13 "$build/files" - | (cd "$tree" && xargs -r rm --)
  while read -r file; do
    cmp -s "$base/$file" "$tree/$file" && continue
    mkdir -p "$tree/$(dirname "$file")"
    cp "$base/$file" "$tree/$file"
  done < "$build/files"
}

make() { # TARGET
  ninja -C "$build/out" -j "${EXEC_MUTANT_JOBS:-2}" "$1" > "$build/log" 2>&1
}

# What a broken library left running: programs of this build only, each by its number.
end_strays() {
  for exe in /proc/[0-9]*/exe; do
    case $(readlink "$exe" 2> /dev/null) in
      "$build"/out/*)
        pid=${exe#/proc/}
        kill -9 "${pid%/exe}" 2> /dev/null || : ;;
    esac
  done
}

# 0: it passed; 1: it failed, which may mean that it did not come to an end; 2: there was nothing to run.
run_test() { # ROOM NAME
  # In a filter a comma is a separator and ? stands for any one character.
  pattern=$(printf '%s\n' "$2" | sed 's/[,\\*]/?/g')
  red=0
  (cd "$build/out/tests" && TZ=EXT-12:45 LANG=C.UTF-8 timeout -k 5 $limit "./$1_tests" --test-case="$pattern" || exit 1) \
    > "$build/log" 2>&1 < /dev/null || red=1
  ! grep -q 'test cases: *0 ' "$build/log" || red=2
  end_strays
  return $red
}

[ $# -gt 0 ] || set -- $(names)
began=$(date +%s)
copy_sources
cd "$base"
cmake -S "$tree" -B "$build/out" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG='-O0 -g0' \
  -DEXEC_BUILD_EXAMPLES=OFF > "$build/log" 2>&1 || { cat "$build/log"; exit 1; }
trap 'exit 130' INT
trap 'exit 143' TERM

# Without a fault every test passes, or its failure says nothing.
findings=0
for fault in "$@"; do room_of "$fault"; done | sort -u > "$build/rooms"
for fault in "$@"; do field "$fault" test; done | sort -u > "$build/tests"
while read -r room; do
  make "${room}_tests" || { tail -30 "$build/log"; exit 1; }
done < "$build/rooms"
while IFS= read -r test; do
  if ! run_test "${test%%: *}" "${test#*: }"; then
    echo "without a fault: $test: red"
    tail -20 "$build/log"
    findings=$((findings + 1))
  fi
done < "$build/tests"
[ $findings -eq 0 ] || exit 1
echo "without a fault: $(wc -l < "$build/tests") tests, all green ($(($(date +%s) - began)) s)"

caught=0
broken=
for fault in "$@"; do
  wrong=$(unfit "$fault")
  verdict=
  by=$(field "$fault" test)
  if [ "$wrong" ]; then
    verdict="DOES NOT FIT: $wrong"
  else
    # The one before is taken back only now: one build for both.
    [ -z "$broken" ] || cp "$base/$broken" "$tree/$broken"
    broken=$(field "$fault" file)
    changed "$fault" > "$tree/$broken"
    if ! make "$(room_of "$fault")_tests"; then
      # What a test asserts of a constant is red before there is a program.
      if grep -q 'tests/.*error: static.assert' "$build/log"; then
        by="$by (static_assert)"
      else
        verdict="DOES NOT COMPILE: $(grep -m 1 'error' "$build/log" || :)"
      fi
    elif run_test "$(room_of "$fault")" "$(test_of "$fault")"; then
      verdict=SURVIVED
    fi
  fi
  if [ "$verdict" ]; then
    findings=$((findings + 1))
  else
    caught=$((caught + 1))
    verdict=caught
  fi
  printf '%-9s %-32s %s\n' "$verdict" "$fault" "$by"
done
[ -z "$broken" ] || cp "$base/$broken" "$tree/$broken"
echo "mutants: $caught caught, $findings not, in $(($(date +%s) - began)) s"
[ $findings -eq 0 ]
