#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Seals and scrubs that are killed, at points that are random but the same in every run.
load common
load faults

# Kill COMMAND at random points and go on with it, until it was killed TIMES and came to its end.
kill_and_go_on() { # TIMES COMMAND...
	local times=$1 kills=0 ends=0 at
	shift
	RANDOM=42
	while [ $kills -lt "$times" ] || [ $ends = 0 ]; do
		at=$((1 + RANDOM % 60))
		FAULT_AT=$at faulty "$@"
		if [ $status = 137 ]; then
			kills=$((kills + 1))
			check_killed
			continue
		fi
		ends=$((ends + 1))
		check_ended
	done
}

@test "a scrub that is killed at 50 points says what one says that nobody killed" {
	disk
	"$PROGRAM" seal a.qcow2 -o "$OUT/s" >/dev/null
	rot a.qcow2 1200000 1700000 2000000 2000700
	faulty scrub --jobs 1 a.qcow2 --seal "$OUT/s" --json
	expect_status 2
	said >"$OUT/whole"
	grep -q '"id":"scrub-rot"' "$OUT/whole"
	check_killed() {
		[ ! -e "$OUT/state" ] || [ ! -s "$OUT/state" ] || jq -e '.record == "scrub_state"' "$OUT/state" >/dev/null
	}
	check_ended() {
		expect_status 2
		diff "$OUT/whole" <(said)
		rm "$OUT/state"
	}
	kill_and_go_on 50 scrub --jobs 1 a.qcow2 --seal "$OUT/s" --json --state "$OUT/state" --resume
}

@test "a scrub goes on behind the parts that were done: structure, tags, ciphertext" {
	disk
	# A cipher to be looked at, in a disk of which only the file system is sealed: all of it is read.
	qemu-img create -q -f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 l.raw 3M
	dd if=/dev/zero of=l.raw bs=64k seek=60 count=4 conv=notrunc status=none
	run_vdiskck seal l.raw -o "$OUT/s"
	rot l.raw 4000000
	faulty scrub --jobs 1 l.raw --seal "$OUT/s" --json --state "$OUT/state"
	said >"$OUT/whole"
	check_killed() { :; }
	check_ended() {
		diff "$OUT/whole" <(said)
		rm "$OUT/state"
	}
	kill_and_go_on 20 scrub --jobs 1 l.raw --seal "$OUT/s" --json --state "$OUT/state" --resume
	# Killed when the result is to be written, each part is kept.
	faulty scrub --jobs 1 l.raw --seal "$OUT/s" --json --state "$OUT/state"
	local all
	all=$(calls)
	FAULT_AT=$((all - 4)) faulty scrub --jobs 1 l.raw --seal "$OUT/s" --json --state "$OUT/other"
	[ $status = 137 ]
	[ "$(jq -c '[.parts[].what]' "$OUT/other")" = '["structure and tags","ciphertext"]' ]
}

