#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Seals and scrubs in shards, and what monitoring is told.
load common

disk() { # NAME [MIB]: random, with holes
	truncate -s $((${2:-100} + 28))M "$1"
	head -c $((${2:-100} / 2))M /dev/urandom | dd of="$1" bs=1M seek=3 conv=notrunc iflag=fullblock status=none
	head -c 9M /dev/urandom | dd of="$1" bs=1M seek=$((${2:-100} + 10)) conv=notrunc iflag=fullblock status=none
}

rot() { # FILE OFFSET TEXT: change bytes behind everybody's back
	local when
	when=$(stat -c %y "$1")
	printf '%b' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
	touch -d "$when" "$1"
}

plan() { # COMMAND ARGUMENTS...: to $OUT/plan.jsonl
	run_vdiskck "$@"
	expect_status 0
	printf '%s\n' "$output" >"$OUT/plan.jsonl"
}

@test "a seal made in shards is bit for bit that of one run" {
	disk a.raw
	qemu-img convert -O qcow2 -c a.raw a.qcow2
	qemu-img convert -O vpc -o force_size=on a.raw a.vhd
	for image in a.raw a.qcow2 a.vhd; do
		rm -rf "$OUT"/*
		run_vdiskck seal "$image" -o "$OUT/one" --time @1700000000
		plan seal --plan 4 "$image" -o "$OUT/merged" --time @1700000000
		[ "$(jq -c '.parts[]?' "$OUT/plan.jsonl" | wc -l)" -ge 3 ]
		[ "$(jq '[.parts[]? | .first % 256] | add' "$OUT/plan.jsonl" | sort -u)" = "$(printf '0\nnull')" ]
		for k in 3 1 0 2 1; do
			run_vdiskck seal --shard $k --plan "$OUT/plan.jsonl" --out "$OUT"
			expect_status 0
		done
		run_vdiskck merge "$OUT"
		expect_status 0
		cmp "$OUT/one" "$OUT/merged"
	done
}

@test "a generation made in shards is that of one run; a missing or damaged shard is named" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/one" --time @1700000000
	cp "$OUT/one" "$OUT/merged"
	printf new | dd of=a.raw bs=1 seek=9000000 conv=notrunc status=none
	run_vdiskck seal a.raw -o "$OUT/one" --time @1700000100
	plan seal --plan 3 a.raw -o "$OUT/merged" --time @1700000100
	run_vdiskck seal --shard 0 --plan "$OUT/plan.jsonl" --out "$OUT"
	run_vdiskck seal --shard 2 --plan "$OUT/plan.jsonl" --out "$OUT"
	cp "$OUT/merged" "$OUT/before"
	run_vdiskck merge "$OUT"
	expect_status 3
	expect_text 'is in no complete shard'
	cmp "$OUT/before" "$OUT/merged"
	run_vdiskck seal --shard 1 --plan "$OUT/plan.jsonl" --out "$OUT"
	run_vdiskck merge "$OUT"
	expect_status 0
	cmp "$OUT/one" "$OUT/merged"
	run_vdiskck seal --shard 3 --plan "$OUT/plan.jsonl" --out "$OUT"
	expect_status 3
}

@test "an image that was written to between its shards is not merged" {
	disk a.raw
	plan seal --plan 2 a.raw -o "$OUT/s"
	run_vdiskck seal --shard 0 --plan "$OUT/plan.jsonl" --out "$OUT"
	touch -d '2 days ago' a.raw
	run_vdiskck seal --shard 1 --plan "$OUT/plan.jsonl" --out "$OUT"
	run_vdiskck merge "$OUT"
	expect_status 3
	expect_text 'written to between the shards'
}

@test "a scrub in shards says what one run says, also when one of them was killed" {
	disk a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	for at in 4 20 33 50 111; do rot a.raw $((at * 1000000)) ROT; done
	dd if=/dev/zero of="$OUT/z" bs=64k count=1 status=none
	run_vdiskck scrub a.raw --seal "$OUT/s" --json --format raw
	expect_status 2
	jq -cS 'select(.record == "finding" or .record == "scrub" or .record == "summary") | del(.seconds)' <<<"$output" >"$OUT/one"
	plan scrub --plan 4 a.raw --seal "$OUT/s" --format raw
	"${VDISKCK_PROGRAM:-$VDISKCK}" scrub --shard 0 --plan "$OUT/plan.jsonl" --out "$OUT" --format raw --rate 2M &
	local pid=$!
	sleep 1.5
	# The part is done by a child, which the sandbox closes.
	kill -9 $(ps -o pid= --ppid $pid) $pid || true
	for k in 0 1 2 3 0; do
		run_vdiskck scrub --shard $k --plan "$OUT/plan.jsonl" --out "$OUT" --format raw
		expect_status 0
	done
	run_vdiskck merge "$OUT" --format raw --json
	expect_status 2
	diff "$OUT/one" <(jq -cS 'select(.record == "finding" or .record == "scrub" or .record == "summary") | del(.seconds)' <<<"$output")
}

@test "many images: a parent is planned once, and the largest image is cut" {
	PYTHONPATH=$BATS_TEST_DIRNAME/../../fixtures/demo python3 -B - <<-'END'
		from disks import Vhd
		base = b"B" * (8 << 20)
		parent = Vhd("base.vhd", base)
		for i in 1, 2:
		    Vhd("child%d.vhd" % i, base[:4 << 20] + b"C" * 512 + base[(4 << 20) + 512:], parent)
	END
	disk big.raw 60
	run_vdiskck seal big.raw -o "$OUT/big"
	run_vdiskck seal base.vhd -o "$OUT/base"
	for i in 1 2; do run_vdiskck seal child$i.vhd -o "$OUT/child$i"; done
	plan scrub --plan 2 child1.vhd child2.vhd big.raw --seal "$OUT/base" --seal "$OUT/child1" \
		--seal "$OUT/child2" --seal "$OUT/big"
	jq -c '.parts[]?' "$OUT/plan.jsonl" >"$OUT/parts"
	[ "$(grep -c '/base"' "$OUT/parts")" = 1 ]
	[ "$(grep -c '/big"' "$OUT/parts")" = 2 ]
	rot big.raw 5000000 ROTTEN
	for k in 0 1; do
		run_vdiskck scrub --shard $k --plan "$OUT/plan.jsonl" --out "$OUT"
		expect_status 0
	done
	run_vdiskck merge "$OUT" --json
	expect_status 2
	expect_json '[.[] | select(.record == "scrub") | .rot] | sort == [0, 0, 0, 1]'
	run_vdiskck scrub --plan 2 child1.vhd --seal "$OUT/big"
	expect_status 3
}

@test "status: what is damaged, overdue or not covered, for a monitoring system" {
	mkdir "$OUT/d"
	run_vdiskck status "$OUT/d"
	expect_status 3
	expect_text '^VDISKCK UNKNOWN - 0 images'
	disk a.raw 20
	disk b.raw 20
	run_vdiskck seal a.raw -o "$OUT/d/a.seal"
	run_vdiskck seal b.raw -o "$OUT/d/b.seal"
	run_vdiskck status "$OUT/d"
	expect_status 0
	run_vdiskck scrub a.raw --seal "$OUT/d/a.seal" --format raw --state "$OUT/d/a.state"
	run_vdiskck status "$OUT/d"
	expect_status 0
	expect_text "^VDISKCK OK - 2 images \| 'images'=2;;;0 'damaged'=0;;0;0 .*'coverage'=100.00%;;;0;100 'age'=[0-9]+s;604800;1209600;0$"
	# Far behind what the interrupted run below gets to.
	rot a.raw 12000000 ROTTEN
	run_vdiskck scrub a.raw --seal "$OUT/d/a.seal" --format raw --state "$OUT/d/a.state"
	expect_status 2
	run_vdiskck status "$OUT/d"
	expect_status 2
	expect_text '^VDISKCK CRITICAL - 2 images; 1 damaged, 1 leaves: a.raw \|'
	# While the next scrub goes on, damage that is known stays known.
	run_vdiskck scrub a.raw --seal "$OUT/d/a.seal" --format raw --state "$OUT/d/a.state" --rate 1M --max-runtime 1s
	expect_status 3
	run_vdiskck status "$OUT/d" --json
	expect_status 2
	expect_json 'any(.record == "status" and .damaged == 1)'
	rm "$OUT/d/a.state" "$OUT/d/a.seal"
	run_vdiskck seal b.raw -o "$OUT/d/b.seal" --force --time @$(($(date +%s) - 10 * 86400))
	run_vdiskck status "$OUT/d"
	expect_status 1
	expect_text 'WARNING - 1 images; 1 overdue: b.seal'
	run_vdiskck status "$OUT/d" --older-than 4
	expect_status 2
	run_vdiskck status "$OUT/d" --older-than 20
	expect_status 0
	echo '{"half' >"$OUT/d/c.state"
	run_vdiskck status "$OUT/d" --older-than 20
	expect_status 3
}
