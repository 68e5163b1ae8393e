#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What review forgets: licence lines, left-over notes, functions too long to see at once.
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
fail() { echo "$1"; bad=1; }

mapfile -t files < <(git ls-files -co --exclude-standard | grep -E '\.(c|h|def|sh|py|bats)$|^Makefile$|^\.ci/')
for f in "${files[@]}"; do
	[ -f "$f" ] || continue
	head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
		fail "$f: no SPDX line in the first three"
done
# This file names what it looks for.
if grep -nE '\b(TODO|FIXME|XXX)\b|assert_true\(1\)' -- "${files[@]}" | grep -v '^tests/lint/source.sh:'; then
	fail "left-over notes (above)"
fi
# From a line that is only "{" to one that is only "}": the body of a function, kernel style.
printf '%s\n' "${files[@]}" | grep '\.[ch]$' | xargs awk '
	/^{$/ { start = FNR; name = last }
	/^}$/ && start {
		if (FNR - start > 100) {
			printf "%s:%d: %d lines: %s\n", FILENAME, start, FNR - start, name
			bad = 1
		}
		start = 0
	}
	{ last = $0 }
	END { exit bad }' || bad=1
exit $bad
