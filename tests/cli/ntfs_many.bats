#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Volumes with many files, of fixtures/ntfs/mkmany.c. VDISKCK_SLOW=1: a million of them.
load common
load ntfs

# many IMAGE SIZE FILES PER-FOLDER
many() {
	truncate -s "$2" "$1"
	mkntfs -qQF -c 4096 "$1" >/dev/null 2>&1
	"$BUILD/fixtures/mkmany" "$1" "$3" "$4"
}

@test "many files: ntfsls and fls see as many, check finds nothing" {
	many v.img 64M 3000 70
	run_vdiskck check v.img
	expect_status 0
	expect_text '^vdiskck: intact'
	run_vdiskck ls -R v.img
	expect_status 0
	[ "$(wc -l <<<"$output")" = $((3000 + 43 + 15)) ] || { show | tail; return 1; }
	[ "$(ntfsls -R v.img | grep -c '^file-')" = 3000 ]
	diff <(fls -r -p -u v.img | sed -n 's,^r/r [^\t]*\t\(d.*\),/\1,p' | sort) \
		<(grep /file- <<<"$output" | sort)
}

@test "many files: all come out as ntfs-3g reads them" {
	if [ ! -c /dev/fuse ] || [ "$(id -u)" != 0 ]; then skip "no FUSE here"; fi
	many v.img 64M 2000 50
	mkdir "$OUT/mnt"
	timeout 60 ntfs-3g -o ro v.img "$OUT/mnt" || skip "no FUSE here"
	(cd "$OUT/mnt" && find . -type f -print0 | xargs -0 sha256sum) >"$OUT/sums"
	umount "$OUT/mnt"
	run_vdiskck extract v.img / -o "$OUT/x"
	expect_status 0
	[ "$(wc -l <"$OUT/sums")" = 2000 ]
	(cd "$OUT/x" && sha256sum -c --quiet "$OUT/sums")
}

@test "one folder with very many files: listed, looked up and checked in little memory" {
	local n=120000
	[ -z "${VDISKCK_SLOW:-}" ] || n=1000000
	many v.img 4G $n $n
	run_vdiskck cat v.img /d00/s00000/FILE-0077777.TXT
	[[ $output = "file 77777 of many"* ]] || { show; return 1; }
	python3 - "${VDISKCK_PROGRAM:-$VDISKCK}" $n "$OUT/names" <<-'END'
		import resource, subprocess, sys
		program, n = sys.argv[1], int(sys.argv[2])
		with open(sys.argv[3], "wb") as out:
		    subprocess.run([program, "ls", "v.img", "/d00/s00000"], stdout=out, check=True)
		subprocess.run([program, "check", "-q", "v.img"], stdout=subprocess.DEVNULL, check=True)
		# Before this one grows: what it forks begins with its size.
		kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		# A sanitizer's memory is several times the program's.
		most = 1 << 20 if b"__asan_init" in open(program, "rb").read() else 40 << 10
		assert kib < most, "%d KiB" % kib
		names = open(sys.argv[3]).read().split()
		assert len(set(names)) == n == len(names)
	END
	rm v.img
}

# Every other cluster is a hole: 65,536 runs, in hundreds of records that an attribute list names.
@test "a file in 65,536 pieces" {
	truncate -s 64M "$OUT/f.img"
	mkntfs -qF -c 512 "$OUT/f.img" >/dev/null 2>&1
	ntfs_mount "$OUT/f.img" "$OUT/mnt"
	python3 - "$OUT/mnt/pieces" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
		for i in range(65536):
		    os.pwrite(fd, i.to_bytes(4, "little") * 128, 1024 * i)
	END
	sum=$(sha256sum <"$OUT/mnt/pieces")
	ntfs_umount "$OUT/mnt"
	[ "$("$VDISKCK" cat "$OUT/f.img" /pieces | sha256sum)" = "$sum" ]
	run_vdiskck check "$OUT/f.img"
	expect_status 0
	run_vdiskck extract "$OUT/f.img" /pieces -o "$OUT/x"
	expect_status 0
	[ "$(sha256sum <"$OUT/x/pieces")" = "$sum" ]
	# From the last piece down to the image, and back.
	run_vdiskck locate "$OUT/f.img" --file /pieces:65535k+512 --json
	at=$(jq -r 'select(.record == "location").where[0].offset' <<<"$output")
	[ "$(od -An -tu4 -j "$at" -N 4 "$OUT/f.img" | tr -d ' ')" = 65535 ]
	run_vdiskck locate "$OUT/f.img" --offset "$at"
	expect_text 'file .*/pieces at 0x3fffc00'
	# One of the records that continue it is lost: the rest is there.
	record=$(grep -obUa FILE "$OUT/f.img" | sed -n '200s/:.*//p')
	wipe "$OUT/f.img" "$record" 1024
	run_vdiskck extract "$OUT/f.img" /pieces -o "$OUT/y"
	expect_status 2
	[ "$(grep -c ' -$' "$OUT/y/pieces.map")" = 1 ]
}
