#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What triage says of the cause of damage, by its shape.
load common

FIX=${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures

# A volume with an event log; its bytes.
volume() {
	mkdir -p "$OUT/t"
	"$FIX/mkevtx" System 1 2000 >"$OUT/t/System.evtx"
	truncate -s 40M "$OUT/v"
	mkfs.fat -F 32 "$OUT/v" >/dev/null
	mmd -i "$OUT/v" ::/Windows ::/Windows/System32 ::/Windows/System32/winevt ::/Windows/System32/winevt/Logs
	mcopy -i "$OUT/v" "$OUT/t/System.evtx" ::/Windows/System32/winevt/Logs/
	printf 'passphrase secret\n' >"$OUT/keys"
	cat "$OUT/keys" >/dev/null
}

# Where byte OFFSET of the log is in the image.
place() { # IMAGE OFFSET
	"$VDISKCK" locate "$1" --keys "$OUT/keys" --file "/Windows/System32/winevt/Logs/System.evtx:$2" --json |
		jq -s 'first(.[] | select(.record == "location")) | .where[0].offset'
}

# Another bit: 4 of the byte at OFFSET.
flip() { # FILE OFFSET
	local was
	was=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf '%b' "\\x$(printf %x $((was ^ 16)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

cause() { # JQ-FILTER
	jq -se "[.[] | select(.record == \"cause\")] | $1" "$OUT/case/report.json" >/dev/null ||
		{ grep '"cause"' "$OUT/case/report.json"; return 1; }
}

@test "a bit of ciphertext: which one, and that it changed below the encryption" {
	local at
	volume
	"$FIX/mkbitlocker" --password secret "$OUT/v" bl.img >/dev/null
	at=$(place bl.img 90000)
	flip bl.img "$at"
	run_vdiskck triage bl.img --keys "$OUT/keys" -o "$OUT/case"
	expect_status 2
	cause "length == 1 and .[0].finding == \"evtx-data-sum\" and .[0].kind == \"bit\" and .[0].side == \"below\" and
		.[0].confidence == \"strong\" and .[0].stored.offset == $at and .[0].stored.layer == \"bl.img\""
	expect_text 'one bit changed below the encryption'
	expect_text 'evidence, not proof'
	grep -q 'one bit changed below the encryption.*host, network, storage.*href="#evtx-data-sum"' "$OUT/case/report.html"
}

# Another mode spoils more: CBC the block and a bit of the next one, the diffuser all of the sector.
mode() { # NAME LENGTH: an image encrypted so, a bit of it flipped; so many bytes are noise
	local at
	at=$(place "$1" 90000)
	flip "$1" "$at"
	rm -rf "$OUT/case"
	run_vdiskck triage "$1" --keys "$OUT/keys" -o "$OUT/case"
	expect_status 2
	cause "length == 1 and .[0].finding == \"evtx-data-sum\" and .[0].kind == \"bit\" and .[0].side == \"below\" and
		.[0].confidence == \"strong\" and .[0].stored.offset == $at and .[0].at.length == $2"
}

@test "a bit of ciphertext in CBC, with and without the diffuser" {
	volume
	"$FIX/mkbitlocker" --method cbc128 --password secret "$OUT/v" cbc.img >/dev/null
	mode cbc.img 16
	expect_text 'the same bit of the block behind it \(CBC\)'
	"$FIX/mkbitlocker" --method elephant256 --password secret "$OUT/v" elephant.img >/dev/null
	mode elephant.img 512
	expect_text 'all of the sector is right \(diffuser\)'
	printf secret >"$OUT/secret"
	qemu-img convert -O luks --object secret,id=k,file="$OUT/secret" \
		-o key-secret=k,iter-time=10,cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256 "$OUT/v" luks.img
	mode luks.img 16
	expect_text 'the same bit of the block behind it \(CBC\)'
}

@test "a bit of the plaintext under encryption: it changed before, in the guest" {
	volume
	flip "$OUT/v" "$(place "$OUT/v" 90000)"
	"$FIX/mkbitlocker" --password secret "$OUT/v" bl.img >/dev/null
	run_vdiskck triage bl.img --keys "$OUT/keys" -o "$OUT/case"
	expect_status 2
	cause '.[0].kind == "bit" and .[0].side == "above" and .[0].at.offset == 90000 and .[0].at.length == 1'
	# Without encryption nothing tells.
	cp "$OUT/v" plain.img
	run_vdiskck triage plain.img -o "$OUT/case2"
	jq -se 'any(.record == "cause" and .kind == "bit" and .side == "unknown")' "$OUT/case2/report.json"
}

@test "zeroed ciphertext was zeroed below; zeros as the guest sees them came from above" {
	local at
	volume
	"$FIX/mkbitlocker" --password secret "$OUT/v" bl.img >/dev/null
	at=$(place bl.img 131072)
	dd if=/dev/zero of=bl.img bs=512 seek=$((at / 512)) count=8 conv=notrunc status=none
	run_vdiskck triage bl.img --keys "$OUT/keys" -o "$OUT/case"
	cause 'any(.finding == "ciphertext-overwritten" and .kind == "zeroed" and .side == "below" and .confidence == "strong")'
	at=$(place "$OUT/v" $((4096 + 65536)))
	dd if=/dev/zero of="$OUT/v" bs=512 seek=$((at / 512)) count=8 conv=notrunc status=none
	"$FIX/mkbitlocker" --password secret "$OUT/v" bl2.img >/dev/null
	run_vdiskck triage bl2.img --keys "$OUT/keys" -o "$OUT/case2"
	jq -se 'any(.record == "cause" and .kind == "zeroed" and .side == "above")' "$OUT/case2/report.json"
}

@test "an entry of a table that was overwritten: what it named is still there; one bit of it" {
	local entry
	volume
	qemu-img convert -O vpc "$OUT/v" a.vhd
	entry=$(od -An -tx1 -j 1536 -N 4 a.vhd | tr -d ' ')
	printf '\x00\xff\xff\x00' | dd of=a.vhd bs=1 seek=1536 conv=notrunc status=none
	run_vdiskck triage a.vhd -o "$OUT/case"
	cause 'any(.finding == "vhd-bat-past-end" and .kind == "pointer")'
	printf '%b' "$(printf '%08x' $((0x$entry ^ 0x800000)) | sed 's/../\\x&/g')" |
		dd of=a.vhd bs=1 seek=1536 conv=notrunc status=none
	run_vdiskck triage a.vhd -o "$OUT/case2"
	jq -se 'any(.record == "cause" and .finding == "vhd-bat-past-end" and .kind == "bit")' "$OUT/case2/report.json"
}

@test "an image that was cut short: entries name just what would follow its end, and that is one cause" {
	volume
	head -c 8M /dev/urandom >"$OUT/t/more"
	mcopy -i "$OUT/v" "$OUT/t/more" ::/more
	qemu-img convert -O qcow2 "$OUT/v" a.qcow2
	truncate -s 5M a.qcow2
	run_vdiskck triage a.qcow2 -o "$OUT/case"
	expect_status 2
	cause '[.[] | select(.kind == "truncated" and .side == "below" and .confidence == "likely")] | length == 1'
	cause 'any(.kind == "pointer" or .kind == "bit") | not'
	expect_text 'what its entries name would follow the end of the file at 0x500000 \(a multiple of 1 MiB\)'
	[[ $(head -1 <<<"$output") == *"the image was cut short, or its copy not finished"* ]]
}

@test "a program whose checksum is off by one bit; what was written last beside it" {
	local at
	volume
	PYTHONPATH=$BATS_TEST_DIRNAME/../../fixtures/windows python3 -B -c '
		import sys, make_windows as win
		files = {k: v for k, v in win.volume().items() if "Documents" not in k}
		win.write(sys.argv[1], files)' "$OUT/w" 2>/dev/null || skip "no python3"
	touch -d 2026-03-01T10:00:00Z "$OUT"/w/Windows/System32/*.*
	touch -d 2026-05-14T11:52:08Z "$OUT"/w/Windows/System32/hal.dll
	truncate -s 40M "$OUT/x"
	mkfs.fat -F 32 "$OUT/x" >/dev/null
	TZ=UTC mcopy -m -s -i "$OUT/x" "$OUT/w/Windows" ::/
	at=$("$VDISKCK" locate "$OUT/x" --file "/Windows/System32/ntoskrnl.exe:490000" --json |
		jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	cp "$OUT/x" x.img
	flip x.img "$at"
	run_vdiskck triage x.img -o "$OUT/case"
	expect_status 2
	cause 'length == 1 and .[0].finding == "pe-checksum" and .[0].kind == "bit" and .[0].confidence == "likely" and
		.[0].side == "unknown" and (.[0].beside_written | startswith("2026-0"))'
	sqlite3 "$OUT/case/case.sqlite" "SELECT f.name FROM causes AS c JOIN findings AS f ON f.id = c.finding
		WHERE c.beside IS NOT NULL AND c.kind = 'bit'" | grep -qx pe-checksum
	# Two bits are no bit.
	flip x.img $((at + 3))
	run_vdiskck triage x.img -o "$OUT/case2"
	lacks pe-checksum.*one.wrong.bit <<<"$output"
}

@test "a copy of the footer with one wrong bit: which one" {
	volume
	qemu-img convert -O vpc "$OUT/v" a.vhd
	flip a.vhd 40
	run_vdiskck triage a.vhd -o "$OUT/case"
	expect_status 1
	cause '.[0].finding == "vhd-footer-copy" and .[0].kind == "bit" and .[0].stored.offset == 40'
}

@test "a clean image has no cause" {
	volume
	"$FIX/mkbitlocker" --password secret "$OUT/v" bl.img >/dev/null
	run_vdiskck triage bl.img --keys "$OUT/keys" -o "$OUT/case"
	expect_status 0
	cause 'length == 0'
	! grep -q 'of the cause' <<<"$output"
}
