#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Disks that fill up or fail while seals and states are written, and clocks that go back.
load common
load faults

@test "a disk that fills up, or fails, while a seal is written: no half of it, and the old one stays" {
	disk
	"$PROGRAM" seal a.raw -o "$OUT/old" --time @1700000000 >/dev/null
	printf new | dd of=a.raw bs=1 seek=2700000 conv=notrunc status=none
	local at all code
	FAULT_ERRNO=28 FAULT_AT=1000000 faulty seal --jobs 1 a.raw -o "$OUT/s"
	all=$(calls)
	rm "$OUT/s"
	RANDOM=7
	for code in 28 5; do
		for at in 1 2 3 4 5 $((all - 3)) $((all - 2)) $((all - 1)) $all $((RANDOM % all + 1)) $((RANDOM % all + 1)); do
			FAULT_ERRNO=$code FAULT_AT=$at faulty seal --jobs 1 a.raw -o "$OUT/s"
			expect_status 3
			expect_text 'No space left|Input/output error'
			rm -f "$OUT/s"
			[ "$(ls "$OUT")" = "$(printf 'old\nstderr')" ] || { ls "$OUT"; return 1; }
			cp "$OUT/old" "$OUT/s"
			FAULT_ERRNO=$code FAULT_AT=$at faulty seal --jobs 1 a.raw -o "$OUT/s"
			# Whatever was written behind its end: it is the seal that it was, or has one more.
			"$PROGRAM" seal --verify "$OUT/s" >/dev/null
			rm "$OUT/s"
		done
	done
}

@test "a disk that fills up while a scrub keeps its state: said, and what was found is told" {
	disk
	"$PROGRAM" seal a.raw -o "$OUT/s" >/dev/null
	rot a.raw 2700000
	local at all code
	FAULT_ERRNO=28 FAULT_AT=1000000 faulty scrub --jobs 1 a.raw --seal "$OUT/s" --json --state "$OUT/state"
	all=$(calls)
	rm "$OUT/state"
	for code in 28 5; do
		for at in 1 7 100 $((all - 10)) $((all - 1)); do
			FAULT_ERRNO=$code FAULT_AT=$at faulty scrub --jobs 1 a.raw --seal "$OUT/s" --json --state "$OUT/state"
			expect_status 2
			expect_text "state can't be saved: (No space left|Input/output error)"
			expect_json '[.[] | select(.id == "scrub-rot")] | length == 1'
			[ ! -e "$OUT/state.new" ]
			[ ! -s "$OUT/state" ] || jq -e '.record == "scrub_state"' "$OUT/state" >/dev/null
			rm -f "$OUT/state"
		done
	done
}

@test "a clock that goes back: no time is made up, nothing is skipped, nothing is taken for rot" {
	disk
	FAULT_TIME=1700000000 faulty seal --jobs 1 a.raw -o "$OUT/s"
	# An hour before the seal.
	FAULT_TIME=1699996400 faulty scrub --jobs 1 a.raw --seal "$OUT/s" --state "$OUT/state" --older-than 7
	expect_status 0
	expect_text '5 MiB as sealed at 2023-11-14T22:13:20Z'
	FAULT_TIME=1699990000 faulty scrub --jobs 1 a.raw --seal "$OUT/s" --state "$OUT/state" --older-than 7
	expect_text '5 MiB as sealed'
	FAULT_TIME=1699990000 faulty seal --jobs 1 a.raw -o "$OUT/s"
	rot a.raw 2700000
	FAULT_TIME=1699980000 faulty scrub --jobs 1 a.raw --seal "$OUT/s" --state "$OUT/state" --json
	expect_status 2
	expect_json '[.[] | select(.id == "scrub-rot") | .message | contains("sealed so since 2023-11-14T22:13:20Z")] == [true]'
	mkdir "$OUT/d"
	cp "$OUT/state" "$OUT/d/a.state"
	jq '.verified = 1999990000' "$OUT/state" >"$OUT/d/a.state"
	FAULT_TIME=1700000000 faulty status "$OUT/d"
	expect_status 2
	jq '.verified = 1999990000 | .last.exit = 0 | .last.bad_leaves = 0' "$OUT/state" >"$OUT/d/a.state"
	FAULT_TIME=1700000000 faulty status "$OUT/d"
	expect_status 1
	expect_text '1 overdue: a.raw'
}
