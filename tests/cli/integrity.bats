#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# dm-integrity and LUKS2 with tags, as a user meets them: devices that a real kernel wrote.
load common

setup() {
	D=$BATS_TEST_TMPDIR
	export LC_ALL=C
}

corpus() { # NAME: unpacked to $D/NAME
	[ -r "$CORPUS/dm/$1.xz" ] || skip "no corpus"
	xz -dc "$CORPUS/dm/$1.xz" >"$D/$1"
}

flip() { # FILE OFFSET
	python3 -c 'import sys
f = open(sys.argv[1], "r+b"); f.seek(int(sys.argv[2], 0)); b = f.read(1)[0] ^ 1
f.seek(-1, 1); f.write(bytes([b]))' "$1" "$2"
}

# The blocks that are doubtful in the one layer with tags, as kernel.expected writes them.
doubtful() { # IMAGE BLOCK-SIZE
	$VDISKCK check --data --json "$1" | python3 -c 'import json, sys
size, bad, stop = int(sys.argv[1]), set(), False
for line in sys.stdin:
    r = json.loads(line)
    if r["record"] != "finding":
        continue
    stop |= r["id"] in ("integrity-journal-tag", "integrity-journal-commit")
    if r["id"] in ("integrity-tag", "integrity-never-written"):
        bad |= set(range(r["offset"] // size, (r["offset"] + r["length"]) // size))
out = []
for n in sorted(bad):
    if out and out[-1][1] == n - 1:
        out[-1][1] = n
    else:
        out.append([n, n])
print("all" if stop else " ".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in out))' "$2"
}

@test "every block that a kernel refuses is doubtful, and no other" {
	[ -n "${VDISKCK_INTEGRITY_IMAGES:-}" ] || skip "needs images of fixtures/integrity/kernel.sh"
	while read -r name expected; do
		[ "$name" != "#" ] || continue
		size=512
		[ "$name" != sha256 ] || size=4096
		found=$(doubtful "$VDISKCK_INTEGRITY_IMAGES/$name.img" $size)
		echo "$name: kernel $expected, we $found"
		[ "$found" = "$expected" ]
	done <"$BATS_TEST_DIRNAME/../../fixtures/integrity/kernel.expected"
}

@test "encrypted journals, and data apart from its tags, read as the kernel reads them" {
	[ -n "${VDISKCK_INTEGRITY_IMAGES:-}" ] || skip "needs images of fixtures/integrity/kernel.sh"
	cd "$VDISKCK_INTEGRITY_IMAGES"
	printf 'keyfile %s\n' "$PWD/key.crypt" "$PWD/key.mac" >"$D/keys"
	while read -r expected name; do
		header=()
		[ "$name" != data ] || header=(--header tags.img)
		found=$($VDISKCK export -q --keys "$D/keys" "${header[@]}" --at integrity -o - "$name.img" | sha256sum)
		[ "${found%% *}" = "$expected" ]
		run $VDISKCK check --data --keys "$D/keys" "${header[@]}" "$name.img"
		[ "$status" = 0 ]
	done <kernel.sha256
}

@test "a flipped sector is found by its tag, located and named; the rest holds" {
	corpus icrc32c.img
	run $VDISKCK check --data "$D/icrc32c.img"
	[ "$status" = 0 ]
	flip "$D/icrc32c.img" $((0x37000 + 700 * 512 + 9))
	run $VDISKCK check "$D/icrc32c.img" # structures alone hold
	[ "$status" = 0 ]
	run $VDISKCK check --data "$D/icrc32c.img"
	[ "$status" = 2 ]
	[[ $output == *"sector 700: the data does not fit its tag at 0x17af0 (crc32c)"* ]]
	[ "$(doubtful "$D/icrc32c.img" 512)" = 700 ]
}

@test "HMAC tags without a key are undecided" {
	corpus ihmac.img
	run $VDISKCK check --data "$D/ihmac.img"
	[ "$status" = 3 ]
	[[ $output == *integrity-key* ]]
}

@test "the key makes HMAC tags verifiable" {
	corpus ihmac.img
	key="volume-key $(printf '6b%.0s' {1..32})"
	run $VDISKCK check --data --keys - "$D/ihmac.img" <<<"$key"
	[ "$status" = 0 ]
	flip "$D/ihmac.img" $((0x42000 + 11 * 4096))
	run $VDISKCK check --data --keys - "$D/ihmac.img" <<<"$key"
	[ "$status" = 2 ]
	[[ $output == *"sectors 88..95: the data does not fit its tag"*"hmac(sha256)"* ]]
}

@test "a verity tree holds or does not hold to the root hash given" {
	corpus verity.img
	key="root-hash 6f2b784d712990d97c66273a973bbbec4f23878364985276bee8e2439b399814"
	run $VDISKCK check --data --keys - "$D/verity.img" <<<"$key"
	[ "$status" = 0 ]
	[[ $output != *verity-not-anchored* ]]
	run $VDISKCK check --data --keys - "$D/verity.img" <<<"${key//6/7}"
	[ "$status" = 2 ]
	[[ $output == *verity-root* ]]
}
