#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common
load files

manifest() { jq -se "$1" "$OUT/x/manifest.jsonl" >/dev/null || { echo "not so: $1"; cat "$OUT/x/manifest.jsonl"; return 1; }; }

@test "a tree: bytes, times, and a record for each" {
	fat_vhd a.vhd
	run_vdiskck extract a.vhd / -o "$OUT/x"
	expect_status 0
	expect_text '3 files .* 3 folders'
	diff -r --exclude=manifest.jsonl "$OUT/src" "$OUT/x"
	for file in a.txt Sub/b.bin; do # FAT has times to 2 s, in local time as UTC
		[ $(($(stat -c %Y "$OUT/src/$file") - $(stat -c %Y "$OUT/x/$file"))) -lt 2 ]
	done
	[ $(($(date +%s) - $(stat -c %Y "$OUT/x/Sub"))) -ge 0 ]
	sum=$(sha256sum <"$OUT/src/Sub/Deep/c")
	manifest 'map(select(.path == "/Sub/Deep/c"))[0] | .sha256 == "'"${sum%% *}"'" and
		.output == "Sub/Deep/c" and .lost == 0 and .size == 3000000 and
		(.extents | map(.length) | add) == 3000000 and .extents[0].in == "a.vhd"'
}

@test "extents of the manifest are where the bytes lie" {
	fat_vhd a.vhd
	run_vdiskck extract a.vhd /Sub/Deep/c -o "$OUT/x" --json
	expect_status 0
	expect_json 'map(select(.record == "file")) | length == 1'
	jq -r 'select(.path).extents[] | "\(.at) \(.length)"' "$OUT/x/manifest.jsonl" |
		while read -r at len; do tail -c +$((at + 1)) a.vhd | head -c "$len"; done |
		cmp - "$OUT/src/Sub/Deep/c"
}

@test "patterns and single files; the folder must be new or empty" {
	fat_vhd a.vhd
	run_vdiskck extract a.vhd '/**/*.bin' /a.txt -o "$OUT/x"
	expect_status 0
	[ "$(cd "$OUT/x" && find . -type f | sort | xargs)" = "./Sub/b.bin ./a.txt ./manifest.jsonl" ]
	run_vdiskck extract a.vhd / -o "$OUT/x"
	expect_status 3
	expect_text 'new or an empty folder'
	run_vdiskck extract a.vhd /nothing -o "$OUT/y"
	expect_status 3
	[ ! -e "$OUT/y" ]
}

@test "deleted files" {
	fat_vhd a.vhd
	run_vdiskck extract -d a.vhd / -o "$OUT/x"
	[ "$status" != 3 ] || { show; return 1; }
	cmp "$OUT/gone.txt" "$OUT"/x/*one.txt
	manifest 'map(select(.kind == "file")) | length == 1 and .[0].deleted'
}

@test "a damaged file is written with its map beside it, and status 2" {
	fat_vhd a.vhd
	at=$(byte_of a.vhd 1:/Sub/Deep/c 1000000)
	printf '0x0 + 1\n0 %d +\n%d 512 -\n%d %d +\n' "$at" "$at" $((at + 512)) \
		$(($(stat -c %s a.vhd) - at - 512)) >"$OUT/map"
	run_vdiskck extract --bad-map "$OUT/map" a.vhd / -o "$OUT/x"
	expect_status 2
	expect_text '/Sub/Deep/c: 512 B lost'
	grep -q '^0x000F4240  0x00000200  -' "$OUT/x/Sub/Deep/c.map" || { cat "$OUT/x/Sub/Deep/c.map"; return 1; }
	cmp "$OUT/src/a.txt" "$OUT/x/a.txt"
	[ ! -e "$OUT/x/a.txt.map" ]
	manifest 'map(select(.path == "/Sub/Deep/c"))[0] | .lost == 512 and .map == "Sub/Deep/c.map" and
		.ranges == [{offset:1000000, length:512, state:"lost", why:"source-bad-map"}]'
}

@test "holes stay holes" {
	truncate -s 40M b.img
	mkfs.vfat b.img >/dev/null
	truncate -s 20M "$OUT/holes"
	printf x | dd of="$OUT/holes" bs=1 seek=10M conv=notrunc status=none
	mcopy -i b.img "$OUT/holes" ::/holes
	run_vdiskck extract b.img / -o "$OUT/x"
	expect_status 0
	cmp "$OUT/holes" "$OUT/x/holes"
	[ "$(du -k "$OUT/x/holes" | cut -f1)" -lt 1000 ]
}

@test "files of two volumes are kept apart" {
	truncate -s 40M b.img
	printf 'label: dos\n2048,36864,e\n40960,36864,e\n' | sfdisk -q b.img
	mkfs.vfat --offset 2048 b.img 18432 >/dev/null
	mkfs.vfat --offset 40960 b.img 18432 >/dev/null
	for at in 1M 20M; do echo "$at" | mcopy -i "b.img@@$at" - ::/same; done
	run_vdiskck extract b.img 1:/ 2:/same -o "$OUT/x"
	expect_status 0
	[ "$(cat "$OUT/x/raw/mbr/p1/fat/same")" = 1M ]
	[ "$(cat "$OUT/x/raw/mbr/p2/fat/same")" = 20M ]
}
