#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common
load files

# A partitioned disk in a dynamic VHD. Block 0 is stored from 0xa00 on (a sector of bitmap first).
partitioned_vhd() { # NAME
	truncate -s 64M "$OUT/disk"
	printf 'label: dos\n2048,40960,7\n43008,,83\n' | sfdisk -q "$OUT/disk"
	printf 'hello' | dd of="$OUT/disk" bs=1 seek=$((1048576 + 4096)) conv=notrunc status=none
	printf 'world' | dd of="$OUT/disk" bs=1 seek=$((30 << 20)) conv=notrunc status=none
	qemu-img convert -q -f raw -O vpc -o force_size=on "$OUT/disk" "$1"
}

@test "an image byte up to the partition: container, table, volume" {
	partitioned_vhd a.vhd
	at=$(grep -abo hello a.vhd | cut -d: -f1)
	run_vdiskck locate a.vhd --offset $at+5 --json
	expect_status 0
	expect_json 'map(select(.record == "location")) | length == 1 and (.[0].where | map(.layer)) ==
		["a.vhd", "vhd", "vhd/mbr", "vhd/mbr/p1"] and .[0].where[-1].offset == 4096 and
		.[0].where[1].offset == 1052672 and .[0].where[-1].length == 5'
	expect_json '.[0].command == "locate" and .[-1].record == "summary"'
}

@test "a volume's byte down to the image byte" {
	partitioned_vhd a.vhd
	at=$(grep -abo hello a.vhd | cut -d: -f1)
	run_vdiskck locate a.vhd --at vhd/mbr/p1:0x1000 --json
	expect_status 0
	expect_json 'map(select(.record == "location")) | length == 1 and
		.[0].where[0] == {layer:"a.vhd", offset:'$at', length:1} and .[0].owner == "unknown"'
}

@test "every byte of a range down and up again is the same place" {
	partitioned_vhd a.vhd
	for at in vhd:0x7be00+1k vhd:30M+64k vhd/mbr/p2:0+3M; do
		run_vdiskck locate a.vhd --at $at --json
		jq -rs '.[] | select(.record == "location" and .state == "data") |
			"\(.where[0].offset)+\(.where[0].length) \(.where[-1].offset) \(.where[-1].layer)"' \
			<<<"$output" >"$OUT/down"
		while read -r range off layer; do
			run_vdiskck locate a.vhd --offset "$range" --json
			expect_json "any(.record == \"location\" and .where[-1].layer == \"$layer\" and
				.where[-1].offset == $off)"
		done <"$OUT/down"
	done
}

@test "what locate says is at an image offset is there: against qemu-img map" {
	partitioned_vhd a.vhd
	qemu-img map --output=json -f vpc a.vhd |
		jq -r '.[] | select(.data) | "\(.start) \(.offset)"' >"$OUT/map"
	[ -s "$OUT/map" ]
	while read -r start offset; do
		run_vdiskck locate a.vhd --at "vhd:$start" --json
		expect_json "map(select(.record == \"location\"))[0].where[0].offset == $offset"
	done <"$OUT/map"
}

@test "metadata is named, with its bounds" {
	partitioned_vhd a.vhd
	run_vdiskck locate a.vhd --offset 0x600 --json
	expect_status 0
	expect_json 'map(select(.record == "location"))[0] | .owner == "structure" and
		(.structure | test("BAT")) and .structure_of == "vhd" and
		.structure_at.offset == 1536 and .where == [{layer:"a.vhd", offset:1536, length:1}]'
	run_vdiskck locate a.vhd --at vhd:0 --json
	expect_json 'map(select(.record == "location"))[0] | .owner == "structure" and
		.structure_of == "vhd/mbr"'
}

@test "a range over several structures is split at their bounds" {
	partitioned_vhd a.vhd
	run_vdiskck locate a.vhd --offset 0+0xa01 --json
	expect_status 0
	expect_json 'map(select(.record == "location")) | map(.structure | tostring) |
		(.[0] | test("footer")) and (.[1] | test("header")) and any(test("BAT")) and
		any(test("bitmap"))'
	# Nothing is left out, nothing told twice.
	expect_json 'map(select(.record == "location").where[0].length) | add == 2561'
}

@test "a gap between partitions is free, an unstored run says zero" {
	partitioned_vhd a.vhd
	run_vdiskck locate a.vhd --at vhd:512s --json
	expect_json 'map(select(.record == "location"))[0].owner == "free"'
	run_vdiskck locate a.vhd --at vhd/mbr/p2:20M --json
	expect_status 0
	expect_json 'map(select(.record == "location"))[0] | .state == "zero" and
		.where[0].layer == "vhd"'
}

