# SPDX-License-Identifier: Apache-2.0
load common

# TrueCrypt volumes of the corpus: their keys are derived in milliseconds.
volume() { # NAME
	[ -e "$CORPUS/veracrypt/$1.xz" ] || skip "no corpus"
	xz -dc "$CORPUS/veracrypt/$1.xz" >"$DIR/disk.tc"
}

# Keys come by standard input: a file among the arguments would be watched as evidence is.
keys() { printf '%s\n' "$@" >"$OUT/keys"; }
with_keys() { run_vdiskck "$@" <"$OUT/keys"; }

@test "tcrypt: info says how a volume was opened, and nothing of it without a key" {
	volume cryptsetup-tc_5-sha512-xts-serpent-aes
	run_vdiskck info disk.tc
	expect_text 'raw'
	lacks '[cC]rypt' <<<"$output"
	keys 'passphrase aaaaaaaaaaaa'
	with_keys info --json --keys - disk.tc
	expect_status 0
	expect_json '.[] | select(.layer == "raw/tcrypt") | .cipher == "serpent-aes-xts" and .size == 36864
		and .program == "TrueCrypt" and .version == 5 and .header == "primary header"
		and .kdf == "PBKDF2-SHA-512, 1000 iterations" and (.locked | not)'
}

@test "tcrypt: a volume is exported as its plaintext, from the backup header if need be" {
	volume john-tc-openwall
	keys 'passphrase no' 'passphrase openwall'
	with_keys export --keys - --at tcrypt -o "$OUT/plain" disk.tc
	expect_status 0
	[ "$(sha256sum <"$OUT/plain")" = \
		"72bb10dc25c2ad2b17df39602dd464e7745e107c83161b31be80ccb1ec5e8e3a  -" ]
	dd if=/dev/zero of=disk.tc bs=4096 count=1 conv=notrunc status=none
	with_keys check --keys - disk.tc
	expect_status 1
	expect_text 'tcrypt-backup-used'
	with_keys export --keys - --at tcrypt -o "$OUT/again" disk.tc
	[ "$(sha256sum <"$OUT/again")" = \
		"72bb10dc25c2ad2b17df39602dd464e7745e107c83161b31be80ccb1ec5e8e3a  -" ]
}

@test "tcrypt: key files and a hidden volume" {
	volume john-TC-Hidden-2.tc
	keys 'passphrase TRUECRYPT' "keyfile $CORPUS/veracrypt/john-TC-Volume-2-SHA-512-kf"
	with_keys export --keys - --at tcrypt -o "$OUT/plain" disk.tc
	expect_status 0
	[ "$(sha256sum <"$OUT/plain")" = \
		"a7123089f02139234006833a07105443be9de857d1738d87055baeed4088f528  -" ]
}

@test "tcrypt: no key, and keys that do not fit, are told apart" {
	head -c 4096 /dev/urandom >disk.tc
	run_vdiskck check disk.tc
	expect_status 3
	expect_text 'layer-unknown'
	run_vdiskck check --format tcrypt disk.tc
	expect_status 3
	expect_text 'layer-locked'
	keys 'passphrase no' 'pim 1' # the least work for VeraCrypt's key derivation
	with_keys check --keys - disk.tc
	expect_status 3
	expect_text 'layer-key-rejected'
}

@test "tcrypt: a volume in a file that a disk holds is not looked for in what is no noise" {
	truncate -s 1M disk.tc
	keys 'passphrase no'
	with_keys check --keys - --json disk.tc
	expect_json 'map(select(.id == "layer-key-rejected")) | length == 0'
}
