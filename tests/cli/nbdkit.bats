#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The nbdkit plugin: what it serves is what `export` writes, and what is lost answers EIO.
load common
load files

setup_file() {
	PLUGIN=${BUILD:-$BATS_TEST_DIRNAME/../../build}/nbdkit-vdiskck-plugin.so
	export PLUGIN
	[ -e "$PLUGIN" ] || skip "built without nbdkit's header"
	command -v nbdcopy nbdinfo >/dev/null || skip "no nbdcopy"
}

teardown() {
	local p
	for p in "$BATS_TEST_TMPDIR"/*.pid; do
		[ ! -e "$p" ] || kill -9 "$(cat "$p")" 2>/dev/null || true
	done
}

# nbdkit itself is no build of ours: a plugin with sanitizers needs their library first.
nbdkit_with_plugin() { # ARGUMENT...
	local first=
	[[ $PLUGIN != */san/* ]] || first=$(gcc -print-file-name=libasan.so)
	LD_PRELOAD=$first ASAN_OPTIONS=detect_leaks=0 nbdkit "$@"
}

# Serve an image on $SOCKET until the test ends; on a new one each time.
serve() { # PARAMETER...
	SOCKET=$BATS_TEST_TMPDIR/$((++SERVED))
	URI="nbd+unix:///?socket=$SOCKET"
	nbdkit_with_plugin -r -U "$SOCKET" -P "$SOCKET.pid" "$PLUGIN" "$@"
}

layer_uri() { echo "nbd+unix:///$1?socket=$SOCKET"; }

# What is served at LAYER and what `export` writes are the same.
same_as_export() { # IMAGE LAYER
	"$VDISKCK" export -q "$1" --at "$2" -o "$OUT/export"
	nbdcopy "$(layer_uri "$2")" "$OUT/served"
	cmp "$OUT/export" "$OUT/served"
	rm "$OUT/export" "$OUT/export.map" "$OUT/served"
}

@test "every layer of a VHD is an export, equal to what export writes" {
	fat_vhd node.vhd
	serve image=node.vhd
	same_as_export node.vhd vhd
	same_as_export node.vhd vhd/mbr/p1
	same_as_export node.vhd vhd/mbr/p1/fat
	qemu-img compare -f raw -F raw "$OUT/disk" "$URI"
	nbdinfo --json --list "$URI" >"$OUT/list"
	jq -e '[.exports[]."export-name"] | index("vhd/mbr/p1/fat")' "$OUT/list"
	nbdinfo --json "$URI" >"$OUT/info"
	jq -e '.exports[0] | ."is_read_only" and ."can_multi_conn" and
		."block_size_minimum" == 1 and ."block_size_preferred" == 4096' "$OUT/info"
}

@test "at= chooses the layer of the nameless export; holes are told" {
	truncate -s 64M flat
	dd if=/dev/urandom of=flat bs=1M count=1 seek=5 conv=notrunc status=none
	qemu-img convert -f raw -O qcow2 flat disk.qcow2
	serve disk.qcow2 at=qcow2
	qemu-img compare -f raw -F raw flat "$URI"
	nbdinfo --map --totals --json "$URI" >"$OUT/totals"
	jq -e '(map(select(.description == "hole,zero"))[0].size == 63 * 1048576) and
		(map(select(.description == "data"))[0].size == 1048576)' "$OUT/totals"
	qemu-img map --output=json -f raw "$URI" >"$OUT/map"
	jq -e 'map(select(.data)) | length == 1 and .[0].start == 5 * 1048576' "$OUT/map"
}

@test "a child is served with its parent from another folder" {
	mkdir parents
	head -c 300000 /dev/urandom >flat
	truncate -s 4M flat
	qemu-img convert -f raw -O qcow2 flat parents/base.qcow2
	qemu-img create -q -f qcow2 -b parents/base.qcow2 -F qcow2 child.qcow2
	qemu-io -c 'write -q -P 7 2M 64k' child.qcow2
	qemu-img convert -O raw child.qcow2 "$OUT/whole"
	qemu-img rebase -u -F qcow2 -b base.qcow2 child.qcow2
	serve image=child.qcow2 chain=parents
	qemu-img compare -f raw -F raw "$OUT/whole" "$URI"
}

@test "keys come from a file or a descriptor; a locked layer is no export" {
	head -c 2M /dev/urandom >"$OUT/plain"
	printf hidden >"$OUT/secret"
	qemu-img convert -f raw -O luks --object secret,id=s,file="$OUT/secret" \
		-o key-secret=s,iter-time=10 "$OUT/plain" locked.img
	echo 'passphrase hidden' >"$OUT/keys"
	serve image=locked.img at=luks1 keys="$OUT/keys"
	nbdcopy "$URI" "$OUT/got"
	cmp "$OUT/plain" "$OUT/got"
	serve image=locked.img at=luks1 keys=fd:7 7<"$OUT/keys"
	nbdcopy "$URI" "$OUT/got"
	cmp "$OUT/plain" "$OUT/got"
}

@test "lost bytes answer EIO, all others are served; lost=zero gives zeros" {
	head -c 4M /dev/urandom >"$OUT/flat"
	qemu-img convert -f raw -O qcow2 -o cluster_size=65536 "$OUT/flat" disk.qcow2
	# The L2 entry of the third cluster points far outside.
	l2=$(("$(od -An -tu8 --endian=big -j "$(od -An -tu8 --endian=big -j 40 -N 8 disk.qcow2 |
		tr -d ' ')" -N 8 disk.qcow2 | tr -d ' ')" & 0xfffffffffffe00))
	printf '\x80\x00\x00\x7f\xff\xff\x00\x00' |
		dd of=disk.qcow2 bs=1 seek=$((l2 + 16)) conv=notrunc status=none
	serve image=disk.qcow2
	for at in 0 65536 131072 196608 $((4 * 1048576 - 65536)); do
		run qemu-io -r -f raw -c "read $at 65536" "$URI"
		if [ $at = 131072 ]; then
			[[ $output == *"Input/output error"* ]]
		else
			[[ $output == *"read 65536/65536"* ]]
		fi
	done
	# The bytes on both sides of what is lost, to the last one.
	qemu-io -r -f raw -c 'read 131071 1' -c 'read 196608 1' "$URI" | lacks error
	for at in 131072 196607; do
		run qemu-io -r -f raw -c "read $at 1" "$URI"
		[[ $output == *"Input/output error"* ]]
	done
	nbdinfo --map --json "$URI" >"$OUT/map"
	jq -e 'all(.type == 0)' "$OUT/map" # lost is no hole
	run nbdcopy "$URI" "$OUT/served"
	[ "$status" != 0 ]
	serve image=disk.qcow2 lost=zero
	nbdcopy "$URI" "$OUT/served"
	run "$VDISKCK" export -q disk.qcow2 -o "$OUT/export"
	cmp "$OUT/export" "$OUT/served"
}

@test "unread areas of a ddrescue map answer EIO" {
	head -c 1M /dev/urandom >copy.img
	printf '0x0 + 1\n0x0 0x40000 +\n0x40000 0x200 -\n0x40200 0xbfe00 +\n' >copy.map
	serve image=copy.img bad-map=copy.map
	run qemu-io -r -f raw -c 'read 0x40000 512' "$URI"
	[[ $output == *"Input/output error"* ]]
	qemu-io -r -f raw -c 'read 0 0x40000' -c 'read 0x40200 0xbfe00' "$URI" | lacks error
}

@test "file systems in a damaged container are mounted through nbdfuse" {
	[ "$(id -u)" = 0 ] && [ -e /dev/fuse ] && command -v nbdfuse >/dev/null ||
		skip "no FUSE to mount with"
	mkdir -p tree/folder "$OUT/file" "$OUT/mnt"
	seq 1 20000 >tree/folder/numbers
	truncate -s 24M "$OUT/flat"
	mke2fs -qF -t ext4 -d tree "$OUT/flat"
	qemu-img convert -f raw -O vpc -o force_size=on "$OUT/flat" v.vhd
	# The footer at the end is lost: the copy at the front says the same.
	truncate -s -512 v.vhd
	serve image=v.vhd at=vhd
	nbdfuse "$OUT/file/nbd" "$URI" &
	for ((i = 0; i < 100; i++)); do [ -s "$OUT/file/nbd" ] && break; sleep 0.1; done
	if ! mount -o ro,loop,noload "$OUT/file/nbd" "$OUT/mnt"; then
		fusermount3 -u "$OUT/file" || umount "$OUT/file"
		skip "no loop devices"
	fi
	sum=$(sha256sum <"$OUT/mnt/folder/numbers")
	umount "$OUT/mnt"
	fusermount3 -u "$OUT/file" || umount "$OUT/file"
	wait
	[ "$sum" = "$(seq 1 20000 | sha256sum)" ]
}

@test "what is wrong is said before nbdkit serves anything; secrets are not taken as parameters" {
	[[ $PLUGIN != */san/* ]] || skip "libp11-kit deadlocks at exit under AddressSanitizer"
	fat_vhd node.vhd
	printf hidden >"$OUT/secret"
	head -c 1M /dev/zero >"$OUT/plain"
	qemu-img convert -f raw -O luks --object secret,id=s,file="$OUT/secret" \
		-o key-secret=s,iter-time=10 "$OUT/plain" locked.img
	for wrong in image=none.vhd "image=node.vhd at=vhd/gpt" "image=node.vhd keys=nokeys" \
		"image=node.vhd lost=maybe" "image=node.vhd size=3" "" "locked.img at=luks1" \
		"locked.img passphrase=hidden"; do
		# shellcheck disable=SC2086 # several parameters
		run nbdkit_with_plugin -f -U - "$PLUGIN" $wrong --run true
		[ "$status" != 0 ] || { echo "took $wrong"; return 1; }
		[[ $output == *"nbdkit: "*error:* ]] || { echo "$wrong: $output"; return 1; }
		[[ $output != *hidden* ]] || { echo "told the secret: $output"; return 1; }
	done
}

@test "the manual page has every parameter of the plugin" {
	nbdkit_with_plugin --dump-plugin "$PLUGIN" | grep -q '^max_thread_model=parallel'
	mandoc -T utf8 "$MAN/nbdkit-vdiskck-plugin.1" | sed 's/.\x08//g' >"$OUT/text"
	nbdkit_with_plugin "$PLUGIN" --help | sed -n '/IMAGE/,$s/^[[]*\([a-z-]*=\).*/\1/p' >"$OUT/known"
	[ "$(wc -l <"$OUT/known")" -ge 7 ]
	while read -r p; do
		grep -qE "^ +$p" "$OUT/text" || { echo "parameter $p: missing"; return 1; }
	done <"$OUT/known"
}
