#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

need() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null || skip "no $tool"
	done
}

@test "qcow2 damaged at random: the verdict agrees with qemu-img check" {
	need qemu-img qemu-io python3
	# Many more, in all option sets: tests/formats/qcow2-damage -n 1000
	run env VDISKCK="$VDISKCK" "$BATS_TEST_DIRNAME/../formats/qcow2-damage" -n 12 -s 7 -o snapshots,cluster_size=4096 \
		-o compressed,cluster_size=4096 -o extended_l2=on,cluster_size=16k
	echo "$output"
	[ "$status" = 0 ]
}

@test "qcow2 with a wrong L1 or L2 entry: no wrong byte that nothing speaks of" {
	need qemu-img qemu-io python3
	run env VDISKCK="$VDISKCK" "$BATS_TEST_DIRNAME/../formats/qcow2-damage" --contents -n 8 -s 200 \
		-o snapshots,cluster_size=4096 -o compressed,cluster_size=4096 -o extended_l2=on,cluster_size=16k
	echo "$output"
	[ "$status" = 0 ]
}

@test "qcow2 of 64 GiB, all metadata allocated, and one of 32 GiB in fragments: intact" {
	need gcc
	gcc -O1 -o "$OUT/giant" "$BATS_TEST_DIRNAME/../../fixtures/qcow2-giant/qcow2-giant.c"
	"$OUT/giant" metadata 64 metadata.qcow2
	run_vdiskck check metadata.qcow2
	expect_status 0
	"$OUT/giant" fragmented 32 100000 fragmented.qcow2
	run_vdiskck check fragmented.qcow2
	expect_status 0
}
