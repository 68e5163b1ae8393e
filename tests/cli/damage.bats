#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common
load files

# A FAT volume in a VHD that has lost its block 1: the end of /EFI/boot.efi, the beginning of
# /home.dat. /var/log/messages is behind that.
damaged_vhd() { # NAME
	truncate -s 40M "$OUT/disk"
	printf 'label: dos\n2048,40960,e\n' | sfdisk -q "$OUT/disk"
	mkfs.vfat -F 16 -s 4 --offset 2048 "$OUT/disk" 20480 >/dev/null 2>&1
	mmd -i "$OUT/disk@@1M" ::/EFI ::/var ::/var/log
	for name in EFI/boot.efi home.dat var/log/messages; do
		head -c 1200000 /dev/urandom >"$OUT/file"
		mcopy -i "$OUT/disk@@1M" "$OUT/file" "::/$name"
	done
	qemu-img convert -q -f raw -O vpc -o force_size=on "$OUT/disk" "$1"
	printf '\x00\xff\xff\x00' | dd of="$1" bs=1 seek=$((1536 + 4)) conv=notrunc status=none
}

@test "check names the files that a lost block hit, worst rank first" {
	damaged_vhd a.vhd
	run_vdiskck check a.vhd
	expect_status 2
	expect_text '^files hit'
	expect_text 'vhd/mbr/p1/fat:/EFI/boot.efi  .* lost.*vhd-bat-past-end'
	ranks=$(grep -oE '^  (boot-critical|logs|user data)' <<<"$output" | xargs)
	[ "$ranks" = 'boot-critical user data' ] || [ "$ranks" = 'boot-critical logs user data' ] ||
		{ show; return 1; }
	[ "$(grep -c 'boot.efi' <<<"$output")" = 1 ]
}

@test "records: the file with what it lost, and the finding with its paths, before the summary" {
	damaged_vhd a.vhd
	run_vdiskck check --json a.vhd
	expect_status 2
	expect_json '.[0].record == "header" and .[-1].record == "summary"'
	expect_json 'map(select(.record == "file" and .path == "/EFI/boot.efi"))[0] |
		.lost > 0 and .rank == "boot-critical" and (.why | index("vhd-bat-past-end")) != null'
	expect_json 'map(select(.id == "vhd-bat-past-end")) | length == 1 and
		(.[0].paths | index("vhd/mbr/p1/fat:/EFI/boot.efi")) != null'
	# The bytes that the files lost, and free space, are those of the block: no more.
	expect_json '(map(select(.record == "file").lost // 0) | add) <= 2097152'
}

@test "what is said to be lost of a file is what extract loses" {
	damaged_vhd a.vhd
	run_vdiskck check --json a.vhd
	jq -r 'select(.record == "file" and .path) | "\(.lost) \(.path)"' <<<"$output" >"$OUT/lost"
	[ -s "$OUT/lost" ]
	while read -r lost path; do
		rm -rf "$OUT/one"
		"$VDISKCK" extract a.vhd "1:$path" -o "$OUT/one" --json -q |
			jq -se 'map(select(.record == "file"))[0].lost == '"$lost" >/dev/null || { echo "$path $lost"; return 1; }
	done <"$OUT/lost"
}

@test "triage has the files in the report" {
	damaged_vhd a.vhd
	run_vdiskck triage a.vhd -o "$OUT/case"
	expect_status 2
	expect_text 'boot-critical: 1'
	grep -q '>Files hit</h2>' "$OUT/case/report.html"
	grep -q 'vhd/mbr/p1/fat:/EFI/boot.efi' "$OUT/case/report.html"
	jq -se 'map(select(.record == "file" and .path == "/EFI/boot.efi"))[0].lost > 0' "$OUT/case/report.json"
}

@test "a map of bad sectors to names, summed up for each file" {
	fat_vhd a.vhd
	for at in 0 100000 2000000; do
		off=$(byte_of a.vhd /Sub/Deep/c $at)
		printf '%d 512 -\n' "$off"
	done | sort -n >"$OUT/bad"
	printf '%d 512 -\n' "$(byte_of a.vhd /a.txt 0)" >>"$OUT/bad"
	{ echo '0x0 + 1'; sort -n "$OUT/bad"; } >"$OUT/map"
	run_vdiskck locate a.vhd --map "$OUT/map" --json
	expect_json 'map(select(.record == "file")) | map({path, lost}) ==
		[{path:"/Sub/Deep/c", lost:1536}, {path:"/a.txt", lost:11}]'
	run_vdiskck locate a.vhd --map "$OUT/map"
	expect_text '/Sub/Deep/c  1.5 KiB of 2.8 MiB lost, from 0x0 on'
}

@test "an image without damage has no files hit" {
	fat_vhd a.vhd
	run_vdiskck check a.vhd
	lacks 'files hit' <<<"$output"
	run_vdiskck check --json a.vhd
	expect_json 'map(select(.record == "file")) == []'
}

@test "an image of which nothing can be opened: every command says so, and ends" {
	qemu-img create -q -f vpc a.vhd 64M
	truncate -s 1028 a.vhd
	while read -r words; do
		# shellcheck disable=SC2086 # words of a command line
		run_vdiskck $words
		[ "$status" = 2 ] || [ "$status" = 3 ] || { show; return 1; }
		grep -qE 'vhd-bat-lost|nothing of it can be read|could not be opened' <<<"$output$stderr" ||
			{ show; return 1; }
		rm -rf "$OUT/x"
	done <<-END
		info a.vhd
		check a.vhd
		check --data --json a.vhd
		locate a.vhd --offset 0
		ls a.vhd
		ls -R a.vhd /
		cat a.vhd /file
		extract a.vhd / -o $OUT/x
		logs a.vhd -o $OUT/x
		triage a.vhd -o $OUT/x
		export a.vhd -o $OUT/x
		seal a.vhd -o $OUT/x
		scrub a.vhd
	END
}
