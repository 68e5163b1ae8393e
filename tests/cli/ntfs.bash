# SPDX-License-Identifier: Apache-2.0
# NTFS volumes made with ntfs-3g, for .bats files.

# ntfs_mount IMAGE DIR: skips the test where nothing can be mounted
ntfs_mount() {
	if [ ! -c /dev/fuse ] || [ "$(id -u)" != 0 ]; then skip "no FUSE here"; fi
	mkdir -p "$2"
	timeout 60 ntfs-3g -o compression,streams_interface=windows "$1" "$2" || skip "no FUSE here"
}

ntfs_umount() { # DIR
	sync -f "$1"
	timeout 60 fusermount -u "$1"
	# The daemon goes on for a moment.
	for _ in $(seq 50); do
		pgrep -f "ntfs-3g.*$1" >/dev/null || return 0
		sleep 0.1
	done
}

# Sums of all files below DIR, streams not included, with paths that begin with a slash.
sums_of() { # DIR
	(cd "$1" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sed 's,  \.,  ,')
}

# ntfs_volume IMAGE SIZE [MKNTFS OPTION...]: files of all kinds; their sums go to IMAGE.sums in $OUT
ntfs_volume() {
	local img=$1 size=$2 i mnt=$BATS_TEST_TMPDIR/mnt
	shift 2
	truncate -s "$size" "$img"
	mkntfs -q -F -L "Test Volume" "$@" "$img" >/dev/null 2>&1
	ntfs_mount "$img" "$mnt"
	mkdir -p "$mnt/Users/Anna Müller/Documents" "$mnt/many" "$mnt/Windows/System32"
	for i in $(seq 20); do
		seq "$i" $((i * 400)) >"$mnt/Users/Anna Müller/Documents/file$i.txt"
	done
	for i in $(seq 200); do echo "small $i" >"$mnt/many/a file with a longish name $i"; done
	head -c 700 /dev/zero | tr '\0' x >"$mnt/resident"
	echo main >"$mnt/streams"
	seq 20000 >"$mnt/streams:big"
	echo small >"$mnt/streams:small"
	ln "$mnt/streams" "$mnt/Windows/linked"
	truncate -s 300k "$mnt/sparse"
	echo end >>"$mnt/sparse"
	sums_of "$mnt" >"$OUT/$img.sums"
	ntfs_umount "$mnt"
}

# Byte address of an MFT record, of $MFTMirr, of the backup boot sector.
le() { od -An -tu8 -j "$2" -N 8 "$1" | tr -d ' '; }
ntfs_cluster() { echo $(($(od -An -tu2 -j 11 -N 2 "$1") * $(od -An -tu1 -j 13 -N 1 "$1"))); }
ntfs_record() { echo $(($(le "$1" 48) * $(ntfs_cluster "$1") + $2 * ${3:-1024})); }
ntfs_mirror() { echo $(($(le "$1" 56) * $(ntfs_cluster "$1"))); }
ntfs_backup() { echo $(($(le "$1" 40) * $(od -An -tu2 -j 11 -N 2 "$1"))); }

# wipe FILE OFFSET LENGTH
wipe() {
	head -c "$3" /dev/zero | tr '\0' '\245' | dd of="$1" bs=64k seek="$2" oflag=seek_bytes conv=notrunc status=none
}
