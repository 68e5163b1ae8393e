#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Metadata check of qcow2 against `qemu-img check`, page cache warm, as ratios of time:
# qcow2_check.sh BUILD-DIR [quick]. quick: leave out qemu-img's default on the fragmented image
# (three minutes). RUNS: the best of so many. Needs 2.5 GB in TMPDIR.
set -eu
cd "$(dirname "$0")/../.."
vdiskck=$PWD/${1:-build}/vdiskck
[ -x "$vdiskck" ] || { echo "$vdiskck: not built" >&2; exit 1; } # a program that does not start is not fast
runs=${RUNS:-3}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cc -O2 -o "$dir/giant" fixtures/qcow2-giant/qcow2-giant.c

best() { # RUNS COMMAND...: "seconds KiB" of the fastest
	local i n=$1
	shift
	for ((i = 0; i < n; i++)); do
		/usr/bin/time -f '%e %M' "$@" 2>&1 >/dev/null | tail -n 1
	done | sort -n | head -n 1
}

row() { # NAME GOAL OURS THEIRS
	awk -v name="$1" -v goal="$2" -v a="$3" -v b="$4" 'BEGIN {
		split(a, x); split(b, y)
		printf "%-62s %7.1fx (goal %s)  %.2f s %.0f MiB against %.2f s %.0f MiB\n", name,
			y[1] / (x[1] ? x[1] : 0.01), goal, x[1], x[2] / 1024, y[1], y[2] / 1024
	}'
}

tuned() { # FILE OPTIONS
	echo "driver=qcow2,file.driver=file,file.filename=$1,$2"
}

"$dir/giant" metadata 1024 "$dir/m.qcow2"
ours=$(best "$runs" "$vdiskck" check -q "$dir/m.qcow2")
row 'check qcow2 1 TiB metadata / qemu-img' '8x' "$ours" \
	"$(best "$runs" qemu-img check "$dir/m.qcow2")"
row 'check qcow2 1 TiB metadata / qemu-img refcount-cache 32M, l2 64M' '8x' "$ours" \
	"$(best "$runs" qemu-img check --image-opts \
		"$(tuned "$dir/m.qcow2" refcount-cache-size=32M,l2-cache-size=64M)")"
rm "$dir/m.qcow2"

"$dir/giant" fragmented 1024 5000000 "$dir/f.qcow2"
ours=$(best "$runs" "$vdiskck" check -q "$dir/f.qcow2")
row 'check qcow2 1 TiB fragmented / qemu-img refcount-cache-size=32M' '5x' "$ours" \
	"$(best "$runs" qemu-img check --image-opts "$(tuned "$dir/f.qcow2" refcount-cache-size=32M)")"
[ "${2:-}" = quick ] || row 'check qcow2 1 TiB fragmented / qemu-img' '100x' "$ours" \
	"$(best 1 qemu-img check "$dir/f.qcow2")"
rm "$dir/f.qcow2"

"$dir/giant" metadata 8192 "$dir/8.qcow2"
best 1 "$vdiskck" check -q "$dir/8.qcow2" | awk '{
	printf "%-62s %7.1f MiB (goal 64 MiB)  %.2f s\n", "check qcow2 8 TiB metadata: resident", $2 / 1024, $1 }'
