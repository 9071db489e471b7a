#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Plants faults in copies of the headers and lets the law suite (tests/testing) alone find them.
#
#   tests/mutation/run.sh FILE.mutants...    all mutants of these files, one line each: killed, survived or does not compile
#   NAME=regex  only mutants whose name matches      JOBS=n  at the same time, 2      CXX=compiler      KEEP=1  keeps the work
#
# Exit status 1 if the unmutated headers fail, a mutant survives that is not in survivors.txt, or one there is killed. Mutants
# that do not compile do not count. format: see mutants.pl, which also makes mechanical ones.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export ROOT=$root CXX=${CXX:-g++} WORK=${WORK:-$(mktemp -d)}
[ -n "${KEEP:-}" ] || trap 'rm -rf "$WORK"' EXIT
mkdir -p "$WORK/clean"
[ $# -gt 0 ] || { sed -n 's/^# \{0,1\}//p' "$0" | sed -n 2,8p >&2; exit 2; }

flags() {
    pkg-config --cflags-only-I eigen3 2>/dev/null | sed 's/-I/-isystem /g' || true
}
FLAGS="-std=c++20 -O0 -w -pthread $(flags) ${EXTRA:-}"
export FLAGS

# compile LAWS INCLUDES OUTPUT: the law tests of one file against the headers in INCLUDES.
compile() {
    # shellcheck disable=SC2086
    "$CXX" $FLAGS -I "$2" -I "$ROOT/tests" -c "$ROOT/tests/testing/$1.cpp" -o "$3.o" &&
        "$CXX" "$3.o" "$WORK/main.o" -pthread -o "$3"
}
export -f compile

# try MUTANT-FOLDER: prints one line.
try() {
    local folder=$1 name laws verdict='survived' by=''
    name=$(cat "$folder/name")
    for laws in $(cat "$folder/laws"); do
        if ! compile "$laws" "$folder/include" "$folder/$laws" >"$folder/$laws.log" 2>&1; then
            verdict='does not compile'
            break
        fi
        if ! timeout 300 "$folder/$laws" >"$folder/$laws.out" 2>&1; then
            verdict='killed'
            by=" by $laws: $(grep -A 1 -m 1 -E 'breaks [0-9]+ laws?' "$folder/$laws.out" | sed -n '2s/^ *\([a-z ]*\):.*/\1/p' || true)"
            break
        fi
    done
    rm -rf "$folder/include" "$folder"/*.o
    printf '%-18s %s%s\n' "$verdict" "$name" "$by"
}
export -f try

# shellcheck disable=SC2086
"$CXX" $FLAGS -I "$ROOT/tests" -c "$ROOT/tests/support/main.cpp" -o "$WORK/main.o"
perl "$here/mutants.pl" plant "$ROOT/include" "$WORK" "${NAME:-.}" "$@"

# The unmutated copy passes, or nothing below means anything.
awk 1 "$WORK"/mutant-*/laws 2>/dev/null | tr ' ' '\n' | sort -u | grep . >"$WORK/laws" || { echo "no mutant matches"; exit 2; }
clean() {
    compile "$1" "$ROOT/include" "$WORK/clean/$1" && "$WORK/clean/$1" >"$WORK/clean/$1.out" ||
        { echo "the unmutated headers fail in $1"; exit 255; }
}
export -f clean
xargs -P "${JOBS:-2}" -I{} bash -c 'clean {}' <"$WORK/laws"

printf '%s\n' "$WORK"/mutant-* | xargs -P "${JOBS:-2}" -I{} bash -c 'try {}' | tee "$WORK/table"

# Survivors with a known reason are expected; all others fail.
perl "$here/mutants.pl" judge "$here/survivors.txt" "$WORK/table"
