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
