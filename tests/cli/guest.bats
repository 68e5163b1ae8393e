#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# File systems that libguestfs reads. The appliance starts twice, for all the tests together: an
# extract of sound, encrypted and partly lost volumes, and a check of damaged ones.
load common

setup_file() {
	export WORK=$BATS_FILE_TMPDIR WHY=
	PATH=$PATH:/sbin:/usr/sbin
	if ! can_run; then
		echo "no appliance: $WHY" >&3
		return
	fi
	cd "$WORK" || return
	mkdir mnt tmp
	export TMPDIR=$WORK/tmp
	sound_image && damaged_image || { WHY="images can't be made here"; return; }
	status=0
	"$VDISKCK_PROGRAM" extract --json --guest=yes --keys keys --bad-map sound.map sound.img \
		1:/ 2:/ 3:/ 4:/ 5:/ -o out >extract.json 2>extract.err || status=$?
	echo $status >extract.status
	if grep -E "can't be read: .*(libguestfs|supermin|qemu|nbdkit)" extract.err; then
		WHY="the appliance does not start"
		return
	fi
	status=0
	"$VDISKCK_PROGRAM" check --json --guest=yes damaged.img >check.json 2>check.err || status=$?
	echo $status >check.status
}

can_run() {
	WHY=
	[[ $BUILD != */san ]] || WHY="nbdkit does not load a plugin with sanitizers by itself"
	[ "$(id -u)" = 0 ] || WHY="mounting needs root"
	ldconfig -p | grep -q libguestfs.so.0 || WHY="no libguestfs"
	[ -e "$BUILD/nbdkit-vdiskck-plugin.so" ] || WHY="no nbdkit plugin"
	ls /boot/vmlinuz-* /lib/modules/*/vmlinuz >/dev/null 2>&1 || [ -e "$(compgen -G '/boot/vmlinuz-*')" ] ||
		WHY="no kernel for the appliance"
	for tool in mkfs.xfs xfs_io xfs_db mkfs.btrfs sload.f2fs; do
		command -v $tool >/dev/null || WHY="no $tool"
	done
	[ -z "$WHY" ]
}

setup() {
	[ -z "$WHY" ] || skip "$WHY"
	cd "$WORK" || return
}

tree() { # DIR SEED
	mkdir -p "$1/folder/deep"
	seq "$2" 90000 >"$1/folder/deep/numbers"
	head -c 3000000 /dev/urandom >"$1/noise"
	truncate -s 5M "$1/holes"
	printf end >>"$1/holes"
	ln -s deep/numbers "$1/folder/link"
	printf 'latin-1: \xe9' >"$1/$(printf 'caf\xe9')"
	mkdir "$1/many"
	for i in {100..500}; do echo "$i" >"$1/many/name-of-file-$i"; done
}

sums() { (cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum) }

# A mounted file system with a tree; what is in it goes to NAME.sums.
filled() { # IMAGE SEED
	mount -o loop "$1" mnt || return 1
	tree mnt "$2"
	sums mnt >"$1.sums"
	umount mnt
}

put() { dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none; }

# GPT: XFS, btrfs, F2FS, ext4 for us, LUKS with XFS. Of the first, a file's data and a folder are lost.
sound_image() {
	truncate -s 320M x
	mkfs.xfs -q x && filled x 1 || return 1
	truncate -s 128M b f
	mkfs.btrfs -q b && filled b 2 || return 1
	mkfs.f2fs -q f >/dev/null && mkdir t && tree t 3 && sload.f2fs -f t f >/dev/null || return 1
	sums t >f.sums
	truncate -s 16M e
	mke2fs -qF -t ext4 -d t/folder e
	printf hidden >secret
	echo 'passphrase hidden' >keys
	truncate -s 320M y
	mkfs.xfs -q y && filled y 5 || return 1
	qemu-img convert -f raw -O luks --object secret,id=s,file=secret \
		-o key-secret=s,iter-time=10 y luks
	truncate -s 940M sound.img
	sfdisk -q sound.img <<-END
		label: gpt
		start=1MiB, size=320MiB
		start=321MiB, size=128MiB
		start=449MiB, size=128MiB
		start=577MiB, size=16MiB
		start=593MiB, size=$(($(stat -c %s luks) / 512))
	END
	put x sound.img 1 && put b sound.img 321 && put f sound.img 449 && put e sound.img 577 &&
		put luks sound.img 593
	noise=$(block_of x "$(inode_of x.ino noise)")
	many=$(block_of x "$(inode_of x.ino many)")
	# One page in the middle of the file, and the folder's first block.
	lost_map $((1048576 + noise * 4096 + 1000 * 512)) 4096 $((1048576 + many * 4096)) 4096 >sound.map
}

inode_of() { # FILE-WITH-INODES NAME
	[ -e "$1" ] || { mount -o loop,ro x mnt; stat -c '%i %n' mnt/* >"$1"; umount mnt; }
	awk -v n="mnt/$2" '$2 == n { print $1 }' "$1"
}

# The first block of an inode's data fork, in blocks of the device.
block_of() { # XFS-IMAGE INODE
	local fsb
	fsb=$(xfs_db -r -c "inode $2" -c bmap "$1" | sed -n 's/.*startblock \([0-9]*\).*/\1/p' | head -1)
	xfs_db -r -c "convert fsblock $fsb daddr" "$1" | sed -n 's/.*(\([0-9]*\)).*/\1/p' |
		awk '{ print $1 / 8 }'
}

