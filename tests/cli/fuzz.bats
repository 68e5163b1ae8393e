#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A few hundred inputs for every fuzz target, the same ones each time. `make fuzz` does the rest.

setup_file() {
	FUZZ=$BATS_TEST_DIRNAME/../../build/fuzz
	export FUZZ ASAN_OPTIONS=quarantine_size_mb=64:detect_leaks=1
	[ -d "$FUZZ" ] || return 0
	"$BATS_TEST_DIRNAME/../fuzz/seeds.sh" "$FUZZ/seeds"
}

short_run() { # NAME
	[ -x "$FUZZ/fuzz_$1" ] || skip "no libFuzzer build (make fuzz-programs)"
	"$FUZZ/fuzz_$1" -seed=1 -runs=600 -max_len=65536 -rss_limit_mb=512 -timeout=10 \
		-artifact_prefix="$BATS_TEST_TMPDIR/" "$FUZZ/seeds"
}

@test "vhd: any bytes" { short_run vhd; }
@test "qcow2: any bytes" { short_run qcow2; }
@test "mbr: any bytes" { short_run mbr; }
@test "gpt: any bytes" { short_run gpt; }
@test "lost partitions: any bytes" { short_run scan; }
@test "foreign formats: any bytes" { short_run foreign_vmdk; }
@test "the whole stack: any bytes" { short_run stack; }
