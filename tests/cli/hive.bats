#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

hive() { # NAME: a SYSTEM hive
	python3 "$BATS_TEST_DIRNAME/../../fixtures/windows/make_windows.py" "$OUT/root"
	cp "$OUT/root/Windows/System32/config/SYSTEM" "$1"
}

@test "keys are folders, values their streams; either slash, any case" {
	hive SYSTEM
	run_vdiskck ls SYSTEM /ControlSet001/Services/disk
	expect_status 0
	[ "$output" = $'disk:ImagePath\ndisk:Start\ndisk:Type' ]
	run_vdiskck ls -l SYSTEM '\controlset001\SERVICES\disk'
	expect_text 'REG_DWORD: 0'
	run_vdiskck cat SYSTEM '\ControlSet001\Services\disk'
	expect_status 0
	expect_text '^Start = REG_DWORD: 0$'
	"$VDISKCK" cat SYSTEM '/ControlSet001/Services/disk:ImagePath' | iconv -f utf-16le | grep -q 'drivers.disk.sys'
	run_vdiskck cat SYSTEM /ControlSet001/Services/none
	expect_status 3
}

@test "names with slashes in them are found as they are typed, and as they are listed" {
	command -v hivexsh >/dev/null || skip "no hivexsh"
	hive SYSTEM
	hivexsh -w SYSTEM <<-'END'
		cd \ControlSet001
		add I/O System
		cd \ControlSet001\I/O System
		setval 1
		a/b
		dword:7
		commit
	END
	run_vdiskck cat SYSTEM '\ControlSet001\I/O System'
	expect_status 0
	expect_text 'REG_DWORD: 7'
	[ "$("$VDISKCK" cat SYSTEM '\controlset001\i/o system:a/b' | od -An -tu4 | tr -d ' ')" = 7 ]
	[ "$("$VDISKCK" cat SYSTEM "$("$VDISKCK" ls -R SYSTEM | grep 'I.*O System:')" | od -An -tu4 | tr -d ' ')" = 7 ]
	run_vdiskck cat SYSTEM '/ControlSet001/I/O System'
	expect_status 3
}

@test "all keys and values, as hivex lists them" {
	command -v hivexml >/dev/null || skip "no hivexml"
	hive SYSTEM
	run_vdiskck ls -R SYSTEM
	[ "$(grep -c : <<<"$output")" = "$(hivexml SYSTEM | grep -o '<value' | wc -l)" ]
	[ "$(grep -vc : <<<"$output")" = $(($(hivexml SYSTEM | grep -o '<node' | wc -l) - 1)) ]
}

@test "a bin that lost its head is damage" {
	hive SYSTEM
	run_vdiskck check SYSTEM
	expect_status 0
	printf xx | dd of=SYSTEM bs=1 seek=4100 conv=notrunc status=none
	run_vdiskck check SYSTEM
	expect_status 2
	expect_text 'regf-bin'
}

# The hive in a FAT and an NTFS volume of one disk; on NTFS with a named stream beside.
disk() {
	hive "$OUT/SYSTEM"
	truncate -s 40M disk.raw
	printf 'label: dos\nstart=2048,size=40960,type=c\nstart=43008,size=38000,type=7\n' | sfdisk -q disk.raw
	truncate -s 20M "$OUT/f"
	mkfs.vfat "$OUT/f" >/dev/null
	mcopy -s -i "$OUT/f" "$OUT/root/Windows" ::/
	truncate -s $((38000 * 512)) "$OUT/n"
	mkntfs -q -F -p 43008 -H 255 -S 63 "$OUT/n" >/dev/null 2>&1
	ntfscp -q "$OUT/n" "$OUT/SYSTEM" SYSTEM >/dev/null 2>&1
	echo 'a note' >"$OUT/note"
	ntfscp -q -N note "$OUT/n" "$OUT/note" SYSTEM >/dev/null 2>&1
	dd if="$OUT/f" of=disk.raw bs=1M seek=1 conv=notrunc,sparse status=none
	dd if="$OUT/n" of=disk.raw bs=512 seek=43008 conv=notrunc,sparse status=none
}

