#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run fuzz programs for some seconds each; tests/fuzz/run.sh FUZZ-BUILD-DIR SECONDS NAME...
# What it learns stays in FUZZ-BUILD-DIR/corpus/NAME, a crashing input in FUZZ-BUILD-DIR/crashes.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1 seconds=$2
shift 2
tests/fuzz/seeds.sh "$build/seeds" || exit 1
# Freed memory is kept for a while to catch late uses: within the limit of 512 MB.
export ASAN_OPTIONS=quarantine_size_mb=64:detect_leaks=1
mkdir -p "$build/crashes" "$build/log"

one() { # DIR SECONDS NAME
	local dir=$1 name=$3 log=$1/log/$3
	mkdir -p "$dir/corpus/$name"
	if "$dir/fuzz_$name" -max_total_time="$2" -rss_limit_mb=512 -timeout=10 -max_len=262144 \
		-print_final_stats=1 -artifact_prefix="$dir/crashes/$name-" \
		"$dir/corpus/$name" "$dir/seeds" >"$log" 2>&1; then
		printf 'ok      %-10s %s inputs\n' "$name" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
	else
		printf 'FAILED  %-10s %s\n' "$name" "$log"
		grep -m1 -A12 -E 'ERROR|broken promise|runtime error' "$log"
		exit 1
	fi
}
export -f one
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c "one '$build' '$seconds' {}"
