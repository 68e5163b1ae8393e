#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sealing and scrubbing from the page cache, as ratios to libgcrypt's SHA-256 on all cores (pread
# and hash of 64 KiB pieces, nothing else), to nbdcopy | openssl over qemu-nbd, and to qemu-img
# compare, and to btrfs scrub on a loop device; processor time of a scrub at --rate; memory. tests/bench/seal.sh BUILD-DIR
# RUNS and SIZE_MIB may be set. Debian's sha256sum does not use SHA instructions: no fair peer.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/$1 runs=${RUNS:-5} size=${SIZE_MIB:-512}
dir=$build/bench/seal vdiskck=$build/vdiskck bound=$build/fixtures/cryptobench
export LC_ALL=C
mkdir -p "$dir"
cd "$dir"
if [ ! -e raw ] || [ "$(stat -c %s raw)" != $((size << 20)) ]; then
	rm -f ./*
	head -c $((size << 20)) /dev/urandom >raw
	# In a volume that nothing knows, discovery would look for lost headers.
	mke2fs -q -F -t ext4 -E nodiscard raw
	qemu-img convert -O qcow2 raw qcow2
	"$vdiskck" seal raw -o raw.seal >/dev/null
fi

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

seconds() { # COMMAND...: what it takes
	local from=$EPOCHREALTIME
	"$@" >/dev/null 2>stderr || { cat stderr >&2; return 1; }
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

compare() { # LABEL GOAL OURS THEIRS
	local i o=() t=()
	for ((i = 0; i < runs; i++)); do
		# shellcheck disable=SC2086 # a command in one string
		o+=("$(seconds $3)")
		# shellcheck disable=SC2086
		t+=("$(seconds $4)")
	done
	awk -v label="$1" -v goal="$2" -v size="$size" -v o="$(printf '%s\n' "${o[@]}" | median)" \
		-v t="$(printf '%s\n' "${t[@]}" | median)" 'BEGIN { printf "%-52s %7.3f s %7.2f GB/s %7.3f s %8.2f %7s\n",
			label, o, size * 1.048576e-3 / o, t, t / o, goal }'
}

# btrfs reads what it scrubs past the cache: the loop device below it has its bytes in memory.
btrfs_ready() {
	local at=$dir/btrfs
	[ "$(id -u)" = 0 ] && command -v mkfs.btrfs >/dev/null && grep -qw btrfs /proc/filesystems || return 1
	truncate -s $((size * 2 + 400))M "$at.img"
	mkfs.btrfs -q -f -d single -m single "$at.img" 2>stderr && mkdir -p "$at" && mount -o loop "$at.img" "$at" &&
		cp raw "$at/" && sync "$at/raw" && cat "$at.img" >/dev/null
}

served() { nbdcopy -- [ qemu-nbd -r -f "$1" "$1" ] - | openssl dgst -sha256; }

echo "$(nproc) processors, $size MiB, medians of $runs runs"
printf '%-52s %9s %12s %9s %8s %7s\n' "" vdiskck "" other ratio goal
cat raw qcow2 >/dev/null
seal="$vdiskck seal -q --force -o new.seal"
scrub="$vdiskck scrub -q --quick --format raw --seal raw.seal raw"
compare "seal of raw: libgcrypt SHA-256, all cores" 0.9 "$seal raw" "$bound hash sha256 raw 65536"
compare "scrub of raw: libgcrypt SHA-256, all cores" 0.9 "$scrub" "$bound hash sha256 raw 65536"
compare "scrub of raw: qemu-img compare" "" "$scrub" "qemu-img compare -f raw -F qcow2 raw qcow2"
if command -v nbdcopy openssl >/dev/null; then
	compare "seal of qcow2: nbdcopy | openssl over qemu-nbd" 2.5 "$seal qcow2" "served qcow2"
fi
if btrfs_ready; then
	compare "scrub of raw: btrfs scrub of such a file" "" "$scrub" "btrfs scrub start -B $dir/btrfs"
fi
! mountpoint -q "$dir/btrfs" || umount "$dir/btrfs"
rm -f "$dir/btrfs.img"
rmdir "$dir/btrfs" 2>/dev/null || true
/usr/bin/time -o time -f '%U %S %e' "$vdiskck" scrub -q --quick --format raw --seal raw.seal --rate 100M raw
awk '{ printf "scrub at --rate 100M: %.0f %% of one processor\n", 100 * ($1 + $2) / $3 }' time

# Memory: 10 TiB in which data lies in 100,000 places.
python3 - <<'EOF'
import os
f = os.open("sparse", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
os.ftruncate(f, 10 << 40)
for i in range(100000):
    os.pwrite(f, b"data %d" % i, i * (10 << 40) // 100000 // 65536 * 65536)
os.close(f)
EOF
/usr/bin/time -o time -f 'seal of 10 TiB with 100,000 islands of data: %M KiB of memory, %e s' \
	"$vdiskck" seal -q --force --format raw -o sparse.seal sparse
cat time
/usr/bin/time -o time -f 'scrub of it: %M KiB, %e s' "$vdiskck" scrub -q --quick --format raw --seal sparse.seal sparse
cat time
rm -f sparse sparse.seal
