#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The watch on the evidence, which every other test of the command line relies on.

setup() {
	cd "$BATS_TEST_TMPDIR"
	mkdir evidence
	echo image >evidence/disk.img
	watched="$BATS_TEST_DIRNAME/watched"
}

run_as() { # SCRIPT ARGUMENT...
	printf '#!/bin/sh\n%s\n' "$1" >program
	chmod +x program
	shift
	VDISKCK_PROGRAM=./program run "$watched" "$@"
}

@test "the program's status and output come through" {
	run_as 'echo "$2"; exit 2' check evidence/disk.img
	[ "$status" = 2 ]
	[ "$output" = evidence/disk.img ]
}

@test "a write to the image is seen" {
	run_as 'echo x >>"$2"' check evidence/disk.img
	[ "$status" = 99 ]
	[[ $output == *"EVIDENCE CHANGED"*disk.img ]]
}

@test "a changed access time is seen" {
	run_as 'touch -a -d 2001-01-01 "$2"' check evidence/disk.img
	[ "$status" = 99 ]
}

@test "a file that appears beside the image is seen, an output is not" {
	run_as 'touch evidence/log' check evidence/disk.img
	[ "$status" = 99 ]
	rm evidence/log
	run_as 'touch "$4" "$4.map"' export evidence/disk.img -o evidence/out
	[ "$status" = 0 ]
}

@test "a signal reaches the program" {
	printf '#!/bin/bash\ntrap "exit 3" TERM\ntouch ready\nfor i in $(seq 50); do sleep 0.1; done\n' >program
	chmod +x program
	VDISKCK_PROGRAM=./program "$watched" check evidence/disk.img 3>&- &
	while [ ! -e ready ]; do sleep 0.1; done
	kill -TERM $!
	status=0
	wait $! || status=$?
	[ "$status" = 3 ]
}
