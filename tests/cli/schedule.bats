#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Scrubs that are run by a timer: stopped and gone on with (kills: killed.bats), one at a time, slow, and watched.
load common

disk() { # NAME: 64 MiB, 20 of them random
	truncate -s 64M "$1"
	head -c 20M /dev/urandom | dd of="$1" bs=1M seek=8 conv=notrunc iflag=fullblock status=none
}

rot() { # FILE OFFSET TEXT: change bytes behind everybody's back
	local when
	when=$(stat -c %y "$1")
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
	touch -d "$when" "$1"
}

until_heeds_term() { # PID: it is no shell any more, and has its handler of SIGTERM (bit 14 of SigCgt, proc(5))
	local waited=0
	until [ "$(cat "/proc/$1/comm")" = vdiskck ] && ((0x$(sed -n 's/^SigCgt:\t//p' "/proc/$1/status") >> 14 & 1)); do
		sleep 0.05
		[ $((waited += 1)) -lt 1200 ]
	done
}

until_locked() { # FILE: somebody has it (proc(5), /proc/locks)
	local waited=0
	until [ -e "$1" ] && grep -q ":$(stat -c %i "$1") " /proc/locks; do
		sleep 0.05
		[ $((waited += 1)) -lt 1200 ]
	done
}

@test "SIGTERM and --max-runtime end a scrub with a checkpoint, and say what was not done" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw --state "$OUT/state" --rate 4M --max-runtime 1s
	expect_status 3
	expect_json 'any(.id == "run-interrupted") and any(.record == "scrub" and .rot == 0)'
	# 448: the end of the data, five seconds of reading away.
	jq -e '.complete == null and (.passes[0].next // 0) < 448' "$OUT/state"
	"${VDISKCK_PROGRAM:-$VDISKCK}" scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/state" --resume --rate 1M &
	local pid=$! status=0
	until_heeds_term $pid
	kill -TERM $pid
	wait $pid || status=$?
	[ $status = 3 ]
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw --state "$OUT/state" --resume
	expect_status 0
	expect_json 'any(.record == "scrub" and .intact == 1024)'
}

@test "--resume refuses what is of another seal, or no state; without it the scrub begins anew" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/state" --rate 4M --max-runtime 1s
	expect_status 3
	run_vdiskck seal a.raw -o "$OUT/s" --force
	touch -d '2 days ago' b.raw
	disk b.raw
	run_vdiskck seal b.raw -o "$OUT/t"
	run_vdiskck scrub b.raw --seal "$OUT/t" --format raw --state "$OUT/state" --resume
	expect_status 3
	expect_text 'is of another scrub'
	run_vdiskck scrub b.raw --seal "$OUT/t" --format raw --state "$OUT/state"
	expect_status 0
	echo '{"record":"scrub_st' >"$OUT/half"
	run_vdiskck scrub b.raw --seal "$OUT/t" --format raw --state "$OUT/half"
	expect_status 3
	expect_text 'no state of a scrub'
}

@test "--older-than skips what was verified lately, never what was bad, and heeds no clock of the future" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s" --time @1700000000
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --older-than 7 --state "$OUT/state"
	expect_status 0
	expect_text '64 MiB as sealed'
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --older-than 7 --state "$OUT/state"
	expect_status 0
	expect_text 'skipped'
	jq '.verified += 900000 | .passes[].generation_made += 900000' "$OUT/state" >"$OUT/future"
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --older-than 7 --state "$OUT/future"
	expect_text '64 MiB as sealed'
	rot a.raw 9000000 ROTTEN
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/state"
	expect_status 2
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --older-than 7 --state "$OUT/state"
	expect_status 2
}

