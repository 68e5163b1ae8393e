#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make lint: all that can be said about the sources without running them
set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
step() { # NAME COMMAND...
	local name=$1
	shift
	if "$@"; then echo "ok      $name"; else echo "FAILED  $name"; bad=1; fi
}
format() { git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror; }
cpp() {
	cppcheck -q -j"$(nproc)" --std=c11 --enable=warning,performance,portability \
		--inline-suppr --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 \
		-D__BYTE_ORDER__=1 -D__ORDER_LITTLE_ENDIAN__=1 -D_GNU_SOURCE -I. \
		'-Djson_object_object_foreach(obj,key,value)=for (;;)' \
		vdiskck crypto formats recover tests
}
shell() { git ls-files '*.sh' .ci/run deploy | xargs grep -lE '^#!.*sh$' | xargs shellcheck -S warning; }
bats_files() { git ls-files "*.bats" | xargs -r shellcheck -S warning -e SC1007,SC2154,SC2164,SC2216; }
manuals() {
	local f
	for f in man/*.[1-8]; do
		[ -e "$f" ] || continue
		mandoc -T lint -W warning "$f" || return 1
	done
}
clang_build() { # what gcc lets through, and what only analysis finds
	make -s -j"$(nproc)" B=build/clang CC=clang all tests
}

step "include direction, libraries" tests/lint/includes.sh
step "licence lines, notes, length" tests/lint/source.sh
step "findings documented, raised" tests/lint/findings.sh
step "manual pages" manuals
step "clang-format" format
step "shellcheck" shell
step "shellcheck, bats" bats_files
step "clang -Werror" clang_build
step "cppcheck" cpp
exit $bad
