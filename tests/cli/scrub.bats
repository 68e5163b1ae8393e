#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

# 64 MiB, 20 of them random.
disk() { # NAME
	truncate -s 64M "$1"
	head -c 20M /dev/urandom | dd of="$1" bs=1M seek=8 conv=notrunc iflag=fullblock status=none
}

# Change bytes behind everybody's back: the file's time stays.
rot() { # FILE OFFSET TEXT
	local when
	when=$(stat -c %y "$1")
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
	touch -d "$when" "$1"
}

found() { # ID: "offset+length" of its findings, sorted
	jq -r 'select(.record == "finding" and .id == "'"$1"'") | "\(.offset)+\(.length)"' <<<"$output" | sort -n | xargs
}

@test "a disk that nobody touched is as it was sealed" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 0
	expect_json 'any(.record == "scrub" and .intact == 1024 and .rot == 0 and .changed == 0)'
}

@test "rot is found to the sector, in data and in zeros; the container's map leads to its bytes" {
	disk a.raw
	qemu-img convert -O vpc -o force_size=on a.raw a.vhd
	run_vdiskck seal a.vhd -o "$OUT/s"
	local at
	at=$("$VDISKCK" locate --json a.vhd --at vhd:9000000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	rot a.vhd "$at" XYZ
	run_vdiskck scrub a.vhd --seal "$OUT/s" --json
	expect_status 2
	[ "$(found scrub-rot)" = "$((9000000 / 4096 * 4096))+4096" ]
	expect_json 'any(.record == "scrub" and .rot == 1 and .intact == 1023)'
	# Down to the byte of the host.
	expect_json "any(.id == \"scrub-rot\" and .where[0].layer == \"a.vhd\" and .where[0].offset == $((at - 9000000 % 4096)))"
	disk b.raw
	run_vdiskck seal b.raw -o "$OUT/t"
	rot b.raw 50000000 '\001'
	run_vdiskck scrub b.raw --seal "$OUT/t" --json --format raw
	expect_status 2
	[ "$(found scrub-rot)" = "$((50000000 / 4096 * 4096))+4096" ]
}

@test "a write that nobody kept account of is no verdict; --accept --reseal makes it the new state" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	touch -d '2 days ago' a.raw
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 3
	[ "$(found scrub-changed)" = "$((9000000 / 4096 * 4096))+4096" ]
	[ -z "$(found scrub-rot)" ]
	run_vdiskck scrub a.raw --seal "$OUT/s" --accept --reseal --format raw
	expect_status 0
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw
	expect_status 0
	run_vdiskck seal --show "$OUT/s" --json
	expect_json '[.[] | select(.record == "seal") | .changed_leaves] | .[1:] == [1]'
}

@test "a write in the second in which the image was last written to before the seal is no rot" {
	disk a.raw
	touch -d '2026-01-01 00:00:00.1' a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	touch -d '2026-01-01 00:00:00.2' a.raw
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 3
	[ -z "$(found scrub-rot)" ]
	[ -n "$(found scrub-changed)" ]
}

@test "without an account, the times of files are heard" {
	local at
	head -c 1M /dev/urandom >"$OUT/data"
	truncate -s 8M e.raw
	mke2fs -q -F -t ext4 e.raw
	printf 'write %s old.bin\nwrite %s new.bin\nsif old.bin mtime 20200101000000\nsif old.bin ctime 20200101000000\n' "$OUT/data" "$OUT/data" |
		debugfs -w -f - e.raw >/dev/null 2>&1
	run_vdiskck seal e.raw -o "$OUT/s"
	for at in old new; do
		at=$("$VDISKCK" locate --json e.raw --file /$at.bin:500000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
		printf CHANGED | dd of=e.raw bs=1 seek="$at" conv=notrunc status=none
	done
	touch -d '2 days ago' e.raw
	run_vdiskck scrub e.raw --seal "$OUT/s" --json
	# No verdict, but no silence either.
	expect_status 3
	expect_json '[.[] | select(.record == "scrub") | .suspect, .changed, .rot] == [1, 1, 0]'
	expect_json 'any(.id == "scrub-suspect" and .paths == ["raw/ext4:/old.bin"] and (.message | contains("last written to at 2020-01-01T00:00:00Z")))'
	expect_json 'any(.id == "scrub-changed" and (.message | contains("in a file that was written to at ")))'
	# What the user says, or an account, goes before it.
	run_vdiskck scrub e.raw --seal "$OUT/s" --accept --reseal --json
	expect_status 0
	expect_json '[.[] | select(.record == "scrub") | .suspect, .changed, .rot, .written] == [0, 0, 0, 2]'
}

@test "a map of what was written to: rot beside it is rot, what it names is sealed anew" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	printf ROTTEN | dd of=a.raw bs=1 seek=12000000 conv=notrunc status=none
	touch -d '2 days ago' a.raw
	printf '0 +\n0 8998912 -\n8998912 4096 +\n9003008 58105856 -\n' >"$OUT/changes"
	run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/changes" --reseal --json --format raw
	expect_status 2
	[ "$(found scrub-rot)" = "$((12000000 / 4096 * 4096))+4096" ]
	expect_json 'any(.record == "scrub" and .written == 1 and .rot == 1)'
	# Rot is not sealed as if it were right.
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 2
	[ "$(found scrub-rot)" = "$((12000000 / 4096 * 4096))+4096" ]
}

