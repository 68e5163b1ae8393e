#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

# A disk with an MBR and one partition, in a qcow2 that qemu-img made.
make_disk() { # FORMAT FILE
	truncate -s 16M "$OUT/disk.raw"
	printf 'label: dos\nstart=2048, type=L\n' | sfdisk -q "$OUT/disk.raw"
	yes 'a line of the log' | dd of="$OUT/disk.raw" bs=1M seek=2 count=4 iflag=fullblock conv=notrunc status=none
	qemu-img convert -O "$1" "$OUT/disk.raw" "$2"
}

# `! grep` would not fail a test.
absent() { # PATTERN FILE...
	if grep -i -- "$@"; then
		echo "that must not be there"
		return 1
	fi
}

expect_case() { # FILE...
	local have
	have=$(cd "$OUT/case" && export LC_ALL=C && find . -mindepth 1 -printf '%P\n' | sort | tr '\n' ' ')
	[ "$have" = "$*" ] && return
	[ "$have" = "$* " ] || { echo "the case holds: $have"; return 1; }
}

@test "a sound image: intact, exit 0, and a complete case" {
	make_disk qcow2 disk.qcow2
	run_vdiskck triage disk.qcow2 -o "$OUT/case"
	expect_status 0
	[ -z "$stderr" ]
	[[ $(head -1 <<<"$output") =~ ^intact:\ disk.qcow2 ]]
	expect_text '^the disk, 16 MiB'
	expect_text 'qcow2/mbr/p1  volume, 15 MiB'
	expect_case 'MANIFEST.sha256 case.sqlite lost.map report.html report.json run.log'
	grep -q 'verdict intact' "$OUT/case/report.html"
	absent Incomplete "$OUT/case/report.html"
	jq -se '.[0].record == "header" and .[-1].verdict == "intact"' "$OUT/case/report.json"
	grep -q '^0x00000000  *0x01000000  *+' "$OUT/case/lost.map"
	grep -q 'command: vdiskck triage' "$OUT/case/run.log"
}

@test "a damaged image: the verdict first, what is lost in the map and in lost.map" {
	make_disk vpc disk.vhd
	# The entry of block 1 (2 MiB on), in the table at 1536.
	printf '\x00\xff\xff\x00' | dd of=disk.vhd bs=1 seek=1540 conv=notrunc status=none
	run_vdiskck triage disk.vhd -o "$OUT/case"
	expect_status 2
	[[ $(head -1 <<<"$output") =~ ^damaged:\ disk.vhd:\ 2\ MiB\ of\ the\ disk ]]
	expect_text 'X lost 2 MiB'
	expect_text 'vhd/mbr/p1: 2 MiB lost, the first at 0x100000 of it'
	grep -q '^0x00200000  *0x00200000  *-' "$OUT/case/lost.map"
	grep -q 'href="#vhd-bat-past-end"' "$OUT/case/report.html"
	jq -se '.[-1].lost_bytes == 2097152' "$OUT/case/report.json"
}

@test "--json prints the records of report.json, and nothing else" {
	make_disk vpc disk.vhd
	run_vdiskck triage --json disk.vhd -o "$OUT/case"
	expect_status 0
	expect_json '.[0].command == "triage" and .[-1].record == "summary"'
	diff <(echo "$output") "$OUT/case/report.json"
}

@test "--quick maps the disk without reading it: the same map" {
	make_disk qcow2 disk.qcow2
	run_vdiskck triage disk.qcow2 -o "$OUT/case"
	local full
	full=$(grep -A9 '^the disk' <<<"$output")
	run_vdiskck triage --quick disk.qcow2 -o "$OUT/quick"
	expect_status 0
	[ "$full" = "$(grep -A9 '^the disk' <<<"$output")" ]
	grep -q 'mapped but not read' "$OUT/quick/report.html"
}

@test "a case folder that holds anything is refused and left as it is" {
	make_disk qcow2 disk.qcow2
	mkdir "$OUT/case"
	echo mine >"$OUT/case/notes"
	run_vdiskck triage disk.qcow2 -o "$OUT/case"
	expect_status 3
	expect_text 'not empty'
	expect_case notes
}

@test "without -o, or without an image to open: exit 3, no folder" {
	run_vdiskck triage disk.qcow2
	expect_status 3
	expect_text 'o CASE is needed'
	run_vdiskck triage nothing.qcow2 -o "$OUT/case"
	expect_status 3
	expect_text 'No such file'
	[ ! -e "$OUT/case" ]
}

