#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The small logs: found by their places in file systems, rotated ones unpacked, their events as JSON.
load common
bats_require_minimum_version 1.5.0

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	mkdir -p tree/var/log/apt tree/home
	cat >tree/var/log/syslog <<-'END'
		Dec 31 23:59:58 node16 systemd[1]: Stopping.
		Jan  1 00:00:09 node16 kernel: EXT4-fs error (device sda1): bad block
		    continued
	END
	touch -d '2021-01-02T00:00:00Z' tree/var/log/syslog
	printf '2018-05-14 11:52:08 status installed libc6:amd64 2.27\n' | gzip >tree/var/log/dpkg.log.2.gz
	printf '2018-05-15 11:52:08 startup archives unpack\n' | xz >tree/var/log/dpkg.log.1.xz
	printf 'Start-Date: 2018-05-16  11:52:08\nCommandline: apt upgrade\n' >tree/var/log/apt/history.log
	printf 'May 14 11:52:08 a b: not a log by its place\n' >tree/home/syslog.txt
	mkfs.ext4 -q -b 1024 -d tree linux.img 8M
	mkfs.vfat -C windows.img 2880 >/dev/null
	mmd -i windows.img ::Windows ::Windows/Logs ::Windows/Logs/CBS
	printf '2018-05-14 11:52:08, Error                 CBS    Failed [HRESULT = 0x800f0831]\r\n' |
		mcopy -i windows.img - ::Windows/Logs/CBS/CBS.log
}

events() { # IMAGE JQ
	"$VDISKCK" logs "$1" --json --quick | jq -c "select(.record==\"event\") | $2"
}

@test "logs: text logs of an ext4 volume, years from their files' times" {
	cd "$BATS_FILE_TMPDIR"
	run -0 events linux.img 'select(.path=="/var/log/syslog") | [.time,.computer,.provider,.data.pid,.message]'
	[ "${lines[0]}" = '["2020-12-31T23:59:58Z","node16","systemd",1,"Stopping."]' ]
	[ "${lines[1]}" = '["2021-01-01T00:00:09Z","node16","kernel",null,"EXT4-fs error (device sda1): bad block\n    continued"]' ]
}

@test "logs: rotated logs are unpacked, and others are left alone" {
	cd "$BATS_FILE_TMPDIR"
	run -0 events linux.img '[.path,.channel,.time]'
	grep -F '["/var/log/dpkg.log.2.gz","dpkg","2018-05-14T11:52:08Z"]' <<<"$output"
	grep -F '["/var/log/dpkg.log.1.xz","dpkg","2018-05-15T11:52:08Z"]' <<<"$output"
	grep -F '["/var/log/apt/history.log","history","2018-05-16T11:52:08Z"]' <<<"$output"
	[ "${#lines[@]}" -eq 5 ]
}

@test "logs: a damaged archive gives what is before the damage, and says so" {
	cd "$BATS_FILE_TMPDIR"
	mkdir -p cut/var/log
	for i in $(seq 1000); do echo "2018-05-14 11:52:08 number $i $RANDOM$RANDOM"; done >cut/text
	gzip <cut/text | head -c 6000 >cut/var/log/kern.log.1.gz
	rm cut/text
	mkfs.ext4 -q -b 1024 -d cut cut.img 8M
	run -2 "$VDISKCK" logs cut.img -o out --quick
	[[ $output == *textlog-archive* ]]
	n=$(jq -s 'length' out/events.jsonl)
	[ "$n" -gt 100 ]
	[ "$n" -lt 1000 ]
	[ "$(jq -r .state out/events.jsonl | sort -u)" = doubtful ]
	cmp "$(find out/raw -name kern.log.1.gz)" cut/var/log/kern.log.1.gz
}

@test "logs: Windows' servicing log, and a filter" {
	cd "$BATS_FILE_TMPDIR"
	run -0 events windows.img '[.time,.source,.channel,.provider,.level,.data.zone]'
	[ "$output" = '["2018-05-14T11:52:08Z","text","CBS","CBS","error","local"]' ]
	run -0 "$VDISKCK" logs windows.img --json --quick --channel 'DISM*'
	[[ $output != *'"event"'* ]]
}

