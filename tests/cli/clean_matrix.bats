#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images by qemu-img in every combination of options: no finding above info, exit 0, and the
# same content as `qemu-img convert -O raw` gives.
load common

# 3 MiB with all there is: text, noise, zeros, a cluster with one byte, an odd end.
setup_file() {
	python3 - "$BATS_FILE_TMPDIR/content" <<-'END'
		import random, sys
		random.seed(1)
		MiB = 1 << 20
		disk = bytearray(3 * MiB + 1536)
		disk[0:300000] = b"".join(b"%d lines of a log\n" % i for i in range(20000))[:300000]
		for i in range(12):
		    at = random.randrange(MiB, 2 * MiB) & ~511
		    disk[at:at + 4608] = random.randbytes(4608)
		disk[2 * MiB + 77777] = 1
		disk[-700:] = random.randbytes(700)
		open(sys.argv[1], "wb").write(disk)
	END
}

expect_clean() { # IMAGE FORMAT WHAT
	local raw=$BATS_TEST_TMPDIR/raw ours
	run_vdiskck check --data --json "$1"
	if [ "$status" != 0 ] || ! jq -se 'all(.[]; .record != "finding" or .severity == "info")' \
		<<<"$output" >/dev/null; then
		echo "not clean: $3"
		show
		return 1
	fi
	qemu-img convert -f "$2" -O raw "$1" "$raw"
	ours=$("$VDISKCK" export "$1" -o - 2>"$OUT/stderr" | sha256sum)
	[ "$ours" = "$(sha256sum <"$raw")" ] ||
		{ echo "content differs: $3"; cat "$OUT/stderr"; return 1; }
	matrix=$((matrix + 1))
	rm -f "$1" "$raw"
}

# One image for each combination of the values that the options may take.
qcow2() { # CONVERT-FLAGS OPTION=VALUE,VALUE...
	local flags=$1 combos=("") next o v
	shift
	for o in "$@"; do
		next=()
		for c in "${combos[@]}"; do
			for v in ${o#*=}; do next+=("${c:+$c,}${o%%=*}=$v"); done
		done
		combos=("${next[@]}")
	done
	for c in "${combos[@]}"; do
		# shellcheck disable=SC2086
		qemu-img convert $flags -f raw -O qcow2 -o "$c" "$BATS_FILE_TMPDIR/content" disk.qcow2
		expect_clean disk.qcow2 qcow2 "qcow2 $c $flags"
	done
}

@test "qcow2 version 2: cluster sizes, preallocation" {
	qcow2 "" compat=0.10 "cluster_size=512 4k 64k 2M" "preallocation=off metadata"
	qcow2 -c compat=0.10 "cluster_size=512 4k 64k 2M"
	[ "$matrix" = 12 ]
}

@test "qcow2 version 3: refcount widths, cluster sizes, lazy refcounts" {
	qcow2 "" compat=1.1 "cluster_size=512 64k" "refcount_bits=1 2 4 8 16 32 64" "lazy_refcounts=off on"
	[ "$matrix" = 28 ]
}

@test "qcow2 version 3: preallocation of every kind" {
	qcow2 "" compat=1.1 "cluster_size=512 64k 2M" "preallocation=metadata falloc full"
	[ "$matrix" = 9 ]
}

@test "qcow2 version 3: extended L2" {
	qcow2 "" extended_l2=on "cluster_size=16k 64k 2M" "preallocation=off metadata" \
		"refcount_bits=1 16 64"
	[ "$matrix" = 18 ]
}

@test "qcow2 version 3: compressed by zlib and zstd" {
	qcow2 -c "compression_type=zlib zstd" "cluster_size=512 4k 64k 2M" "extended_l2=off"
	qcow2 -c "compression_type=zlib zstd" "cluster_size=16k 64k" "extended_l2=on"
	[ "$matrix" = 12 ]
}

@test "qcow2: written by a guest out of order, with discards and zeros" {
	for o in compat=0.10 compat=1.1 extended_l2=on cluster_size=512 refcount_bits=1,cluster_size=1k; do
		qemu-img create -q -f qcow2 -o "$o" disk.qcow2 20M
		qemu-io -f qcow2 -d unmap -c 'write -P 3 10M 3M' -c 'write -P 1 512 70k' -c 'write -z 11M 1M' \
			-c 'discard 12M 300k' -c 'write -P 2 19M 100k' -c 'write -c -P 4 1M 64k' \
			disk.qcow2 >/dev/null
		expect_clean disk.qcow2 qcow2 "guest writes, $o"
	done
	[ "$matrix" = 5 ]
}

@test "qcow2: snapshots, bitmaps, a backing file, an external data file, resized" {
	local c=$BATS_FILE_TMPDIR/content
	qemu-img convert -f raw -O qcow2 "$c" disk.qcow2
	qemu-img snapshot -c one disk.qcow2
	qemu-io -f qcow2 -c 'write -P 9 0 1M' disk.qcow2 >/dev/null
	qemu-img snapshot -c two disk.qcow2
	qemu-img snapshot -d one disk.qcow2
	expect_clean disk.qcow2 qcow2 snapshots

	qemu-img convert -f raw -O qcow2 "$c" disk.qcow2
	qemu-img bitmap --add disk.qcow2 backup
	qemu-img bitmap --add -g 1M disk.qcow2 other
	qemu-io -f qcow2 -c 'write -P 9 1M 1M' disk.qcow2 >/dev/null
	expect_clean disk.qcow2 qcow2 bitmaps

	cp "$c" base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw disk.qcow2 5M
	qemu-io -f qcow2 -c 'write -P 9 100k 1M' disk.qcow2 >/dev/null
	expect_clean disk.qcow2 qcow2 "backing file"

	for raw in on off; do
		qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=$raw disk.qcow2 5M
		qemu-io -f qcow2 -c 'write -P 9 100k 1M' -c 'write -z 3M 64k' disk.qcow2 >/dev/null
		expect_clean disk.qcow2 qcow2 "data file, raw $raw"
	done

	qemu-img create -q -f qcow2 disk.qcow2 1M
	qemu-io -f qcow2 -c 'write -P 9 0 1M' disk.qcow2 >/dev/null
	qemu-img resize -q disk.qcow2 6G
	qemu-img resize -q --shrink disk.qcow2 700k
	expect_clean disk.qcow2 qcow2 resized
	[ "$matrix" = 6 ]
}

@test "VHD: fixed and dynamic, size by CHS and by the footer" {
	local sub force
	for sub in dynamic fixed; do
		for force in on off; do
			qemu-img convert -f raw -O vpc -o subformat=$sub,force_size=$force \
				"$BATS_FILE_TMPDIR/content" disk.vhd
			expect_clean disk.vhd vpc "vpc $sub force_size=$force"
		done
	done
	for size in 512 68k 2G 127G 1000G; do
		qemu-img create -q -f vpc -o force_size=on disk.vhd $size
		qemu-io -f vpc -c 'write -P 1 0 512' disk.vhd >/dev/null
		run_vdiskck check disk.vhd
		expect_status 0
		rm disk.vhd
	done
	[ "$matrix" = 4 ]
}
