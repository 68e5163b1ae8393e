#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run every fuzz program for some seconds; tests/fuzz/run.sh FUZZ-BUILD-DIR SECONDS [NAME-PATTERN]
# What it learns stays in FUZZ-BUILD-DIR/corpus/NAME, a crashing input in FUZZ-BUILD-DIR/crashes.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1 seconds=$2 only=${3:-}
tests/fuzz/seeds.sh "$build/seeds" || exit 1
mkdir -p "$build/crashes" "$build/log"

one() { # PROGRAM
	name=${1##*/fuzz_} dir=${1%/*}
	mkdir -p "$dir/corpus/$name"
	if "$1" -max_total_time="$2" -rss_limit_mb=512 -timeout=10 -max_len=262144 -print_final_stats=1 \
		-artifact_prefix="$dir/crashes/$name-" "$dir/corpus/$name" "$dir/seeds" \
		>"$dir/log/$name" 2>&1; then
		printf 'ok      %-10s %s inputs\n' "$name" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$dir/log/$name")"
	else
		printf 'FAILED  %-10s %s\n' "$name" "$dir/log/$name"
		grep -m1 -A12 -E 'ERROR|broken promise|runtime error' "$dir/log/$name"
		exit 1
	fi
}
export -f one
find "$build" -maxdepth 1 -name 'fuzz_*' -type f -executable | grep -e "$only" | sort |
	xargs -P "$(nproc)" -I{} bash -c "one {} $seconds"
