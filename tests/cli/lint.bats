#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The part of `make lint` that needs nothing installed: it holds on every commit.

cd_top() { cd "$BATS_TEST_DIRNAME/../.." || exit; }

@test "includes point one way, and each library is called from one file" {
	cd_top
	tests/lint/includes.sh
}

@test "every file says its licence; no left-over notes; functions fit on a screen or two" {
	cd_top
	tests/lint/source.sh
}

@test "every finding is documented, reported by a source file, and raised by a test" {
	cd_top
	tests/lint/findings.sh
}
