#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What ciphertext shows without a key. For who has none, noise is as good as ciphertext.
load common

# A LUKS1 header with its payload at 8192, and MIB of noise behind it.
luks1() { # FILE MIB
	python3 - "$1" "$2" <<-'END'
		import os, struct, sys
		h = bytearray(8192)
		h[0:8] = b"LUKS\xba\xbe\0\1"
		h[0x08:0x0b] = b"aes"
		h[0x28:0x33] = b"xts-plain64"
		h[0x48:0x4e] = b"sha256"
		struct.pack_into(">II", h, 0x68, 16, 64)
		struct.pack_into(">I", h, 0xa4, 1000)
		h[0xa8:0xcc] = b"5f1c0d6e-0000-4000-8000-00000000b002"
		for i in range(8): # one keyslot in use, its material in sector 8; the others behind it
		    struct.pack_into(">II", h, 0xd0 + 48 * i, 0xac71f3 if i == 0 else 0xdead, 1000)
		    struct.pack_into(">II", h, 0xd0 + 48 * i + 40, 8 + i, 8)
		h[4096:4608] = os.urandom(512)
		with open(sys.argv[1], "wb") as f:
		    f.write(h)
		    for _ in range(int(sys.argv[2])):
		        f.write(os.urandom(1 << 20))
	END
}

put() { # FILE OFFSET BYTES < data
	dd of="$1" bs=512 seek=$(($2 / 512)) count=$(($3 / 512)) conv=notrunc status=none
}

@test "a locked volume in order: undecided, and nothing about its ciphertext" {
	luks1 a.img 8
	run_vdiskck check --data --json a.img
	expect_status 3
	expect_json 'map(select(.id // "" | startswith("ciphertext"))) == []'
	expect_json '.[-1].findings.damage == 0 and .[-1].findings.blemish == 0'
}

@test "zeros and a duplicated block in a locked volume: damage, with addresses down to the file" {
	luks1 a.img 8
	put a.img $((0x201000)) 512 </dev/zero
	dd if=a.img bs=4096 skip=100 count=2 status=none >copy
	put a.img $((0x301000)) 8192 <copy
	run_vdiskck check --data --json a.img
	expect_status 2
	expect_json 'map(select(.id == "ciphertext-overwritten"))[0] |
		.severity == "damage" and .stored == "zeros" and .expected == "ciphertext" and
		.where[0] == {layer:"a.img", offset:2101248, length:512}'
	expect_json 'map(select(.id == "ciphertext-twice")) | length == 1 and
		(.[0].message | contains("8 KiB at 0x301000") and contains("0x64000"))'
	run_vdiskck check a.img # not without --data
	expect_status 3
	lacks ciphertext- <<<"$output"
	run_vdiskck check --data a.img
	expect_status 2
	expect_text 'zeros at 0x201000 where there must be ciphertext.*torn'
}

@test "triage looks at the ciphertext, too" {
	luks1 a.img 4
	put a.img $((0x201000)) 4096 </dev/zero
	run_vdiskck triage a.img -o "$OUT/case"
	expect_status 2
	grep -q '"ciphertext-overwritten"' "$OUT/case/report.json"
}

@test "in a partition of a qcow2: addresses go through all layers; what is not allocated is no damage" {
	luks1 p.img 8
	put p.img $((0x101000)) 4096 </dev/zero
	truncate -s 12M disk.raw
	echo 'start=2048, type=83' | sfdisk -q disk.raw
	dd if=p.img of=disk.raw bs=1M seek=1 conv=notrunc status=none
	qemu-img convert -O qcow2 disk.raw disk.qcow2
	rm disk.raw p.img
	run_vdiskck check --data --json disk.qcow2
	# The 3 MiB behind the noise were never written: a volume that is encrypted in part.
	expect_status 3
	expect_json 'map(select(.id // "" | startswith("ciphertext")) | .id) == ["ciphertext-partly"]'
	expect_json 'map(select(.id == "ciphertext-partly"))[0] | .layer == "qcow2/mbr/p1/luks1" and
		.severity == "info"'
}

@test "an encrypted qcow2: its clusters are looked through, at addresses of disk and file" {
	head -c 4M /dev/urandom >plain
	for format in luks aes; do
		for try in 1 2 3 4 5; do # its clock may be too coarse for so short a time
			qemu-img convert -O qcow2 --object secret,id=s,data=secret \
				-o encrypt.format=$format,encrypt.key-secret=s$([ $format = aes ] || echo ,encrypt.iter-time=10) \
				plain disk.qcow2 2>/dev/null && break
		done
		[ $format = luks ] || [ -s disk.qcow2 ] || continue # old AES: not every QEMU makes it
		run_vdiskck check --data --json disk.qcow2
		expect_status 3
		expect_json 'map(select(.id // "" | startswith("ciphertext"))) == []'
		at=$(qemu-img map --output=json --image-opts --object secret,id=s,data=secret \
			driver=qcow2,encrypt.key-secret=s,file.filename=disk.qcow2 |
			jq 'map(select(.data))[0].offset // empty')
		[ -n "$at" ] || at=$($VDISKCK locate --json --at qcow2:0x110000 disk.qcow2 |
			jq -s 'map(select(.record == "location"))[0].where[0].offset - 1114112')
		put disk.qcow2 $((at + 0x110000)) 512 </dev/zero
		run_vdiskck check --data --json disk.qcow2
		expect_status 2
		expect_json 'map(select(.id == "ciphertext-overwritten")) | length == 1 and .[0].layer == "qcow2"'
		expect_json 'map(select(.id == "ciphertext-overwritten"))[0] | .offset == 1114112 and
			.where[0] == {layer: "disk.qcow2", offset: '$((at + 0x110000))', length: 512}'
		rm disk.qcow2
	done
}

@test "a sparse volume of 200 GiB takes no time" {
	luks1 a.img 1
	truncate -s 200G a.img
	run_vdiskck check --data --json a.img
	expect_status 3
	expect_json 'map(select(.id // "" | startswith("ciphertext")) | .id) == ["ciphertext-partly"]'
}

@test "an encrypted qcow2 in order, with its key: every pass over it, and it is intact" {
	mkdir -p "$OUT/root/etc"
	seq 200000 >"$OUT/root/etc/numbers"
	truncate -s 40M "$OUT/fs"
	mkfs.ext4 -q -d "$OUT/root" "$OUT/fs"
	printf hidden >"$OUT/secret"
	qemu-img convert -f raw -O qcow2 --object secret,id=s,file="$OUT/secret" \
		-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=50 "$OUT/fs" a.qcow2
	echo 'passphrase hidden' >"$OUT/keys"
	cat "$OUT/keys" >/dev/null # its access time moves now, not later
	run_vdiskck check --data a.qcow2 --keys "$OUT/keys"
	expect_status 0
	run_vdiskck triage a.qcow2 --keys "$OUT/keys" -o "$OUT/case"
	expect_status 0
}