@test "--map: each bad area of a ddrescue map, in one pass" {
	partitioned_vhd a.vhd
	at=$(grep -abo hello a.vhd | cut -d: -f1)
	printf '0x0 + 1\n0 0x600 +\n0x600 0x200 -\n0x800 %d +\n%d 512 -\n%d 0x10000000 +\n' \
		$((at - 0x800)) "$at" $((at + 512)) >"$OUT/map"
	run_vdiskck locate a.vhd --map "$OUT/map" --json
	expect_status 0
	expect_json 'map(select(.record == "location")) | length == 2 and
		any(.owner == "structure") and any(.where[-1].layer == "vhd/mbr/p1" and
		.where[-1].offset == 4096 and .where[-1].length == 512)'
	run_vdiskck locate a.vhd --map "$OUT/map"
	expect_text '^2 bad areas, 1 KiB, at 2 places'
}

@test "lost bytes are lost, not zero: exit 2" {
	partitioned_vhd a.vhd
	printf '\x00\xff\xff\x00' | dd of=a.vhd bs=1 seek=1536 conv=notrunc status=none
	run_vdiskck locate a.vhd --at vhd:0+4k --json
	expect_status 2
	expect_json 'map(select(.record == "location"))[0] | .state == "lost" and
		.why == "vhd-bat-past-end"'
}

@test "a parent's bytes lead to the child that shows them" {
	qemu-img create -q -f qcow2 base.qcow2 4M
	qemu-io -f qcow2 -c 'write -P 1 0 128k' base.qcow2 >/dev/null
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	qemu-io -f qcow2 -c 'write -P 2 64k 64k' top.qcow2 >/dev/null
	run_vdiskck locate top.qcow2 --at qcow2:0 --json
	expect_status 0
	expect_json 'map(select(.record == "location"))[0].where | map(.layer) ==
		["base.qcow2", "qcow2~1", "qcow2"]'
	run_vdiskck locate top.qcow2 --at qcow2~1:0 --json
	expect_json 'map(select(.record == "location"))[0].where[-1].layer == "qcow2"'
	# Hidden by the child's own cluster: it ends in the parent.
	run_vdiskck locate top.qcow2 --at qcow2~1:64k --json
	expect_json 'map(select(.record == "location"))[0].where[-1].layer == "qcow2~1"'
}

@test "addresses that make no sense are exit 3, with a hint" {
	partitioned_vhd a.vhd
	run_vdiskck locate a.vhd --offset 1T
	expect_status 3
	expect_text 'a.vhd has 0x'
	run_vdiskck locate a.vhd --offset 12q
	expect_status 3
	run_vdiskck locate a.vhd --offset 0+0
	expect_status 3
	run_vdiskck locate a.vhd --offset 16777215T+16777215T
	expect_status 3
	expect_text 'too large'
	run_vdiskck locate a.vhd --at vhd
	expect_status 3
	run_vdiskck locate a.vhd --at vhd/gpt:0
	expect_status 3
	expect_text 'no layer vhd/gpt'
	run_vdiskck locate a.vhd
	expect_status 3
	run_vdiskck locate a.vhd --offset 0 --at vhd:0
	expect_status 3
	run_vdiskck locate a.vhd --file /etc/fstab
	expect_status 3
	expect_text 'no file system'
}

@test "bytes of a file down to the image file, and up again" {
	fat_vhd a.vhd
	run_vdiskck locate a.vhd --file 1:/Sub/Deep/c:1000000+2M --json
	expect_status 3
	for at in 0+1 70000+5000 2999999 1M+1M; do
		run_vdiskck locate a.vhd --file "1:/sub/deep/C:$at" --json
		expect_status 0
		expect_json 'map(select(.record == "location")) | length > 0 and
			all(.owner == "file" and .path == "/Sub/Deep/c" and .layer == "vhd/mbr/p1/fat")'
		jq -rs '.[] | select(.record == "location") | .where[0] as $w |
			"\($w.offset) \($w.length) \(.file_offset)"' <<<"$output" >"$OUT/down"
		while read -r off len in_file; do
			cmp <(tail -c +$((off + 1)) a.vhd | head -c "$len") \
				<(tail -c +$((in_file + 1)) "$OUT/src/Sub/Deep/c" | head -c "$len")
			run_vdiskck locate a.vhd --offset "$off" --json
			expect_json 'map(select(.record == "location")) | length == 1 and
				.[0].owner == "file" and .[0].path == "/Sub/Deep/c" and
				.[0].file_offset == '"$in_file"
		done <"$OUT/down"
	done
	run_vdiskck locate a.vhd --file /a.txt
	expect_text 'file vhd/mbr/p1/fat:/a.txt at 0x0 of its 11 B'
}
