#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "the manual pages are clean mdoc" {
	"$VDISKCK" explain --mdoc >"$OUT/findings.7"
	mandoc -T lint -W warning "$MAN/vdiskck.1" "$MAN/vdiskck-case.5" "$MAN"/vdiskck-{logs,seal}.7 \
		"$MAN/nbdkit-vdiskck-plugin.1" "$OUT/findings.7"
}

@test "vdiskck-findings(7) has every finding" {
	"$VDISKCK" explain --mdoc | mandoc -T utf8 | sed 's/.\x08//g' >"$OUT/text"
	for id in $("$VDISKCK" explain --json | jq -r .id); do
		grep -qE "^ +$id( |$)" "$OUT/text" || { echo "$id: missing"; return 1; }
	done
}

@test "the page that make left is that of this program" {
	[ -e "$MAN/vdiskck-findings.7" ] || skip "made by make all"
	[ "$MAN/vdiskck-findings.7" -nt "$VDISKCK_PROGRAM" ] || skip "older than the program: another build"
	"$VDISKCK" explain --mdoc | cmp - "$MAN/vdiskck-findings.7"
}

@test "vdiskck(1) has every command and every option" {
	mandoc -T utf8 "$MAN/vdiskck.1" | sed 's/.\x08//g' >"$OUT/text"
	for c in $("$VDISKCK" --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
		grep -qE "^ +$c( |$)" "$OUT/text" || { echo "command $c: missing"; return 1; }
		for o in $("$VDISKCK" "$c" --help | sed -nE 's/^  (--?[a-z-]+) .*/\1/p'); do
			grep -qE -- "^ +(-o .*|-[qv], )?$o\b" "$OUT/text" ||
				{ echo "option $o: missing"; return 1; }
		done
	done
}

# What the examples speak of: a damaged disk, a copy with a bad area, a chain in two folders.
example_images() {
	truncate -s 64M "$OUT/disk"
	printf 'label: dos\n2048,40960,7\n43008,,83\n' | sfdisk -q "$OUT/disk"
	mkfs.vfat -F 16 --offset 2048 "$OUT/disk" 20480 >/dev/null 2>&1
	echo 'set timeout=5' >"$OUT/grub.cfg"
	for name in EFI EFI/BOOT Windows; do mmd -i "$OUT/disk@@1M" "::/$name"; done
	for name in EFI/BOOT/grub.cfg Windows/System.evtx EFI/BOOT/gone.txt; do
		mcopy -i "$OUT/disk@@1M" "$OUT/grub.cfg" "::/$name"
	done
	mdel -i "$OUT/disk@@1M" ::/EFI/BOOT/gone.txt
	printf 'more' | dd of="$OUT/disk" bs=1 seek=30M conv=notrunc status=none
	qemu-img convert -q -f raw -O vpc -o force_size=on "$OUT/disk" copy.vhd
	printf '0x0 + 1\n0 0x200000 +\n0x200000 0x1000 -\n0x201000 %d +\n' \
		$(($(stat -c %s copy.vhd) - 0x201000)) >copy.map
	cp copy.vhd node16.vhd
	printf '\x00\xff\xff\x00' | dd of=node16.vhd bs=1 seek=$((1536 + 4 * 15)) conv=notrunc status=none
	mkdir parents
	qemu-img create -q -f qcow2 parents/base.qcow2 4M
	qemu-img create -q -f qcow2 -b "$PWD/parents/base.qcow2" -F qcow2 child.qcow2
}

@test "every example of the manual runs as it stands there" {
	example_images
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\$ //p' "$MAN/vdiskck.1" >"$OUT/examples"
	[ "$(wc -l <"$OUT/examples")" -ge 10 ]
	printf '#!/bin/sh\nexec "%s" "$@"\n' "${VDISKCK_PROGRAM:-$VDISKCK}" >"$OUT/vdiskck"
	chmod +x "$OUT/vdiskck"
	while read -r example; do
		status=0
		PATH="$OUT:$PATH" bash -c "$example" >"$OUT/seen" 2>&1 </dev/null || status=$?
		[ "$status" -le 2 ] || { echo "$example: $status"; cat "$OUT/seen"; return 1; }
		[ -s "$OUT/seen" ] || { echo "$example: prints nothing"; return 1; }
	done <"$OUT/examples"
	[ "$(stat -c %s p2.img)" = $((67108864 - 43008 * 512)) ]
	[ -s case/report.html ]
	cmp "$OUT/grub.cfg" files/EFI/BOOT/grub.cfg
	cmp "$OUT/grub.cfg" files/Windows/System.evtx
}