@test "logs: wtmp, a report and a dump of Windows, found by their places; the dump is not copied" {
	cd "$BATS_FILE_TMPDIR"
	python3 - <<-'END'
		import struct
		rec = struct.pack("<HHI32s4s32s256sHHIII16s20s", 2, 0, 0, b"~", b"~~", b"reboot", b"4.9", 0, 0, 0,
		                  1526298728, 0, b"", b"")
		open("wtmp", "wb").write(rec)
		open("Report.wer", "wb").write("\ufeffVersion=1\r\nEventType=BlueScreen\r\n"
		                               "EventTime=131707723280000000\r\n".encode("utf-16-le"))
		dump = bytearray(b"PAGE" * 2048)
		struct.pack_into("<4s", dump, 4, b"DU64")
		struct.pack_into("<I", dump, 0x38, 0x24)
		struct.pack_into("<I", dump, 0xf98, 2)
		struct.pack_into("<Q", dump, 0xfa8, 131707723280000000)
		open("MEMORY.DMP", "wb").write(dump)
	END
	mkdir -p small/var/log
	cp wtmp small/var/log/wtmp
	mkfs.ext4 -q -b 1024 -d small small.img 8M
	run -0 events small.img '[.time,.source,.channel,.message]'
	[ "$output" = '["2018-05-14T11:52:08Z","utmp","wtmp","boot"]' ]
	mkfs.vfat -C crashed.img 2880 >/dev/null
	mmd -i crashed.img ::Windows ::ProgramData ::ProgramData/Microsoft ::ProgramData/Microsoft/Windows \
		::ProgramData/Microsoft/Windows/WER ::ProgramData/Microsoft/Windows/WER/a
	mcopy -i crashed.img MEMORY.DMP ::Windows
	mcopy -i crashed.img Report.wer ::ProgramData/Microsoft/Windows/WER/a
	run -0 "$VDISKCK" logs crashed.img -o crashed --quick
	jq -r '[.time,.source,.message] | join(" ")' crashed/events.jsonl | sort >found
	diff found - <<-'END'
		2018-05-14T11:52:08Z dump bug check 0x24 NTFS_FILE_SYSTEM
		2018-05-14T11:52:08Z wer BlueScreen
	END
	[ -n "$(find crashed/raw -iname report.wer)" ]
	[ -z "$(find crashed/raw -iname memory.dmp)" ]
}

@test "logs: what Windows packed of its CBS.log, in cabinets, whole and cut" {
	command -v gcab >/dev/null || skip "no gcab"
	cd "$BATS_TEST_TMPDIR"
	for i in $(seq 1500); do
		printf '2018-05-14 11:52:08, Info                  CBS    Package_for_KB%d state %d\r\n' $i $((i * 7919 % 1000))
	done >CbsPersist_20180514120000.log
	[ "$(stat -c %s CbsPersist_20180514120000.log)" -gt 98304 ]
	gcab -cz CbsPersist_20180514120000.cab CbsPersist_20180514120000.log
	gcab -c stored.cab CbsPersist_20180514120000.log
	mkfs.vfat -C cab.img 2880 >/dev/null
	mmd -i cab.img ::Windows ::Windows/Logs ::Windows/Logs/CBS
	mcopy -i cab.img CbsPersist_20180514120000.cab ::Windows/Logs/CBS/
	run -0 events cab.img '[.channel,.provider,.message,.state]'
	[ "${#lines[@]}" -eq 1500 ]
	[ "${lines[1499]}" = '["CBS","CBS","Package_for_KB1500 state 500","intact"]' ]
	mdel -i cab.img ::Windows/Logs/CBS/CbsPersist_20180514120000.cab
	mcopy -i cab.img stored.cab ::Windows/Logs/CBS/CbsPersist_1.cab
	run -0 events cab.img .message
	[ "${#lines[@]}" -ge 1500 ]
	# A block whose sum does not fit ends it: what is before stays, doubtful.
	mkfs.vfat -C cut.img 2880 >/dev/null
	mmd -i cut.img ::Windows ::Windows/Logs ::Windows/Logs/CBS
	size=$(stat -c %s CbsPersist_20180514120000.cab)
	printf x | dd of=CbsPersist_20180514120000.cab bs=1 seek=$((size - 100)) conv=notrunc status=none
	mcopy -i cut.img CbsPersist_20180514120000.cab ::Windows/Logs/CBS/
	run -2 "$VDISKCK" logs cut.img -o out --quick
	[[ $output == *textlog-archive* ]]
	n=$(wc -l <out/events.jsonl)
	[ "$n" -gt 800 ] && [ "$n" -lt 1500 ]
}

