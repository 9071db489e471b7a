#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plants faults in a copy of the headers and lets the law suite (tests/testing) alone find them. One line a mutant:
# killed and by which laws, survived, or does not compile (and does not count).
#
#   tests/mutation/run.sh FILE.mutants...     without a file: hand.mutants and mechanical.mutants
#   NAME=regex     only mutants whose name matches; LIST=file: only those named there, one a line
#   SUITE="..."    these files of tests/testing only, all by default
#   CXX=compiler   OPTIMISE=flags, -O1   JOBS=n at the same time, 2   WORK=folder: keeps what was built
#
# All mutants stand in one copy, each behind its number (mutants.pm); every file of the suite is compiled once. A mutant
# is tried on the test cases that come by it in an unmutated run, the quickest first, up to the first that fails.
# Exit status 1 if the unmutated copy fails, a mutant survives that is not in survivors.txt, or one there is killed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ -z "${WORK:-}" ]; then
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
fi
mkdir -p "$WORK"
[ $# -gt 0 ] || set -- "$here/hand.mutants" "$here/mechanical.mutants"
jobs=${JOBS:-2}

eigen=$(pkg-config --cflags-only-I eigen3 2>/dev/null | sed 's/-I/-isystem /g' || true)
[ -n "${eigen// /}" ] || [ ! -d /usr/include/eigen3 ] || eigen='-isystem /usr/include/eigen3'
export CXX=${CXX:-g++} WORK ROOT=$root
export FLAGS="-std=c++20 ${OPTIMISE:--O1} -w -D_GLIBCXX_ASSERTIONS -pthread -ftemplate-backtrace-limit=0 $eigen"

# All but what uses no parts or broken ones, and but banks and layers, which take minutes and are not mutated.
suite() {
    local file
    for file in "$root"/tests/testing/*.cpp; do basename "$file" .cpp; done |
        grep -vE '^(every_part|suite|suite_more|banks|layers)$'
}
read -r -a programs <<<"$(echo ${SUITE:-$(suite)})"

build() {
    # shellcheck disable=SC2086
    "$CXX" $FLAGS -I "$WORK/include" -I "$ROOT/tests" -include "$WORK/include/mutant.hpp" \
        -c "$ROOT/tests/testing/$1.cpp" -o "$WORK/$1.o" >"$WORK/$1.log" 2>&1 &&
        "$CXX" "$WORK/$1.o" "$WORK/main.o" -pthread -o "$WORK/$1" >>"$WORK/$1.log" 2>&1 &&
        rm -f "$WORK/$1.o" "$WORK/$1.log"
}
# names PROGRAM: its test cases, as arguments that select them. Catch2 2 exits with their number; 3 has another option.
names() {
    { "$WORK/$1" --list-test-names-only 2>/dev/null || true; } | grep . | sed 's/,/\\,/g' ||
        "$WORK/$1" --list-tests --verbosity quiet | grep . | sed 's/,/\\,/g'
}

# trace PROGRAM: runs every test case unmutated; WORK/reached gets "mutant seconds program:test case".
trace() {
    local name started number
    names "$1" | while IFS= read -r name; do
        started=$(date +%s%N)
        if ! MOE_REACHED=$WORK/$1.reached "$WORK/$1" "$name" >"$WORK/$1.out" 2>&1 ||
            ! grep -q 'All tests passed' "$WORK/$1.out"; then
            echo "the unmutated headers fail in $1: $name"
            cat "$WORK/$1.out"
            exit 255
        fi
        started=$((($(date +%s%N) - started) / 1000000))
        while read -r number; do
            echo "$number $started $1:$name"
        done <"$WORK/$1.reached" >>"$WORK/$1.trace"
    done
}

# try NUMBER: prints one line. A mutant may ask for any memory; it gets 4 GB.
try() {
    ulimit -v 4000000
    local number=$1 verdict=survived by='' milliseconds test out status name
    name=$(sed -n "s/^$number //p" "$WORK/list")
    out=$WORK/out.$number
    while read -r _ milliseconds test <&3; do
        status=0
        { MOE_MUTANT=$number timeout $((milliseconds / 100 + 20)) "$WORK/${test%%:*}" "${test#*:}" >"$out" 2>&1; } \
            2>/dev/null || status=$?
        [ $status -ne 0 ] || continue
        verdict=killed
        by=$(perl -ne 'if (/breaks \d+ laws?$/) { $in = 1; next } $in = 0 unless /\S/;
            print $some++ ? ", " : "", $1 if $in && /^\s*([a-z][a-z ]*): /' "$out")
        [ $status -ne 124 ] || by='time'
        ! grep -q 'fatal error condition' "$out" || by='signal'
        by=" | ${by:-oracle} | $test"
        break
    done 3< <(grep -h "^$number " "$WORK"/*.trace | sort -n -k 2)
    [ "$verdict" = killed ] || grep -qh "^$number " "$WORK"/*.trace || by=' | no test comes by'
    rm -f "$out"
    printf '%-18s %s%s\n' "$verdict" "$name" "$by"
}
export -f build names trace try

"$CXX" -std=c++20 -w -I "$root/tests" -c "$root/tests/support/main.cpp" -o "$WORK/main.o"
rm -f "$WORK"/*.trace "$WORK"/dropped
touch "$WORK/dropped"
pending=("${programs[@]}")
while [ ${#pending[@]} -gt 0 ]; do
    perl "$here/mutants.pl" plant "$root/include" "$WORK" "${NAME:-.}" "${LIST:-}" "$@"
    cp "$here/mutant.hpp" "$WORK/include"
    printf '%s\n' "${pending[@]}" | xargs -P "$jobs" -I{} bash -c 'build {}' || true
    mapfile -t failed < <(for p in "${pending[@]}"; do [ ! -f "$WORK/$p.log" ] || echo "$p"; done)
    pending=("${failed[@]}")
    [ ${#pending[@]} -eq 0 ] || perl "$here/mutants.pl" drop "$WORK" "${pending[@]/#/$WORK/}"
done
printf '%s\n' "${programs[@]}" | xargs -P "$jobs" -I{} bash -c 'trace {}'

{
    while read -r number; do
        printf '%-18s %s\n' 'does not compile' "$(sed -n "s/^$number //p" "$WORK/list")"
    done <"$WORK/dropped"
    cut -d ' ' -f 1 "$WORK/list" | grep -vxFf "$WORK/dropped" | xargs -P "$jobs" -I{} bash -c 'try {}'
} | tee "$WORK/table"

# Survivors with a known reason are expected; all others fail.
perl "$here/mutants.pl" judge "$here/survivors.txt" "$WORK/table"
