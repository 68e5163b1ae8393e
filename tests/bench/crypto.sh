#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Decrypting whole volumes to nowhere, opening them, and verifying tags, as ratios to what pread()
# and libgcrypt can do on the same machine, and to the peers; page cache warm.
# tests/bench/crypto.sh BUILD-DIR. Images are made once, in BUILD-DIR/bench/crypto (9 GB).
# RUNS and SIZE_MIB may be set: of the images for the peers. Those for what libraries can do are twice
# as large, so that the start of the program, 5 to 8 ms, does not decide.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/$1 runs=${RUNS:-5} size=${SIZE_MIB:-512}
dir=$build/bench/crypto pass=benchmark
vdiskck=$build/vdiskck bound=$build/fixtures/cryptobench
export LC_ALL=C
mkdir -p "$dir"
cd "$dir"

# --- images ---

# A FAT file system full of what does not compress; zeros where BitLocker's metadata will lie.
make_plain() { # NAME MIB
	local name=$1 size=$2
	head -c "$((size << 20))" /dev/urandom >plain.part
	mkfs.fat -F 32 plain.part >/dev/null
	for quarter in 1 2 3; do
		dd if=/dev/zero of=plain.part bs=1M seek=$((size * quarter / 4 - 1)) count=3 \
			conv=notrunc status=none
	done
	mv plain.part "$name"
}

# Headers by cryptsetup, the data by ourselves: no device mapper is needed.
make_luks() { # VERSION SECTOR DATA-OFFSET PLAIN
	printf '\1\2\3' >volume-key
	truncate -s 64 volume-key
	rm -f luks.part
	truncate -s $(($(stat -c %s "$4") + $3)) luks.part
	printf %s $pass | cryptsetup luksFormat -q --type "luks$1" --cipher aes-xts-plain64 \
		--key-size 512 --volume-key-file volume-key --sector-size "$2" \
		--offset $(($3 / 512)) --pbkdf pbkdf2 --pbkdf-force-iterations 1000 luks.part -
	"$bound" encrypt volume-key "$2" "$4" luks.part "$3"
	mv luks.part "luks$1-$2"
}

make_bitlocker() { # METHOD PLAIN
	"$build/fixtures/mkbitlocker" --method "$1" --password $pass "$2" bitlocker.part >made
	sed -n 's/^fvek /fvek /p' made >>keys
	mv bitlocker.part "bitlocker-$1"
}

