# SPDX-License-Identifier: Apache-2.0
# FAT volumes for the tests of ls, cat and extract: load common, then files

# A volume in a partition of a dynamic VHD. Its files: /a.txt, /Sub/b.bin, /Sub/Deep/c, and the
# deleted /gone.txt. The sources are in $OUT/src.
fat_vhd() { # NAME
	mkdir -p "$OUT/src/Sub/Deep"
	echo 'first file' >"$OUT/src/a.txt"
	head -c 100000 /dev/zero | tr '\0' 'b' >"$OUT/src/Sub/b.bin"
	head -c 3000000 /dev/urandom >"$OUT/src/Sub/Deep/c"
	echo 'this one is gone' >"$OUT/gone.txt"
	truncate -s 40M "$OUT/disk"
	printf 'label: dos\n2048,40960,e\n43008,,83\n' | sfdisk -q "$OUT/disk"
	mkfs.vfat -F 16 -s 4 --offset 2048 "$OUT/disk" 20480 >/dev/null 2>&1
	mcopy -m -s -i "$OUT/disk@@1M" "$OUT/src/a.txt" "$OUT/src/Sub" ::/
	mcopy -i "$OUT/disk@@1M" "$OUT/gone.txt" ::/
	mdel -i "$OUT/disk@@1M" ::/gone.txt
	qemu-img convert -q -f raw -O vpc -o force_size=on "$OUT/disk" "$1"
}

# Where in IMAGE byte OFF of FILE is stored.
byte_of() { # IMAGE FILE OFF
	"$VDISKCK" locate "$1" --file "$2:$3" --json |
		jq -r 'select(.record == "location").where[0].offset'
}
