#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# LUKS devices whose headers lie in files of their own, made by qemu-img and cryptsetup.
load common

KEY='passphrase hidden'

# Encrypted by qemu-img: what went in ($PLAIN) and what came out ($WHOLE).
setup_file() {
	export PLAIN=$BATS_FILE_TMPDIR/plain WHOLE=$BATS_FILE_TMPDIR/whole
	cd "$BATS_FILE_TMPDIR" || return 1
	seq -f 'line %.0f of a file that somebody wants back' 60000 | head -c 2M >plain
	printf hidden >secret
	qemu-img convert -f raw -O luks --object secret,id=s,file=secret \
		-o key-secret=s,iter-time=100 plain whole
}

keys() {
	echo "$KEY" >"$OUT/keys"
	cat "$OUT/keys" >/dev/null # its access time moves now, not later
}

# The image in two files, header and device; the payload is said to start at 0.
make_device() {
	local payload
	payload=$(($(od -An -tu1 -j 104 -N 4 "$WHOLE" |
		awk '{ print (($1 * 256 + $2) * 256 + $3) * 256 + $4 }') * 512))
	head -c "$payload" "$WHOLE" >header
	tail -c +$((payload + 1)) "$WHOLE" >device
	printf '\0\0\0\0' | dd of=header bs=1 seek=104 conv=notrunc status=none
	keys
}

@test "a detached header opens the device it is given for" {
	make_device
	run_vdiskck export --keys "$OUT/keys" --header header --at luks1 -o "$OUT/got" device
	expect_status 0
	cmp "$PLAIN" "$OUT/got"
	run_vdiskck info --json --keys "$OUT/keys" --header header device
	expect_json 'map(select(.layer == "raw/luks1"))[0] | .header == "header" and .payload_offset == 0'
	expect_json 'map(select(.layer == "header" and .kind == "source")) | length == 1'
}

@test "a detached header may be named for a layer" {
	make_device
	run_vdiskck export --keys "$OUT/keys" --header raw=header --at luks1 -o "$OUT/got" device
	expect_status 0
	cmp "$PLAIN" "$OUT/got"
	run_vdiskck info --header raw/mbr/p1=header device
	expect_status 3
	expect_text 'used for no layer'
}

@test "a header alone says what it is, and a wrong --header is an error" {
	make_device
	run_vdiskck info header
	expect_status 3
	expect_text 'luks-header-alone'
	run_vdiskck info --header nowhere device
	expect_status 3
	expect_text 'nowhere: No such file'
	run_vdiskck info --header device device
	expect_status 3
	expect_text 'used for no layer'
}

@test "a header backup stands in for a header that was wiped" {
	keys
	cp "$WHOLE" disk
	cryptsetup luksHeaderBackup disk --header-backup-file backup
	dd if=/dev/urandom of=disk bs=4k count=64 conv=notrunc status=none
	run_vdiskck export --keys "$OUT/keys" --header backup --at luks1 -o "$OUT/got" disk
	expect_status 0
	cmp "$PLAIN" "$OUT/got"
}

@test "cryptsetup's own interrupted reencryption is recognised, and read" {
	truncate -s 18M disk
	printf hidden | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 disk -
	printf hidden | timeout 60 cryptsetup reencrypt -q --init-only --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 --key-file - disk || skip "no reencryption here"
	keys
	run_vdiskck check --json --keys "$OUT/keys" disk
	expect_status 1
	expect_json 'map(select(.id == "luks-reencryption")) | length == 1'
	expect_json 'map(select(.record == "layer" and .layer == "raw/luks2"))[0] |
		.locked == false and .reencryption == true and .requirements == "online-reencrypt-v2"'
}

@test "what was never written below the cipher is noise above it, as qemu-img reads it" {
	local payload
	keys
	cp "$WHOLE" a.luks
	payload=$(($(stat -c %s "$WHOLE") - $(stat -c %s "$PLAIN")))
	fallocate -p -o $((payload + (1 << 20))) -l $((512 << 10)) a.luks
	printf hidden >"$OUT/secret"
	qemu-img convert --object secret,id=s,file="$OUT/secret" -O raw \
		--image-opts driver=luks,file.filename=a.luks,key-secret=s "$OUT/want"
	run_vdiskck export --keys "$OUT/keys" --at luks1 -o "$OUT/got" a.luks
	expect_status 0
	cmp "$OUT/want" "$OUT/got"
	! cmp -s "$PLAIN" "$OUT/got"
	run_vdiskck seal --keys "$OUT/keys" --at luks1 -o "$OUT/sparse.seal" a.luks
	expect_status 0
	cp --sparse=never a.luks "$OUT/full"
	"$VDISKCK_PROGRAM" seal --keys "$OUT/keys" --at luks1 -o "$OUT/full.seal" "$OUT/full"
	"$VDISKCK_PROGRAM" seal --root "$OUT/sparse.seal" >"$OUT/root"
	[ -s "$OUT/root" ]
	[ "$("$VDISKCK_PROGRAM" seal --root "$OUT/full.seal")" = "$(cat "$OUT/root")" ]
}

@test "addresses are followed through the cipher in both directions" {
	keys
	truncate -s 4M fs
	mkfs.fat -F 12 fs >/dev/null
	printf 'the word that is looked for: %s\n' aardvark-{1..999} >text
	mcopy -i fs text ::/TEXT
	plain=$(grep -aobm1 aardvark-700 fs | cut -d: -f1)
	at=$(($(grep -obm1 aardvark-700 text | cut -d: -f1)))
	printf hidden >secret
	qemu-img convert -f raw -O luks --object secret,id=s,file=secret -o key-secret=s,iter-time=100 fs disk
	payload=$(cryptsetup luksDump disk | sed -n 's/^Payload offset:[[:space:]]*//p')
	run_vdiskck locate --json --keys "$OUT/keys" --offset $((payload * 512 + plain)) disk
	expect_json "map(select(.record == \"location\"))[0] | .owner == \"file\" and .path == \"/TEXT\" and
		.file_offset == $at"
	run_vdiskck locate --json --keys "$OUT/keys" --file "/TEXT:$at" disk
	expect_json "map(select(.record == \"location\"))[0].where |
		map(select(.layer == \"disk\"))[0].offset == $((payload * 512 + plain)) and
		map(select(.layer == \"raw/luks1\"))[0].offset == $plain"
}

@test "what cryptsetup was killed in the middle of reads as before, on both sides" {
	[ -n "${VDISKCK_LUKS_IMAGES:-}" ] || skip "needs images of fixtures/luks/reencrypt.sh"
	cd "$VDISKCK_LUKS_IMAGES"
	KEY='passphrase secret' keys
	size=$(stat -c %s plain)
	for image in *.img; do
		header=()
		[ ! -e "${image%.img}.header" ] || header=(--header "raw=${image%.img}.header")
		run_vdiskck export --keys "$OUT/keys" "${header[@]}" --at luks2 -o "$OUT/got" --force "$image"
		expect_status 0
		cmp -n "$size" plain "$OUT/got"
	done
}