@test "a case on a full disk: an error that names the file, exit 3, no half file" {
	make_disk vpc disk.vhd
	# 1 KiB a file is too little for the report: writing fails as on a full disk.
	run bash -c 'ulimit -f 1; "$0" triage disk.vhd -o "$1" 2>&1' "$VDISKCK" "$OUT/case"
	stderr= expect_status 3
	[[ $output == *report.html\ could\ not\ be\ written:\ File\ too\ large* ]]
	[ ! -e "$OUT/case/report.html" ]
}

@test "an interrupted run leaves a valid case that says it is incomplete" {
	# Millions of clusters to check and map; the signal is sent as soon as the case is there.
	qemu-img create -q -f qcow2 -o preallocation=metadata disk.qcow2 512G
	"$VDISKCK" triage disk.qcow2 -o "$OUT/case" >"$OUT/text" 2>&1 &
	local pid=$! waited=0
	until grep -qs 'file disk.qcow2' "$OUT/case/run.log"; do
		sleep 0.01
		[ $((waited += 1)) -lt 1000 ]
	done
	kill -INT $pid
	status=0
	wait $pid || status=$?
	cat "$OUT/text"
	[ $status = 3 ]
	[[ $(head -1 "$OUT/text") =~ ^undecided:\ disk.qcow2 ]]
	expect_case 'INCOMPLETE MANIFEST.sha256 case.sqlite lost.map report.html report.json run.log'
	grep -q 'Incomplete' "$OUT/case/report.html"
	jq -se '.[-1].verdict == "undecided" and any(.[]; .id == "run-interrupted")' "$OUT/case/report.json"
}

@test "a name that is markup or moves the cursor does nothing" {
	local name=$'<script>alert(1)</script>\x1b[2J.vhd'
	name=${name//\//_}
	make_disk vpc "$name"
	truncate -s -512 "$name"
	run_vdiskck triage "$name" -o "$OUT/case"
	expect_status 1
	absent $'\x1b' - <<<"$output$stderr"
	# The page's own script stands alone.
	[ "$(grep -ci '<script' "$OUT/case/report.html")" = 1 ]
	absent '<script>alert' "$OUT/case/report.html"
	absent $'\x1b' "$OUT/case/report.html" "$OUT/case/report.json" "$OUT/case/run.log" "$OUT/case/lost.map"
}

@test "an image of which nothing can be read still gives a case that says why" {
	make_disk vpc disk.vhd
	truncate -s 1028 disk.vhd
	run_vdiskck triage disk.vhd -o "$OUT/case"
	expect_status 2
	expect_text 'layer-unreadable'
	expect_case 'MANIFEST.sha256 report.html report.json run.log'
	grep -q 'No disk could be opened' "$OUT/case/report.html"
	jq -se 'any(.[]; .id == "layer-unreadable") and .[-1].verdict == "damaged"' "$OUT/case/report.json"
}

@test "a missing parent: what it holds is lost on the map, its own blocks are data" {
	make_disk qcow2 base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 child.qcow2
	qemu-io -c 'write -P 7 8M 1M' child.qcow2 >/dev/null
	mv base.qcow2 "$OUT"
	run_vdiskck triage child.qcow2 -o "$OUT/case"
	expect_status 2
	expect_text 'data .* 1 MiB   X lost 15 MiB'
	# Named with --chain it is found, and nothing is lost.
	run_vdiskck triage --chain "$OUT" child.qcow2 -o "$OUT/found"
	expect_status 0
	expect_text 'qcow2  container, 16 MiB, on base.qcow2'
}

@test "-q prints the verdict line alone" {
	make_disk qcow2 disk.qcow2
	run_vdiskck triage -q disk.qcow2 -o "$OUT/case"
	expect_status 0
	[ "$(wc -l <<<"$output")" = 1 ]
	[[ $output == intact:* ]]
}

@test "blocks and colours on a UTF-8 terminal, plain ASCII elsewhere" {
	make_disk qcow2 disk.qcow2
	export VDISKCK OUT
	LC_ALL=C.UTF-8 TERM=xterm script -qec '"$VDISKCK" triage disk.qcow2 -o "$OUT/utf8"' /dev/null >"$OUT/terminal" </dev/null
	grep -q '█' "$OUT/terminal"
	grep -q $'\033\\[' "$OUT/terminal"
	LC_ALL=C TERM=dumb script -qec '"$VDISKCK" triage disk.qcow2 -o "$OUT/ascii"' /dev/null >"$OUT/plain" </dev/null
	LC_ALL=C absent '[^[:print:][:space:]]' "$OUT/plain"
	run_vdiskck triage disk.qcow2 -o "$OUT/pipe"
	LC_ALL=C absent '[^[:print:]]' - <<<"$output"
}
