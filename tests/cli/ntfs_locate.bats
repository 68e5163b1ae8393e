#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# From the image's bytes to those of files and back, against what ntfs-3g reads there.
load common
load ntfs

# 256 MiB, a third of it in files: in one piece, in many, with holes.
filled() { # IMAGE MOUNT
	truncate -s 256M "$1"
	mkntfs -qF "$1" >/dev/null 2>&1
	ntfs_mount "$1" "$2"
	python3 - "$2" <<-'END'
		import hashlib, os, sys
		os.chdir(sys.argv[1])
		def noise(name, n): return hashlib.shake_128(name.encode()).digest(n)
		for d in range(6):
		    os.mkdir("folder %d" % d)
		    for i in range(30):
		        name = "folder %d/file %d" % (d, i)
		        open(name, "wb").write(noise(name, i * i * 733 + 1))
		open("large", "wb").write(noise("large", 30 << 20))
		# Two that grow in turn, and one of which every third piece is a hole.
		a, b, c = (open(n, "wb", 0) for n in ("a", "b", "holes"))
		for i in range(200):
		    a.write(noise("a%d" % i, 40000))
		    b.write(noise("b%d" % i, 9000))
		    c.seek(i * 49152)
		    c.write(noise("c%d" % i, 32768))
	END
	sync -f "$2"
}

@test "10,000 bytes of a VHD are, in the files that they are said to be of, what ntfs-3g reads" {
	cd "$OUT" # what is in $DIR is hashed before and after each run
	filled v.img "$OUT/mnt"
	ntfs_umount "$OUT/mnt"
	qemu-img convert -O vpc -o subformat=dynamic,force_size=on v.img v.vhd
	timeout 60 ntfs-3g -o ro v.img mnt
	# A map with one bad byte at each place.
	python3 - v.vhd >bytes.map <<-'END'
		import os, random, sys
		random.seed(9)
		size = os.path.getsize(sys.argv[1])
		print("0x0 ? 1")
		at = 0
		for off in sorted(random.sample(range(size), 10000)):
		    if off > at:
		        print("%#x %#x +" % (at, off - at))
		    print("%#x 1 -" % off)
		    at = off + 1
		print("%#x %#x +" % (at, size - at) if at < size else "")
	END
	run_vdiskck locate v.vhd --map bytes.map --json
	expect_status 0
	printf '%s\n' "$output" >located
	python3 - v.vhd mnt located "$VDISKCK_PROGRAM" <<-'END'
		import collections, json, os, subprocess, sys
		image, files = open(sys.argv[1], "rb", 0), {}
		said = [json.loads(l) for l in open(sys.argv[3])]
		said = [r for r in said if r["record"] == "location"]
		kinds = collections.Counter(r["owner"] for r in said)
		assert len({r["where"][0]["offset"] for r in said}) == 10000, len(said)
		assert kinds["file"] > 2000, kinds
		def byte(path, at):
		    if path not in files:
		        files[path] = os.open(sys.argv[2] + path, os.O_RDONLY)
		    return os.pread(files[path], 1, at)
		hits = [r for r in said if r["owner"] == "file" and "/$" not in r["path"]]
		for r in hits:
		    image.seek(r["where"][0]["offset"])
		    assert image.read(1) == byte(r["path"], r["file_offset"]), r
		# And down again, of some.
		for r in hits[::97]:
		    out = subprocess.run([sys.argv[4], "locate", sys.argv[1], "--json", "--file",
		                          "%s:%d" % (r["path"], r["file_offset"])], capture_output=True)
		    down = [json.loads(l) for l in out.stdout.splitlines()]
		    down = [d for d in down if d["record"] == "location"]
		    assert [d["where"][0]["offset"] for d in down] == [r["where"][0]["offset"]], r
	END
	umount mnt
}
