#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every test program and every .bats file; tests/run.sh BUILD-DIR [PATTERN]
# PATTERN selects files: vhd, cli/export. The last line counts tests, not files:
# "N passed, N failed", and ", N skipped" when something that a test needs is not there.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1 only=${2:-}
# The program is run through tests/cli/watched, which fails when evidence has changed.
export VDISKCK="$PWD/tests/cli/watched" VDISKCK_PROGRAM="$PWD/$build/vdiskck"
export BUILD="$PWD/$build" CORPUS="${CORPUS-$PWD/../shared/corpus}"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
out=$(mktemp -d) passed=0 failed=0 skipped=0
export out
trap 'rm -rf "$out"' EXIT

one() { # FILE
	local log=$out/${1//\//_} status start=$SECONDS took
	case $1 in
	*.bats) timeout 300 bats --tap "$1" >"$log" 2>&1 ;;
	*) timeout 300 "$1" >"$log" 2>&1 ;;
	esac
	status=$?
	[ $status = 124 ] && echo "not ok 0 more than 300 s: stopped" >>"$log"
	echo $status >"$log.status"
	took=$((SECONDS - start))
	[ $took -ge 10 ] && took=" ($took s)" || took=
	[ $status = 0 ] && echo "ok      $1$took" || echo "FAILED  $1$took"
}
export -f one

# Tests of the command line start first: they take longest.
{
	find tests/cli -name '*.bats' | sort
	find "$build/tests" -type f -executable -name 'test_*' 2>/dev/null | sort
} | grep -e "$only" | xargs -P "$(nproc)" -I{} bash -c 'one {}'

for s in "$out"/*.status; do
	[ -e "$s" ] || break
	log=${s%.status}
	# cmocka says "[       OK ] name" and repeats failures behind "test(s) run"; bats: "ok N name"
	read -r n f k < <(awk '/^\[=+\].*run\.$/ { exit }
		/^\[ +SKIPPED +\] |^ok [0-9]+ .*# skip/ { k++; next }
		/^\[ +OK +\] |^ok [0-9]/ { n++ }
		/^\[ +FAILED +\] |^not ok / { f++ }
		END { print n + 0, f + 0, k + 0 }' "$log")
	[ "$(cat "$s")" != 0 ] && [ "$f" = 0 ] && f=1
	passed=$((passed + n)) failed=$((failed + f)) skipped=$((skipped + k))
	[ "$(cat "$s")" = 0 ] || { echo "--- ${log##*/}"; tail -n 60 "$log"; }
done
[ $skipped = 0 ] && skipped= || skipped=", $skipped skipped"
echo "$passed passed, $failed failed$skipped"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
