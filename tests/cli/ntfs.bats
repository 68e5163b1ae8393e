#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# NTFS volumes of ntfs-3g: what is read is what was written, whatever of the metadata is lost.
load common
load ntfs

# Extract everything, and compare with what was written.
expect_all_of() { # IMAGE SUMS
	rm -rf "$OUT/x"
	run_vdiskck extract "$1" / -o "$OUT/x"
	sums_of "$OUT/x" | grep -v '/manifest\.jsonl$' | grep -v ' /[^:]*%3A' | sort >"$OUT/have"
	diff <(sort "$2") "$OUT/have" || { show; return 1; }
}

@test "ntfs: every file of a volume, by its path and its bytes" {
	ntfs_volume v.img 32M
	expect_all_of v.img "$OUT/v.img.sums"
	expect_status 0
	run_vdiskck cat v.img /streams:big
	[ "$output" = "$(seq 20000)" ]
	run_vdiskck cat v.img '/USERS/anna mÜller/documents/FILE3.TXT'
	[ "$output" = "$(seq 3 1200)" ]
}

@test "ntfs: sectors, clusters and records of other sizes" {
	for how in "-s 512 -c 512" "-s 4096 -c 4096" "-s 1024 -c 8192" "-s 512 -c 65536" "-s 512 -c 2097152"; do
		rm -f w.img
		# shellcheck disable=SC2086
		ntfs_volume w.img 1G $how
		expect_all_of w.img "$OUT/w.img.sums"
		expect_status 0
		run_vdiskck check --data w.img
		expect_status 0
		if [[ $how = *"-s 4096"* ]]; then
			run_vdiskck info w.img
			expect_text "record size: +4 KiB"
		fi
	done
}

