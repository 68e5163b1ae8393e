#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a system says about itself: in info, triage and logs.
load common

RECIPE=$BATS_TEST_DIRNAME/../../fixtures/windows/make_windows.py

windows() { # [--pending]: a volume in node.vhd
	python3 "$RECIPE" "$@" "$OUT/root"
	truncate -s 64M "$OUT/v"
	mkfs.vfat -F 32 "$OUT/v" >/dev/null
	mcopy -s -i "$OUT/v" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/v" node.vhd
}

fact() { # NAME: its values
	jq -r --arg n "$1" 'select(.record == "fact" and .fact == $n) | .value' "$OUT/case/report.json"
}

@test "info names the system, its version and its computer" {
	windows
	run_vdiskck info node.vhd
	expect_status 0
	expect_text '^system: Windows Server 2019 Standard, 1809, build 17763.107 on NODE16 \(vhd/fat\)$'
	run_vdiskck info node.vhd --json
	expect_json 'any(.record == "system" and .layer == "vhd/fat" and .computer == "NODE16")'
	expect_json 'all(.fact != "time zone")'
}

@test "triage has the facts of both hives, each with a place that cat shows" {
	windows --pending
	run_vdiskck triage node.vhd -o "$OUT/case"
	expect_status 0
	expect_text 'what it says about itself, Windows Server 2019 Standard'
	[ "$(fact 'time zone')" = 'W. Europe Standard Time, UTC+01:00' ]
	[ "$(fact 'last shutdown')" = 2020-01-01T00:00:00Z ]
	[ "$(fact installed)" = 2018-12-16T22:40:00Z ]
	[ "$(fact 'after a stop error')" = 'a crash dump is written, its size chosen by Windows, and Windows restarts' ]
	[ "$(fact 'crash dump file')" = '%SystemRoot%\MEMORY.DMP' ]
	[ "$(fact 'pending renames')" = '3 names: \??\C:\Windows\Temp\old.sys |  | \??\C:\new.dll | !\??\C:\Windows\x.dll' ]
	[ "$(fact 'chkdsk is scheduled')" = '/r \??\C:' ]
	[ "$(fact 'chkdsk leaves out')" = '/k:D *' ]
	[ "$(fact 'pending restart')" = 'updates of components want a restart (CBS)' ]
	[ "$(fact BitLocker)" = 'the system volume was protected when it started last' ]
	[ "$(fact 'drive letter')" = 'C: the partition at byte 1048576 of the disk with signature 12345678
D: the GPT partition 00112233-4455-6677-8899-aabbccddeeff
E: \??\SCSI#CdRom' ]
	[ "$(fact 'network connection')" = 'Ethernet 2: 192.0.2.16' ]
	[ "$(fact 'network name')" = 'fleet.example 2' ]
	[ "$(fact domain)" = fleet.example ]
	[[ "$(fact 'boot-start drivers')" == '14: acpi classpnp disk '* ]]
	[[ "$(fact 'services at start')" == '1 of 17 '*': Dhcp' ]]
	grep -q 'What the system says about itself' "$OUT/case/report.html"
	grep -q 'W. Europe Standard Time' "$OUT/case/report.html"
	# A place is a FILE.
	local place
	place=$(jq -r 'select(.fact == "crash dump file") | .place' "$OUT/case/report.json")
	[ "$("$VDISKCK" cat node.vhd "$place" | iconv -f utf-16le | tr -d '\0')" = '%SystemRoot%\MEMORY.DMP' ]
	# hivex reads the same.
	if command -v hivexget >/dev/null; then
		[ "$(hivexget "$OUT/root/Windows/System32/config/SYSTEM" 'ControlSet001\Control\CrashControl' DumpFile)" = \
			"$(fact 'crash dump file')" ]
		[ "$(hivexget "$OUT/root/Windows/System32/config/SYSTEM" 'ControlSet001\Control\TimeZoneInformation' TimeZoneKeyName)" = \
			'W. Europe Standard Time' ]
	fi
}

@test "a system where nothing waits says nothing of it; logs gives the time zone" {
	windows
	run_vdiskck triage node.vhd -o "$OUT/case"
	[ -z "$(fact 'pending renames')$(fact 'pending restart')$(fact 'chkdsk is scheduled')" ]
	run_vdiskck logs node.vhd -o "$OUT/logs" --quick
	expect_text "the machine's time zone: W. Europe Standard Time, UTC\+01:00"
	run_vdiskck logs node.vhd --json --quick
	expect_json 'any(.record == "fact" and .fact == "time zone")'
}

@test "a hive that is gone or damaged costs its own facts only" {
	windows
	mdel -i "$OUT/v" ::/Windows/System32/config/SYSTEM
	printf 'XXXX' | dd of="$OUT/root/Windows/System32/config/SOFTWARE" bs=1 conv=notrunc status=none
	mcopy -D o -i "$OUT/v" "$OUT/root/Windows/System32/config/SOFTWARE" ::/Windows/System32/config/SOFTWARE
	qemu-img convert -O vpc "$OUT/v" less.vhd
	run_vdiskck info less.vhd
	expect_status 0
	expect_text '^system: Windows Server 2019 Standard, 1809, build 17763.107 \(vhd/fat\)$'
}

@test "a Linux says its name, host, zone" {
	mkdir -p "$OUT/root"/{etc,usr/lib}
	printf 'NAME=Debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n' >"$OUT/root/usr/lib/os-release"
	ln -s ../usr/lib/os-release "$OUT/root/etc/os-release"
	ln -s /usr/share/zoneinfo/Europe/Berlin "$OUT/root/etc/localtime"
	echo node17 >"$OUT/root/etc/hostname"
	truncate -s 20M disk.raw
	mkfs.ext4 -q -d "$OUT/root" disk.raw
	run_vdiskck info disk.raw
	expect_text '^system: Debian GNU/Linux 12 \(bookworm\) on node17 \(raw/ext4\)$'
	run_vdiskck logs disk.raw --json --quick
	expect_json 'any(.record == "fact" and .value == "Europe/Berlin" and .place == "raw/ext4:/etc/localtime")'
}
