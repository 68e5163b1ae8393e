#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "without arguments: usage on stderr, exit 3" {
	run_vdiskck
	expect_status 3
	[ -z "$output" ]
	expect_text 'usage: vdiskck COMMAND'
}

@test "--version and --help exit 0" {
	run_vdiskck --version
	expect_status 0
	[[ $output =~ ^vdiskck\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	run_vdiskck --help
	expect_status 0
	expect_text '  check '
	for c in info check locate export explain; do
		run_vdiskck $c --help
		expect_status 0
		expect_text "^usage: vdiskck $c "
		run_vdiskck $c --version
		expect_status 0
	done
}

@test "an unknown command is exit 3 and suggests the right one" {
	run_vdiskck chekc x
	expect_status 3
	expect_text 'did you mean check'
}

@test "an unknown option is exit 3 and suggests the right one" {
	run_vdiskck check --jsno x
	expect_status 3
	expect_text 'did you mean --json'
	[ "$(wc -l <<<"$stderr")" = 1 ]
}

@test "an option of another command is named as such" {
	run_vdiskck check --offset 0 x
	expect_status 3
	expect_text 'no option of this command'
}

@test "a missing image, value or file is exit 3" {
	run_vdiskck check
	expect_status 3
	expect_text 'no IMAGE'
	run_vdiskck check x --chain
	expect_status 3
	expect_text 'needs a value'
	run_vdiskck check nowhere.vhd
	expect_status 3
	expect_text 'nowhere.vhd: No such file'
}

@test "numbers out of range and unknown words are refused" {
	for jobs in 0 257 x 1x; do
		run_vdiskck check x --jobs $jobs
		expect_status 3
		expect_text '1 to 256'
	done
	run_vdiskck check x --progress maybe
	expect_status 3
	expect_text 'auto, yes or no'
}

@test "--format with an unknown name is exit 3" {
	truncate -s 1M a.img
	run_vdiskck check a.img --format vdx
	expect_status 3
	expect_text 'vdx'
}
