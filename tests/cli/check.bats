#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

# A dynamic VHD with data in its first block. The block allocation table is at 0x600.
dynamic_vhd() { # NAME
	qemu-img create -q -f vpc -o force_size=on "$1" 64M
	qemu-io -f vpc -c "write -P 7 0 1M" -c "write -P 9 20M 100k" "$1" >/dev/null
}

poke() { # FILE OFFSET BYTES
	printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "a clean image: exit 0, one line, nothing above info" {
	dynamic_vhd a.vhd
	run_vdiskck check a.vhd
	expect_status 0
	[[ $output == "vdiskck: intact: a.vhd"* ]]
	run_vdiskck check a.vhd --json
	expect_status 0
	expect_json '.[-1] | .verdict == "intact" and .exit == 0 and .findings.damage == 0 and
		.findings.blemish == 0 and .lost_bytes == 0 and .checked_bytes > 0 and .seconds >= 0'
}

@test "damage: exit 2, the finding with its addresses, the verdict last" {
	dynamic_vhd a.vhd
	poke a.vhd $((0x600)) '\x00\xff\xff\x00'
	run_vdiskck check a.vhd
	expect_status 2
	[[ $(head -1 <<<"$output") == DAMAGE*"[vhd-bat-past-end]" ]]
	expect_text 'at a.vhd 0x600 \(4 B\)'
	expect_text 'lost: vhd 0x0 \(2 MiB\)'
	[[ $(tail -1 <<<"$output") == "vdiskck: damaged: a.vhd"*"2 MiB of 64 MiB lost"* ]]
}

@test "damage in JSON: every field of the interface" {
	dynamic_vhd a.vhd
	poke a.vhd $((0x600)) '\x00\xff\xff\x00'
	run_vdiskck check --json a.vhd
	expect_status 2
	expect_json '.[0] == {record:"header", schema:1, program:"vdiskck", version:.[0].version,
		command:"check", image:"a.vhd"}'
	expect_json 'map(select(.record == "layer")) | .[0].kind == "source" and
		.[1].layer == "vhd" and .[1].kind == "container" and .[1].size == 67108864 and
		.[1].of == "a.vhd"'
	expect_json 'map(select(.id == "vhd-bat-past-end"))[0] | .record == "finding" and
		.severity == "damage" and .layer == "vhd" and .offset == 0 and .length == 2097152 and
		(.message | length > 10) and .stored == "0xffff00" and (.expected | length > 0) and
		.where == [{layer:"a.vhd", offset:1536, length:4}, {layer:"vhd", offset:0, length:2097152}]
		and .lost == [{layer:"vhd", offset:0, length:2097152}]'
	expect_json '.[-1] | .record == "summary" and .verdict == "damaged" and .exit == 2 and
		.lost_bytes == 2097152'
}

@test "a blemish alone: exit 1" {
	dynamic_vhd a.vhd
	poke a.vhd 70 'x' # the copy of the footer at 0; the footer itself holds
	run_vdiskck check a.vhd --json
	expect_status 1
	expect_json '.[-1].verdict == "blemished" and .[-1].findings.damage == 0'
	run_vdiskck check a.vhd
	[[ $(tail -1 <<<"$output") == "vdiskck: blemished: "*"nothing is lost"* ]]
}

@test "raw bytes that nobody knows: undecided, exit 3; --format raw says that it is a disk" {
	head -c 1M /dev/urandom >a.img
	run_vdiskck check a.img --json
	expect_status 3
	expect_json 'any(.id == "layer-unknown")'
	expect_json '.[-1] | .verdict == "undecided" and .undecided == ["layer-unknown"]'
	run_vdiskck check a.img --format raw
	expect_status 0
}

@test "-q prints the verdict only, -v notes and all addresses" {
	dynamic_vhd a.vhd
	poke a.vhd $((0x600)) '\x00\xff\xff\x00'
	run_vdiskck check -q a.vhd
	expect_status 2
	[ "$(wc -l <<<"$output")" = 1 ]
	run_vdiskck check -v a.vhd
	expect_text '  = vhd 0x0'
}

@test "no colour in a pipe" {
	dynamic_vhd a.vhd
	poke a.vhd $((0x600)) '\x00\xff\xff\x00'
	run_vdiskck check a.vhd
	lacks $'\033' <<<"$output"
}

@test "colour on a terminal, but not with NO_COLOR" {
	dynamic_vhd a.vhd
	poke a.vhd $((0x600)) '\x00\xff\xff\x00'
	TERM=xterm script -qec "$VDISKCK check a.vhd" "$OUT/typescript" >"$OUT/seen" </dev/null || true
	grep -q $'\033\[1;31mDAMAGE' "$OUT/seen"
	NO_COLOR=1 TERM=xterm script -qec "$VDISKCK check a.vhd" "$OUT/typescript" >"$OUT/seen" </dev/null || true
	lacks $'\033\[1;31m' <"$OUT/seen"
}

@test "control characters in names reach neither a terminal nor JSON raw" {
	name=$'evil\033[2Jname.vhd'
	dynamic_vhd plain.vhd
	mv plain.vhd "$name"
	run_vdiskck check "$name"
	expect_status 0
	lacks $'\033' <<<"$output"
	expect_text 'evil\\x1b\[2Jname'
	run_vdiskck check --json "$name"
	expect_json '.[0].image == "evil\u001b[2Jname.vhd"'
}

@test "--data reads the contents; what a bad map lacks is lost and reported once" {
	dynamic_vhd a.vhd
	run_vdiskck check --data a.vhd
	expect_status 0
	printf '0x0 ? 1\n0x0 0x100000 +\n0x100000 0x1000 -\n0x101000 0x2ffe00 +\n' >"$OUT/bad.map"
	for data in --data ''; do
		run_vdiskck check $data --json --bad-map "$OUT/bad.map" a.vhd
		expect_status 2
		expect_json 'map(select(.id == "source-bad-map")) | length == 1'
		expect_json '.[-1].lost_bytes == 4096'
	done
}

@test "a truncated image: the lost range is that of the guest" {
	dynamic_vhd a.vhd
	truncate -s 3M a.vhd
	run_vdiskck check --json a.vhd
	expect_status 2
	expect_json '.[-1].lost_bytes > 0'
	expect_json 'any(.record == "finding" and .lost != null)'
}

@test "--volume restricts the check to what it stands on and what stands on it" {
	truncate -s 64M a.img
	printf 'label: dos\n2048,40960,7\n43008,,83\n' | sfdisk -q a.img
	run_vdiskck check --json --volume mbr/p2 a.img
	expect_status 0
	expect_json 'map(select(.record == "layer").layer) | index("raw/mbr/p1") == null and
		index("raw/mbr/p2") != null and index("raw/mbr") != null'
	run_vdiskck check --volume mbr/p7 a.img
	expect_status 3
	expect_text 'no layer mbr/p7'
}

@test "standard output that is full is an error, not a success" {
	dynamic_vhd a.vhd
	"$VDISKCK" check a.vhd >/dev/full 2>"$OUT/stderr" && return 1
	[ "$?" != 0 ]
	grep -q 'standard output' "$OUT/stderr"
}
