#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

dynamic_vhd() { # NAME
	qemu-img create -q -f vpc -o force_size=on "$1" 64M
	qemu-io -f vpc -c "write -P 7 0 1M" -c "write -P 9 20M 100k" "$1" >/dev/null
	qemu-img convert -q -f vpc -O raw "$1" "$OUT/truth"
}

lose_block_0() { printf '\x00\xff\xff\x00' | dd of="$1" bs=1 seek=1536 conv=notrunc status=none; }

@test "the disk, as qemu-img reads it, with holes and a map that says all is there" {
	dynamic_vhd a.vhd
	run_vdiskck export a.vhd -o "$OUT/disk"
	expect_status 0
	[ -z "$output" ]
	cmp "$OUT/disk" "$OUT/truth"
	[ "$(stat -c %s "$OUT/disk")" = 67108864 ]
	[ "$(du -k "$OUT/disk" | cut -f1)" -lt 4096 ]
	ddrescuelog -t "$OUT/disk.map" | grep -qE 'rescued: +67108 kB.*100'
}

@test "-o - is the same bytes in a pipe, and a file behind > too" {
	dynamic_vhd a.vhd
	"$VDISKCK" export a.vhd -o - | cmp - "$OUT/truth"
	"$VDISKCK" export a.vhd -o - >"$OUT/redirected"
	cmp "$OUT/redirected" "$OUT/truth"
}

@test "what is lost reads as zeros, is in the map, and makes exit 2" {
	dynamic_vhd a.vhd
	lose_block_0 a.vhd
	run_vdiskck export a.vhd -o "$OUT/disk" --json
	expect_status 2
	expect_json 'any(.record == "export" and .lost_bytes == 2097152 and .map == "'"$OUT"'/disk.map" and
		.lost == [{layer:"vhd", offset:0, length:2097152, state:"lost", why:"vhd-bat-past-end"}])'
	expect_json '.[-1] | .exit == 2 and .verdict == "damaged" and .lost_bytes == 2097152'
	cmp -n 2097152 "$OUT/disk" /dev/zero
	cmp -i 2097152 "$OUT/disk" "$OUT/truth"
	[ "$(ddrescuelog -l- -b 1048576 "$OUT/disk.map" | tr '\n' ' ')" = '0 1 ' ]
	run_vdiskck export a.vhd -o "$OUT/disk2"
	expect_text '2 MiB is lost and reads as zeros; see .*disk2.map'
}

