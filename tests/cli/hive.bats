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
