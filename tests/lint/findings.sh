#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every finding is documented, reported by some source file, and raised by at least one test.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0 man=man/vdiskck-findings.7
names=$(sed -n 's/^F(\([A-Z0-9_]*\),.*/\1/p' vdiskck/core/findings.def)
sources=$(mktemp) tests=$(mktemp)
trap 'rm -f "$sources" "$tests"' EXIT
git ls-files -co --exclude-standard 'vdiskck/*.[ch]' 'crypto/*.[ch]' 'formats/*.[ch]' 'recover/*.[ch]' |
	xargs grep -ohE '\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b' | sort -u >"$sources"
git ls-files -co --exclude-standard 'tests/*.c' 'tests/*.bats' 'tests/*.sh' |
	xargs grep -ohE '\b[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\b|\b[a-z][a-z0-9]*(-[a-z0-9]+)+\b' |
	sort -u >"$tests"

for n in $names; do
	id=$(echo "$n" | tr A-Z_ a-z-)
	grep -qxF "$n" "$sources" || { echo "$id: no source file reports it"; bad=1; }
	grep -qxF -e "$n" -e "$id" "$tests" || { echo "$id: no test raises it"; bad=1; }
	[ ! -e $man ] || sed 's/\\-/-/g' $man | grep -qF "$id" || { echo "$id: not in $man"; bad=1; }
done
[ -e $man ] || { echo "$man: missing"; bad=1; }
exit $bad
