#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

mkevtx() { "${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx" "$@"; }

@test "a bare .evtx is an image: it is known, and verified" {
	mkevtx System 1000 500 >System.evtx
	run_vdiskck check System.evtx --json
	expect_status 0
	expect_json 'any(.record == "layer" and .layer == "raw/evtx" and .kind == "log")'
	run_vdiskck info System.evtx
	expect_text 'evtx'
	expect_text 'System'
}

@test "damage to a log is named, with the record ids that are missing" {
	mkevtx System 1000 500 >System.evtx
	dd if=/dev/zero of=System.evtx bs=512 seek=40 count=8 conv=notrunc status=none
	run_vdiskck check System.evtx --json
	expect_status 2
	expect_json 'map(.id) | contains(["evtx-data-sum", "evtx-record-lost", "evtx-ids-missing"])'
}

@test "logs gives the events of a bare log; a damaged one says what is missing" {
	mkevtx System 1000 500 >System.evtx
	run_vdiskck logs System.evtx --json
	expect_status 0
	expect_json '[.[] | select(.record == "event")] | length == 500 and
		all(.source == "evtx" and .channel == "System" and .state == "intact" and .data.System.Level)'
	dd if=/dev/zero of=System.evtx bs=512 seek=40 count=8 conv=notrunc status=none
	run_vdiskck logs System.evtx --json
	expect_status 2
	expect_json '[.[] | select(.record == "event")] | length > 480 and length < 500'
}

@test "a log whose file was deleted is carved out of free space" {
	truncate -s 8M disk
	mkfs.fat disk >/dev/null
	mkevtx System 1000 300 >"$OUT/System.evtx"
	mmd -i disk ::/Windows ::/Windows/System32 ::/Windows/System32/winevt ::/Windows/System32/winevt/Logs
	mcopy -i disk "$OUT/System.evtx" ::/Windows/System32/winevt/Logs/
	run_vdiskck logs disk --json
	expect_status 0
	expect_json '[.[] | select(.record == "event" and .state == "intact")] | length == 300'
	mdel -i disk ::/Windows/System32/winevt/Logs/System.evtx
	run_vdiskck logs disk --json
	expect_json '[.[] | select(.record == "event") | .record_id] | unique | length == 300'
}
