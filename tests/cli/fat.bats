#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# FAT and exFAT volumes as a user meets them.
load common

# A FAT16 volume in a partition, with a folder, a long name and a deleted file.
fat_disk() { # NAME
	export MTOOLS_SKIP_CHECK=1
	truncate -s 24M "$1"
	printf 'label: dos\nstart=2048,type=6\n' | sfdisk -q "$1"
	truncate -s 23M "$OUT/fs"
	mkfs.vfat -F 16 -s 4 -n STICK "$OUT/fs" >/dev/null
	mmd -i "$OUT/fs" ::Logs
	seq 1 3000 >"$OUT/text"
	mcopy -i "$OUT/fs" "$OUT/text" '::Logs/A log with a long name.txt'
	mcopy -i "$OUT/fs" "$OUT/text" '::Deleted report.txt'
	mdel -i "$OUT/fs" '::Deleted report.txt'
	dd if="$OUT/fs" of="$1" bs=1M seek=1 conv=notrunc,sparse status=none
}

@test "files of FAT are listed and read, without case, and deleted ones too" {
	fat_disk stick.img
	run_vdiskck ls stick.img /logs
	expect_status 0
	[[ $output = *"A log with a long name.txt"* ]]
	"$VDISKCK" cat stick.img '/LOGS/a LOG with a long name.TXT' | cmp - "$OUT/text"
	run_vdiskck ls -d stick.img
	[[ $output = *"Deleted report.txt"* ]]
}

@test "check of FAT agrees with fsck.fat" {
	fat_disk stick.img
	run_vdiskck check stick.img
	expect_status 0
	# The second FAT is another one: nothing is lost, but it is told.
	printf '\x09' | dd of=stick.img bs=1 seek=$((1048576 + 2048 + 23 * 512 + 600)) conv=notrunc status=none
	dd if=stick.img of="$OUT/fs" bs=1M skip=1 status=none
	! fsck.fat -n "$OUT/fs" >/dev/null
	run_vdiskck check stick.img
	[ "$status" -ne 0 ]
}

@test "a byte of a file on FAT is located by name" {
	fat_disk stick.img
	at=$(grep -abo '^2999$' stick.img | head -n 1 | cut -d: -f1)
	run_vdiskck locate stick.img --offset "$at" --json
	expect_status 0
	expect_json 'any(.record == "location" and .owner == "file" and
		.path == "/Logs/A log with a long name.txt")'
}

@test "an exFAT volume whose boot region is lost is read from the copy" {
	truncate -s 8M x.img
	mkfs.exfat -L CARD x.img >/dev/null
	dd if=/dev/zero of=x.img bs=512 count=12 conv=notrunc status=none
	run_vdiskck check x.img --json
	expect_status 2
	expect_json 'any(.id == "exfat-boot-lost")'
}

@test "logs of Linux that were copied to a stick are read, whatever the case of their folders" {
	export MTOOLS_SKIP_CHECK=1
	truncate -s 8M stick
	mkfs.vfat stick >/dev/null
	mmd -i stick ::/var ::/VAR/LOG
	printf 'May 14 11:52:08 node16 kernel: hello\nMay 14 11:52:09 node16 sshd[42]: bye\n' >"$OUT/log"
	mcopy -i stick "$OUT/log" ::/var/LOG/SYSLOG
	run_vdiskck logs stick -o "$OUT/logs"
	expect_status 0
	[[ $output = *"/var/LOG/SYSLOG: 2 records"* ]]
	jq -e 'select(.message == "bye" and .computer == "node16")' "$OUT/logs/events.jsonl"
}
