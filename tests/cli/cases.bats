#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A sample of `make cases`: every ninth fault, and some sound disks.
load common

CASES=$BATS_TEST_DIRNAME/../cases

@test "one fault in a small disk: the first line of triage names what was hit; a sound disk has no damage and no cause" {
	mkdir -p "$OUT/build"
	ln -s "$VDISKCK" "$OUT/build/vdiskck"
	ln -s "$(realpath "${BUILD:-$BATS_TEST_DIRNAME/../../build}")/fixtures" "$OUT/build/fixtures"
	run python3 -B "$CASES/cases.py" "$OUT/build" "$OUT/cases" --sample 24 --clean 6
	echo "$output"
	[ "$status" = 0 ]
	[[ $output == *"sound disks without damage and cause" ]]
}

@test "a vdiskck that names nothing, and one that finds fault with all, fail it" {
	mkdir -p "$OUT/build"
	printf '#!/bin/sh\nmkdir -p "$9"; echo "{\\"record\\":\\"cause\\"}" >"$9/report.json"; echo "damaged: x: something"; exit 2\n' \
		>"$OUT/build/vdiskck"
	chmod +x "$OUT/build/vdiskck"
	ln -s "$(realpath "${BUILD:-$BATS_TEST_DIRNAME/../../build}")/fixtures" "$OUT/build/fixtures"
	run python3 -B "$CASES/cases.py" "$OUT/build" "$OUT/cases" --sample 2 --clean 1
	[ "$status" = 1 ]
	[[ $output == *"MISSED"*"NOT SOUND"*"0 of 2 faults named"*"0 of 1 sound disks"* ]]
}

@test "the catalogue: fifteen kinds of faults and more, two hundred cases" {
	[ "$(grep -v '^#' "$CASES/catalogue.tsv" | cut -f1 | sort -u | wc -l)" -ge 15 ]
	[ "$(python3 -B -c 'import sys; sys.path.insert(0, sys.argv[1]); import cases; print(len(list(cases.all_cases())))' "$CASES")" -ge 200 ]
}
