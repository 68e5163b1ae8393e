#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "the demo finds all that it damaged" {
	# What `make demo` runs behind installing and building. It fails by itself.
	local top=$BATS_TEST_DIRNAME/../..
	mkdir "$OUT/build"
	ln -s "$VDISKCK" "$OUT/build/vdiskck"
	run "$top/fixtures/demo/demo.sh" "$OUT/build"
	echo "$output"
	[ "$status" = 0 ]
	[[ $output != *MISSED* ]]
	[ "$(find "$OUT/build/demo" -name report.html | wc -l)" = 2 ]
}

@test "the demo fails loudly when something is not found" {
	local top=$BATS_TEST_DIRNAME/../..
	mkdir "$OUT/build"
	# A vdiskck that sees nothing wrong.
	cat >"$OUT/build/vdiskck" <<-'END'
	#!/bin/sh
	mkdir -p "$4" && echo '{"record":"summary"}' >"$4/report.json"
	exit 2
	END
	chmod +x "$OUT/build/vdiskck"
	run "$top/fixtures/demo/demo.sh" "$OUT/build"
	[ "$status" = 1 ]
	[[ $output == *MISSED* ]]
	[[ $output == *"did not find everything"* ]]
}
