#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Names and links that want to do harm: nothing leaves the folder, nothing is lost, and each name
# can be had back from what was made of it.
load common
load ntfs

# In the image, a name of the same length becomes one that no driver would make.
rename() { # IMAGE FROM TO
	python3 - "$@" <<-'END'
		import sys
		path, old, new = sys.argv[1], sys.argv[2], sys.argv[3].encode().decode("unicode_escape")
		assert len(old) == len(new)
		data = open(path, "rb").read()
		key = bytes([len(old)]), old.encode("utf-16-le"), new.encode("utf-16-le")
		n = 0
		for space in range(4):
		    had = key[0] + bytes([space]) + key[1]
		    n += data.count(had)
		    data = data.replace(had, key[0] + bytes([space]) + key[2])
		assert n >= 2, n  # its record, and its folder's index
		open(path, "wb").write(data)
	END
}

hostile_volume() { # IMAGE
	truncate -s 16M "$1"
	mkntfs -qF "$1" >/dev/null 2>&1
	local m=$OUT/mnt
	ntfs_mount "$1" "$m"
	mkdir -p "$m/QZfolder" "$m/plain"
	echo dots >"$m/QZfolder/QY"
	echo absolute >"$m/QZetcQZpasswd"
	echo nul >"$m/plain/QXnul"
	echo device >"$m/plain/CON"
	echo device too >"$m/plain/aux.txt"
	echo control >"$m/plain/"$'a\tb\033[31mc'
	echo order >"$m/plain/"$'x\xe2\x80\xaetxt.exe'
	echo percent >"$m/plain/100%41"
	echo one >"$m/plain/Same"
	echo two >"$m/plain/SAME"
	echo three >"$m/plain/same"
	echo long >"$m/plain/$(printf 'ä%.0s' {1..255})"
	echo map >"$m/plain/x.map"
	echo stream >"$m/plain/CON:QWs"
	echo manifest >"$m/manifest.jsonl"
	ln -s ../../../../../../../../etc/passwd "$m/plain/out"
	ln -s /etc/passwd "$m/plain/root"
	ln -s plain/Same "$m/inside"
	mkdir "$m/junction"
	# A junction to \??\C:\x: tag, length, names in a buffer
	setfattr -n system.ntfs_reparse_data -v 0x030000a01c00000000000e001000000\
05c003f003f005c0043003a005c00000078000000 "$m/junction" || true
	ntfs_umount "$m"
	rename "$1" QZfolder '..folder'
	rename "$1" QY '..'
	rename "$1" QZetcQZpasswd '/etc/x/passwd'
	rename "$1" QXnul 'a\x00nul'
}

@test "hostile names: all in the folder, each its own file, each name reversible" {
	hostile_volume h.img
	mkdir -p "$OUT/box"
	echo kept >"$OUT/box/dots"
	run_vdiskck extract h.img / -o "$OUT/box/x"
	[ "$(ls "$OUT/box")" = $'dots\nx' ]
	[ "$(cat "$OUT/box/dots")" = kept ]
	python3 - "$OUT/box/x" <<-'END'
		import json, os, re, sys
		top = sys.argv[1]
		def plain(name):
		    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), name.encode().decode("latin-1")).encode("latin-1")
		want = {b"dots\n", b"absolute\n", b"nul\n", b"device\n", b"device too\n", b"control\n", b"order\n",
		        b"percent\n", b"one\n", b"two\n", b"three\n", b"long\n", b"map\n", b"stream\n", b"manifest\n"}
		outputs, exact = [], 0
		for line in open(top + "/manifest.jsonl"):
		    r = json.loads(line)
		    if r["record"] != "file" or r.get("output", ".") == ".":
		        continue
		    out = os.path.join(top, r["output"])
		    assert os.path.realpath(out).startswith(os.path.realpath(top)), out
		    if r["kind"] == "file":
		        outputs.append(r["output"])
		        want.discard(open(out, "rb").read())
		    if "path_hex" in r:
		        continue
		    path = r["path"].encode("utf-8", "surrogatepass")
		    if "%~" not in r["output"]:
		        assert plain(r["output"]) == path.lstrip(b"/"), (r["output"], path)
		        exact += 1
		assert not want, want
		assert len(set(outputs)) == len(outputs) and exact > 12, (len(outputs), exact)
		for folder, _, names in os.walk(top):
		    for n in names + [folder]:
		        assert not re.search(r"[\x00-\x1f\x7f\u202e]", n), n
		    for n in names:
		        assert n.split(".")[0].lower() not in ("con", "aux", "nul"), n
		        if os.path.islink(os.path.join(folder, n)):
		            assert os.path.realpath(os.path.join(folder, n)).startswith(os.path.realpath(top)), n
	END
	[ "$(cat "$OUT/box/x/inside")" = one ]
	[ ! -e "$OUT/box/x/plain/out" ] && [ ! -L "$OUT/box/x/plain/root" ]
	jq -se 'map(select(.skipped == "link that leads out") | .path) | contains(["/plain/out", "/plain/root"])' \
		"$OUT/box/x/manifest.jsonl"
}

@test "hostile names: ls shows them without a raw control character, cat takes them as shown" {
	hostile_volume h.img
	run_vdiskck ls -R h.img
	printf '%s' "$output" | python3 -c '
import re, sys
text = sys.stdin.buffer.read().decode()
assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", text), ascii(text)'
	run_vdiskck cat h.img '/plain/a\x09b\x1B[31mc'
	[ "$output" = control ] || { show; return 1; }
	run_vdiskck cat h.img /plain/con:qWS
	[ "$output" = stream ] || { show; return 1; }
}

@test "DOS names, links and junctions" {
	truncate -s 16M d.img
	mkntfs -qF d.img >/dev/null 2>&1
	ntfs_mount d.img "$OUT/mnt"
	echo hello >"$OUT/mnt/a rather long name.text"
	setfattr -n system.ntfs_dos_name -v ARATHE~1.TEX "$OUT/mnt/a rather long name.text"
	mkdir "$OUT/mnt/real" "$OUT/mnt/way"
	echo there >"$OUT/mnt/real/file"
	# A symbolic link: tag, length, print and substitute name "real", relative
	setfattr -n system.ntfs_reparse_data -v 0x0c0000a01c0000000000080008000800010000007200650061006c007200650061006c00 "$OUT/mnt/way"
	ln -s real/file "$OUT/mnt/old"
	ntfs_umount "$OUT/mnt"
	run_vdiskck cat d.img /arathe~1.tex
	expect_status 0
	[ "$output" = hello ]
	run_vdiskck ls -R d.img
	[ "$(grep -c -i -e 'rather' -e 'arathe' <<<"$output")" = 1 ] || { show; return 1; }
	run_vdiskck ls -l d.img
	expect_text 'way -> real'
	expect_text 'old -> real/file'
	run_vdiskck cat d.img /way/file
	[ "$output" = there ] || { show; return 1; }
	run_vdiskck cat d.img /old
	[ "$output" = there ] || { show; return 1; }
}