@test "a bad sector costs that sector, in a file, in a pipe and to nowhere" {
	local program=${VDISKCK_PROGRAM:-$VDISKCK} image at how
	local shim=${program%/*}/eio_shim.so
	[ -e "$shim" ] || skip "no $shim"
	export ASAN_OPTIONS=verify_asan_link_order=0
	dynamic_vhd a.vhd
	qemu-img convert -q -O qcow2 "$OUT/truth" b.qcow2
	for image in a.vhd b.qcow2; do
		# The sector that holds the disk's byte 300000.
		at=$("$VDISKCK" locate --json "$image" --at "${image#*.}:300000" |
			jq -s 'map(.. | objects | select(.layer == "'"$image"'" and has("length")) | .offset) | first')
		at=$((at / 512 * 512))
		for how in "" EIO_SHORT=1; do
			fails() {
				status=0
				env LD_PRELOAD="$shim" EIO_PATH="$PWD/$image" EIO_RANGES=$at+512 $how \
					"$program" export "$image" --force "$@" 2>"$OUT/stderr" || status=$?
				[ $status = 2 ]
			}
			fails -o "$OUT/file"
			fails -o - --map "$OUT/pipe.map" | cat >"$OUT/pipe"
			fails -o /dev/null --map "$OUT/null.map"
			cmp "$OUT/file" "$OUT/pipe"
			cmp <(ddrescuelog -l- -b 512 "$OUT/file.map") <(ddrescuelog -l- -b 512 "$OUT/pipe.map")
			cmp <(ddrescuelog -l- -b 512 "$OUT/file.map") <(ddrescuelog -l- -b 512 "$OUT/null.map")
			[ "$(ddrescuelog -l- -b 512 "$OUT/pipe.map")" = $((300000 / 512)) ]
			[ "$(cmp -l "$OUT/pipe" "$OUT/truth" | wc -l)" = 512 ]
		done
	done
}

@test "--map puts the map elsewhere, for a pipe too" {
	dynamic_vhd a.vhd
	lose_block_0 a.vhd
	"$VDISKCK" export a.vhd -o - --map "$OUT/m" >/dev/null 2>&1 || [ $? = 2 ]
	ddrescuelog -t "$OUT/m" | grep -q 'bad-sector: *2097 kB'
}

@test "--at: a volume" {
	truncate -s 64M a.img
	printf 'label: dos\n2048,40960,7\n43008,,83\n' | sfdisk -q a.img
	printf 'hello' | dd of=a.img bs=1 seek=$((43008 * 512)) conv=notrunc status=none
	run_vdiskck export a.img --at mbr/p2 -o "$OUT/p2"
	expect_status 0
	cmp "$OUT/p2" <(tail -c +$((43008 * 512 + 1)) a.img)
	run_vdiskck export a.img --at mbr/p3 -o "$OUT/p3"
	expect_status 3
	expect_text 'no layer mbr/p3'
	[ ! -e "$OUT/p3" ]
}

@test "an existing file stays, --force overwrites it and its map" {
	dynamic_vhd a.vhd
	head -c 100M /dev/zero | tr '\0' x >"$OUT/disk"
	run_vdiskck export a.vhd -o "$OUT/disk"
	expect_status 3
	expect_text '--force'
	[ "$(head -c 1 "$OUT/disk")" = x ]
	run_vdiskck export a.vhd -o "$OUT/disk" --force
	expect_status 0
	cmp "$OUT/disk" "$OUT/truth"
	run_vdiskck export a.vhd -o "$OUT/new" --map "$OUT/disk.map"
	expect_status 3
}

@test "evidence is never overwritten: image, parent, data file, hard link, even with --force" {
	qemu-img create -q -f qcow2 base.qcow2 1M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	qemu-img create -q -f qcow2 -o data_file=data.raw,data_file_raw=on ext.qcow2 1M
	ln base.qcow2 link.qcow2
	ln -s "$DIR/base.qcow2" "$OUT/soft.qcow2"
	for o in top.qcow2 base.qcow2 link.qcow2 "$OUT/soft.qcow2"; do
		run_vdiskck export top.qcow2 -o "$o" --force
		expect_status 3
		expect_text 'is evidence'
		run_vdiskck export top.qcow2 -o "$OUT/x" --map "$o" --force
		expect_status 3
	done
	run_vdiskck export ext.qcow2 -o data.raw --force
	expect_status 3
	expect_text 'is evidence'
}

@test "a full disk is said, exit 3" {
	dynamic_vhd a.vhd
	run_vdiskck export a.vhd -o /dev/full
	expect_status 3
	expect_text '/dev/full, after .*: No space left on device'
}

@test "/dev/null takes everything" {
	dynamic_vhd a.vhd
	run_vdiskck export a.vhd -o /dev/null
	expect_status 0
}

@test "a reader that goes away ends it without a crash" {
	dynamic_vhd a.vhd
	"$VDISKCK" export a.vhd -o - 2>"$OUT/stderr" | head -c 5 >/dev/null
	[ "${PIPESTATUS[0]}" = 3 ]
	grep -q 'Broken pipe' "$OUT/stderr"
}

@test "an interrupt ends it soon and says what was done" {
	dynamic_vhd a.vhd
	mkfifo "$OUT/pipe"
	"$VDISKCK" export a.vhd -o "$OUT/pipe" 2>"$OUT/stderr" 3>&- &
	pid=$!
	exec 4<"$OUT/pipe"
	head -c 70000 <&4 >/dev/null # it is writing; now it waits for us
	kill -INT $pid
	status=0
	wait $pid || status=$?
	exec 4<&-
	[ "$status" = 3 ]
	grep -q 'run-interrupted' "$OUT/stderr"
	grep -q 'the rest was not written' "$OUT/stderr"
}

@test "bad usage: no -o, --json with -o -" {
	dynamic_vhd a.vhd
	run_vdiskck export a.vhd
	expect_status 3
	expect_text 'where to'
	run_vdiskck export a.vhd -o - --json
	expect_status 3
}

@test "every image of qemu-img's making: export equals qemu-img convert" {
	truncate -s 8M "$OUT/raw"
	for at in 0 65536 3000000 5000000; do
		head -c 100000 /dev/urandom | dd of="$OUT/raw" bs=100000 seek=$at oflag=seek_bytes conv=notrunc status=none iflag=fullblock
	done
	for o in "vpc -o subformat=fixed,force_size=on" "vpc -o force_size=on" "qcow2 -o compat=0.10" \
		"qcow2 -c" "qcow2 -o cluster_size=4k" "qcow2 -o extended_l2=on"; do
		qemu-img convert -q -f raw -O $o "$OUT/raw" a.img
		run_vdiskck export a.img -o "$OUT/got" --force
		expect_status 0
		cmp "$OUT/got" "$OUT/raw"
		run_vdiskck check a.img
		expect_status 0
	done
}
