#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An ext4 volume with 500,000 files against The Sleuth Kit and e2fsprogs, in one run on one machine,
# page cache warm: ext4.sh BUILD-DIR. Rivals take turns; medians of RUNS (3) runs. The volume (4 GB,
# sparse) is made once, in BUILD-DIR/bench; that needs root. What is extracted goes to OUT, best a
# tmpfs. EXTRACT=0: not.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build} runs=${RUNS:-3}
vdiskck=$build/vdiskck dir=$build/bench img=$build/bench/many.ext4
[ -x "$vdiskck" ] || { echo "$vdiskck: not built" >&2; exit 1; }
for tool in fls tsk_recover debugfs e2fsck; do
	command -v $tool >/dev/null || { echo "ext4: no $tool, not measured"; exit 0; }
done
mkdir -p "$dir"
work=$(mktemp -d "$dir/ext4.XXXXXX")
trap '! mountpoint -q "$work/mnt" || umount "$work/mnt"; rm -rf "$work" ${out:+"$out"}' EXIT

# 500 folders with 1,000 files each, of up to 2,000 bytes.
if [ ! -e "$img" ]; then
	rm -f "$img.part"
	truncate -s 4G "$img.part"
	mke2fs -qF -t ext4 -i 4096 -E lazy_itable_init=0 "$img.part"
	mkdir "$work/mnt"
	mount -o loop "$img.part" "$work/mnt" || { echo "ext4: no loop devices, not measured"; exit 0; }
	python3 - "$work/mnt" <<-'END'
		import os, sys
		line = [b"line %d of a file\n" % k * 40 for k in range(64)]
		for d in range(500):
		    folder = f"{sys.argv[1]}/folder-{d % 25}/sub-{d}"
		    os.makedirs(folder)
		    for k in range(1000):
		        with open(f"{folder}/file-number-{k}.txt", "wb") as f:
		            f.write((line[(d + k) % 64] * 3)[:200 + k * 37 % 1800])
	END
	umount "$work/mnt"
	mv "$img.part" "$img"
fi
cat "$img" >/dev/null

# Microseconds of one run to $us, its resident KiB to $kib.
timed() { # COMMAND...
	local from=$EPOCHREALTIME to r=0
	/usr/bin/time -o "$work/time" -f %M "$@" >"$work/out" 2>"$work/err" || r=$?
	to=$EPOCHREALTIME
	[ "$r" -le 2 ] || { cat "$work/err" >&2; return 1; }
	us=$((${to/./} - ${from/./}))
	kib=$(tail -n 1 "$work/time")
}

median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Both in turn. Words of the rival up to "--", then ours.
versus() { # LABEL GOAL THEIR-NAME LINES THEIRS... -- OURS...
	local label=$1 goal=$2 name=$3 lines=$4 theirs=() a=() b=() ak bk i
	shift 4
	while [ "$1" != -- ]; do theirs+=("$1"); shift; done
	shift
	for ((i = 0; i < runs; i++)); do
		timed "$@"
		a+=("$us") ak=$kib
		# Who lists nothing is quick.
		[ "$(wc -l <"$work/out")" -ge "$lines" ] || { cat "$work/err"; echo "$label: not whole" >&2; exit 1; }
		timed "${theirs[@]}"
		[ "$(wc -l <"$work/out")" -ge "$lines" ] || { cat "$work/err"; echo "$name: not whole" >&2; exit 1; }
		b+=("$us") bk=$kib
	done
	say "$label" "$(median "${a[@]}")" "$ak" "$name" "$(median "${b[@]}")" "$bk" "$goal"
}

say() { # LABEL OURS-US OURS-KIB THEIR-NAME THEIR-US THEIR-KIB GOAL
	awk -v l="$1" -v o="$2" -v ok="$3" -v n="$4" -v t="$5" -v tk="$6" -v g="$7" 'BEGIN {
		printf "%-34s %8.3f s %5.0f MiB %8.1fx of %-22s %9.3f s %5.0f MiB  (goal %s)\n",
			l, o / 1e6, ok / 1024, t / o, n, t / 1e6, tk / 1024, g }'
}

echo "ext4, 500,000 files"
versus "ls -R" "10x" "fls -r" 500000 fls -r "$img" -- "$vdiskck" ls -R "$img"

# 1,000 blocks of files: icheck says of which inodes, ncheck under which names.
python3 - "$img" "$work/bad.map" "$work/icheck" <<'END'
import os, random, sys
random.seed(4)
size = os.path.getsize(sys.argv[1])
bad = sorted(random.sample(range(size // 4096), 1000))
with open(sys.argv[2], "w") as out:
    out.write("0x0 ? 1\n")
    at = 0
    for b in bad:
        if b * 4096 > at:
            out.write("0x%x 0x%x +\n" % (at, b * 4096 - at))
        out.write("0x%x 0x1000 -\n" % (b * 4096))
        at = b * 4096 + 4096
    if at < size:
        out.write("0x%x 0x%x +\n" % (at, size - at))
with open(sys.argv[3], "w") as out:
    out.write("icheck " + " ".join(map(str, bad)) + "\n")
END
cat >"$work/names.sh" <<'END'
debugfs -f "$2" "$1" 2>/dev/null | awk '$2 ~ /^[0-9]+$/ { print $2 }' | sort -un >"$3"
debugfs -R "ncheck $(tr '\n' ' ' <"$3")" "$1" 2>/dev/null
END
versus "1,000 blocks to names" "4x" "icheck + ncheck" 50 \
	bash "$work/names.sh" "$img" "$work/icheck" "$work/inodes" -- \
	"$vdiskck" locate "$img" --map "$work/bad.map"
versus "check" "1x" "e2fsck -fn" 1 e2fsck -fn "$img" -- "$vdiskck" check "$img"

[ "${EXTRACT:-1}" = 1 ] || exit 0
out=$(mktemp -d "${OUT:-/dev/shm}/vdiskck-bench.XXXXXX")
timed "$vdiskck" extract -q "$img" / -o "$out/ours"
mine=$us okib=$kib
rm -rf "$out/ours"
mkdir "$out/theirs"
timed tsk_recover -a "$img" "$out/theirs"
say "extract all of it, with hashes" "$mine" "$okib" "tsk_recover -a" "$us" "$kib" "5x"
echo "Most of extract's time is the kernel's, to make files; tsk_recover makes no manifest and no times."
