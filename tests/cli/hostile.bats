#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Names and links that want to get out of the folder that extract writes to.
load common

# An ext4 volume with every kind of name; what no tool would make is poked into its folders.
hostile_ext4() { # IMAGE
	local src=$OUT/src
	mkdir -p "$src/dir/sub"
	for name in $'new\nline' $'\x1b[2Jescape' '%41' '100%' 'nul' 'CON.txt' 'back\slash' $'\xff\xfe' \
		$'\xe2\x80\xaegpj.exe' ' blank ' 'Case' 'case' '-rf' 'manifest.jsonl' 'dir/sub/file'; do
		echo "$name" >"$src/$name"
	done
	echo long >"$src/$(printf 'x%.0s' {1..255})"
	echo long >"$src/$(printf '\xff%.0s' {1..255})"
	ln -s /etc/passwd "$src/absolute"
	ln -s ../../../../etc/passwd "$src/dir/climbing"
	ln -s ../.. "$src/dir/sub/top"
	ln -s sub/file "$src/dir/inside"
	ln -s sub/../../../out "$src/dir/later"
	echo dots >"$src/qq"
	mkdir "$src/qr"
	echo below >"$src/qr/evil"
	echo slash >"$src/SLASH-name"
	truncate -s 16M "$1"
	mkfs.ext4 -q -O ^metadata_csum,^has_journal,^dir_index -d "$src" "$1"
	python3 - "$1" <<-'EOF'
		import sys
		data = open(sys.argv[1], "rb").read()
		def poke(old, new):
		    global data
		    assert data.count(b"\x01" + old) + data.count(b"\x02" + old) >= 1, old
		    for kind in (b"\x01", b"\x02"):
		        data = data.replace(bytes([len(old)]) + kind + old, bytes([len(new)]) + kind + new)
		poke(b"qr", b"..")
		poke(b"SLASH-name", b"/etc/named")
		open(sys.argv[1], "wb").write(data)
	EOF
}

# Every "output" of the manifest is there, below the folder, and nothing else is, but for folders
# that a file needed: /$orphans has no entry.
outputs_match() { # DIR
	jq -r 'select(.output) | .output | select(. != ".") | split("/") as $p |
		range(1; $p | length + 1) | $p[:.] | join("/")' "$1/manifest.jsonl" |
		LC_ALL=C sort -u >"$OUT/listed"
	(cd "$1" && find . -mindepth 1 ! -name manifest.jsonl -printf '%P\n') | LC_ALL=C sort >"$OUT/there"
	diff "$OUT/listed" "$OUT/there"
}

@test "hostile names: nothing leaves the folder, nothing is lost" {
	hostile_ext4 a.img
	mkdir "$OUT/parent"
	run_vdiskck extract a.img / -o "$OUT/parent/x"
	[ "$status" = 0 ] || [ "$status" = 2 ] || { show; return 1; }
	[ "$(ls "$OUT/parent")" = x ]
	[ ! -e "$OUT/out" ]
	outputs_match "$OUT/parent/x"
	cd "$OUT/parent/x"
	[ "$(cat 'new%0Aline')" = $'new\nline' ]
	[ -e '%1B[2Jescape' ]
	[ "$(cat '%2541')" = '%41' ]
	[ "$(cat '100%')" = '100%' ]
	[ -e '%6Eul' ]
	[ -e '%43ON.txt' ]
	[ -e '%FF%FE' ]
	[ -e '%E2%80%AEgpj.exe' ]
	[ -e 'back\slash' ]
	[ -e Case ]
	[ -e case ]
	[ "$(cat manifest.jsonl%~*)" = manifest.jsonl ]
	[ "$(find . -name 'x*%~*' -o -name 'xxx*' | wc -l)" = 1 ]
	[ "$(find . -name '%FF%FF*%~*' | wc -l)" = 1 ]
	[ "$(find . -name '*etc*named' -type f | wc -l)" = 1 ]
	lacks . < <(find . -type l -lname '/*')
}

@test "links: only those that stay inside are made, the others are in the manifest" {
	hostile_ext4 a.img
	run_vdiskck extract a.img / -o "$OUT/x"
	cd "$OUT/x"
	[ "$(readlink dir/inside)" = sub/file ]
	[ "$(readlink dir/sub/top)" = ../.. ]
	for name in absolute dir/climbing dir/later; do [ ! -L "$name" ]; done
	jq -se 'map(select(.kind == "symlink" and (.output | not)) | [.path, .target, .skipped]) | sort == [
		["/absolute", "/etc/passwd", "link that leads out"],
		["/dir/climbing", "../../../../etc/passwd", "link that leads out"],
		["/dir/later", "sub/../../../out", "link that leads out"]]' manifest.jsonl
}

@test "what ls prints is safe, tells every name, and can be given back" {
	hostile_ext4 a.img
	"$VDISKCK" ls -R a.img >"$OUT/list" || [ $? = 2 ]
	lacks $'[\x01-\x09\x0b-\x1f\x7f]|\xe2\x80\xae' <"$OUT/list"
	grep -qF '/new\x0aline' "$OUT/list"
	grep -qF '/\xff\xfe' "$OUT/list"
	grep -qF '/back\\slash' "$OUT/list"
	for name in '/new\x0aline' '/\x1b[2Jescape' '/back\\slash' '/\xff\xfe'; do
		"$VDISKCK" cat a.img "$name" >"$OUT/content" || [ $? = 2 ]
		[ -s "$OUT/content" ]
	done
	[ "$("$VDISKCK" cat a.img '/new\x0aline')" = $'new\nline' ]
	[ "$("$VDISKCK" cat a.img '/back\slash')" = 'back\slash' ]
	"$VDISKCK" ls -R --json a.img | jq -es 'map(select(.path_hex == "2ffffe")) | length == 1'
}

@test "times, holes and modes of ext4" {
	mkdir -p "$OUT/src/dir"
	truncate -s 5M "$OUT/src/dir/holes"
	printf x | dd of="$OUT/src/dir/holes" bs=1 seek=3M conv=notrunc status=none
	touch -d '2001-02-03 04:05:06.789 UTC' "$OUT/src/dir/holes"
	touch -d '2002-03-04 05:06:07 UTC' "$OUT/src/dir"
	truncate -s 16M b.img
	mkfs.ext4 -q -I 256 -d "$OUT/src" b.img
	run_vdiskck extract b.img /dir -o "$OUT/x"
	expect_status 0
	cmp "$OUT/src/dir/holes" "$OUT/x/dir/holes"
	[ "$(du -k "$OUT/x/dir/holes" | cut -f1)" -le 64 ]
	[ "$(stat -c %Y "$OUT/x/dir")" = "$(stat -c %Y "$OUT/src/dir")" ]
	[ "$(stat -c %Y "$OUT/x/dir/holes")" = "$(stat -c %Y "$OUT/src/dir/holes")" ]
	run_vdiskck ls -l b.img /dir
	expect_text '^-rw-.* 5242880  2001-02-03T04:05:06Z  holes'
}
