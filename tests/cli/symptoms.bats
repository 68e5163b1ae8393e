#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Rules of the user's own for events that tell of trouble.
load common

FIX=${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures

volume() {
	printf '1500\tMyArray\t12\t2\tmember 3 was dropped\n1600\tdisk\t153\t3\tretried\n' >"$OUT/events"
	"$FIX/mkevtx" System 1000 900 0 "$OUT/events" >"$OUT/System.evtx"
	truncate -s 40M a.img
	mkfs.fat -F 32 a.img >/dev/null
	mmd -i a.img ::/Windows ::/Windows/System32 ::/Windows/System32/winevt ::/Windows/System32/winevt/Logs
	mcopy -i a.img "$OUT/System.evtx" ::/Windows/System32/winevt/Logs/
}

@test "--symptoms: rules of the user's own, before those that are built in" {
	volume
	run_vdiskck triage a.img -o "$OUT/case"
	expect_text 'a disk I/O had to be tried again'
	lacks 'array lost' <<<"$output"
	cat >"$OUT/rules" <<-'END'
	# our storage
	S("evt*", "MyArray", "10-12", "", "the array lost a member")
	S("evt*", "disk", "153", "", "look at the array first")
	END
	cat "$OUT/rules" >/dev/null
	run_vdiskck triage a.img --symptoms "$OUT/rules" -o "$OUT/case2"
	expect_status 0
	expect_text 'the array lost a member'
	expect_text 'look at the array first'
	lacks 'had to be tried again' <<<"$output"
}

@test "--symptoms: a line that is no rule is named, and nothing is begun" {
	volume
	printf 'S("evt*", "disk", "153", "", "one")\nS("evt*", "disk", "1x", "", "two")\n' >"$OUT/rules"
	cat "$OUT/rules" >/dev/null
	run_vdiskck triage a.img --symptoms "$OUT/rules" -o "$OUT/case"
	expect_status 3
	expect_text 'rules:2: ids are numbers and ranges'
	[ ! -e "$OUT/case" ]
	run_vdiskck triage a.img --symptoms "$OUT/none" -o "$OUT/case"
	expect_status 3
	expect_text 'No such file'
}
