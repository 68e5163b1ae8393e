#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

TOP=$BATS_TEST_DIRNAME/../..
RECIPE=$TOP/fixtures/windows/make_windows.py

# A Windows-like volume in a VHD. FAT: no FUSE is needed; NTFS has tests of its own.
windows() { # NAME
	mkdir -p "$OUT/root"
	python3 -B "$RECIPE" "$OUT/root"
	truncate -s 64M "$OUT/v"
	mkfs.vfat -F 32 "$OUT/v" >/dev/null
	mcopy -s -i "$OUT/v" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/v" "$1"
}

# Write TEXT over byte OFFSET of a file in the image.
poke() { # IMAGE FILE OFFSET TEXT
	local at
	at=$("$VDISKCK" locate "$1" --file "$2:$3" --json | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	printf '%b' "$4" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

# A Linux root with its own /boot, in a qcow2.
linux() { # NAME UUID-OF-THE-FILE-SYSTEM
	local root=$OUT/lroot
	rm -rf "$root"
	python3 -B "$TOP/fixtures/linux/make_linux.py" "$root"
	truncate -s 30M "$OUT/l"
	mkfs.ext4 -q -U "$2" -d "$root/root" "$OUT/l"
	qemu-img convert -O qcow2 "$OUT/l" "$1"
}
UUID=17171717-1717-4717-9717-171717171703

links() { # STATE: what is in that state
	jq -r 'select(.record == "boot" and .state == "'"$1"'") | .link' "$OUT/case/report.json" | sort | paste -sd' '
}

@test "the registry hives of the recipe are what hivex takes for hives" {
	command -v hivexml >/dev/null || skip "no hivexml"
	windows a.vhd
	hivexml "$OUT/root/Windows/System32/config/SYSTEM" | grep -q 'key="ImagePath"'
	hivexml "$OUT/root/EFI/Microsoft/Boot/BCD" | grep -q 'node name="12000002"'
}

@test "a sound Windows: every link holds, with its name and its version" {
	windows node16.vhd
	run_vdiskck triage node16.vhd -o "$OUT/case"
	expect_status 0
	expect_text 'Windows Server 2019 Standard \(build 17763\) on NODE16'
	expect_text 'boot-start drivers +14 of ControlSet001'
	[ -z "$(links broken)$(links doubtful)" ]
	grep -q 'What it needs to start' "$OUT/case/report.html"
}

@test "one bit in a boot-start driver is why it does not start, and the first line says so" {
	windows node16.vhd
	poke node16.vhd /Windows/System32/drivers/xenvbd.sys 8192 '\x55'
	run_vdiskck triage node16.vhd -o "$OUT/case"
	expect_status 2
	[[ $(head -1 <<<"$output") == *"NODE16 will not start: boot-start driver: xenvbd: "* ]]
	[ "$(links broken)" = "boot-start driver" ]
	jq -se 'any(.id == "pe-checksum" and .path == "/Windows/System32/drivers/xenvbd.sys")' "$OUT/case/report.json" >/dev/null
}

@test "a kernel whose first bytes are gone, a hive with a torn page, a loader that is lost" {
	windows node16.vhd
	poke node16.vhd /Windows/System32/ntoskrnl.exe 0 '\0\0\0\0'
	run_vdiskck triage node16.vhd -o "$OUT/case"
	expect_status 2
	[ "$(links broken)" = kernel ]
	jq -se 'any(.id == "pe-header")' "$OUT/case/report.json" >/dev/null
	rm -r "$OUT/case"

	windows hive.vhd
	poke hive.vhd /Windows/System32/config/SYSTEM 4096 'xxxx'
	run_vdiskck triage hive.vhd -o "$OUT/case"
	expect_status 2
	[ "$(links broken)" = "SYSTEM hive" ]
	rm -r "$OUT/case"

	rm "$OUT/root/Windows/System32/winload.efi"
	truncate -s 64M "$OUT/w"
	mkfs.vfat -F 32 "$OUT/w" >/dev/null
	mcopy -s -i "$OUT/w" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/w" gone.vhd
	run_vdiskck triage gone.vhd -o "$OUT/case"
	[ "$(links broken)" = loader ]
	[[ $(head -1 <<<"$output") == *"will not start: loader: it is not there"* ]]
}

@test "a sound Linux holds; a root device that no volume has does not" {
	linux a.qcow2 $UUID
	run_vdiskck triage a.qcow2 -o "$OUT/case"
	expect_status 0
	[ -z "$(links broken)$(links doubtful)" ]
	expect_text 'Debian GNU/Linux 12 \(bookworm\) on node17'
	expect_text 'kernel +its CRC-32 fits'
	expect_text "initramfs +gzip's CRC-32 fits"
	rm -r "$OUT/case"
	linux b.qcow2 99999999-2222-3333-4444-555555555555
	run_vdiskck triage b.qcow2 -o "$OUT/case"
	[ "$(links broken)" = "GRUB's entry root device" ]
	expect_text "its root root=UUID=$UUID is on no volume here"
	rm -r "$OUT/case"
	linux c.qcow2 $UUID
	debugfs -w -R 'rm /boot/vmlinuz-6.1.0-16-amd64' "$OUT/l" 2>/dev/null
	qemu-img convert -O qcow2 "$OUT/l" c.qcow2
	run_vdiskck triage c.qcow2 -o "$OUT/case"
	[ "$(links broken)" = "GRUB's entry kernel" ]
	expect_text 'it names /boot/vmlinuz-6.1.0-16-amd64, which is not there'
}

# A GPT disk with an EFI system partition and Windows, whose BCD names the partition NUMBER of DISK-GUID.
gpt_windows() { # NAME NUMBER DISK-GUID
	PYTHONPATH=$TOP/fixtures/demo:$TOP/fixtures/windows python3 -B - "$OUT" "$1" "$2" "$3" <<-'END'
		import os, shutil, sys, uuid
		import make_windows as win
		from disks import MIB, PART_GUID, fat, gpt
		out, name, number, disk = sys.argv[1:]
		device = win.partition(PART_GUID[int(number) - 1], uuid.UUID(disk))
		trees = [(win.esp(device, device), 8), (win.volume(), 20)]
		parts = []
		for i, (files, size) in enumerate(trees):
		    tree, part = "%s/p%d.tree" % (out, i), "%s/p%d" % (out, i)
		    shutil.rmtree(tree, ignore_errors=True)
		    win.write(tree, files)
		    fat(part, size * MIB, tree)
		    parts.append((part, ["C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"][i]))
		gpt(name, parts)
	END
}

@test "the default entry's device: Windows is on it, on another one, nowhere, or it is of another disk" {
	local disk=16161616-1616-4616-9616-161616161616
	gpt_windows a.img 2 $disk
	run_vdiskck triage a.img -o "$OUT/case"
	expect_status 0
	expect_text 'ok +boot device +the partition of the default entry, and Windows is on it \(raw/gpt/p2\)'
	rm -r "$OUT/case"
	gpt_windows b.img 1 $disk
	run_vdiskck triage b.img -o "$OUT/case"
	[ "$(links broken)" = "boot device" ]
	expect_text 'but Windows is on another one'
	rm -r "$OUT/case"
	gpt_windows c.img 3 $disk
	run_vdiskck triage c.img -o "$OUT/case"
	[ "$(links broken)" = "boot device" ]
	expect_text 'partition 16161616-1616-4616-9616-161616161603, which this disk does not have'
	rm -r "$OUT/case"
	gpt_windows d.img 2 99999999-1616-4616-9616-161616161616
	run_vdiskck triage d.img -o "$OUT/case"
	[ -z "$(links broken)" ]
	rm -r "$OUT/case"
	gpt_windows e.img 3 99999999-1616-4616-9616-161616161616
	run_vdiskck triage e.img -o "$OUT/case"
	[[ "$(links 'not decided')" == *"boot device"* ]]
	expect_text 'which is not this one: that disk would tell'
}

@test "an init that is no program is a broken link" {
	linux a.qcow2 $UUID
	debugfs -w -R "rm /usr/lib/systemd/systemd" "$OUT/l" 2>/dev/null
	head -c 60000 /dev/urandom >"$OUT/noise"
	printf '\0\0\0\0' | dd of="$OUT/noise" conv=notrunc status=none
	debugfs -w -f - "$OUT/l" >/dev/null 2>&1 <<-END
		cd /usr/lib/systemd
		write $OUT/noise systemd
	END
	qemu-img convert -O qcow2 "$OUT/l" b.qcow2
	run_vdiskck triage b.qcow2 -o "$OUT/case"
	[ "$(links broken)" = init ]
	expect_text 'its first bytes are not those of a program'
}

# A BIOS disk: an MBR with CODE, an active partition at 1 MiB with a Linux root; GRUB's core.img at sector 1.
bios() { # NAME grub|windows|none
	rm -rf "$OUT/lroot"
	python3 -B "$TOP/fixtures/linux/make_linux.py" "$OUT/lroot"
	python3 -B - "$OUT" "$1" "$2" <<-'END'
		import hashlib, os, struct, subprocess, sys
		out, name, kind = sys.argv[1:]
		core = bytearray(512) + bytearray(b | 1 for b in hashlib.shake_128(b"core").digest(20000))
		core[0:3], core[0x11b:0x13a] = b"\x52\x56\xbe", b"loading\0.\0\r\n\0Geom\0Read\0 Error\0"
		folder = out + "/lroot/root/boot/grub/i386-pc"
		os.makedirs(folder)
		with open(folder + "/core.img", "wb") as f:
		    f.write(core)
		code = bytearray(440)
		text = {"grub": b"GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n", "windows": b"Invalid partition table"}
		if kind in text:
		    code[0x180:0x180 + len(text[kind])] = text[kind]
		code[0x5c:0x64] = struct.pack("<Q", 1 if kind == "grub" else 0)
		with open(folder + "/boot.img", "wb") as f:
		    f.write(code.ljust(512, b"\0"))
		core[0x1f4:0x200] = struct.pack("<QHH", 2, (len(core) + 511) // 512 - 1, 0x820)
		part = out + "/bios.part"
		if os.path.exists(part):
		    os.remove(part)
		with open(part, "wb") as f:
		    f.truncate(30 << 20)
		subprocess.run(["mkfs.ext4", "-q", "-U", "17171717-1717-4717-9717-171717171703", "-d", out + "/lroot/root", part],
		               check=True)
		with open(part, "rb") as f:
		    fs = f.read()
		entry = struct.pack("<BBBBBBBBII", 0x80, 0, 1, 1, 0x83, 0xfe, 0xff, 0xff, 2048, len(fs) // 512)
		with open(name, "wb") as f:
		    f.write(code + b"\x12\x34\x56\x78\0\0" + entry + bytes(48) + b"\x55\xaa")
		    f.write((core if kind != "windows" else b"").ljust((1 << 20) - 512, b"\0") + fs)
	END
}

@test "a BIOS disk: boot sector and core.img hold, a bit of either is told, and so is a lost one" {
	bios a.img grub
	run_vdiskck triage a.img -o "$OUT/case"
	expect_status 0
	expect_text 'ok +boot sector +GRUB, with 41 sectors of core.img, as in the file it was made from'
	printf '\xf0' | dd of=a.img bs=1 seek=9000 conv=notrunc status=none # all bytes of it are odd
	rm -r "$OUT/case"
	run_vdiskck triage a.img -o "$OUT/case"
	expect_status 2
	[ "$(links broken)" = "boot sector" ]
	[[ $(head -1 <<<"$output") == *"node17 will not start: boot sector: 1 of GRUB's 41 sectors is not as in core.img, the first is 17"* ]]
	jq -se 'any(.[]; .id == "boot-code" and .where[0].offset == 8704)' "$OUT/case/report.json" >/dev/null
	bios b.img grub
	printf 'x' | dd of=b.img bs=1 seek=300 conv=notrunc status=none
	rm -r "$OUT/case"
	run_vdiskck triage b.img -o "$OUT/case"
	expect_text "BROKEN +boot sector +some bytes of GRUB's first sector are not as in boot.img"
	bios c.img none
	rm -r "$OUT/case"
	run_vdiskck triage c.img -o "$OUT/case"
	expect_text 'BROKEN +boot sector .*its first sector is lost'
}

@test "a BIOS disk of Windows: which partition is active, and what it begins with" {
	bios a.img windows
	run_vdiskck triage a.img -o "$OUT/case"
	expect_text 'doubtful +boot sector .*does not begin with its code'
	printf '\0' | dd of=a.img bs=1 seek=446 conv=notrunc status=none
	rm -r "$OUT/case"
	run_vdiskck triage a.img -o "$OUT/case"
	[ "$(links broken)" = "boot sector" ]
	jq -se 'any(.[]; .id == "boot-names")' "$OUT/case/report.json" >/dev/null
}

@test "an initramfs packed by lz4, zstd, xz: whole, and cut short" {
	local how text
	python3 -B "$TOP/fixtures/linux/make_linux.py" "$OUT/lroot"
	local boot=$OUT/lroot/root/boot/initrd.img-6.1.0-16-amd64
	printf '%s\n' init | (cd "$OUT" && echo '#!/bin/sh' >init && cpio -o -H newc 2>/dev/null) >"$OUT/cpio" || skip "no cpio"
	for how in "lz4 -l -c" "zstd -q -c" "zstd -q -c --no-check" "xz --check=crc32 -c"; do
		command -v ${how%% *} >/dev/null || continue
		case $how in
		lz4* | *no-check) text='it unpacks to a whole archive, but carries no checksum' ;;
		zstd*) text="zstd's checksum fits" ;;
		*) text="xz's check fits" ;;
		esac
		$how <"$OUT/cpio" >"$boot" 2>/dev/null
		rm -f "$OUT/l"
		truncate -s 30M "$OUT/l"
		mkfs.ext4 -q -U $UUID -d "$OUT/lroot/root" "$OUT/l"
		rm -rf "$OUT/case"
		run_vdiskck triage "$OUT/l" -o "$OUT/case"
		expect_status 0
		expect_text "ok +initramfs +$text"
		truncate -s -9 "$boot"
		rm "$OUT/l"
		truncate -s 30M "$OUT/l"
		mkfs.ext4 -q -U $UUID -d "$OUT/lroot/root" "$OUT/l"
		rm -r "$OUT/case"
		run_vdiskck triage "$OUT/l" -o "$OUT/case"
		expect_status 2
		[ "$(links broken)" = initramfs ]
	done
}

@test "a disk without a system says that it has none" {
	truncate -s 16M "$OUT/d"
	mkfs.vfat "$OUT/d" >/dev/null
	qemu-img convert -O qcow2 "$OUT/d" d.qcow2
	run_vdiskck triage d.qcow2 -o "$OUT/case"
	expect_status 0
	expect_text 'operating system +no volume holds one that is known'
}

@test "one bit of a kernel, a sector of an initramfs: kernel-checksum, initramfs-damaged, and both are named" {
	linux a.qcow2 $UUID
	poke a.qcow2 /boot/vmlinuz-6.1.0-16-amd64 300000 '\x55\x55'
	poke a.qcow2 /boot/initrd.img-6.1.0-16-amd64 400000 '\0\0\0\0\0\0\0\0'
	run_vdiskck triage a.qcow2 -o "$OUT/case"
	expect_status 2
	[ "$(links broken)" = "initramfs kernel" ]
	[[ $(head -1 <<<"$output") == *"node17 will not start: initramfs: "*"; kernel: "* ]]
	jq -se 'any(.id == "kernel-checksum") and any(.id == "initramfs-damaged")' "$OUT/case/report.json" >/dev/null
}
