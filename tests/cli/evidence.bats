#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a volume itself knows of writes, where nobody else kept account.
load common

BASE=2000000000 # when all is sealed: files made now have been left alone for long by then

at() { # FILE OFFSET: where in the image
	"$VDISKCK" locate --json n.raw --file "$1:$2" | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset'
}

change() { # FILE OFFSET [TEXT]
	printf '%b' "${3:-CHANGED}" | dd of=n.raw bs=1 seek="$(at "$1" "$2")" conv=notrunc status=none
}

# A volume with a USN journal: n.raw. ntfs-3g makes none, and lets nobody write to $Extend: ours is
# another folder, which then takes its name.
volume() { # FIRST: seconds between $BASE and the journal's first record; GAP: bytes missing after it
	[ -c /dev/fuse ] && [ "$(id -u)" = 0 ] && command -v ntfs-3g mkntfs >/dev/null || skip "no NTFS mounts here"
	local mnt=$OUT/mnt file
	mkdir -p "$mnt"
	rm -f n.raw
	truncate -s 12M n.raw
	mkntfs -qqF -L evidence n.raw 2>/dev/null
	timeout 20 ntfs-3g -o streams_interface=windows n.raw "$mnt" || skip "no NTFS mounts here"
	for file in quiet busy open closed; do
		head -c 300000 /dev/urandom >"$mnt/$file.bin"
	done
	[ -z "${EVTX:-}" ] || cp "$EVTX" "$mnt/log.evtx"
	mkdir "$mnt/\$Extene"
	: >"$mnt/\$Extene/\$UsnJrnl"
	python3 - "$mnt" "$BASE" "$1" "${2:-0}" <<-'EOF'
		import os, struct, sys
		mnt, base, first, gap = sys.argv[1], *map(int, sys.argv[2:])
		number = lambda name: os.stat(mnt + "/" + name).st_ino & 0xffffffffffff | 1 << 48
		out = bytearray()
		def record(file, when, reason, name="f.bin"):
		    text = name.encode("utf-16le")
		    length = (60 + len(text) + 7) // 8 * 8
		    out.extend(struct.pack("<IHHQQQQIIIIHH", length, 2, 0, file, 5 | 5 << 48, len(out),
		                           (base + when + 11644473600) * 10**7, reason, 0, 0, 32, len(text), 60) + text)
		    out.extend(bytes(length - 60 - len(text)))
		day = 86400
		record(99 | 1 << 48, first, 0x80000000)
		out.extend(bytes(gap))
		record(number("open.bin"), -5 * day, 0x2)
		record(number("closed.bin"), -5 * day, 0x2)
		record(number("closed.bin"), -5 * day, 0x80000002)
		record(number("busy.bin"), 3600, 0x1)
		record(number("busy.bin"), 3700, 0x80000001)
		with open(mnt + "/$Extene/$UsnJrnl:$J", "wb") as f:
		    f.write(out)
	EOF
	umount "$mnt"
	python3 - <<-'EOF'
		name = lambda text: text.encode("utf-16le")
		data = open("n.raw", "rb").read()
		data = data.replace(name("$Extend"), name("$ExtenC")).replace(name("$Extene"), name("$Extend"))
		open("n.raw", "wb").write(data)
	EOF
	run_vdiskck seal n.raw -o "$OUT/s" --time @$BASE --force
	expect_status 0
}

scrub() {
	touch -d '2 days ago' n.raw
	run_vdiskck scrub n.raw --seal "$OUT/s" --quick --json "$@"
}

verdicts() { # suspect, changed, explained, rot
	jq -sc '[.[] | select(.record == "scrub") | .suspect, .changed, .explained, .rot]' <<<"$output"
}

@test "a USN journal tells writes from what nobody wrote" {
	volume -1000000
	# A write that it has is a write, and sealed anew.
	change /busy.bin 100000
	scrub
	[ "$(verdicts)" = "[0,0,1,0]" ]
	expect_json 'any(.id == "scrub-explained" and .severity == "info") and all(.id != "scrub-changed")'
	# A file of which it has none is suspected; one that is open may be written to unrecorded.
	for file in quiet closed open; do
		change /$file.bin 100000
	done
	scrub
	expect_status 3
	[ "$(verdicts)" = "[2,1,1,0]" ]
	expect_json '[.[] | select(.id == "scrub-suspect") | .paths[0]] | sort == ["raw/ntfs:/closed.bin", "raw/ntfs:/quiet.bin"]'
	expect_json 'any(.id == "scrub-suspect" and (.message | contains("USN journal, that goes back to 2033-05-06T")))'
	scrub --reseal
	[ "$(verdicts)" = "[2,1,1,0]" ]
	scrub
	[ "$(verdicts)" = "[2,1,0,0]" ]
}

