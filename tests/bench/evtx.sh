#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# EVTX to JSON against evtxexport -f xml, and carving against reading, page cache warm:
# evtx.sh BUILD-DIR. Logs are those of CORPUS; none: nothing is measured.
set -eu
cd "$(dirname "$0")/../.."
bench=$PWD/${1:-build}/evtx_bench
[ -d "${CORPUS:-/nowhere}/evtx" ] || { echo "EVTX: no CORPUS, not measured"; exit 0; }
[ -x "$bench" ] || { echo "$bench: not built" >&2; exit 1; }
command -v evtxexport >/dev/null || { echo "EVTX: no evtxexport, not measured"; exit 0; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The fastest of so many runs: MB/s.
ours() { # MODE FILE JOBS TIMES
	for ((i = 0; i < ${RUNS:-5}; i++)); do "$bench" "$@"; done | sort -rn | head -n 1
}

theirs() { # FILE
	local i from to
	for ((i = 0; i < ${RUNS:-5}; i++)); do
		from=$EPOCHREALTIME
		evtxexport -f xml "$1" >/dev/null
		to=$EPOCHREALTIME
		echo "$(($(stat -c %s "$1") * 1000 / (${to/./} - ${from/./})))"
	done | sort -rn | awk 'NR == 1 { print $1 / 1000 }'
}

for name in plaso-System hayabusa-DeepBlueCLI__many-events-application omer-security_bad_string_cache; do
	log=$dir/log.evtx
	xz -dc "$CORPUS/evtx/$name.evtx.xz" >"$dir/small"
	# A usual size for all threads: the chunks ten times, where evtxexport would give up.
	{ head -c 4096 "$dir/small"; for _ in {1..10}; do tail -c +4097 "$dir/small"; done; } >"$log"
	one=$(ours json "$dir/small" 1 20) all=$(ours json "$log" "$(nproc)" 3) them=$(theirs "$dir/small")
	awk -v name="$name" -v one="$one" -v all="$all" -v them="$them" 'BEGIN {
		split(one, o); split(all, a)
		printf "%-48.48s %6.0f MB/s (%.0f records/s) %5.1fx of %.1f MB/s (goal 30x); all threads %5.1fx (goal 50x)\n",
			name, o[1], o[3], o[1] / them, them, a[1] / them }'
done

# All logs of the corpus as one run: their chunks behind one header. evtxexport reads them one by one.
mkdir "$dir/all"
for log in "$CORPUS"/evtx/*.evtx.xz; do
	name=$dir/all/$(basename "$log" .xz)
	xz -dc "$log" >"$name" 2>/dev/null || rm -f "$name"
done
set -- "$dir"/all/*.evtx
{ head -c 4096 "$1"; for log in "$@"; do tail -c +4097 "$log" | head -c $((($(stat -c %s "$log") - 4096) / 65536 * 65536)); done; } >"$dir/log.evtx"
one=$(ours json "$dir/log.evtx" 1 1) all=$(ours json "$dir/log.evtx" "$(nproc)" 1)
them=$(for ((i = 0; i < 2; i++)); do
	from=$EPOCHREALTIME
	for log in "$@"; do evtxexport -f xml "$log" >/dev/null 2>&1 || true; done
	to=$EPOCHREALTIME
	echo "$(($(cat "$@" | wc -c) * 1000 / (${to/./} - ${from/./})))"
done | sort -rn | awk 'NR == 1 { print $1 / 1000 }')
awk -v n=$# -v one="$one" -v all="$all" -v them="$them" 'BEGIN {
	split(one, o); split(all, a)
	printf "all %d logs as one run: %.0f MB/s (%.0f records/s) %5.1fx of %.1f MB/s (goal 30x); all threads %.0f MB/s, %5.1fx (goal 50x)\n",
		n, o[1], o[3], o[1] / them, them, a[1], a[1] / them }'
rm -rf "$dir/all" "$dir/log.evtx"

# A disk image of 1 GiB: noise, zeros and text with logs in it.
image=$dir/image
noise=$dir/noise
head -c 32M /dev/urandom >"$noise"
for _ in {1..13}; do
	cat "$noise" "$dir/small"
	head -c 16M /dev/zero
	seq 4000000
done | head -c 1G >"$image"
carve=$(ours carve "$image" 1 1)
from=$EPOCHREALTIME
dd if="$image" of=/dev/null bs=1M status=none
to=$EPOCHREALTIME
awk -v carve="$carve" -v size="$(stat -c %s "$image")" -v us="$((${to/./} - ${from/./}))" 'BEGIN {
	split(carve, c)
	printf "carving %.0f MB: %.0f MB/s, %.2f of reading it with dd (goal 0.5)\n", size / 1e6, c[1], c[1] / (size / us) }'
