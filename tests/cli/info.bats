#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "the stack as a tree, with numbered volumes" {
	truncate -s 64M a.img
	printf 'label: gpt\n2048,40960\n43008,40960\n' | sfdisk -q a.img
	run_vdiskck info a.img
	expect_status 0
	expect_text '^a.img  source, 64 MiB'
	expect_text '^  raw  container, 64 MiB'
	expect_text '^    raw/gpt  map, 64 MiB'
	expect_text '1: raw/gpt/p1  volume, 20 MiB'
	expect_text '2: raw/gpt/p2  volume, 20 MiB'
}

@test "the same in JSON, in one pass from below to above" {
	truncate -s 64M a.img
	printf 'label: gpt\n2048,40960\n43008,40960\n' | sfdisk -q a.img
	run_vdiskck info --json a.img
	expect_status 0
	expect_json 'map(select(.record == "layer")) | map(.layer) ==
		["a.img", "raw", "raw/gpt", "raw/gpt/p1", "raw/gpt/p2"] and
		map(.kind) == ["source", "container", "map", "volume", "volume"] and
		map(.of) == [null, "a.img", "raw", "raw/gpt", "raw/gpt"] and .[4].number == 2'
}

@test "a chain: the parent with its own path and file" {
	qemu-img create -q -f qcow2 base.qcow2 4M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	run_vdiskck info --json top.qcow2
	expect_status 0
	expect_json 'map(select(.record == "layer")) | any(.layer == "qcow2~1" and .of == "base.qcow2") and
		any(.layer == "qcow2" and .parent == "qcow2~1")'
}

@test "--chain names the folder where a parent lies; without it, its bytes are lost" {
	mkdir "$OUT/parents"
	qemu-img create -q -f qcow2 "$OUT/parents/base.qcow2" 4M
	qemu-img create -q -f qcow2 -b "$OUT/parents/base.qcow2" -F qcow2 top.qcow2
	run_vdiskck info --json --chain "$OUT/parents" top.qcow2
	expect_status 0
	run_vdiskck info --json top.qcow2
	expect_status 2
}

@test "a locked or unknown thing beside is no error of info" {
	head -c 1M /dev/urandom >a.img
	run_vdiskck info a.img
	expect_status 0
}

@test "volumes and bare file systems that no driver reads are named" {
	truncate -s 64M a.img
	printf 'XFSB\0\0\20\0\0\0\0\0\0\0\20\0' | dd of=a.img conv=notrunc status=none
	printf '\0\0\20\0\0\0\0\1' | dd of=a.img bs=1 seek=84 conv=notrunc status=none
	printf '\2\0' | dd of=a.img bs=1 seek=102 conv=notrunc status=none
	run_vdiskck info --json a.img
	expect_json 'any(.layer == "raw" and .content == "xfs")'
	run_vdiskck check --json a.img
	expect_status 3
	expect_json 'any(.id == "layer-unknown" and (.message | test("xfs")))'
	run_vdiskck locate a.img --at raw:64k
	expect_text 'in xfs, which this version does not look into'
}
