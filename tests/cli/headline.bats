#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The first line of triage on disks of many kinds: is it true, and does it say what matters?
load common

TOP=$BATS_TEST_DIRNAME/../..
UUID=17171717-1717-4717-9717-171717171703

triage() { # IMAGE [OPTION...]
	rm -rf "$OUT/case"
	run_vdiskck triage "$@" -o "$OUT/case"
	line=$(head -1 <<<"$output")
}

linux_tree() {
	python3 -B "$TOP/fixtures/linux/make_linux.py" "$OUT/l"
}

ext4() { # NAME SIZE
	truncate -s "$2" "$1"
	mkfs.ext4 -q -b 4096 -U $UUID -d "$OUT/l/root" "$1"
}

finding() { # ID
	jq -se 'any(.[]; .record == "finding" and .id == "'"$1"'")' "$OUT/case/report.json" >/dev/null
}

@test "hundreds of findings of one kind are one damage, counted; what was not listed is none" {
	mkdir -p "$OUT/l/root"
	for i in $(seq 1200); do echo "$i" >"$OUT/l/root/f$i"; done
	ext4 a.img 32M
	local table
	table=$(dumpe2fs a.img 2>/dev/null | sed -n 's/.*Inode table at \([0-9]*\)-.*/\1/p' | head -1)
	python3 -c 'import hashlib, sys; sys.stdout.buffer.write(hashlib.shake_128(b"x").digest(60 * 4096))' |
		dd of=a.img bs=4096 seek=$((table + 2)) conv=notrunc status=none
	triage a.img
	expect_status 2
	[[ $line != *"not listed"* ]]
	grep -qE "inode [^;]*, and [0-9]+ more like it" <<<"$line"
	[[ $line == *"a.img: no operating system is to be seen, and what is damaged may hide one. All of"* ]]
	[[ $line == *"Hit: file system: /"* ]]
}

@test "a superblock that is read from its copy hides nothing" {
	mkdir -p "$OUT/l/root/photos"
	echo x >"$OUT/l/root/photos/x"
	truncate -s 64M a.img
	mkfs.ext4 -q -b 1024 -d "$OUT/l/root" a.img
	dd if=/dev/zero of=a.img bs=1024 count=3 conv=notrunc status=none
	triage a.img
	expect_status 2
	[[ $line != *"operating system"* ]]
}