lost_map() { # OFF LEN OFF LEN
	local a=$1 al=$2 b=$3 bl=$4
	[ "$a" -lt "$b" ] || { a=$3 al=$4 b=$1 bl=$2; }
	echo '0x0 + 1'
	echo "0 $a +"
	echo "$a $al -"
	echo "$((a + al)) $((b - a - al)) +"
	echo "$b $bl -"
	echo "$((b + bl)) $((940 * 1048576 - b - bl)) +"
}

# XFS with a wrong count; btrfs without its second root; F2FS; XFS whose log is torn; one without
# a good superblock.
damaged_image() {
	for n in count torn super; do
		truncate -s 320M d.$n
		mkfs.xfs -q d.$n && filled d.$n 1 || return 1
	done
	xfs_db -x -c 'agf 0' -c 'write -d freeblks 7' d.count >/dev/null
	mount -o loop d.torn mnt || return 1
	seq 1 1000 >mnt/late
	mkdir mnt/late-folder
	xfs_io -x -c 'shutdown -f' mnt
	umount mnt
	log=$(xfs_db -r -c sb -c 'p logstart' d.torn | awk '{ print $3 }')
	log=$(xfs_db -r -c "convert fsblock $log daddr" d.torn | sed -n 's/.*(\([0-9]*\)).*/\1/p')
	# The last record's header promises another length than there is.
	python3 - "$((log * 512))" <<-'END'
		import sys
		with open('d.torn', 'r+b') as f:
		    at = int(sys.argv[1])
		    f.seek(at)
		    log = f.read(4 << 20)
		    for i in range(0, len(log), 512):
		        if log[i:i + 4] == b'\xfe\xed\xba\xbe':
		            f.seek(at + i + 4)
		            f.write(b'\xff' * 28)
	END
	printf '\xff\xff\xff' | dd of=d.super bs=1 seek=150 conv=notrunc status=none
	truncate -s 128M d.tree
	mkfs.btrfs -q -m single d.tree && filled d.tree 2 || return 1
	# A leaf of the tree of files: the first one that is not in use by mounting.
	at=$(btrfs inspect-internal dump-tree -t 5 d.tree | sed -n 's/^leaf \([0-9]*\) .*/\1/p' | tail -1)
	at=$(btrfs-map-logical -l "$at" d.tree | sed -n 's/.*physical \([0-9]*\) .*/\1/p' | head -1)
	printf 'garbage' | dd of=d.tree bs=1 seek=$((at + 200)) conv=notrunc status=none
	truncate -s 1400M damaged.img
	sfdisk -q damaged.img <<-END
		label: gpt
		start=1MiB, size=320MiB
		start=321MiB, size=320MiB
		start=641MiB, size=320MiB
		start=961MiB, size=128MiB
		start=1089MiB, size=128MiB
	END
	put d.count damaged.img 1 && put d.torn damaged.img 321 && put d.super damaged.img 641 &&
		put d.tree damaged.img 961 && put f damaged.img 1089
}