@test "rot and a write in one leaf: the write is sealed, the rot is not, and stays as old as it is" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s" --time @1000000000
	printf WRITTEN | dd of=a.raw bs=1 seek=9043968 conv=notrunc status=none
	printf ROTTEN | dd of=a.raw bs=1 seek=9052160 conv=notrunc status=none
	touch -d '2 days ago' a.raw
	printf '0 +\n0 9043968 -\n9043968 4096 +\n9048064 58060800 -\n' >"$OUT/changes"
	printf '0 +\n0 67108864 -\n' >"$OUT/none"
	run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/changes" --reseal --format raw
	expect_status 2
	# Each time only what rotted, and since the first generation.
	for i in 1 2; do
		run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/none" --reseal --json --format raw
		expect_status 2
		[ "$(found scrub-rot)" = 9052160+4096 ]
		expect_json 'any(.id == "scrub-rot" and (.message | contains("sealed so since 2001-09-09T01:46:40Z, last found so at 2001-09-09")))'
	done
	run_vdiskck seal --verify "$OUT/s"
	expect_status 0
	# What was written is sealed: it, too, may not change any more.
	printf ROTTEN | dd of=a.raw bs=1 seek=9043968 conv=notrunc status=none
	run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/none" --json --format raw
	[ "$(found scrub-rot)" = "9043968+4096 9052160+4096" ]
}

@test "a qcow2 keeps account itself, in a dirty bitmap" {
	disk a.raw
	qemu-img convert -O qcow2 a.raw a.qcow2
	run_vdiskck seal a.qcow2 -o "$OUT/s"
	qemu-img bitmap --add -g 64K a.qcow2 scrub0
	qemu-io -f qcow2 -c 'write -P 5 10M 4k' a.qcow2 >/dev/null
	local at
	at=$("$VDISKCK" locate --json a.qcow2 --at qcow2:20000000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	rot a.qcow2 "$at" 'rot'
	touch -d '2 days ago' a.qcow2
	run_vdiskck scrub a.qcow2 --seal "$OUT/s" --bitmap scrub0 --json
	expect_status 2
	[ "$(found scrub-rot)" = "$((20000000 / 4096 * 4096))+4096" ]
	expect_json 'any(.record == "scrub" and .written == 1 and .account == "scrub0")'
	qemu-img bitmap --disable a.qcow2 scrub0
	run_vdiskck scrub a.qcow2 --seal "$OUT/s" --bitmap scrub0
	expect_status 3
	expect_text 'was disabled'
}

@test "a change block log of XenServer keeps account, unless it is not consistent" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	touch -d '2 days ago' a.raw
	cbtlog() { # CONSISTENT
		python3 -c 'import struct, sys
bits = bytearray(128); bits[9000000 // 65536 // 8] |= 1 << 9000000 // 65536 % 8
sys.stdout.buffer.write(bytes(32) + struct.pack("<IIQ", int(sys.argv[1]), 0, 64 << 20) + bits)' "$1"
	}
	cbtlog 1 >"$OUT/log"
	run_vdiskck scrub a.raw --seal "$OUT/s" --cbt "$OUT/log" --json --format raw
	expect_status 0
	expect_json 'any(.record == "scrub" and .written == 1)'
	cbtlog 0 >"$OUT/log"
	run_vdiskck scrub a.raw --seal "$OUT/s" --cbt "$OUT/log" --format raw
	expect_status 3
	expect_text 'not consistent'
}

@test "what xe vdi-list-changed-blocks prints keeps account: most significant bit first" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	printf ROTTEN | dd of=a.raw bs=1 seek=12000000 conv=notrunc status=none
	touch -d '2 days ago' a.raw
	changed() { # BYTES: as xe prints it
		python3 -c 'import base64, sys
bits = bytearray(int(sys.argv[1])); n = 9000000 // 65536; bits[n // 8] |= 0x80 >> n % 8
print(base64.b64encode(bits).decode())' "$1"
	}
	# The log's padding may be there; the list of a smaller disk is of another.
	for bytes in 128 136; do
		changed $bytes >"$OUT/list"
		run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/list" --json --format raw
		expect_status 2
		[ "$(found scrub-rot)" = "$((12000000 / 4096 * 4096))+4096" ]
		expect_json 'any(.record == "scrub" and .written == 1 and .rot == 1)'
	done
	changed 127 >"$OUT/list"
	run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/list" --format raw
	expect_status 3
	expect_text 'a list of 1016 blocks, this disk has 1024'
	printf '/%.0s' $(seq 200) >"$OUT/list"
	run_vdiskck scrub a.raw --seal "$OUT/s" --changed "$OUT/list" --format raw
	expect_status 3
	expect_text 'a list of 1200 blocks'
}

