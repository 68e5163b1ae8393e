#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A chain of VHDs, as the demo makes them: found by name, by UUID, by --chain, or not at all.
load common

# base.vhd: 8 MiB of blocks of 2 MiB, 'B' in all; child.vhd: every second sector of block 1 is 'C'.
chain() {
	PYTHONPATH=$BATS_TEST_DIRNAME/../../fixtures/demo python3 -B - "$OUT/truth" <<-'END'
		import sys
		from disks import Vhd
		base = b"B" * (8 << 20)
		child = bytearray(base)
		for at in range(2 << 20, 4 << 20, 1024):
		    child[at:at + 512] = b"C" * 512
		Vhd("child.vhd", bytes(child), Vhd("base.vhd", base))
		open(sys.argv[1], "wb").write(child)
	END
}

@test "a differencing VHD reads its parent, found beside it by its name" {
	chain
	run_vdiskck export child.vhd -o "$OUT/disk"
	expect_status 0
	cmp "$OUT/disk" "$OUT/truth"
	run_vdiskck info --json child.vhd
	expect_json 'any(.layer == "vhd~1")'
}

@test "a parent of another name is found by its UUID, beside the child and by --chain" {
	chain
	mv base.vhd renamed.vhd
	run_vdiskck export child.vhd -o "$OUT/disk"
	cmp "$OUT/disk" "$OUT/truth"
	mkdir "$OUT/parents"
	mv renamed.vhd "$OUT/parents/"
	run_vdiskck export child.vhd -o "$OUT/disk" --force --chain "$OUT/parents"
	cmp "$OUT/disk" "$OUT/truth"
}

@test "without the parent its sectors are lost, and those of the child are read" {
	chain
	rm base.vhd
	run_vdiskck export --json child.vhd -o "$OUT/disk"
	expect_status 2
	# Three blocks, and half of the sectors of the fourth.
	expect_json 'any(.record == "export" and .lost_bytes == 7340032)'
	expect_json 'any(.id == "chain-parent-missing")'
	python3 - "$OUT/disk" "$OUT/truth" <<-'END'
		import sys
		disk, truth = (open(n, "rb").read() for n in sys.argv[1:])
		assert len(disk) == len(truth)
		for at in range(0, len(disk), 512):
		    sector = truth[at:at + 512]
		    assert disk[at:at + 512] == (sector if sector[0] == ord("C") else bytes(512)), at
	END
	[ "$(ddrescuelog -l- -b 512 "$OUT/disk.map" | wc -l)" = $((7340032 / 512)) ]
}