@test "bad sectors that were met before a kill are told by who goes on" {
	disk
	local eio=${PROGRAM%/*}/eio_shim.so at
	"$PROGRAM" seal a.raw -o "$OUT/s" >/dev/null
	export EIO_PATH=a.raw EIO_RANGES=1000000+4096,3000000+512 SHIM="$SHIM $eio"
	faulty scrub --jobs 1 a.raw --seal "$OUT/s" --json
	expect_status 2
	said >"$OUT/whole"
	[ "$(grep -c '"id":"source-unreadable"' "$OUT/whole")" = 4 ]
	FAULT_AT=150 faulty scrub --jobs 1 a.raw --seal "$OUT/s" --json --state "$OUT/state"
	[ $status = 137 ]
	jq -e '.passes[0].next > 16 and .passes[0].next < 70' "$OUT/state"
	faulty scrub --jobs 1 a.raw --seal "$OUT/s" --json --state "$OUT/state" --resume
	diff "$OUT/whole" <(said)
}

@test "a seal that is killed at 50 points is bit for bit that of one run; so is one more generation" {
	disk
	# More than a page of leaves, some of them zeros, and some that can't be read.
	truncate -s 8M a.raw
	"$PROGRAM" seal a.raw -o "$OUT/one" --time @1700000000 >/dev/null
	check_killed() { [ ! -e "$OUT/s" ] || "$PROGRAM" seal --verify "$OUT/s" >/dev/null; }
	check_ended() {
		expect_status 0
		cmp "$OUT/one" "$OUT/s"
		[ "$(ls "$OUT")" = "$(printf 'one\ns\nstderr')" ]
		rm "$OUT/s"
	}
	kill_and_go_on 50 seal --jobs 1 a.raw -o "$OUT/s" --time @1700000000 --resume
	rm -f "$OUT"/s*
	printf new | dd of=a.raw bs=1 seek=2700000 conv=notrunc status=none
	printf newer | dd of=a.raw bs=1 seek=4700000 conv=notrunc status=none
	cp "$OUT/one" "$OUT/s"
	cp "$OUT/one" "$OUT/zero"
	"$PROGRAM" seal a.raw -o "$OUT/one" --time @1700000100 >/dev/null
	check_ended() {
		expect_status 0
		cmp "$OUT/one" "$OUT/s"
		cp "$OUT/zero" "$OUT/s"
	}
	kill_and_go_on 20 seal --jobs 1 a.raw -o "$OUT/s" --time @1700000100 --resume
}

@test "what is left of a seal is not gone on with if it is of something else" {
	disk
	faulty seal --jobs 1 a.raw -o "$OUT/one" --time @1700000000
	FAULT_AT=$(($(calls) / 2)) faulty seal --jobs 1 a.raw -o "$OUT/s"
	[ $status = 137 ]
	[ -s "$OUT/s.part" ]
	cp "$OUT/s.part" "$OUT/part"
	touch -d '2 days ago' a.raw
	run_vdiskck seal a.raw -o "$OUT/s" --resume
	expect_status 3
	expect_text 'the image was written to since'
	[ ! -e "$OUT/s" ]
	printf X | dd of="$OUT/s.part" bs=1 seek=300 conv=notrunc status=none
	run_vdiskck seal a.raw -o "$OUT/s" --resume
	expect_status 3
	expect_text 's.part: Bad message'
	# Without --resume it begins anew, and nothing is left.
	run_vdiskck seal a.raw -o "$OUT/s" --time @1700000000
	expect_status 0
	[ ! -e "$OUT/s.part" ]
	[ ! -e "$OUT/s.new" ]
	# The same when the seal is there and its part was not removed any more.
	run_vdiskck seal a.raw -o "$OUT/s" --time @1700000000 --resume
	expect_text 'generation 2 .*, 0 leaves changed'
}

@test "shards that are killed and gone on with make the seal of one run" {
	disk
	truncate -s 40M a.raw
	head -c 1M /dev/urandom | dd of=a.raw bs=1M seek=36 conv=notrunc iflag=fullblock status=none
	"$PROGRAM" seal a.raw -o "$OUT/one" --time @1700000000 >/dev/null
	mkdir "$OUT/d"
	"$PROGRAM" seal --plan 2 a.raw -o "$OUT/s" --time @1700000000 >"$OUT/d/plan.jsonl"
	local at k
	for k in 0 1; do
		for at in 9 11 12; do
			# The one that is killed is the child, which does the work.
			FAULT_AT=$at faulty seal --jobs 1 --shard $k --plan "$OUT/d/plan.jsonl"
			expect_status 3
		done
		[ -n "$(ls "$OUT"/d/*.part)" ]
		faulty seal --jobs 1 --shard $k --plan "$OUT/d/plan.jsonl"
		expect_status 0
		[ -z "$(ls "$OUT"/d/*.part)" ]
	done
	run_vdiskck merge "$OUT/d"
	expect_status 0
	cmp "$OUT/one" "$OUT/s"
}
