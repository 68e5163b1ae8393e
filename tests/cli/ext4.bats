#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ext2, ext3 and ext4 as the program shows them: whole, damaged, and what was deleted.
load common

volume() { # IMAGE OPTIONS...
	local image=$1
	shift
	mkdir -p tree/folder/deep
	seq 1 20000 >tree/numbers
	seq 1 30 >tree/folder/deep/few
	ln -sf numbers tree/link
	truncate -s 40M "$image"
	mke2fs -qF "$@" -d tree "$image"
}

@test "ext: info says which of the three it is" {
	for kind in ext2 ext3 ext4; do
		rm -f v.img
		volume v.img -t $kind -L "a label"
		run_vdiskck info --json v.img
		expect_json 'any(.layer == "raw/ext4" and .version == "'$kind'" and .label == "a label")'
		run_vdiskck check v.img
		expect_status 0
	done
}

@test "ext: files are found by path, through links" {
	volume v.img -t ext4
	run_vdiskck cat v.img /link
	expect_status 0
	[ "$output" = "$(seq 1 20000)" ]
	run_vdiskck ls -R v.img /folder
	expect_text '/folder/deep/few'
}

@test "ext: the first superblock and its descriptors are lost" {
	volume v.img -t ext4 -b 1024 -g 2048
	dd if=/dev/zero of=v.img bs=1024 seek=1 count=3 conv=notrunc status=none
	run_vdiskck cat v.img /numbers
	[ "$output" = "$(seq 1 20000)" ]
	run_vdiskck check --json v.img
	expect_json 'any(.id == "ext4-super-lost")'
	expect_json 'any(.id == "ext4-groups-copy")'
}

@test "ext: damage is said with the path that it hits" {
	volume v.img -t ext4
	debugfs -w -R 'sif numbers links_count 7' v.img 2>/dev/null
	run_vdiskck check --json v.img
	expect_status 2
	expect_json 'any(.id == "ext4-links" and .path == "/numbers" and .stored == "7")'
}

@test "ext: a deleted file comes back from the journal" {
	[ "$(id -u)" = 0 ] || skip "mounting needs root"
	volume v.img -t ext4
	mkdir -p mnt
	mount -o loop v.img mnt || skip "no loop devices"
	seq 1 5000 >mnt/gone
	sync -f mnt
	rm mnt/gone
	umount mnt
	run_vdiskck ls -R -d v.img /
	expect_text '/gone'
	run_vdiskck cat v.img /gone
	[ "$output" = "$(seq 1 5000)" ]
}
