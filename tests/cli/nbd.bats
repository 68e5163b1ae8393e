#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An NBD export as the image: qemu-nbd and nbdkit serve it, on a socket of their own.
load common

D=

begin() {
	command -v qemu-nbd >/dev/null || skip "no qemu-nbd"
	D=$(mktemp -d /tmp/vdiskck-nbd-XXXXXX) # the path of a socket has at most 107 bytes
	URI="nbd+unix:///disk?socket=$D/socket"
}

teardown() {
	stop
	rm -rf "${D:?}"
}

disk() { # NAME: 64 MiB, 20 of them random
	truncate -s 64M "$1"
	head -c 20M /dev/urandom | dd of="$1" bs=1M seek=8 conv=notrunc iflag=fullblock status=none
}

serve() { # QEMU-NBD-ARGUMENTS...
	qemu-nbd --read-only --persistent -x disk -k "$D/socket" --pid-file="$D/pid" --fork "$@" 3>&- 4>&-
}

stop() {
	local pid
	[ -s "${D:-/nowhere}/pid" ] || return 0
	pid=$(cat "$D/pid")
	kill "$pid" 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
	rm -f "$D/pid" "$D/socket"
}

found() { # ID: "offset+length" of its findings, sorted
	jq -r 'select(.record == "finding" and .id == "'"$1"'") | "\(.offset)+\(.length)"' <<<"$output" | sort -n | xargs
}

@test "an export is a disk: info, export, and the seal that its image has" {
	begin
	disk "$D/a.raw"
	qemu-img convert -O qcow2 "$D/a.raw" "$D/a.qcow2"
	serve -f qcow2 "$D/a.qcow2"
	run_vdiskck info "$URI" --json
	expect_status 0
	expect_json 'any(.kind == "source" and .type == "NBD export" and .size == 67108864)'
	run_vdiskck export "$URI" -o "$OUT/out"
	expect_status 0
	cmp "$D/a.raw" "$OUT/out"
	# Zeros of the export are not asked for: they are holes here.
	[ "$(stat -c %b "$OUT/out")" -lt $((22 << 11)) ]
	run_vdiskck seal "$URI" -o "$OUT/s"
	expect_status 0
	run_vdiskck seal "$D/a.raw" -o "$OUT/t"
	[ "$("$VDISKCK" seal --root "$OUT/s")" = "$("$VDISKCK" seal --root "$OUT/t")" ]
}

@test "a dirty bitmap that the server shows decides between rot and writes" {
	begin
	disk "$D/a.raw"
	qemu-img convert -O qcow2 "$D/a.raw" "$D/a.qcow2"
	serve -f qcow2 "$D/a.qcow2"
	run_vdiskck seal "$URI" -o "$OUT/s"
	stop
	qemu-img bitmap --add -g 64K "$D/a.qcow2" scrub0
	qemu-io -f qcow2 -c 'write -P 5 10M 4k' -c 'write -P 6 40M 300k' "$D/a.qcow2" >/dev/null
	local at
	at=$("$VDISKCK" locate --json "$D/a.qcow2" --at qcow2:20000000 | jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	printf rotten | dd of="$D/a.qcow2" bs=1 seek="$at" conv=notrunc status=none
	serve -f qcow2 -B scrub0 "$D/a.qcow2"
	for name in scrub0 qemu:dirty-bitmap:scrub0; do
		run_vdiskck scrub "$URI" --seal "$OUT/s" --bitmap $name --json
		expect_status 2
		[ "$(found scrub-rot)" = "$((20000000 / 4096 * 4096))+4096" ]
		expect_json 'any(.record == "scrub" and .written == 6 and .rot == 1 and .account == "'$name'")'
	done
	# Without the bitmap nobody knows.
	run_vdiskck scrub "$URI" --seal "$OUT/s" --json
	expect_status 3
	expect_json 'any(.record == "scrub" and .changed == 7 and .rot == 0)'
	run_vdiskck scrub "$URI" --seal "$OUT/s" --bitmap other
	expect_status 3
	expect_text 'the server does not have it'
}

@test "a bitmap of an export says nothing of what is stored inside it" {
	begin
	disk "$D/a.raw"
	qemu-img convert -O qcow2 "$D/a.raw" "$D/a.qcow2"
	serve -f raw "$D/a.qcow2"
	run_vdiskck seal "$URI" -o "$OUT/s"
	expect_status 0
	run_vdiskck scrub "$URI" --seal "$OUT/s" --bitmap scrub0
	expect_status 3
	expect_text 'it is of the export, not of this layer'
}

@test "no server, no such export, one that goes away: errors, not damage" {
	begin
	run_vdiskck info "$URI"
	expect_status 3
	expect_text "$D/socket.*No such file"
	disk "$D/a.raw"
	serve -f raw "$D/a.raw"
	run_vdiskck info "nbd+unix:///other?socket=$D/socket"
	expect_status 3
	expect_text "no export named 'other'"
}

@test "what the server can't read is lost, the rest is read; blocks of 4096 bytes are kept to" {
	begin
	command -v nbdkit >/dev/null || skip "no nbdkit"
	head -c 2M /dev/urandom >"$D/a.raw"
	run_vdiskck seal "$D/a.raw" -o "$OUT/s"
	# A server of its own writing: 4 KiB from 1 MiB on can't be read.
	cat >"$D/plugin.sh" <<-END
		#!/bin/bash
		case \$1 in
		get_size) echo 2M ;;
		pread) [ \$((\$4)) -lt 1052672 ] && [ \$((\$4 + \$3)) -gt 1048576 ] && { echo EIO bad >&2; exit 1; }
			dd if=$D/a.raw iflag=skip_bytes,count_bytes skip=\$4 count=\$3 bs=64k status=none ;;
		*) exit 2 ;;
		esac
	END
	chmod +x "$D/plugin.sh"
	nbdkit -r -U "$D/socket" -P "$D/pid" --filter=blocksize-policy sh "$D/plugin.sh" \
		blocksize-minimum=4096 blocksize-error-policy=error 3>&- 4>&- 2>/dev/null
	run_vdiskck scrub "nbd+unix://?socket=$D/socket" --seal "$OUT/s" --quick --json --format raw
	expect_status 2
	[ "$(found scrub-unreadable)" = "1048576+65536" ]
	[ "$(found source-unreadable)" = "1048576+4096" ]
	expect_json 'any(.record == "scrub" and .intact == 31 and .unreadable == 1)'
}
