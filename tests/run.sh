#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every test program and every .bats file; tests/run.sh BUILD-DIR [NAME-PATTERN]
# The last line counts tests: "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1 only=${2:-}
export VDISKCK="$PWD/$build/vdiskck" CORPUS="${CORPUS-$PWD/../shared/corpus}"
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 UBSAN_OPTIONS=print_stacktrace=1
out=$(mktemp -d) passed=0 failed=0
trap 'rm -rf "$out"' EXIT

one() { # NAME LOG COMMAND...
	local name=$1 log=$2
	shift 2
	"$@" >"$log" 2>&1
	echo $? >"$log.status"
	[ "$(cat "$log.status")" = 0 ] && echo "ok      $name" || echo "FAILED  $name"
}
export -f one

{
	find "$build/tests" -type f -executable -name 'test_*' 2>/dev/null
	find tests/cli -name '*.bats'
} | grep -e "$only" | sort | xargs -P "$(nproc)" -I{} bash -c '
	log='"$out"'/$(echo {} | tr / _)
	case {} in *.bats) one {} "$log" bats --tap {};; *) one {} "$log" {};; esac'

for s in "$out"/*.status; do
	log=${s%.status}
	# cmocka says "[       OK ] name", bats says "ok N name"
	n=$(grep -cE '^\[ +OK +\]|^ok [0-9]' "$log") f=$(grep -cE '^\[ +FAILED +\] [a-z_0-9]+$|^not ok ' "$log")
	[ "$(cat "$s")" != 0 ] && [ "$f" = 0 ] && f=1
	passed=$((passed + n)) failed=$((failed + f))
	[ "$(cat "$s")" = 0 ] || { echo "--- ${log##*/}"; tail -n 60 "$log"; }
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
