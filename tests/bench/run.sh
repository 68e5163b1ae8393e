#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ratios against qemu-img, in one run on one machine, page cache warm; tests/bench/run.sh BUILD-DIR
# Whole-disk reads to nowhere; tests/bench/*_check.sh, if there, add metadata checks.
# Images are made once, in BUILD-DIR/bench (3 GB). RUNS and SIZE_MIB may be set.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/$1 runs=${RUNS:-5} size=${SIZE_MIB:-1024}
dir=$build/bench
mkdir -p "$dir"

# What disks hold: logs, tables of records, programs, a tenth that does not compress.
make_content() {
	python3 - "$1" "$size" <<-'END'
		import random, struct, sys
		random.seed(7)
		words = [bytes(random.choices(b"abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 11))) for _ in range(3000)]
		def chunk(i):
		    kind = i % 10
		    if kind == 0:
		        return random.randbytes(65536)
		    if kind < 5:
		        text = b" ".join(random.choices(words, k=13000))
		        return (text * 2)[:65536]
		    if kind < 8:
		        return b"".join((i * 1000 + k).to_bytes(8, "little") + random.randbytes(4) + bytes(4)
		                        for k in range(4096))
		    code = random.choices(range(256), weights=[1 + 4000 // (b + 1) for b in range(256)], k=65536)
		    return bytes(code)
		piece = b"".join(chunk(i) for i in range(512))  # 32 MiB
		sectors = int(sys.argv[2]) * 2048
		mbr = bytes(446) + struct.pack("<B3xB3xII", 0, 0x83, 2048, sectors - 2048) + bytes(48) + b"\x55\xaa"
		with open(sys.argv[1], "wb") as out:
		    for _ in range(int(sys.argv[2]) // 32):
		        out.write(piece)
		    out.seek(0)
		    out.write(mbr)
	END
}

image() { # NAME CONVERT-OPTIONS...
	local name=$1
	shift
	[ -e "$dir/$name" ] && return
	echo "making $name" >&2
	qemu-img convert -m 8 -W "$@" "$dir/raw" "$dir/$name.part"
	mv "$dir/$name.part" "$dir/$name"
}

# Resident KiB of one run to $kib, its processor time in centiseconds to $cpu.
once() { # COMMAND...
	local t=$dir/time user sys
	/usr/bin/time -o "$t" -f '%M %U %S' "$@" >/dev/null 2>"$dir/stderr" ||
		{ cat "$dir/stderr"; return 1; }
	read -r kib user sys < <(tail -n 1 "$t")
	cpu=$((10#${user/./} + 10#${sys/./}))
}

timed() { # COMMAND...
	local from=$EPOCHREALTIME to
	once "$@"
	to=$EPOCHREALTIME
	seconds=$(((${to/./} - ${from/./})))
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Rivals take turns, so that whatever else the machine does hits them alike.
compare() { # LABEL GOAL IMAGE FORMAT
	local label=$1 goal=$2 img=$dir/$3 format=$4 i ours=() tuned=() plain=() limit=() mem=0
	local ours_cpu=() tuned_cpu=() null=driver=null-co,size=${size}M
	cat "$img" >/dev/null
	for ((i = 0; i < runs; i++)); do
		timed "$build/vdiskck" export "$img" -o /dev/null
		ours+=("$seconds") ours_cpu+=("$cpu") mem=$kib
		timed qemu-img convert -n -m 8 -W -f "$format" --target-image-opts "$img" "$null"
		tuned+=("$seconds") tuned_cpu+=("$cpu")
		timed qemu-img convert -n -f "$format" --target-image-opts "$img" "$null"
		plain+=("$seconds")
		timed dd if="$img" of=/dev/null bs=1M
		limit+=("$seconds")
	done
	local o t p d
	o=$(printf '%s\n' "${ours[@]}" | median) t=$(printf '%s\n' "${tuned[@]}" | median)
	p=$(printf '%s\n' "${plain[@]}" | median) d=$(printf '%s\n' "${limit[@]}" | median)
	local oc tc
	oc=$(printf '%s\n' "${ours_cpu[@]}" | median) tc=$(printf '%s\n' "${tuned_cpu[@]}" | median)
	awk -v oc="$oc" -v tc="$tc" -v label="$label" -v goal="$goal" -v o="$o" -v t="$t" -v p="$p" -v d="$d" -v mem="$mem" \
		-v size="$size" 'BEGIN {
		printf "%-26s %6.3f s %6.2f GB/s %7.1fx %8.1fx %7s %9.1fx %10.2fx %7.0f MB\n", label, o / 1e6,
			size * 1.048576 / (o / 1e3), t / o, p / o, goal, tc / (oc ? oc : 1), d / o, mem / 1024 }'
}

[ -e "$dir/raw" ] && [ "$(stat -c %s "$dir/raw")" = $((size << 20)) ] || {
	rm -f "$dir"/*
	make_content "$dir/raw"
	# In a volume that nothing knows, discovery would look for lost headers.
	mke2fs -q -F -t ext4 -E nodiscard,offset=$((1 << 20)) "$dir/raw" $(((size - 1) << 10)) >/dev/null
}
image disk.vhd -f raw -O vpc -o subformat=dynamic,force_size=on
image disk.qcow2 -f raw -O qcow2
image zlib.qcow2 -f raw -O qcow2 -c -o compression_type=zlib
image zstd.qcow2 -f raw -O qcow2 -c -o compression_type=zstd

echo "$(nproc) processors, $(qemu-img --version | head -n 1); medians of $runs runs"
echo
echo "whole disk, $size MiB, to nowhere"
printf '%-26s %8s %11s %8s %9s %7s %10s %11s %10s\n' "" vdiskck "" "-m 8 -W" "default" goal \
	"cpu time" "dd of file" memory
compare "raw" "" raw raw
compare "VHD, dynamic" "3x" disk.vhd vpc
compare "qcow2" "3x" disk.qcow2 qcow2
compare "qcow2, zlib clusters" "2.5x" zlib.qcow2 qcow2
compare "qcow2, zstd clusters" "2.5x" zstd.qcow2 qcow2
echo "times faster than qemu-img convert -n to null-co; cpu time: than -m 8 -W in user + system, which"
echo "other load does not change; dd: reading the file, as a part of our time. Plain runs are spliced from the"
echo "page cache to nowhere, not copied: a copy alone takes 0.04 to 0.05 s per GiB on two cores. Packed clusters:"
echo "nine tenths of our time are libdeflate's and libzstd's own; ISA-L is slower on programs and documents."
[ "${2:-}" = reads ] || for more in tests/bench/{*_check,crypto,ntfs,ext4,evtx,triage,seal}.sh; do
	[ -x "$more" ] || continue
	echo
	RUNS=$runs "$more" "$1"
done
