#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# BitLocker volumes of our own writer: what dislocker, libbde and cryptsetup say of them, and we.
load common

PASSWORD='correct horse'
RECOVERY=000011-000022-000033-000044-000055-000066-000077-000088

# A volume of NTFS with something in it, and room for the metadata of BitLocker.
setup_file() {
	BUILD=${BUILD:-$BATS_TEST_DIRNAME/../../build}
	export MAKE=$BUILD/fixtures/mkbitlocker PLAIN=$BATS_FILE_TMPDIR/plain
	[ -x "$MAKE" ] || skip "no mkbitlocker"
	truncate -s 12M "$PLAIN"
	mkntfs -q -F -f "$PLAIN" >/dev/null
	seq -f 'line %.0f of a file' 90000 >"$PLAIN.txt"
	ntfscp -q "$PLAIN" "$PLAIN.txt" file.txt
}

make() { # MKBITLOCKER-OPTION...
	"$MAKE" "$@" "$PLAIN" volume >"$OUT/made"
	printf 'passphrase %s\n' "$PASSWORD" >"$OUT/keys"
	sed -n '/^vmk /p' "$OUT/made" >"$OUT/vmk" # no million hashes
	cat "$OUT/keys" "$OUT/vmk" >/dev/null
	sed -n 's/^vmk //p' "$OUT/made" | xxd -r -p >"$OUT/vmk.raw"
}

# The offset of metadata copy N, 1 to 3.
copy() { sed -n 's/^copy //p' "$OUT/made" | sed -n "$1p"; }

expect_plain() { # KEYS
	run_vdiskck export --keys "$1" --at bitlocker -o "$OUT/got" --force volume
	cmp "$PLAIN" "$OUT/got" || { show; return 1; }
}

need() { command -v "$1" >/dev/null || skip "no $1"; }

@test "every method and sector size: dislocker decrypts what we do" {
	need dislocker-file
	for method in xts128 xts256 cbc128 cbc256 elephant128 elephant256; do
		for sector in 512 4096; do
			make --method $method --sector $sector --password "$PASSWORD"
			expect_plain "$OUT/vmk"
			rm -f "$OUT/other"
			dislocker-file -q -V volume -K "$OUT/vmk.raw" -- "$OUT/other"
			cmp "$OUT/got" "$OUT/other"
		done
	done
}

@test "every protector opens, for dislocker too" {
	need dislocker-file
	mkdir "$OUT/bek"
	make --password "$PASSWORD" --recovery $RECOVERY --bek "$OUT/bek"
	cat "$OUT"/bek/* >/dev/null
	echo "recovery $RECOVERY" >"$OUT/recovery"
	echo "bek $(echo "$OUT"/bek/*)" >"$OUT/startup"
	for kind in vmk fvek; do sed -n "/^$kind /p" "$OUT/made" >"$OUT/$kind"; done
	for kind in keys recovery startup vmk fvek; do
		cat "$OUT/$kind" >/dev/null
		expect_plain "$OUT/$kind"
		expect_status 0
	done
	dislocker-file -q -V volume -u"$PASSWORD" -- "$OUT/other"
	cmp "$PLAIN" "$OUT/other"
	rm "$OUT/other"
	dislocker-file -q -V volume -p$RECOVERY -- "$OUT/other"
	cmp "$PLAIN" "$OUT/other"
	rm "$OUT/other"
	dislocker-file -q -V volume -f "$(echo "$OUT"/bek/*)" -- "$OUT/other"
	cmp "$PLAIN" "$OUT/other"
}

@test "libbde and cryptsetup list the cipher, ids and protectors that info lists" {
	need bdeinfo
	need cryptsetup
	make --method elephant256 --password "$PASSWORD" --recovery $RECOVERY
	run_vdiskck info --json volume
	expect_status 3
	jq -r 'select(.record == "layer" and .layer == "raw/bitlocker") | .protectors[].id, .volume_id' <<<"$output" |
		sort >"$OUT/ours"
	bdeinfo volume </dev/null >"$OUT/bde" 2>&1 || true
	grep -q 'AES-CBC 256-bit with Diffuser' "$OUT/bde"
	expect_json 'map(select(.record == "layer" and .layer == "raw/bitlocker"))[0] |
		.cipher == "AES-CBC-256 with Elephant diffuser" and .state == "locked"'
	{ sed -n 's/.*[iI]dentifier[[:space:]]*: //p' "$OUT/bde"; } | sort >"$OUT/theirs"
	cmp "$OUT/ours" "$OUT/theirs"
	cryptsetup bitlkDump volume >"$OUT/dump"
	grep -q 'aes-cbc-elephant' "$OUT/dump"
	grep -oiE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' "$OUT/dump" | sort -u >"$OUT/theirs"
	comm -23 "$OUT/ours" "$OUT/theirs" >"$OUT/only"
	[ ! -s "$OUT/only" ] || { cat "$OUT/only" "$OUT/dump"; return 1; }
}

@test "libbde mounts what we export" {
	need bdemount
	[ -w /dev/fuse ] || skip "no FUSE"
	make --method elephant128 --password "$PASSWORD"
	mkdir "$OUT/mount"
	timeout 20 bdemount -p "$PASSWORD" volume "$OUT/mount" >/dev/null || skip "no FUSE here"
	cmp -n $((12 << 20)) "$PLAIN" "$OUT/mount/bde1" && same=yes || same=no
	fusermount -u "$OUT/mount"
	[ "$same" = yes ]
	expect_plain "$OUT/keys"
}

@test "every combination of lost header and lost copies that leaves one good block opens" {
	make --password "$PASSWORD"
	cp volume "$OUT/whole"
	for header in good zeroed noise; do
		for lost in "" 1 2 3 "1 2" "1 3" "2 3"; do
			cp "$OUT/whole" volume
			case $header in
			zeroed) dd if=/dev/zero of=volume bs=512 count=1 conv=notrunc status=none ;;
			noise) dd if=/dev/urandom of=volume bs=512 count=1 conv=notrunc status=none ;;
			esac
			for i in $lost; do
				dd if=/dev/urandom of=volume bs=64k count=1 seek="$(copy "$i")" \
					oflag=seek_bytes conv=notrunc status=none
			done
			run_vdiskck export --json --keys "$OUT/vmk" --at bitlocker -o "$OUT/got" \
				--force volume
			expect_status 0
			cmp "$PLAIN" "$OUT/got"
			[ $header = good ] || expect_json 'any(.[]; .id == "fve-header-lost")'
			expect_json "map(select(.id == \"fve-copy-bad\")) | length == $(wc -w <<<"$lost")"
		done
	done
}

@test "without a good block nothing opens, and it is said why" {
	make --password "$PASSWORD"
	for i in 1 2 3; do
		dd if=/dev/urandom of=volume bs=64k count=1 seek="$(copy $i)" oflag=seek_bytes \
			conv=notrunc status=none
	done
	run_vdiskck info --keys "$OUT/keys" volume
	[ "$status" != 0 ]
	expect_text 'looks like bitlocker, but could not be opened'
}

@test "a wrong password says so, and costs no more than the right one" {
	make --password "$PASSWORD"
	echo 'passphrase wrong' >"$OUT/keys"
	cat "$OUT/keys" >/dev/null
	run_vdiskck check --json --keys "$OUT/keys" volume
	expect_status 3
	expect_json 'any(.[]; .id == "layer-key-rejected") and (map(select(.id == "fve-copy-bad")) == [])'
}
