#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images that other projects made for their own tests: $CORPUS/containers, with the truth in
# $CORPUS/MANIFEST.tsv (path, sha256, what, origin, licence, key, truth).
load common

# Unpack a file of the corpus into $DIR; its name there in $image.
unpack() { # PATH
	[ -e "$CORPUS/$1" ] || skip "no corpus"
	image=${1##*/}
	image=${image%.*}
	case $1 in
	*.xz) xz -dc "$CORPUS/$1" ;;
	*.bz2) bunzip2 -c "$CORPUS/$1" ;;
	*.gz) gunzip -c "$CORPUS/$1" ;;
	esac | cp --sparse=always /dev/stdin "$image"
}

# The first SHA-256 of content that the truth states, in $sum; empty: none.
truth_of() { # PATH
	sum=$(awk -F'\t' -v path="$1" '$1 == path { print $7 }' "$CORPUS/MANIFEST.tsv" |
		grep -oE 'sha256 (of content )?[0-9a-f]{64}' | head -n 1 | grep -oE '[0-9a-f]{64}') || true
}

expect_content() { # IMAGE SHA256
	local is
	is=$("$VDISKCK" export "$1" -o - 2>"$OUT/stderr" | sha256sum | cut -d' ' -f1)
	[ "$is" = "$2" ] || { echo "$1: content is $is, expected $2"; cat "$OUT/stderr"; return 1; }
}

same_content() { # PATH
	unpack "$1"
	truth_of "$1"
	[ -n "$sum" ]
	expect_content "$image" "$sum"
}

@test "VHD of the Sleuth Kit: clean, and its content is the manifest's" {
	same_content containers/tsk-image.vhd.xz
	run_vdiskck check "$image"
	expect_status 0
}

@test "VHD of Virtual PC: clean, its size is qemu's, and all of it is zeros" {
	unpack containers/qemu-virtualpc-dynamic.vhd.bz2
	run_vdiskck check "$image"
	expect_status 0
	run_vdiskck info --json "$image"
	expect_json 'any(.[]; .record == "layer" and .layer == "vhd" and .size == 136363130880)'
	run_vdiskck export "$image" -o "$OUT/zeros"
	expect_status 0
	[ "$(stat -c %s "$OUT/zeros")" = 136363130880 ]
	[ "$(stat -c %b "$OUT/zeros")" -lt 64 ]
}

@test "VHD with a wrong header checksum, refused by qemu-img: a blemish, and all of it readable" {
	same_content containers/vhd-differential/image.vhd.xz
	run_vdiskck check "$image"
	expect_status 1
	expect_text 'vhd-(header|footer)-sum'
}

@test "differencing VHD: its content with the parent beside it" {
	unpack containers/vhd-differential/image.vhd.xz
	same_content containers/vhd-differential/image-differential.vhd.xz
	run_vdiskck check "$image"
	expect_status 1
}

@test "differencing VHD without its parent: that is said; its one block holds the whole disk" {
	same_content containers/vhd-differential/image-differential.vhd.xz
	run_vdiskck check "$image"
	expect_status 2
	expect_text chain-parent-missing
}

@test "the child's parent is found in a folder given by --chain" {
	unpack containers/vhd-differential/image.vhd.xz
	mkdir "$BATS_TEST_TMPDIR/parents"
	mv "$image" "$BATS_TEST_TMPDIR/parents/"
	unpack containers/vhd-differential/image-differential.vhd.xz
	truth_of containers/vhd-differential/image-differential.vhd.xz
	run_vdiskck export --chain "$BATS_TEST_TMPDIR/parents" "$image" -o "$OUT/disk"
	expect_status 0
	[ "$(sha256sum <"$OUT/disk")" = "$sum  -" ]
}

@test "a fuzzed VHD footer is refused, with a finding" {
	unpack containers/qemu-afl5.img.bz2
	run_vdiskck check "$image"
	expect_status 2
}

@test "qcow2 images: clean, and their content is the manifest's" {
	local f
	for f in dfvfs-windows_volume.qcow2 plaso-image.qcow2; do
		same_content "containers/$f.xz"
		run_vdiskck check "$image"
		expect_status 0
	done
}

@test "raw volumes: byte for byte" {
	same_content containers/e2fsprogs-i_qcow-image1024.img.bz2
	same_content containers/e2fsprogs-i_qcow-image4096.img.bz2
}

@test "containers of other formats: undecided, and the format is named" {
	local path name
	while read -r path name; do
		unpack "containers/$path"
		run_vdiskck check "$image"
		expect_status 3
		expect_text "$name" || { echo "$path"; return 1; }
		run_vdiskck info "$image"
		expect_text "$name"
	done <<-END
		qemu-empty.bochs.bz2 Bochs
		qemu-parallels-v1.bz2 Parallels
		tsk-image.vmdk.xz VMDK
		tsk-image.qcow.xz (qcow|QCOW)
		qemu-iotest-version3.vmdk.bz2 VMDK
		qemu-iotest-dynamic-1G.vhdx.bz2 VHDX
		vhdx-differential/diff.vhdx.xz VHDX
	END
}

# Every specimen, whatever it is: images, volumes, logs, keys. Nothing here may crash or hang.
@test "every file of the corpus up to 1 MiB: a verdict, in time" {
	local f n=0
	[ -d "$CORPUS" ] || skip "no corpus"
	while read -r f; do
		case $f in *.xz | *.bz2 | *.gz) unpack "${f#"$CORPUS"/}" ;; *) cp "$f" "${f##*/}" && image=${f##*/} ;; esac
		if [ "$(stat -c %s "$image")" -le $((256 << 20)) ]; then
			status=0
			timeout 20 "$VDISKCK_PROGRAM" check --json "$image" >"$OUT/json" 2>"$OUT/stderr" || status=$?
			[ "$status" -le 3 ] || { echo "$f: exit status $status"; cat "$OUT/stderr"; return 1; }
			jq -e -s '.[-1].record == "summary"' "$OUT/json" >/dev/null ||
				{ echo "$f: no summary"; tail -3 "$OUT/json" "$OUT/stderr"; return 1; }
			status=0
			timeout 20 "$VDISKCK_PROGRAM" ls -R "$image" >"$OUT/ls" 2>"$OUT/stderr" || status=$?
			[ "$status" -le 3 ] || { echo "$f: ls: exit status $status"; cat "$OUT/stderr"; return 1; }
			n=$((n + 1))
		fi
		rm -f "$image"
	done < <(find "$CORPUS/containers" "$CORPUS/partition" "$CORPUS/fat" "$CORPUS/bitlocker" \
		-type f -size -512k ! -name '*.md' ! -name '*.t?z' | sort)
	echo "$n files"
	[ "$n" -gt 50 ]
}
