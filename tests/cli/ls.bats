#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common
load files

@test "an image without a file system: said, and status 3" {
	truncate -s 4M blank.img
	run_vdiskck ls blank.img
	expect_status 3
	expect_text 'no file system'
	run_vdiskck cat blank.img /x
	expect_status 3
}

@test "cat wants one file, and knows no --json" {
	truncate -s 4M blank.img
	run_vdiskck cat blank.img
	expect_status 3
	expect_text 'which FILE'
	run_vdiskck cat --json blank.img /x
	expect_status 3
	expect_text 'no option'
}

@test "the root, a folder, a tree, one file" {
	fat_vhd a.vhd
	run_vdiskck ls a.vhd
	expect_status 0
	[ "$output" = $'Sub\na.txt' ] || { show; return 1; }
	run_vdiskck ls a.vhd /Sub
	[ "$output" = $'Deep\nb.bin' ] || { show; return 1; }
	run_vdiskck ls -R a.vhd
	[ "$(sort <<<"$output")" = $'/Sub\n/Sub/Deep\n/Sub/Deep/c\n/Sub/b.bin\n/a.txt' ] || { show; return 1; }
	run_vdiskck ls a.vhd /Sub/b.bin
	[ "$output" = /Sub/b.bin ] || { show; return 1; }
}

@test "a volume by number, by layer, by a layer below; case and backslashes do not matter" {
	fat_vhd a.vhd
	for file in 1:/Sub vhd/mbr/p1/fat:/Sub vhd/mbr/p1:/Sub vhd:/Sub '1:\sub' '\SUB\' 1:/Sub/.; do
		run_vdiskck ls a.vhd "$file"
		expect_status 0
		[ "$output" = $'Deep\nb.bin' ] || { echo "$file"; show; return 1; }
	done
	run_vdiskck ls a.vhd 1:
	[ "$output" = $'Sub\na.txt' ] || { show; return 1; }
	run_vdiskck ls a.vhd 2:/
	expect_status 3
	expect_text 'no file system on volume 2'
	run_vdiskck ls a.vhd /nothing
	expect_status 3
	run_vdiskck ls a.vhd nothing
	expect_status 3
	expect_text 'N:/PATH'
}

@test "long form, deleted files, everything" {
	fat_vhd a.vhd
	run_vdiskck ls -l a.vhd /Sub
	expect_text '^d--------- .* Deep$'
	expect_text '^---------- .* 100000  20[0-9-]*T[0-9:]*Z  b.bin$'
	run_vdiskck ls -d a.vhd
	[ "$(wc -l <<<"$output")" = 1 ] || { show; return 1; }
	expect_text 'one.txt	\[deleted\]$'
	run_vdiskck ls -a a.vhd
	expect_text 'one.txt	\[deleted\]$'
	expect_text '^a.txt$'
}

@test "patterns" {
	fat_vhd a.vhd
	run_vdiskck ls a.vhd '/*.TXT'
	[ "$output" = /a.txt ] || { show; return 1; }
	run_vdiskck ls a.vhd '/**/[bc]*'
	[ "$(sort <<<"$output")" = $'/Sub/Deep/c\n/Sub/b.bin' ] || { show; return 1; }
	run_vdiskck ls a.vhd '/Sub/?.bin'
	[ "$output" = /Sub/b.bin ] || { show; return 1; }
	run_vdiskck ls -R a.vhd '/S*'
	[ "$(wc -l <<<"$output")" = 4 ] || { show; return 1; }
	run_vdiskck ls a.vhd '/x*'
	expect_status 3
}

@test "records of files" {
	fat_vhd a.vhd
	run_vdiskck ls -R --json a.vhd
	expect_status 0
	expect_json 'map(select(.record == "file")) | length == 5 and
		(map(select(.path == "/Sub/b.bin"))[0] | .size == 100000 and .kind == "file" and
		.layer == "vhd/mbr/p1/fat" and (.deleted | not) and .path_sure == "sure" and
		(.modified | test("^20.*Z$")))'
	expect_json '.[0].record == "header" and .[-1].record == "summary"'
}

# Two FAT volumes on one disk.
two_volumes() { # NAME
	truncate -s 40M "$1"
	printf 'label: dos\n2048,36864,e\n40960,36864,e\n' | sfdisk -q "$1"
	mkfs.vfat --offset 2048 "$1" 18432 >/dev/null
	mkfs.vfat --offset 40960 "$1" 18432 >/dev/null
	for at in 1M 20M; do echo "$at" | mcopy -i "$1@@$at" - ::/both; done
	echo one | mcopy -i "$1@@1M" - ::/one
}

@test "several volumes: they are listed, and a path alone must be on one of them" {
	two_volumes b.img
	run_vdiskck ls b.img
	expect_status 0
	expect_text '^1:  raw/mbr/p1/fat'
	expect_text '^2:  raw/mbr/p2/fat'
	run_vdiskck ls b.img /one
	expect_status 0
	run_vdiskck cat b.img /both
	expect_status 3
	expect_text '1:/both 2:/both'
	run_vdiskck cat b.img 2:/both
	[ "$output" = 20M ] || { show; return 1; }
	run_vdiskck ls -R b.img
	[ "$(sort <<<"$output")" = $'1:/both\n1:/one\n2:/both' ] || { show; return 1; }
	run_vdiskck ls b.img --volume raw/mbr/p1
	[ "$output" = $'both\none' ] || { show; return 1; }
}

@test "a reader that goes away ends it quietly" {
	fat_vhd a.vhd
	"$VDISKCK" ls -R a.vhd 2>"$OUT/err" | head -n 1 >/dev/null
	[ ! -s "$OUT/err" ] || { cat "$OUT/err"; return 1; }
}