if [ ! -e plain ] || [ "$(stat -c %s plain)" != $((size << 20)) ]; then
	rm -f ./*
	printf %s $pass >secret
	echo "passphrase $pass" >keys
	make_plain plain "$size"
	make_plain large "$((2 * size))"
fi
for sector in 512 4096; do
	[ -e luks2-$sector ] || make_luks 2 $sector $((16 << 20)) large
done
[ -e luks1-512 ] || make_luks 1 512 $((2 << 20)) plain
[ -e bitlocker-xts256 ] || make_bitlocker xts256 large
for method in xts128 elephant128 cbc256; do [ -e bitlocker-$method ] || make_bitlocker $method plain; done
for hash in crc32c sha256; do
	[ -e tags-$hash ] || { "$bound" tags $hash large tags.part && mv tags.part tags-$hash; }
done
[ -e bitlocker-small ] || { # for opening: nothing but the KDF
	mke2fs -q -F -t ext4 small 4M
	"$build/fixtures/mkbitlocker" --password $pass small bitlocker-small >/dev/null
}
decrypted=$(mktemp -u /dev/shm/vdiskck-bench.XXXXXX) # a peer that can't write to nowhere
trap 'rm -f "$decrypted"' EXIT

# --- measuring ---

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# What COMMAND takes, in seconds, with its start and end: of a bound, too.
seconds() { # COMMAND...
	local from
	rm -f "$decrypted"
	from=$EPOCHREALTIME
	"$@" >/dev/null 2>stderr || { cat stderr >&2; return 1; }
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}

# Rivals take turns, so that whatever else the machine does hits them alike.
compare() { # LABEL GOAL MIB OURS THEIRS (functions)
	local label=$1 goal=$2 mib=$3 ours=$4 theirs=$5 i o=() t=()
	for ((i = 0; i < runs; i++)); do
		# shellcheck disable=SC2086 # a command in one string
		o+=("$(seconds $ours)")
		# shellcheck disable=SC2086
		t+=("$(seconds $theirs)")
	done
	awk -v label="$label" -v goal="$goal" -v size="$mib" \
		-v o="$(printf '%s\n' "${o[@]}" | median)" -v t="$(printf '%s\n' "${t[@]}" | median)" \
		'BEGIN { printf "%-54s %7.3f s %7.2f GB/s %7.3f s %8.2f %7s\n", label, o,
			size * 1.048576e-3 / o, t, t / o, goal }'
}

export_of() { # IMAGE LAYER
	echo "$vdiskck export -q --keys keys --at $2 -o /dev/null $1"
}

dislocker() { # IMAGE
	echo "dislocker-file -q -V $1 -u$pass -- $decrypted"
}

peer() { command -v "$1" >/dev/null || { echo "($1 is not here)"; return 1; }; }

echo "$(nproc) processors, libgcrypt $(libgcrypt-config --version 2>/dev/null || echo '?'), $size MiB and twice that, medians of $runs runs"
printf '%-54s %9s %12s %9s %8s %7s\n' "" vdiskck "" other ratio goal
cat luks* bitlocker-* >/dev/null
for sector in 512 4096; do
	compare "LUKS2 AES-256-XTS, $sector: pread + libgcrypt" 0.85 $((2 * size)) "$(export_of luks2-$sector luks2)" \
		"$bound xts luks2-$sector $((16 << 20)) $sector"
done
compare "BitLocker AES-256-XTS: pread + libgcrypt" 0.85 $((2 * size)) "$(export_of bitlocker-xts256 bitlocker)" \
	"$bound xts bitlocker-xts256 0 512"
for hash in crc32c sha256; do
	cat tags-$hash >/dev/null
	compare "dm-integrity $hash, all tags verified: pread + $hash" 0.9 $((2 * size)) \
		"$vdiskck check -q --data tags-$hash" "$bound hash $hash tags-$hash 4096"
done
if peer dislocker-file; then
	compare "BitLocker AES-128-XTS: dislocker-file" 12 "$size" "$(export_of bitlocker-xts128 bitlocker)" \
		"$(dislocker bitlocker-xts128)"
	compare "BitLocker AES-128-CBC + diffuser: dislocker-file" 4 "$size" \
		"$(export_of bitlocker-elephant128 bitlocker)" "$(dislocker bitlocker-elephant128)"
	compare "BitLocker AES-256-CBC: dislocker-file" "" "$size" "$(export_of bitlocker-cbc256 bitlocker)" \
		"$(dislocker bitlocker-cbc256)"
	compare "opening BitLocker by password: dislocker-file" 3 0 \
		"$vdiskck info -q --keys keys bitlocker-small" "$(dislocker bitlocker-small)"
fi
if peer qemu-img; then
	qemu() {
		qemu-img convert -n --object secret,id=s,file=secret --image-opts \
			driver=luks,key-secret=s,file.filename=luks1-512 --target-image-opts \
			driver=null-co,"size=${size}M"
	}
	compare "LUKS1 AES-256-XTS: qemu-img convert" 12 "$size" "$(export_of luks1-512 luks1)" qemu
fi
if peer nbdkit && peer nbdcopy; then
	served() {
		# shellcheck disable=SC2016 # $uri is nbdkit's
		nbdkit -U - --filter=luks file luks1-512 passphrase=+secret --run 'nbdcopy "$uri" null:'
	}
	compare "LUKS1 AES-256-XTS: nbdkit luks filter + nbdcopy" 6 "$size" "$(export_of luks1-512 luks1)" served
fi