@test "a SYSTEM hive of zeros is damage, though every structure of the volume holds" {
	python3 -B "$TOP/fixtures/windows/make_windows.py" "$OUT/w"
	local hive=$OUT/w/Windows/System32/config/SYSTEM
	head -c "$(stat -c %s "$hive")" /dev/zero >"$OUT/zeros"
	mv "$OUT/zeros" "$hive"
	truncate -s 32M w.img
	mkfs.vfat w.img >/dev/null
	mcopy -s -i w.img "$OUT"/w/* ::/
	triage w.img
	expect_status 2
	[[ $line == "damaged: w.img: the machine will not start: SYSTEM hive: it can't be read as a registry hive"* ]]
	finding boot-file
	rm "$hive"
	truncate -s 32M x.img
	mkfs.vfat x.img >/dev/null
	mcopy -s -i x.img "$OUT"/w/* ::/
	triage x.img
	expect_status 2
	[[ $line == *"SYSTEM hive: it is not there (/Windows/System32/config/SYSTEM). All of"* ]]
}

@test "a container's root is no machine that will not start" {
	linux_tree
	rm -r "$OUT/l/root/boot"
	ext4 a.img 32M
	triage a.img
	expect_status 0
	[[ $line == "intact: a.img: all of the disk's 32 MiB can be read."*"Verified: ext4" ]]
	expect_text '\? +kernel +none is in this image'
}

@test "a menu that names no kernel that is there: nothing is lost, but it will not start" {
	linux_tree
	rm "$OUT"/l/root/boot/vmlinuz-*
	ext4 a.img 32M
	triage a.img
	expect_status 1
	[[ $line == "blemished: a.img: node17 will not start: GRUB's entry: it names /boot/vmlinuz-"*"which is not there"* ]]
	finding boot-names
	rm "$OUT/l/root/usr/lib/systemd/systemd"
	rm a.img
	ext4 a.img 32M
	triage a.img
	expect_status 2
	[[ $line == *"init: it is not there"* ]]
}

@test "two systems on one disk: the one that was hit is the one that is named" {
	linux_tree
	PYTHONPATH=$TOP/fixtures/demo:$TOP/fixtures/windows python3 -B - "$OUT" <<-'END'
		import sys, make_windows as win
		from disks import MIB, fat, gpt, ext4, poke, read
		out = sys.argv[1]
		win.write(out + "/w", win.volume())
		fat(out + "/p1", 20 * MIB, out + "/w")
		ext4(out + "/p2", 32 * MIB, out + "/l/root", "root", "17171717-1717-4717-9717-171717171703")
		starts = gpt("two.img", [(out + "/p1", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"),
		                         (out + "/p2", "0FC63DAF-8483-4772-8E79-3D69D8477DE4")])
		kernel = win.volume()["Windows/System32/ntoskrnl.exe"]
		at = starts[0] + read(out + "/p1").find(kernel[:4096]) + 8192
		with open("at", "w") as f:
		    f.write(str(at))
	END
	triage two.img
	expect_status 0
	[[ $line != *start* ]]
	expect_text ' Windows Server 2019 Standard \(build 17763\) on NODE16:'
	expect_text ' Debian GNU/Linux 12 \(bookworm\) on node17:'
	dd if=/dev/zero of=two.img bs=4096 seek="$(cat at)" oflag=seek_bytes count=1 conv=notrunc status=none
	triage two.img
	expect_status 2
	[[ $line == "damaged: two.img: NODE16 will not start: kernel: "*ntoskrnl.exe* ]]
	[[ $line != *node17* ]]
	jq -se 'any(.[]; .record == "boot" and .state == "broken" and (.system | endswith("on NODE16")))' \
		"$OUT/case/report.json" >/dev/null
}

@test "what no driver knows: zeros, one value, noise, text" {
	truncate -s 3M zero.img
	triage zero.img
	expect_status 3
	[[ $line == *"nothing to check; zeros throughout: never written, or wiped"* ]]
	tr '\0' '\377' <zero.img >ff.img
	triage ff.img
	[[ $line == *"bytes 0xff throughout"* ]]
	python3 -c 'import hashlib, sys; sys.stdout.buffer.write(hashlib.shake_128(b"n").digest(3 << 20))' >noise.img
	triage noise.img
	[[ $line == *"looks random throughout: encrypted with its header lost"* ]]
	seq 400000 | head -c 2097152 >text.img
	triage text.img
	[[ $line == *"; text throughout"* ]]
	truncate -s 40M zero.img
	triage zero.img
	[[ $line == *"zeros wherever it was looked at"* ]]
}

@test "intact is not said of what nothing is known of" {
	linux_tree
	rm -r "$OUT/l/root/boot"
	PYTHONPATH=$TOP/fixtures/demo python3 -B - "$OUT" <<-'END'
		import hashlib, sys
		from disks import MIB, ext4, gpt
		out = sys.argv[1]
		ext4(out + "/p1", 32 * MIB, out + "/l/root", "root", "17171717-1717-4717-9717-171717171703")
		noise = hashlib.shake_128(b"p").digest(MIB)
		for name, data in ("p2", noise), ("p3", bytes(MIB)), ("p4", noise):
		    with open(out + "/" + name, "wb") as f:
		        f.write(data)
		kind = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
		gpt("a.img", [(out + "/p%d" % (i + 1), kind) for i in range(4)])
	END
	triage a.img
	expect_status 0
	[[ $line == *"What is on raw/gpt/p2 is not known (1 MiB; it looks random throughout"*"), nor on 1 more. Verified: gpt, ext4" ]]
}

@test "a parent that is not there goes before what it costs" {
	qemu-img create -q -f qcow2 base.qcow2 8M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 child.qcow2
	rm base.qcow2
	triage child.qcow2
	expect_status 2
	[[ $line == "damaged: child.qcow2: all of the disk's 8 MiB are lost (qcow2: backing file base.qcow2 was not found"* ]]
}
