#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A volume with 500,000 files and folders against ntfsls and The Sleuth Kit, in one run on one
# machine, page cache warm: ntfs.sh BUILD-DIR. Rivals take turns; medians of RUNS (3) runs.
# The volume (2 GB, sparse) and its VHD are made once, in BUILD-DIR/bench. What is extracted goes to
# OUT, best a tmpfs: ext4 takes the longer the more was deleted in the last half minute. EXTRACT=0: not.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build} runs=${RUNS:-3} sample=${SAMPLE:-20}
vdiskck=$build/vdiskck dir=$build/bench img=$build/bench/many.ntfs
for program in "$vdiskck" "$build/fixtures/mkmany" "$build/makefiles"; do
	[ -x "$program" ] || { echo "$program: not built" >&2; exit 1; }
done
for tool in fls ntfsls mkntfs; do
	command -v $tool >/dev/null || { echo "NTFS: no $tool, not measured"; exit 0; }
done
mkdir -p "$dir"
work=$(mktemp -d "$dir/ntfs.XXXXXX")
trap '! mountpoint -q "$work/vhd" || umount "$work/vhd"; rm -rf "$work" ${out:+"$out"}' EXIT

# Five files in a folder, as in an installation of Windows.
if [ ! -e "$img" ]; then
	truncate -s 2000M "$img.part"
	mkntfs -qQF -c 4096 "$img.part" >/dev/null 2>&1
	"$build/fixtures/mkmany" "$img.part" 416665 5
	mv "$img.part" "$img"
	rm -f "$dir/many.vhd"
fi
[ -e "$dir/many.vhd" ] || qemu-img convert -O vpc -o subformat=dynamic,force_size=on "$img" "$dir/many.vhd"
# Read back from the disk, as an image is: pages that mmap() made are small, and slow to copy from.
for file in "$img" "$dir/many.vhd"; do
	dd of="$file" oflag=nocache conv=notrunc,fdatasync count=0 status=none
	cat "$file" >/dev/null
done

# Microseconds of one run to $us, its resident KiB to $kib.
timed() { # COMMAND...
	local from=$EPOCHREALTIME to r=0
	/usr/bin/time -o "$work/time" -f %M "$@" >"$work/out" 2>"$work/err" || r=$?
	to=$EPOCHREALTIME
	[ "$r" -le 2 ] || { cat "$work/err" >&2; return 1; }
	us=$((${to/./} - ${from/./}))
	kib=$(tail -n 1 "$work/time")
}

# A listing that is not one is quick.
listed() {
	[ "$(wc -l <"$work/out")" -gt 500000 ] || { cat "$work/err"; echo "a listing is not whole" >&2; exit 1; }
}

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

say() { # LABEL OURS-US OURS-KIB THEIR-NAME THEIR-US THEIR-KIB GOAL
	awk -v l="$1" -v o="$2" -v ok="$3" -v n="$4" -v t="$5" -v tk="$6" -v g="$7" 'BEGIN {
		printf "%-34s %8.3f s %5.0f MiB %8.1fx of %-22s %9.3f s %5.0f MiB  (goal %s)\n",
			l, o / 1e6, ok / 1024, t / o, n, t / 1e6, tk / 1024, g }'
}

# Both in turn. Words of the rival up to "--", then ours.
versus() { # LABEL GOAL THEIR-NAME THEIRS... -- OURS...
	local label=$1 goal=$2 name=$3 theirs=() a=() b=() ak bk
	shift 3
	while [ "$1" != -- ]; do theirs+=("$1"); shift; done
	shift
	for ((i = 0; i < runs; i++)); do
		timed "$@"
		a+=("$us") ak=$kib
		listed
		timed "${theirs[@]}"
		listed
		b+=("$us") bk=$kib
	done
	say "$label" "$(median "${a[@]}")" "$ak" "$name" "$(median "${b[@]}")" "$bk" "$goal"
}

echo "NTFS, 500,000 files and folders, 512 MB of \$MFT"
versus "ls -R" "12x" "ntfsls -R" ntfsls -R "$img" -- "$vdiskck" ls -R "$img"
versus "ls -R" "25x" "fls -r" fls -r "$img" -- "$vdiskck" ls -R "$img"
versus "ls -l -R" "none" "ntfsls -R -l" ntfsls -R -l "$img" -- "$vdiskck" ls -l -R "$img"

