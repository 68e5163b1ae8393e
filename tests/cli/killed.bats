#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Killed at any point, or out of space there: build/fault_shim.so counts the calls that write, and
# strikes at one of them. No test here depends on how fast the machine is.
load common

PROGRAM=${VDISKCK_PROGRAM:-$VDISKCK}
SHIM=${PROGRAM%/*}/fault_shim.so

# The program with the shim before it; FAULT_... are in the environment.
faulty() {
	status=0
	output=$(ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 LD_PRELOAD=$SHIM FAULT_HURRY=1 FAULT_COUNT=1 \
		"$PROGRAM" "$@" --jobs 1 2>"$OUT/stderr") || status=$?
	stderr=$(cat "$OUT/stderr")
}

calls() { sed -n 's/^calls: //p' "$OUT/stderr"; }

# What a run says, but for how long it took.
said() { jq -cS 'del(.seconds)' <<<"$output"; }

# A file system with files, random data, rot in three places; a cluster of the qcow2 that nothing needs.
disk() {
	[ -e "$SHIM" ] || skip "no fault_shim.so"
	truncate -s 5M a.raw
	mke2fs -q -F -t ext4 a.raw
	head -c 2M /dev/urandom | dd of=a.raw bs=64k seek=40 conv=notrunc status=none
	qemu-img convert -O qcow2 a.raw a.qcow2
}

rot() { # FILE OFFSET...
	local when file=$1 at
	when=$(stat -c %y "$file")
	shift
	for at; do printf ROTTEN | dd of="$file" bs=1 seek="$at" conv=notrunc status=none; done
	touch -d "$when" "$file"
}

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
	faulty scrub a.qcow2 --seal "$OUT/s" --json
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
	kill_and_go_on 50 scrub a.qcow2 --seal "$OUT/s" --json --state "$OUT/state" --resume
}

@test "a scrub goes on behind the parts that were done: structure, tags, ciphertext" {
	disk
	# A cipher to be looked at, in a disk of which only the file system is sealed: all of it is read.
	qemu-img create -q -f luks --object secret,id=s,data=x -o key-secret=s,iter-time=10 l.raw 3M
	dd if=/dev/zero of=l.raw bs=64k seek=60 count=4 conv=notrunc status=none
	run_vdiskck seal l.raw -o "$OUT/s"
	rot l.raw 4000000
	faulty scrub l.raw --seal "$OUT/s" --json --state "$OUT/state"
	said >"$OUT/whole"
	check_killed() { :; }
	check_ended() {
		diff "$OUT/whole" <(said)
		rm "$OUT/state"
	}
	kill_and_go_on 20 scrub l.raw --seal "$OUT/s" --json --state "$OUT/state" --resume
	# Killed when the result is to be written, each part is kept.
	faulty scrub l.raw --seal "$OUT/s" --json --state "$OUT/state"
	local all
	all=$(calls)
	FAULT_AT=$((all - 4)) faulty scrub l.raw --seal "$OUT/s" --json --state "$OUT/other"
	[ $status = 137 ]
	[ "$(jq -c '[.parts[].what]' "$OUT/other")" = '["structure and tags","ciphertext"]' ]
}

@test "bad sectors that were met before a kill are told by who goes on" {
	disk
	local eio=${PROGRAM%/*}/eio_shim.so at
	"$PROGRAM" seal a.raw -o "$OUT/s" >/dev/null
	export EIO_PATH=a.raw EIO_RANGES=1000000+4096,3000000+512 SHIM="$SHIM $eio"
	faulty scrub a.raw --seal "$OUT/s" --json
	expect_status 2
	said >"$OUT/whole"
	[ "$(grep -c '"id":"source-unreadable"' "$OUT/whole")" = 4 ]
	FAULT_AT=150 faulty scrub a.raw --seal "$OUT/s" --json --state "$OUT/state"
	[ $status = 137 ]
	jq -e '.passes[0].next > 16 and .passes[0].next < 70' "$OUT/state"
	faulty scrub a.raw --seal "$OUT/s" --json --state "$OUT/state" --resume
	diff "$OUT/whole" <(said)
}
