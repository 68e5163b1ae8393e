#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make the small valid images that fuzzing starts from; tests/fuzz/seeds.sh DIR
set -eu
dir=$1 here=$(cd "$(dirname "$0")" && pwd)
[ -e "$dir/.made" ] && [ "$dir/.made" -nt "$0" ] && [ "$dir/.made" -nt "$here/seeds.py" ] && exit 0
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"

image() { # NAME FORMAT OPTIONS SIZE [QEMU-IO COMMAND]...
	local name=$1 format=$2 options=$3 size=$4 command
	shift 4
	qemu-img create -q -f "$format" ${options:+-o "$options"} "$name" "$size"
	for command in "$@"; do qemu-io -f "$format" -c "$command" "$name" >/dev/null; done
}

# qcow2: clusters of 512 bytes keep a whole image in a few KiB; tables are tables of any size.
c=cluster_size=512
image q2-v2 qcow2 "compat=0.10,$c" 256k 'write -P 1 0 1k' 'write -P 2 100k 3k'
image q2-v3 qcow2 "$c" 256k 'write -P 1 0 1k' 'write -z 8k 4k' 'write -P 2 200k 3k'
image q2-pre qcow2 "$c,preallocation=metadata" 64k
image q2-zlib qcow2 "$c" 64k 'write -c -P 1 0 512' 'write -c -P 2 1k 512'
image q2-zstd qcow2 "cluster_size=4k,compression_type=zstd" 64k 'write -c -P 1 0 4k' 'write -c -P 2 8k 4k'
image q2-sub qcow2 "cluster_size=16k,extended_l2=on" 64k 'write -P 1 0 512' 'write -z 1k 512'
for bits in 1 2 4 8 32 64; do
	image q2-ref$bits qcow2 "$c,refcount_bits=$bits" 32k 'write -P 1 0 1k'
done
image q2-lazy qcow2 "$c,lazy_refcounts=on" 32k 'write -P 1 0 1k'
image q2-data qcow2 "$c,data_file=q2-data.raw,data_file_raw=on" 32k 'write -P 1 0 1k'
rm -f q2-data.raw
image q2-snap qcow2 "$c" 64k 'write -P 1 0 1k'
qemu-img snapshot -c one q2-snap
qemu-io -f qcow2 -c 'write -P 2 0 2k' q2-snap >/dev/null
qemu-img snapshot -c two q2-snap
image q2-bitmap qcow2 "$c" 64k
qemu-img bitmap --add -g 512 q2-bitmap map0
qemu-io -f qcow2 -c 'write -P 1 0 1k' q2-bitmap >/dev/null
image base.raw raw '' 64k
image q2-back qcow2 "$c,backing_file=base.raw,backing_fmt=raw" 64k 'write -P 1 0 1k'
rm -f base.raw
qemu-img create -q -f qcow2 --object secret,id=s,data=x \
	-o "$c,encrypt.format=aes,encrypt.key-secret=s" q2-aes 32k
image vpc vpc '' 4M
image vpc-fixed vpc subformat=fixed 64k
for f in qed vmdk vdi qcow parallels; do image "$f" "$f" '' 1M; done
truncate -s 4K vmdk vdi parallels qed

disk() { # NAME SFDISK-INPUT
	truncate -s 128K "$1"
	printf '%b' "$2" | sfdisk -q "$1" >/dev/null
}
id=11111111-2222-3333-4444-55555555555
disk mbr 'label: dos\nlabel-id: 1\nstart=8,size=16,type=83\nstart=32,size=64,type=7,bootable\n'
disk ebr "label: dos\nlabel-id: 1\nstart=8,size=16\nstart=32,size=200,type=5\n\
start=40,size=16\nstart=64,size=16\nstart=96,size=32\n"
disk gpt "label: gpt\nlabel-id: ${id}0\nstart=34,size=16,uuid=${id}1\n\
start=64,size=32,name=\"two\",uuid=${id}2\n"
truncate -s 128K gpt4k
printf 'g\nn\n1\n8\n12\nw\n' | fdisk -b 4096 gpt4k >/dev/null
# FAT small enough to be mutated as a whole: FAT16 has 4085 clusters at least.
for f in 12 32; do
	truncate -s $((f == 12 ? 64 : 160))K fat$f
	mkfs.vfat -F $f -s 1 -f 2 -R $((f == 32 ? 8 : 1)) -n LABEL fat$f >/dev/null 2>&1
	[ $f = 12 ] || continue # mtools takes such a small FAT32 for FAT12
	echo text | MTOOLS_SKIP_CHECK=1 mcopy -i fat$f - '::A long name.txt'
	MTOOLS_SKIP_CHECK=1 mmd -i fat$f ::DIR
	seq 1 500 | MTOOLS_SKIP_CHECK=1 mcopy -i fat$f - ::DIR/numbers
	seq 1 900 | MTOOLS_SKIP_CHECK=1 mcopy -i fat$f - ::gone
	MTOOLS_SKIP_CHECK=1 mdel -i fat$f ::gone
done
# NTFS: the smallest volume has 2 MiB; $MFT begins at 16 KiB of it, so what is behind may be cut off.
for c in 512 4096; do
	truncate -s 2M whole
	mkntfs -F -q -s 512 -c $c whole >/dev/null 2>&1
	seq 1 100 >text
	seq 1 900 >numbers
	ntfscp -f whole text /resident
	ntfscp -f whole numbers /numbers
	ntfscp -f -N stream whole numbers /resident
	head -c 128K whole >ntfs$c
	{ printf "\2"; tail -c +16385 whole | head -c 100K; } >ntfs-records$c
	rm whole text numbers
done
truncate -s 256K exfat
mkfs.exfat -c 512 -b 4096 --pack-bitmap exfat >/dev/null 2>&1 || rm -f exfat
# ext2 and ext4 with what fits without a journal, which takes a megabyte.
mkdir tree tree/folder
echo text >tree/file
seq 1 3000 >tree/folder/numbers
ln -s file tree/link
ext() { # NAME OPTIONS
	truncate -s 100K "$1"
	# shellcheck disable=SC2086
	mke2fs -qF -b 1024 -N 24 -O ^has_journal $2 -d tree "$1" 2>/dev/null
}
ext ext2 '-t ext2'
ext ext2-old '-t ext2 -r 0'
ext ext4 '-t ext4'
ext ext4-plain '-t ext4 -O ^metadata_csum,^64bit,^resize_inode'
ext ext4-inline '-t ext4 -O inline_data,^metadata_csum'
ext ext4-bigalloc '-t ext4 -O bigalloc -C 2048'
ext ext4-groups '-t ext4 -g 256 -O meta_bg,^resize_inode,^metadata_csum'
# A journal that is too small for mke2fs, empty but for fast commits, as a file.
ext ext4-fast '-t ext4 -O ^metadata_csum,^64bit,^resize_inode'
python3 "$here/fast_commits.py" >journal
debugfs -w -f /dev/stdin ext4-fast >/dev/null 2>&1 <<'EOS'
write journal journal
set_super_value journal_inum 16
feature has_journal needs_recovery fast_commit
EOS
rm -r tree journal
python3 "$here/seeds.py"
touch .made