@test "a write to the wrong place says where it belongs" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	local when
	when=$(stat -c %y a.raw)
	dd if=a.raw of=a.raw bs=64k skip=150 seek=200 count=1 conv=notrunc status=none
	touch -d "$when" a.raw
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 2
	[ "$(found scrub-misplaced)" = "$((200 * 65536))+65536" ]
	expect_json 'any(.id == "scrub-misplaced" and (.message | contains("sealed at 0x960000")))'
}

@test "a parent has a seal of its own, which serves whoever stands on it" {
	disk a.raw
	qemu-img convert -O vpc -o force_size=on a.raw parent.vhd
	run_vdiskck seal parent.vhd -o "$OUT/parent"
	qemu-img convert -O qcow2 a.raw base.qcow2
	run_vdiskck seal base.qcow2 -o "$OUT/base"
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	qemu-io -f qcow2 -c 'write -P 5 10M 1M' top.qcow2 >/dev/null
	run_vdiskck seal top.qcow2 -o "$OUT/top"
	local at
	at=$("$VDISKCK" locate --json base.qcow2 --at qcow2:20000000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	rot base.qcow2 "$at" 'rot'
	run_vdiskck scrub top.qcow2 --seal "$OUT/top" --json
	expect_status 2
	[ "$(found scrub-rot)" = "$((20000000 / 4096 * 4096))+4096" ]
	run_vdiskck scrub base.qcow2 --seal "$OUT/base" --json
	expect_status 2
}

@test "in a chain, each seal is compared with its own link; files that rot hit have names" {
	truncate -s 8M a.raw
	mke2fs -q -F -t ext4 a.raw
	head -c 1M /dev/urandom >"$OUT/data"
	debugfs -w -R "write $OUT/data data.bin" a.raw 2>/dev/null
	qemu-img convert -O qcow2 a.raw base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	qemu-io -f qcow2 -c 'write -P 5 7M 64k' top.qcow2 >/dev/null
	run_vdiskck seal base.qcow2 -o "$OUT/base"
	run_vdiskck seal top.qcow2 -o "$OUT/top"
	run_vdiskck scrub top.qcow2 --seal "$OUT/base" --seal "$OUT/top" --json
	expect_status 0
	expect_json '[.[] | select(.record == "scrub") | .layer] == ["qcow2~1", "qcow2"]'
	local at
	at=$("$VDISKCK" locate --json base.qcow2 --file /data.bin:500000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	rot base.qcow2 "$at" ROTTEN
	for seal in base top; do
		run_vdiskck scrub top.qcow2 --seal "$OUT/$seal" --json
		expect_status 2
		expect_json 'any(.record == "file" and .path == "/data.bin" and .why == ["scrub-rot"])'
		expect_json 'any(.id == "scrub-rot" and .paths == ["qcow2/ext4:/data.bin"] and .where[0].layer == "base.qcow2")'
	done
	run_vdiskck scrub top.qcow2 --seal "$OUT/top"
	expect_text 'qcow2/ext4:/data.bin'
	# The child as sealed is not its parent: what differs there is no rot.
	run_vdiskck scrub base.qcow2 --seal "$OUT/top" --json
	expect_json '[.[] | select(.record == "scrub") | .rot] == [0]'
}

@test "the seal of another image, and a damaged one, are told" {
	disk a.raw
	qemu-img create -q -f vpc b.vhd 16M
	run_vdiskck seal b.vhd -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw
	expect_status 3
	expect_text 'nothing like that is in this image'
	run_vdiskck seal a.raw -o "$OUT/t"
	truncate -s 80M a.raw
	run_vdiskck scrub a.raw --seal "$OUT/t" --format raw
	expect_status 3
	expect_text 'with 67108864 bytes, which has 83886080 here: a disk that was resized needs a new seal'
	truncate -s 64M a.raw
	printf DAMAGED | dd of="$OUT/t" bs=1 seek=5000 conv=notrunc status=none
	run_vdiskck scrub a.raw --seal "$OUT/t" --json --format raw
	expect_status 1
	expect_json 'any(.id == "scrub-unsealed") and any(.record == "scrub" and .unsealed == 51 and .intact == 973)'
}

@test "a scrub needs no key: what is locked was compared as it is stored" {
	printf secret >"$OUT/key"
	truncate -s 20M a.raw
	cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 a.raw "$OUT/key"
	head -c 2M /dev/urandom | dd of=a.raw bs=1M seek=16 conv=notrunc iflag=fullblock status=none
	run_vdiskck seal a.raw -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --json
	expect_status 0
	expect_json 'any(.id == "layer-locked") and any(.record == "summary" and .verdict == "intact")'
	run_vdiskck scrub a.raw --json
	expect_status 3
	rot a.raw 17000000 '\001\002\003\004'
	run_vdiskck scrub a.raw --seal "$OUT/s" --json
	expect_status 2
	[ "$(found scrub-rot)" = "$((17000000 / 4096 * 4096))+4096" ]
}

@test "what was sealed and can't be read now is damage" {
	qemu-img create -q -f vpc -o force_size=on a.vhd 16M
	qemu-io -f vpc -c "write -P 7 0 4M" a.vhd >/dev/null
	run_vdiskck seal a.vhd -o "$OUT/s"
	printf '\x00\xff\xff\x00' | dd of=a.vhd bs=1 seek=1536 conv=notrunc status=none
	run_vdiskck scrub a.vhd --seal "$OUT/s" --json
	expect_status 2
	expect_json 'any(.record == "scrub" and .unreadable == 32) and any(.id == "scrub-unreadable")'
}

@test "commit and rebase: a parent's seal stays right, and one disk keeps its root" {
	disk a.raw
	qemu-img convert -O qcow2 a.raw base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
	qemu-io -f qcow2 -c 'write -P 5 10M 3M' mid.qcow2 >/dev/null
	qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
	qemu-io -f qcow2 -c 'write -P 6 12M 2M' top.qcow2 >/dev/null
	run_vdiskck seal base.qcow2 -o "$OUT/base"
	run_vdiskck seal top.qcow2 -o "$OUT/top"
	local root
	root=$("$VDISKCK" seal --root "$OUT/top")
	# mid goes, what it held moves up: nobody wrote to base.
	qemu-img rebase -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	run_vdiskck scrub base.qcow2 --seal "$OUT/base"
	expect_status 0
	run_vdiskck seal top.qcow2 -o "$OUT/rebased"
	[ "$("$VDISKCK" seal --root "$OUT/rebased")" = "$root" ]
	run_vdiskck scrub top.qcow2 --seal "$OUT/top"
	expect_status 0
	# top goes down into base: base is what top was, and that was a write, not rot.
	qemu-img commit -q top.qcow2
	touch -d '2 days ago' base.qcow2
	run_vdiskck seal base.qcow2 -o "$OUT/committed"
	[ "$("$VDISKCK" seal --root "$OUT/committed")" = "$root" ]
	run_vdiskck scrub base.qcow2 --seal "$OUT/base" --json
	expect_status 3
	[ -z "$(found scrub-rot)" ]
	expect_json 'any(.record == "scrub" and .changed == 64 and .rot == 0)'
	# Seen from a child that stayed: a parent that was merged into is no rotten one, and what the child
	# is made of did not change.
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 mid.qcow2
	qemu-io -f qcow2 -c 'write -P 7 20M 1M' mid.qcow2 >/dev/null
	qemu-img create -q -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
	run_vdiskck seal base.qcow2 -o "$OUT/base" --force
	run_vdiskck seal top.qcow2 -o "$OUT/top" --force
	qemu-img commit -q mid.qcow2
	qemu-img rebase -u -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	touch -d '1 day ago' base.qcow2
	run_vdiskck scrub top.qcow2 --seal "$OUT/base" --seal "$OUT/top" --json
	expect_status 3
	expect_json '[.[] | select(.record == "scrub") | .rot, .changed] == [0, 16, 0, 0]'
	expect_text "this parent's file was written to"
}

@test "bad sectors of the disk below: unreadable, with the reason; the rest is compared" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	local program=${VDISKCK_PROGRAM:-$VDISKCK} shim
	shim=${program%/*}/eio_shim.so
	[ -e "$shim" ] || skip "no eio_shim.so"
	status=0
	output=$(ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=$shim EIO_PATH=a.raw EIO_RANGES=9000000+4096 "$program" scrub a.raw \
		--seal "$OUT/s" --json --format raw 2>"$OUT/stderr") || status=$?
	expect_status 2
	expect_json 'any(.id == "scrub-unreadable") and any(.id == "source-unreadable")'
	expect_json 'any(.record == "scrub" and .unreadable == 1 and .intact == 1023)'
}
