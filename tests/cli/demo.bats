#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

TOP=$BATS_TEST_DIRNAME/../..

setup() {
	OUT=$BATS_TEST_TMPDIR/out
	mkdir -p "$OUT/build"
	ln -s "$VDISKCK" "$OUT/build/vdiskck"
	ln -s "$(realpath "${BUILD:-$TOP/build}")/fixtures" "$OUT/build/fixtures"
}

# What `make demo` runs behind installing and building. It fails by itself.
demo() { # NODE
	run "$TOP/fixtures/demo/demo.sh" "$OUT/build" "$1"
	echo "$output"
	[ "$status" = 0 ]
	[[ $output != *MISSED* ]]
	[[ $output == *"All 7 found"* ]]
	[ -s "$OUT/build/demo/$1.case/report.html" ]
}

@test "node16: seven damages in a Windows machine's disk are found, named and located; the rest comes out whole" {
	demo node16
	# The record's second sector is the one from before.
	jq -se 'any(.record == "cause" and .finding == "ntfs-record-torn" and .kind == "stale")' \
		"$OUT/build/demo/node16.case/report.json"
}

@test "node17: seven damages in a Linux machine's disk are found, named and located; the rest comes out whole" {
	demo node17
	# What journald kept is in the story, too.
	grep -q 'slurmd.service: Failed with result' "$OUT/build/demo/node17.case/timeline.jsonl"
	jq -se 'any(.[]; .source == "journal" and (.message | contains("Remounting filesystem read-only")))' \
		"$OUT/build/demo/node17.case/logs/events.jsonl"
}

@test "the disks of the demo are sound before they are damaged" {
	local n
	for n in 16 17; do
		python3 -B "$TOP/fixtures/demo/node$n.py" "$OUT/build" "$OUT/disks" clean
		cat "$OUT/disks/node$n.keys" >/dev/null # the first read moves its access time
	done
	[ ! -s "$OUT/disks/node16.tsv" ]
	"$VDISKCK" triage -q "$OUT/disks/node16.vhd" --keys "$OUT/disks/node16.keys" -o "$OUT/case16"
	"$VDISKCK" triage -q "$OUT/disks/node17.qcow2" --keys "$OUT/disks/node17.keys" -o "$OUT/case17"
}

@test "the demo fails loudly when something is not found" {
	# A vdiskck that sees nothing wrong.
	rm "$OUT/build/vdiskck"
	cat >"$OUT/build/vdiskck" <<-'END'
	#!/bin/sh
	[ "$1" = triage ] || exit 0
	mkdir -p "$6" && echo '{"record":"summary"}' >"$6/report.json"
	exit 2
	END
	chmod +x "$OUT/build/vdiskck"
	run "$TOP/fixtures/demo/demo.sh" "$OUT/build" node17
	[ "$status" = 1 ]
	[[ $output == *MISSED* ]]
	[[ $output == *"did not find everything"* ]]
}
