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

# A port that nobody listens on, for this test's server.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# A certificate authority in $D/NAME, and what it signed for a server.
authority() { # NAME
	mkdir -p "$D/$1"
	printf 'cn = %s\nca\ncert_signing_key\nexpiration_days = 30\n' "$1" >"$D/$1/ca.info"
	printf 'cn = localhost\ndns_name = localhost\ntls_www_server\nencryption_key\nsigning_key\nexpiration_days = 30\n' >"$D/$1/server.info"
	(
		cd "$D/$1"
		certtool --generate-privkey --key-type ecdsa --outfile ca-key.pem
		certtool --generate-privkey --key-type ecdsa --outfile server-key.pem
		certtool --generate-self-signed --load-privkey ca-key.pem --template ca.info --outfile ca-cert.pem
		certtool --generate-certificate --load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem \
			--load-privkey server-key.pem --template server.info --outfile server-cert.pem
	) 2>/dev/null
	mkdir "$D/$1-client"
	cp "$D/$1/ca-cert.pem" "$D/$1-client/"
}

@test "TCP with TLS: certificates of qemu-nbd, keys of nbdkit; no talk with others" {
	begin
	command -v certtool psktool >/dev/null || skip "no gnutls-bin"
	local port name
	head -c 2M /dev/urandom >"$D/a.raw"
	run_vdiskck seal "$D/a.raw" -o "$OUT/s"
	authority ours
	authority other
	port=$(free_port)
	qemu-nbd --read-only --persistent -x disk -f raw -b 127.0.0.1 -p "$port" --pid-file="$D/pid" --fork \
		--object tls-creds-x509,id=tls,endpoint=server,dir="$D/ours",verify-peer=no --tls-creds tls "$D/a.raw" 3>&- 4>&-
	run_vdiskck scrub "nbds://localhost:$port/disk?tls-certificates=$D/ours-client" --seal "$OUT/s" --format raw --quick --json
	expect_status 0
	expect_json 'any(.record == "scrub" and .intact == 32)'
	run_vdiskck scrub "nbds://localhost:$port/disk?tls-certificates=$D/other-client" --seal "$OUT/s" --format raw --quick
	expect_status 3
	expect_text 'certificate'
	run_vdiskck info "nbd://localhost:$port/disk"
	expect_status 3
	expect_text 'requires TLS'
	# Encrypted, but with whom?
	for name in "" "?tls-certificates=$D/none" "?tls-certificates=" "?tls-certificates=$D/keys.psk"; do
		HOME=$D run_vdiskck info "nbds://localhost:$port/disk$name"
		expect_status 3
		expect_text 'nothing vouches for the server'
	done
	stop
	command -v nbdkit >/dev/null || return 0
	psktool -u alice -p "$D/keys.psk" >/dev/null 2>&1
	port=$(free_port)
	nbdkit -r -i 127.0.0.1 -p "$port" -P "$D/pid" --tls=require --tls-psk="$D/keys.psk" file "$D/a.raw" 3>&- 4>&-
	run_vdiskck scrub "nbds://alice@localhost:$port/?tls-psk-file=$D/keys.psk" --seal "$OUT/s" --format raw --quick --json
	expect_status 0
	expect_json 'any(.record == "scrub" and .intact == 32)'
}