@test "logs: dumps of a Linux kernel say which one died, and when" {
	cd "$BATS_TEST_TMPDIR"
	mkdir -p t/var/crash/202305171234 t/var/crash/127.0.0.1-2023-05-17
	python3 - <<-'END'
		import struct
		def names(*t): return b"".join(x.encode().ljust(65, b"\0") for x in t)
		info = b"OSRELEASE=6.1.0-13-amd64\nBUILD-ID=0123abcd\nPAGESIZE=4096\nCRASHTIME=1684323296\n"
		head = b"KDUMP   " + struct.pack("<i", 6) + names("Linux", "node17", "6.1.0-13-amd64", "#1 SMP", "x86_64", "(none)")
		head = head.ljust(408, b"\0") + struct.pack("<qq", 1684323300, 0)
		open("t/var/crash/202305171234/dump.202305171234", "wb").write(head.ljust(8192, b"\0") + info + bytes(5000))
		elf = b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HH", 4, 62)
		open("t/var/crash/127.0.0.1-2023-05-17/vmcore", "wb").write(elf.ljust(4096, b"\0") + info + bytes(5000))
	END
	mkfs.ext4 -q -b 1024 -d t k.img 8M
	run -0 events k.img '[.source,.time,.computer,.message,.data.build_id]'
	grep -F '["kdump","2023-05-17T11:34:56Z","node17","the kernel crashed: Linux 6.1.0-13-amd64","0123abcd"]' <<<"$output"
	grep -F '["kdump","2023-05-17T11:34:56Z",null,"the kernel crashed: Linux 6.1.0-13-amd64","0123abcd"]' <<<"$output"
	# It is large: not copied.
	"$VDISKCK" logs k.img -o out --quick
	[ -z "$(find out/raw -name vmcore)" ]
}

@test "logs: shutdowns that were planned; other tasks are passed over in silence" {
	cd "$BATS_TEST_TMPDIR"
	task() { # COMMAND ARGUMENTS
		printf '<?xml version="1.0" encoding="UTF-16"?>\r\n<Task><RegistrationInfo><Author>FLEET\\admin</Author><URI>\\Nightly</URI>' &&
			printf '</RegistrationInfo><Triggers><CalendarTrigger><StartBoundary>2023-05-17T03:00:00</StartBoundary>' &&
			printf '</CalendarTrigger></Triggers><Actions><Exec><Command>%s</Command><Arguments>%s</Arguments></Exec></Actions></Task>' "$@"
	}
	mkfs.vfat -C w.img 2880 >/dev/null
	mmd -i w.img ::Windows ::Windows/System32 ::Windows/System32/Tasks
	{ printf '\xff\xfe'; task 'C:\Windows\System32\shutdown.exe' '/r /t 60' | iconv -t utf-16le; } | mcopy -i w.img - ::Windows/System32/Tasks/Nightly
	{ printf '\xff\xfe'; task defrag.exe '-c' | iconv -t utf-16le; } | mcopy -i w.img - ::Windows/System32/Tasks/Defrag
	run -0 "$VDISKCK" logs w.img --json --quick
	jq -se '[.[] | select(.record == "log")] | length == 1' <<<"$output" >/dev/null
	jq -se 'any(.source == "schedule" and .time == "2023-05-17T03:00:00Z" and .data.task == "\\Nightly" and
		.message == "scheduled task: C:\\Windows\\System32\\shutdown.exe /r /t 60")' <<<"$output" >/dev/null
	mkdir -p t/run/systemd/shutdown
	printf 'USEC=1684323296000000\nWARN_WALL=1\nMODE=reboot\nWALL_MESSAGE=kernel update\n' >t/run/systemd/shutdown/scheduled
	mkfs.ext4 -q -b 1024 -d t l.img 8M
	run -0 events l.img '[.source,.time,.message,.data.wall]'
	[ "$output" = '["schedule","2023-05-17T11:34:56Z","scheduled: reboot","kernel update"]' ]
}

@test "logs: text logs of a FAT volume, in capitals as well; noise in one is one doubtful event" {
	truncate -s 40M disk
	mkfs.fat disk >/dev/null
	mmd -i disk ::/var ::/var/log
	printf 'Mar  3 10:00:01 node16 kernel: ata1: link is slow\n' >"$OUT/line"
	mcopy -i disk "$OUT/line" ::/var/log/syslog
	mcopy -i disk "$OUT/line" ::/var/log/MESSAGES
	run_vdiskck logs disk --json
	expect_status 0
	expect_json '[.[] | select(.record == "event" and .message == "ata1: link is slow" and .computer == "node16")] | length == 2'
	rm disk
	truncate -s 40M disk
	mkfs.fat disk >/dev/null
	mmd -i disk ::/var ::/var/log
	# The same noise each time.
	(cat "$OUT/line"; python3 -c 'import random, sys
random.seed(1); sys.stdout.buffer.write(random.randbytes(2880) + b"\n")'; cat "$OUT/line") >"$OUT/torn"
	mcopy -i disk "$OUT/torn" ::/var/log/syslog
	run_vdiskck logs disk --json
	expect_status 2
	expect_json '[.[] | select(.record == "event" and .state == "intact")] | length == 2'
	expect_json 'any(.state == "doubtful" and (.message | test("^2[0-9]* bytes that are no text$")))'
}
