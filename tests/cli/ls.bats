#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "an image without a file system: said, and status 3" {
	truncate -s 4M blank.img
	run_vdiskck ls blank.img
	expect_status 3
	expect_text 'no file system'
	run_vdiskck cat blank.img /x
	expect_status 3
}

@test "cat wants one file, and knows no --json" {
	truncate -s 4M blank.img
	run_vdiskck cat blank.img
	expect_status 3
	expect_text 'which FILE'
	run_vdiskck cat --json blank.img /x
	expect_status 3
	expect_text 'no option'
}
