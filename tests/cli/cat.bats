#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common
load files

@test "a file, byte for byte" {
	fat_vhd a.vhd
	for file in a.txt Sub/b.bin Sub/Deep/c; do
		"$VDISKCK" cat a.vhd "1:/$file" | cmp - "$OUT/src/$file"
	done
}

@test "a folder and what is not there: said, and status 3" {
	fat_vhd a.vhd
	run_vdiskck cat a.vhd /Sub
	expect_status 3
	expect_text 'directory'
	run_vdiskck cat a.vhd /Sub/x
	expect_status 3
	run_vdiskck cat a.vhd '/*'
	expect_status 3
}

@test "a part that is lost: zeros, the range on standard error, status 2" {
	fat_vhd a.vhd
	at=$(byte_of a.vhd 1:/Sub/Deep/c 1000000)
	printf '0x0 + 1\n0 %d +\n%d 512 -\n%d %d +\n' "$at" "$at" $((at + 512)) \
		$(($(stat -c %s a.vhd) - at - 512)) >"$OUT/map"
	status=0
	"$VDISKCK" cat --bad-map "$OUT/map" a.vhd /Sub/Deep/c >"$OUT/c" 2>"$OUT/err" || status=$?
	[ "$status" = 2 ]
	grep -q '512 B at 0xf4240 lost.*source-bad-map' "$OUT/err"
	cp "$OUT/src/Sub/Deep/c" "$OUT/expected"
	dd if=/dev/zero of="$OUT/expected" bs=1 seek=1000000 count=512 conv=notrunc status=none
	cmp "$OUT/c" "$OUT/expected"
}
