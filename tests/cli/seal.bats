#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

# 40 MiB and a bit: data, zeros, data.
disk() { # NAME
	truncate -s 41943552 "$1"
	python3 -c 'import sys; sys.stdout.buffer.write(bytes((i * 2654435761 >> 11) & 255 for i in range(300000)))' |
		dd of="$1" bs=64k seek=3 conv=notrunc status=none
	printf tail | dd of="$1" bs=1 seek=41943540 conv=notrunc status=none
}

# The root as vdiskck/seal.h defines it, by somebody else's SHA-256.
root_of() { # RAW
	python3 - "$1" <<-'PY'
		import hashlib, os, struct, sys
		def h(*parts): return hashlib.sha256(b"".join(parts)).digest()
		size, nodes = os.path.getsize(sys.argv[1]), []
		with open(sys.argv[1], "rb") as f:
		    while leaf := f.read(65536):
		        i = struct.pack("<Q", len(nodes))
		        nodes.append(h(b"\0", i, leaf)[:16] if any(leaf) else h(b"\2")[:16])
		while True:
		    nodes = [h(b"\1", *nodes[i:i + 256])[:16] for i in range(0, len(nodes), 256)]
		    if len(nodes) == 1: break
		print(h(b"\4", struct.pack("<Q", size), nodes[0]).hex())
	PY
}

@test "one disk has one root, through raw, VHD and qcow2, and it is what others compute" {
	disk a.raw
	qemu-img convert -O vpc -o subformat=dynamic,force_size=on a.raw a.vhd
	qemu-img convert -O vpc -o subformat=fixed,force_size=on a.raw f.vhd
	qemu-img convert -O qcow2 -c a.raw a.qcow2
	root=$(root_of a.raw)
	for image in a.raw a.vhd f.vhd a.qcow2; do
		run_vdiskck seal "$image" -o "$OUT/$image.seal"
		expect_status 0
		expect_text "root $root"
		run_vdiskck seal --root "$OUT/$image.seal"
		[ "$output" = "$root" ]
	done
	for leaves in 1 255 256 257 512; do
		head -c $((leaves * 65536)) /dev/urandom >b.raw
		run_vdiskck seal b.raw -o "$OUT/$leaves"
		expect_text "root $(root_of b.raw)"
	done
	# 6 of 641 leaves hold data: nothing like 0.12 % of the whole.
	[ "$(stat -c %s "$OUT/a.raw.seal")" -le $((4 * 4096)) ]
}

@test "a second run is a generation of what changed; --show lists both, --verify reads all" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	printf CHANGED | dd of=a.raw bs=1 seek=200000 conv=notrunc status=none
	run_vdiskck seal a.raw -o "$OUT/s" --json
	expect_status 0
	expect_json 'any(.record == "seal" and .generation == 2 and .changed_leaves == 1)'
	run_vdiskck seal --show "$OUT/s" --json
	expect_status 0
	expect_json '[.[] | select(.record == "seal")] | length == 2 and .[0].root != .[1].root'
	run_vdiskck seal --verify "$OUT/s"
	expect_status 0
	expect_text 'the seal is whole'
	printf DAMAGED | dd of="$OUT/s" bs=1 seek=5000 conv=notrunc status=none
	run_vdiskck seal --verify "$OUT/s"
	expect_status 2
	expect_text 'page 1: a page of leaves is damaged'
}

@test "the seal of another image, of another size, and what is no seal are refused" {
	disk a.raw
	qemu-img create -q -f vpc a.vhd 16M
	qemu-img create -q -f vpc b.vhd 16M
	run_vdiskck seal a.vhd -o "$OUT/s"
	run_vdiskck seal b.vhd -o "$OUT/s"
	expect_status 3
	expect_text 'the seal of another image, vhd '
	run_vdiskck seal a.raw -o "$OUT/s"
	expect_status 3
	expect_text 'the seal of a layer of '
	echo hello >"$OUT/hello"
	run_vdiskck seal a.raw -o "$OUT/hello"
	expect_status 3
	expect_text 'not a seal'
	[ "$(cat "$OUT/hello")" = hello ]
}

@test "what can't be read is not sealed, and said" {
	qemu-img create -q -f vpc a.vhd 16M
	qemu-io -f vpc -c "write -P 7 0 4M" a.vhd >/dev/null
	printf '\x00\xff\xff\x00' | dd of=a.vhd bs=1 seek=1536 conv=notrunc status=none
	run_vdiskck seal a.vhd -o "$OUT/s"
	expect_status 2
	expect_text '2 MiB NOT sealed'
}

@test "a full disk leaves no half of a seal" {
	disk a.raw
	mkdir "$OUT/small"
	mount -t tmpfs -o size=8k none "$OUT/small" 2>/dev/null || skip "can't mount"
	run_vdiskck seal a.raw -o "$OUT/small/s"
	local left
	left=$(ls -A "$OUT/small")
	umount "$OUT/small"
	expect_status 3
	expect_text 'No space left'
	[ -z "$left" ]
}

@test "8 TiB that hold nothing are sealed in kilobytes" {
	truncate -s 8T a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	expect_status 0
	[ "$(stat -c %s "$OUT/s")" = 12288 ]
}

@test "an encrypted disk is sealed as it is, without a key and without a question" {
	disk a.raw
	qemu-img convert -O luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 a.raw l.raw
	run_vdiskck seal l.raw -o "$OUT/s" --json
	expect_status 0
	expect_json 'any(.record == "seal" and .layer == "raw" and .lost_leaves == 0 and .data_leaves > 600)'
}