@test "a USN journal that begins after the seal, or has gaps, says nothing of what it has not" {
	for journal in 60 "-1000000 64"; do
		# shellcheck disable=SC2086 # two arguments
		volume $journal
		change /quiet.bin 100000
		change /busy.bin 100000
		scrub
		[ "$(verdicts)" = "[1,0,1,0]" ]
		expect_json 'all(.id != "scrub-suspect" or (.message | contains("USN") | not))'
	done
}

@test "a file whose own record changed may have been moved: no suspicion" {
	volume -1000000
	change /quiet.bin 100000
	# Any byte of a neighbour in the same 4096 bytes of \$MFT.
	local record
	record=$("$VDISKCK" locate --json n.raw --file /quiet.bin:0 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	[ -n "$record" ]
	python3 - <<-'EOF'
		data = bytearray(open("n.raw", "rb").read())
		at = data.find("quiet.bin".encode("utf-16le"))
		while data[at // 1024 * 1024:at // 1024 * 1024 + 4] != b"FILE":
		    at = data.find("quiet.bin".encode("utf-16le"), at + 2)
		data[at // 1024 * 1024 + 8] ^= 1
		open("n.raw", "wb").write(data)
	EOF
	scrub
	[ "$(verdicts)" = "[0,2,0,0]" ]
}

@test "what changed where no file lies is said so" {
	volume -1000000
	printf CHANGED | dd of=n.raw bs=1 seek=$((11 << 20)) conv=notrunc status=none
	scrub
	expect_status 3
	[ "$(verdicts)" = "[0,1,0,0]" ]
	expect_text 'where no file lies'
}

@test "the checksums of an event log speak for what was written, and against what was not" {
	local mkevtx=${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx
	"$mkevtx" System 1 500 >"$OUT/1.evtx"
	"$mkevtx" System 7001 500 >"$OUT/2.evtx"
	[ "$(stat -c %s "$OUT/1.evtx")" = "$(stat -c %s "$OUT/2.evtx")" ]
	EVTX=$OUT/1.evtx volume -1000000
	# One flipped bit: no journal and no time speaks of it, and the chunk's sum fails.
	change /log.evtx 9000 '\x01'
	scrub
	[ "$(verdicts)" = "[1,0,0,0]" ]
	expect_json 'any(.id == "scrub-suspect" and .paths[0] == "raw/ntfs:/log.evtx")'
	# Chunks that are others, but whole; the file's header has no place among them.
	EVTX=$OUT/1.evtx volume -1000000
	dd if="$OUT/2.evtx" of=n.raw bs=4096 skip=1 seek="$(at /log.evtx 4096)" oflag=seek_bytes conv=notrunc status=none
	scrub
	expect_status 0
	expect_json 'any(.record == "scrub" and .explained > 0 and .changed == 0 and .suspect == 0)'
}

@test "checksums of ext4 speak for its structures, not for data, and not when they fail" {
	head -c 300000 /dev/urandom >"$OUT/data"
	truncate -s 8M n.raw
	mke2fs -q -F -t ext4 -b 4096 -O metadata_csum,^has_journal n.raw
	debugfs -w -R "write $OUT/data a.bin" n.raw 2>/dev/null
	run_vdiskck seal n.raw -o "$OUT/s" --time @$BASE
	# Another program writes: a name, an inode, bitmaps, a directory, all with their sums.
	debugfs -w -R 'mkdir folder' n.raw 2>/dev/null
	scrub
	expect_status 0
	expect_json 'any(.record == "scrub" and .explained > 0 and .changed == 0 and .suspect == 0)'
	# A bit of an inode: what the check says is damage is no write.
	python3 - "$(debugfs -R 'imap a.bin' n.raw 2>/dev/null)" <<-'EOF'
		import re, sys
		block, offset = re.search(r"located at block (\d+), offset (0x[0-9a-f]+)", sys.argv[1]).groups()
		data = bytearray(open("n.raw", "rb").read())
		data[int(block) * 4096 + int(offset, 16) + 8] ^= 1
		open("n.raw", "wb").write(data)
	EOF
	scrub
	expect_status 2
	expect_json 'any(.record == "scrub" and .changed > 0)'
	expect_json 'any(.record == "finding" and .severity == "damage" and .layer == "raw/ext4")'
}