@test "since when: the last run that read all of it bounds the time of rot, and rot stays as old as it is" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s" --time 2023-11-14T22:13:20Z
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/state"
	expect_status 0
	local verified bound
	verified=$(date -u -d "@$(jq .verified "$OUT/state")" +%Y-%m-%dT%H:%M:%SZ)
	rot a.raw 9000000 ROTTEN
	sleep 1.1
	for i in 1 2; do
		run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/state" --json
		expect_status 2
		expect_json 'any(.id == "scrub-rot" and (.message | contains("since 2023-11-14T22:13:20Z, last found so at '"$verified"'")))'
	done
	# A generation in which rot was kept as it was sealed is no proof that it was right then.
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --reseal --json
	expect_status 2
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --json
	expect_json 'any(.id == "scrub-rot" and (.message | contains("last found so at 2023-11-14T22:13:20Z")))'
}

@test "a seal and a state are for one run at a time; the lock of a storage is waited for" {
	disk a.raw
	mkdir "$OUT/d"
	run_vdiskck seal a.raw -o "$OUT/s"
	"${VDISKCK_PROGRAM:-$VDISKCK}" scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/d/state" --lock "$OUT/d/lock" --rate 200K >/dev/null &
	local pid=$! status=0
	until_locked "$OUT/d/lock"
	until_locked "$OUT/d/state"
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw
	expect_status 3
	expect_text 'another run uses this seal'
	run_vdiskck seal a.raw -o "$OUT/s"
	expect_status 3
	expect_text 'another run uses this seal'
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --state "$OUT/d/state"
	expect_status 3
	expect_text 'another run has this state'
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --lock "$OUT/d/lock" --max-runtime 1s
	expect_status 3
	expect_text 'another job has the lock: waiting'
	"${VDISKCK_PROGRAM:-$VDISKCK}" scrub a.raw --seal "$OUT/s" --format raw --lock "$OUT/d/lock" >/dev/null &
	local waiter=$!
	kill -TERM $pid
	wait $pid || status=$?
	[ $status = 3 ]
	wait $waiter
}

@test "--rate is kept, and --background is done by itself on an idle machine" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	local from=$SECONDS
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --quick --rate 5M
	expect_status 0
	[ $((SECONDS - from)) -ge 3 ]
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --quick --background
	expect_status 0
}

@test "--prom writes what node_exporter can read, and promtool likes where it is" {
	disk 'a"b.raw'
	run_vdiskck seal 'a"b.raw' -o "$OUT/s"
	rot 'a"b.raw' 9000000 ROTTEN
	run_vdiskck scrub 'a"b.raw' --seal "$OUT/s" --format raw --prom "$OUT/m.prom"
	expect_status 2
	[ "$(stat -c %a "$OUT/m.prom")" = 644 ]
	[ "$(ls "$OUT" | grep -c prom)" = 1 ]
	grep -qx 'vdiskck_scrub_leaf_bytes{image="a\\"b.raw",name="a\\"b.raw",format="raw",storage="evidence",verdict="rot"} 65536' "$OUT/m.prom"
	grep -qx 'vdiskck_findings{.*severity="damage"} 1' "$OUT/m.prom"
	# Each name has its HELP and TYPE once, before its samples; no sample has a time stamp.
	awk '/^# HELP/ { if ($3 in help) exit 1; help[$3] }
		/^# TYPE/ { if (!($3 in help) || $3 in type) exit 1; type[$3] }
		!/^#/ { name = $0; sub(/[{ ].*/, "", name); if (!(name in type)) exit 1
			rest = $0; sub(/^[^}]*} /, "", rest); if (rest !~ /^[0-9.]+$/) exit 1 }' "$OUT/m.prom"
	# The files of two images in one folder: no series is in both.
	disk b.raw
	run_vdiskck seal b.raw -o "$OUT/t"
	run_vdiskck scrub b.raw --seal "$OUT/t" --format raw --prom "$OUT/n.prom"
	[ -z "$(cat "$OUT/m.prom" "$OUT/n.prom" | grep -v '^#' | sed 's/} [^}]*$/}/' | sort | uniq -d)" ]
	if command -v promtool >/dev/null; then promtool check metrics <"$OUT/m.prom"; fi
}
