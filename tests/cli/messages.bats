#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What events say in words, from the programs of their providers on the same volume.
load common

RECIPE=$BATS_TEST_DIRNAME/../../fixtures/windows/make_windows.py
LOGS=Windows/System32/winevt/Logs

# A Windows volume with a log of eight events of its test provider.
windows() { # NAME
	[ -e "$OUT/root" ] || python3 "$RECIPE" "$OUT/root"
	mkdir -p "$OUT/root/$LOGS"
	"${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx" System 1000 8 >"$OUT/root/$LOGS/System.evtx"
	rm -f "$OUT/v"
	truncate -s 64M "$OUT/v"
	mkfs.vfat -F 32 "$OUT/v" >/dev/null
	mcopy -s -i "$OUT/v" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/v" "$1"
}

messages() { # ID: those of its events, each once
	jq -r --argjson id "$1" 'select(.record == "event" and .event_id == $id) | .message // "none"' <<<"$output" | sort -u
}

@test "events of a manifest and classic ones have their texts, with values and parameters in them" {
	windows node.vhd
	run_vdiskck logs node.vhd --json
	expect_status 0
	messages 1000 | head -1 | grep -q '^Plain: .*quick "fox" jumps'
	expect_json 'any(.message == "Number 3003 of S-1-5-32-544\nby parameter")'
	[ "$(messages 1002)" = $'Signed -1002, 100% sure\nSigned -1006, 100% sure' ]
	[ "$(messages 1003)" = 'Classic one and two' ]
	# The values stay beside them.
	expect_json 'all(.[] | select(.event_id == 1001); .data.EventData.who == "S-1-5-32-544")'
}

@test "a carved record has its text, too; triage's timeline has them" {
	windows node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	[ "$(jq -r 'select(.event_id == 1003) | .message' "$OUT/case/timeline.jsonl" | sort -u)" = 'Classic one and two' ]
	mdel -i "$OUT/v" "::/$LOGS/System.evtx"
	qemu-img convert -O vpc "$OUT/v" gone.vhd
	run_vdiskck logs gone.vhd --json
	expect_json 'any(.state == "carved" and .event_id == 1003 and .message == "Classic one and two")'
}

@test "a provider whose program is gone or damaged costs its texts, and nothing else" {
	windows node.vhd
	rm "$OUT/root/Windows/System32/en-US/vdiskckt.dll.mui" "$OUT/root/Windows/System32/vdiskckp.dll"
	printf 'XXXXXXXX' | dd of="$OUT/root/Windows/System32/classic.dll" bs=1 seek=1040 conv=notrunc status=none
	windows less.vhd
	run_vdiskck logs less.vhd --json
	expect_status 0
	for id in 1000 1001 1002 1003; do [ "$(messages $id)" = none ]; done
	expect_json '[.[] | select(.record == "event" and .state == "intact")] | length == 8'
	# Without the registry, too.
	rm "$OUT"/root/Windows/System32/config/S*
	windows none.vhd
	run_vdiskck logs none.vhd --json
	expect_status 0
	[ "$(messages 1003)" = none ]
}

@test "the messages of the fixture are what other tools find in it" {
	command -v wrestool >/dev/null || skip "no wrestool"
	python3 "$RECIPE" "$OUT/root"
	wrestool -l "$OUT/root/Windows/System32/classic.dll" | grep -q -e '--type=11 .*messagelist'
	wrestool -x --raw -t 11 "$OUT/root/Windows/System32/en-US/vdiskckt.dll.mui" | iconv -f utf-16le -t utf-8 -c |
		grep -aq 'Signed %2, 100%% sure'
}
