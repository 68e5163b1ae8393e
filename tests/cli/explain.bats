#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "one finding: severity, meaning, what to do" {
	run_vdiskck explain chain-cycle
	expect_status 0
	expect_text '^chain-cycle \(damage: '
	expect_text 'what it means: .*ancestor'
	expect_text 'what to do: '
}

@test "names as people type them: brackets, upper case" {
	run_vdiskck explain '[CHAIN_CYCLE]'
	expect_status 0
	expect_text '^chain-cycle '
}

@test "without a name: all of them, worst first" {
	run_vdiskck explain
	expect_status 0
	[[ $(head -1 <<<"$output") == damage:* ]]
	n=$(grep -cE '^F\(' "$BATS_TEST_DIRNAME/../../vdiskck/core/findings.def")
	[ "$(grep -c '^  ' <<<"$output")" = "$n" ]
}

@test "JSON has one record for each" {
	run_vdiskck explain --json
	expect_status 0
	expect_json 'all(.record == "explanation" and (.meaning | length > 0) and (.advice | length > 0))'
}

@test "an unknown name is exit 3 and suggests a near one" {
	run_vdiskck explain chain-circle
	expect_status 3
	expect_text 'did you mean chain-cycle'
}