# The driver has them to 100 ns, all four, as the disk does.
@test "ntfs: times are those that ntfs-3g has, to 100 ns" {
	truncate -s 16M t.img
	mkntfs -qF t.img >/dev/null 2>&1
	ntfs_mount t.img "$OUT/mnt"
	mkdir -p "$OUT/mnt/folder/inner"
	seq 9 >"$OUT/mnt/folder/file"
	seq 9000 >"$OUT/mnt/folder/inner/large"
	touch -d '2001-02-03 04:05:06.1234567' "$OUT/mnt/folder/file"
	touch -d '1970-12-31 23:59:59.9999999' "$OUT/mnt/folder/inner/large"
	touch -d '2107-08-09 10:11:12.0000001' "$OUT/mnt/folder/inner"
	touch -a -d '2020-01-01 00:00:00.7654321' "$OUT/mnt/folder/inner" "$OUT/mnt/folder/file"
	for file in folder folder/file folder/inner folder/inner/large; do
		stat -c '%n %x %y' "$OUT/mnt/$file" | sed "s,$OUT/mnt,,"
	done >"$OUT/theirs"
	# system.ntfs_times: created, modified, accessed, changed
	getfattr -n system.ntfs_times_be -e hex --only-values "$OUT/mnt/folder/inner/large" >"$OUT/times"
	ntfs_umount "$OUT/mnt"
	run_vdiskck extract t.img / -o "$OUT/x"
	expect_status 0
	for file in folder folder/file folder/inner folder/inner/large; do
		stat -c '%n %x %y' "$OUT/x/$file" | sed "s,$OUT/x,,"
	done >"$OUT/ours"
	diff "$OUT/theirs" "$OUT/ours"
	jq -r 'select(.path == "/folder/inner/large") | .born, .modified, .accessed, .changed' \
		"$OUT/x/manifest.jsonl" >"$OUT/ours"
	python3 - "$OUT/times" >"$OUT/theirs" <<-'END'
		import datetime, struct, sys
		for t in struct.unpack(">4Q", open(sys.argv[1], "rb").read()):
		    d = datetime.datetime(1601, 1, 1) + datetime.timedelta(seconds=t // 10000000)
		    print(d.isoformat() + (".%07d00" % (t % 10000000) if t % 10000000 else "") + "Z")
	END
	diff "$OUT/theirs" "$OUT/ours"
}

@test "ntfs: check --data unpacks what is compressed" {
	truncate -s 32M c.img
	mkntfs -qF c.img >/dev/null 2>&1
	ntfs_mount c.img "$OUT/mnt"
	mkdir "$OUT/mnt/packed"
	setfattr -h -v 0x00000800 -n system.ntfs_attrib_be "$OUT/mnt/packed"
	seq 60000 >"$OUT/mnt/packed/text"
	# CompactOS's reparse point: version 1, provider 2 (a file), version 1, XPRESS with 4 KiB
	truncate -s 9000 "$OUT/mnt/compact"
	head -c 5000 /dev/zero | tr '\0' '\377' >"$OUT/mnt/compact:WofCompressedData"
	setfattr -n system.ntfs_reparse_data -v 0x170000801000000001000000020000000100000000000000 "$OUT/mnt/compact"
	ntfs_umount "$OUT/mnt"
	at=$("$VDISKCK" locate c.img --file /packed/text:100000 --json | jq -r 'select(.record == "location").where[0].offset')
	wipe c.img "$at" 512
	run_vdiskck check c.img
	expect_status 0
	run_vdiskck check --data c.img
	expect_status 2
	expect_text '"/packed/text": 65536 bytes .*ntfs-lznt1'
	expect_text '"/compact": 9000 bytes .*ntfs-wof'
}

# A resource of a WIM file is built as Windows builds the stream of a file that CompactOS compressed:
# wimlib's layout and its chunks, put on a volume by ntfs-3g.
@test "ntfs: what wimlib compressed reads as it was, as CompactOS's stream" {
	seq 30000 >plain
	head -c 70000 "$VDISKCK_PROGRAM" >>plain
	head -c 50001 /dev/urandom >>plain
	mkdir in
	mv plain in/
	truncate -s 16M w.img
	mkntfs -qF w.img >/dev/null 2>&1
	for how in "XPRESS 4096 00" "LZX 32768 01" "XPRESS 8192 02" "XPRESS 16384 03"; do
		read -r type chunk format <<<"$how"
		wimcapture in a.wim --compress="$type" --chunk-size="$chunk" --no-acls >/dev/null
		python3 - a.wim resource <<-'END'
			import struct, sys
			wim = open(sys.argv[1], "rb").read()
			size, at = struct.unpack_from("<QQ", wim, 48)  # of the table of resources
			for e in range(at, at + (size & 0xffffffffffffff), 50):
			    size, off = struct.unpack_from("<QQ", wim, e)
			    if size >> 56 == 4:  # compressed, and no metadata
			        open(sys.argv[2], "wb").write(wim[off:off + (size & 0xffffffffffffff)])
		END
		rm a.wim
		ntfs_mount w.img "$OUT/mnt"
		truncate -s "$(stat -c %s in/plain)" "$OUT/mnt/$type$chunk"
		cat resource >"$OUT/mnt/$type$chunk:WofCompressedData"
		setfattr -h -n system.ntfs_reparse_data "$OUT/mnt/$type$chunk" \
			-v "0x17000080100000000100000002000000010000000${format#0}000000"
		ntfs_umount "$OUT/mnt"
		"$VDISKCK" cat w.img "/$type$chunk" >"$OUT/plain"
		cmp in/plain "$OUT/plain"
	done
	run_vdiskck ls -l w.img
	expect_text "LZX32768.*compressed by CompactOS, LZX"
}

# Four other engines list none of the files in each of these cases.
@test "ntfs: all files are there when one piece of metadata is lost" {
	ntfs_volume v.img 32M
	for what in boot backup mft mirror root bitmap; do
		cp v.img d.img
		case $what in
		boot) wipe d.img 0 512 ;;
		backup) wipe d.img "$(ntfs_backup v.img)" 512 ;;
		mft) wipe d.img "$(ntfs_record v.img 0)" 1024 ;;
		mirror) wipe d.img "$(ntfs_mirror v.img)" 4096 ;;
		root) wipe d.img "$(ntfs_record v.img 5)" 1024 ;;
		bitmap) wipe d.img "$(ntfs_record v.img 6)" 1024 ;;
		esac
		expect_all_of d.img "$OUT/v.img.sums"
	done
}

@test "ntfs: boot sectors and both copies of the first records lost at once" {
	ntfs_volume v.img 32M
	cp v.img d.img
	wipe d.img 0 512
	wipe d.img "$(ntfs_backup v.img)" 512
	wipe d.img "$(ntfs_record v.img 0)" 4096
	wipe d.img "$(ntfs_mirror v.img)" 4096
	expect_all_of d.img "$OUT/v.img.sums"
	run_vdiskck info d.img
	expect_text 'geometry from: +MFT records'
}