@test "FILE:\\KEY looks into a hive that lies in a volume, for every command that takes a FILE" {
	command -v ntfscp >/dev/null || skip "no ntfscp"
	disk
	local in='1:/Windows/System32/config/SYSTEM' file
	for file in "$in" '2:\system' raw/mbr/p2/ntfs:/SYSTEM; do
		run_vdiskck ls disk.raw "$file"':\ControlSet001\Services\disk'
		expect_status 0
		[ "$output" = $'disk:ImagePath\ndisk:Start\ndisk:Type' ]
		[ "$("$VDISKCK" cat disk.raw "$file"':\controlset001\services\DISK:Type' | od -An -tu4 | tr -d ' ')" = 1 ]
	done
	# Without a volume: only one has that path.
	run_vdiskck cat disk.raw '/windows/system32/config/SYSTEM:\ControlSet001\Services\disk'
	expect_text '^Start = REG_DWORD: 0$'
	# The whole of it, as when the hive is the image.
	"$VDISKCK" ls -R "$OUT/SYSTEM" >"$OUT/bare"
	run_vdiskck ls -R disk.raw "$in"':\'
	diff <(sort <<<"$output") <(sort "$OUT/bare")
	run_vdiskck ls disk.raw "$in"':\ControlSet001\Services\*mgr'
	[ "$(wc -l <<<"$output")" = 4 ]
	run_vdiskck extract disk.raw "$in"':\Select' -o "$OUT/out"
	expect_status 0
	[ "$(od -An -tu4 "$OUT/out/Select%3ACurrent" | tr -d ' ')" = 1 ]
	# Down to the byte of the disk.
	run_vdiskck locate disk.raw --file "$in"':\Select:Current'
	lacks compressed <<<"$output"
	run_vdiskck locate disk.raw --file "$in"':\Select:Current' --json
	expect_json 'any(.record == "location" and .where[0].layer == "disk.raw")'
}

@test "a named stream is a stream; what is no hive, or not there, says so" {
	command -v ntfscp >/dev/null || skip "no ntfscp"
	disk
	run_vdiskck cat disk.raw '2:/SYSTEM:note'
	expect_status 0
	[ "$output" = 'a note' ]
	run_vdiskck ls disk.raw '2:/SYSTEM:note:\x'
	expect_status 3
	run_vdiskck ls disk.raw '1:/Windows/System32/ntoskrnl.exe:\x'
	expect_status 3
	expect_text 'Not a directory'
	run_vdiskck ls disk.raw '2:/SYSTEM:\none'
	expect_status 3
	expect_text 'No such file'
	run_vdiskck cat disk.raw '2:/NONE:\Select'
	expect_status 3
}

@test "logs: keys are events of the time of their writing: of a hive that is given, or asked for by --source" {
	hive SYSTEM
	run_vdiskck logs SYSTEM --json
	expect_status 0
	expect_json 'any(.source == "regf" and .channel and .state == "intact" and
		.data.key == "/ControlSet001/Services/disk" and .data.values.Start == "REG_DWORD: 0")'
	run_vdiskck logs SYSTEM -o "$OUT/logs"
	[ "$(jq -r .data.key "$OUT/logs/events.jsonl" | sort | tail -n +2)" = \
		"$("$VDISKCK" ls -R SYSTEM | grep -v : | sort)" ]
	rm SYSTEM
	disk
	run_vdiskck logs disk.raw --json --quick
	expect_json 'all(.source != "regf")'
	run_vdiskck logs disk.raw --source regf -o "$OUT/asked" --quick
	expect_text 'raw/mbr/p1/fat:/Windows/System32/config/SYSTEM: [0-9]+ records'
	cmp "$OUT/SYSTEM" "$OUT/asked/raw/raw/mbr/p1/fat/Windows/System32/config/SYSTEM"
	jq -se 'any(.data.key == "/ControlSet001/Services/disk" and .path == "/Windows/System32/config/SYSTEM")' \
		"$OUT/asked/events.jsonl" >/dev/null
}

@test "logs: a hive whose file is gone is carved from free space; so are bins without their base block" {
	hive "$OUT/SYSTEM"
	truncate -s 20M disk
	mkfs.vfat disk >/dev/null
	mcopy -i disk "$OUT/SYSTEM" ::/
	local at
	at=$("$VDISKCK" locate disk --file /SYSTEM:0 --json | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	mdel -i disk ::/SYSTEM
	run_vdiskck logs disk --json
	expect_json 'any(.source == "regf" and .state == "carved" and .data.key == "/ControlSet001/Services/disk")'
	dd if=/dev/zero of=disk bs=512 seek=$((at / 512)) count=8 conv=notrunc status=none
	run_vdiskck logs disk --json
	expect_json 'any(.source == "regf" and .channel == "registry" and .data.key == "/ControlSet001/Services/disk" and
		.offset > '"$at"' - 512 * 2048)'
}