# The files of volume N have these sums; but for those that match PATTERN.
expect_sums() { # FOLDER SUMS [PATTERN]
	diff <(sums "$1" | sed 's/caf%E9/caf\xe9/' | grep -av "${3:-^$}") <(grep -av "${3:-^$}" "$2")
}

@test "guest: every file of btrfs and F2FS is as the kernel here has it, and as it was put in" {
	expect_sums out/raw/gpt/p2/btrfs b.sums
	expect_sums out/raw/gpt/p3/f2fs f.sums
	[ "$(readlink out/raw/gpt/p2/btrfs/folder/link)" = deep/numbers ]
}

@test "guest: encrypted XFS is read with the keys of the run" {
	expect_sums out/raw/gpt/p5/luks1/xfs y.sums
}

@test "guest: of partly lost XFS all but the lost page and the lost folder is there" {
	expect_sums out/raw/gpt/p1/xfs x.sums '/many/\|/noise'
	jq -se 'map(select(.record == "file" and (.path | endswith("/noise")) and .lost == 4096))
		| length == 1' extract.json
	cmp <(head -c 512000 out/raw/gpt/p1/xfs/noise) <(dd if=x bs=4096 skip="$(block_of x "$(inode_of x.ino noise)")" \
		count=125 status=none)
	jq -se 'any(.id == "guest-folder" and .path == "/many")' extract.json
	[ "$(cat extract.status)" = 2 ]
}

@test "guest: what we read ourselves is not asked of the appliance" {
	jq -se 'any(.layer == "raw/gpt/p4/ext4") and any(.layer == "raw/gpt/p1/xfs" and
		.file_system == "xfs" and (.read_by | startswith("libguestfs")))' extract.json
	lacks 'p4 holds' <extract.err
	grep -q 'raw/gpt/p1 holds xfs.*appliance starts' extract.err
}

@test "guest: the formats' own tools become findings" {
	jq -se 'any(.id == "guest-check-tool" and .layer == "raw/gpt/p1/xfs" and
		(.message | contains("xfs_repair")))' check.json
	jq -se 'any(.id == "guest-check-tool" and .layer == "raw/gpt/p4/btrfs" and
		(.message | contains("btrfs check")))' check.json
	jq -se 'any(.id == "guest-not-checked" and .layer == "raw/gpt/p5/f2fs")' check.json
	[ "$(cat check.status)" = 2 ]
}

@test "guest: a torn log, and what no kernel mounts" {
	jq -se 'any(.id == "guest-not-replayed" and .layer == "raw/gpt/p2/xfs")' check.json
	jq -se 'any(.id == "guest-mount-failed" and (.layer | startswith("raw/gpt/p3")))' check.json
}

@test "guest: nothing is left behind" {
	[ -z "$(pgrep -f "$WORK/tmp")" ]
	[ -z "$(ls tmp)" ]
}

@test "guest: --guest=no starts nothing; what is missing is said" {
	DIR=$BATS_TEST_TMPDIR/evidence
	export OUT=$BATS_TEST_TMPDIR/out
	mkdir -p "$DIR" "$OUT"
	cp --sparse=always "$WORK/x" "$DIR/v.img"
	cd "$DIR" || return
	run_vdiskck ls --guest=no v.img
	expect_status 3
	expect_text 'no file system that this version reads'
	run_vdiskck ls --guest=maybe v.img
	expect_status 3
	expect_text 'guest maybe: auto, yes or no'
	status=0
	PATH=/nowhere "$VDISKCK_PROGRAM" ls v.img 2>"$OUT/err" || status=$?
	[ "$status" = 3 ]
	grep -q "v.img: xfs on raw can't be read: nbdkit is not installed" "$OUT/err"
}