# The quickest of fls's own reader of VHD, and vhdimount below it.
best="fls -i vhd" path=("fls" -i vhd -r "$dir/many.vhd")
timed "${path[@]}"
quick=$us
if command -v vhdimount >/dev/null && [ -c /dev/fuse ] && mkdir "$work/vhd" &&
	vhdimount "$dir/many.vhd" "$work/vhd" >/dev/null 2>&1; then
	timed fls -r "$work/vhd/vhdi1"
	[ "$us" -ge "$quick" ] || best="fls over vhdimount" path=(fls -r "$work/vhd/vhdi1")
fi
runs=1 versus "ls -R in a dynamic VHD" "100x" "$best" "${path[@]}" -- "$vdiskck" ls -R "$dir/many.vhd"
! mountpoint -q "$work/vhd" || umount "$work/vhd"

# 1,000 bad sectors anywhere; of the rival, a sample of them.
python3 - "$img" "$work/bad.map" "$work/sample" "$sample" <<'END'
import os, random, sys
random.seed(4)
size = os.path.getsize(sys.argv[1])
bad = sorted(random.sample(range(size // 512 - 8), 1000))
with open(sys.argv[2], "w") as out:
    out.write("# Mapfile. Created by vdiskck's bench\n0x0 ? 1\n")
    at = 0
    for s in bad:
        if s * 512 > at:
            out.write("0x%x 0x%x +\n" % (at, s * 512 - at))
        out.write("0x%x 0x200 -\n" % (s * 512))
        at = s * 512 + 512
    out.write("0x%x 0x%x +\n" % (at, size - at))
with open(sys.argv[3], "w") as out:
    out.write("".join("%d\n" % (s // 8) for s in random.sample(bad, int(sys.argv[4]))))
END
cat >"$work/names.sh" <<'END'
while read -r cluster; do
	inode=$(ifind -d "$cluster" "$1" 2>/dev/null) && [[ $inode = [0-9]* ]] && ffind "$1" "${inode%%-*}"
done <"$2"
true
END
ours=() theirs=()
for ((i = 0; i < runs; i++)); do
	timed "$vdiskck" locate "$img" --map "$work/bad.map"
	ours+=("$us") okib=$kib
	timed bash "$work/names.sh" "$img" "$work/sample"
	theirs+=("$((us * 1000 / sample))") tkib=$kib
done
say "1,000 bad sectors to names" "$(median "${ours[@]}")" "$okib" "ifind + ffind ($sample timed)" \
	"$(median "${theirs[@]}")" "$tkib" "200x"

ours=()
for ((i = 0; i < runs; i++)); do
	timed "$vdiskck" check "$img"
	ours+=("$us") okib=$kib
done
awk -v o="$(median "${ours[@]}")" -v k="$okib" 'BEGIN {
	printf "%-34s %8.3f s %5.0f MiB (no rival checks as much)\n", "check", o / 1e6, k / 1024 }'

[ "${EXTRACT:-1}" = 1 ] && command -v tsk_recover >/dev/null || exit 0
out=$(mktemp -d "${OUT:-/dev/shm}/vdiskck-bench.XXXXXX")
timed "$vdiskck" extract -q "$img" / -o "$out/ours"
mine=$us okib=$kib
(cd "$out/ours" && find . -mindepth 1 -type d -printf 'd %P\n' &&
	find . -type f ! -path ./manifest.jsonl -printf 'f %s %P\n') >"$work/list"
rm -rf "$out/ours"
mkdir "$out/theirs"
timed tsk_recover -a "$img" "$out/theirs"
say "extract all of it, with hashes" "$mine" "$okib" "tsk_recover -a" "$us" "$kib" "5x"
rm -rf "$out/theirs"
timed "$build/makefiles" "$out/floor" "$(nproc)" <"$work/list"
awk -v o="$us" 'BEGIN {
	printf "%-34s %8.3f s: nothing but the same files, empty of sense, with times\n", "the floor of it", o / 1e6 }'
