#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is left of a qcow2 image when L1 entries are lost: info, check, export, with and without
# --rebuild. And backing files that are newer than what stands on them.
load common

# A disk of four L2 tables, each with data; $OUT/truth is its contents.
disk() { # NAME L2-SPAN OPTIONS [qemu-io write flags]
	local i
	qemu-img create -q -f qcow2 -o "$3" "$1" $((4 * $2))
	for i in 0 1 2 3; do
		qemu-io -t unsafe -f qcow2 -c "write ${4-} -P $((i + 1)) $((i * $2)) 64k" \
			-c "write ${4-} -P $((i + 65)) $((i * $2 + 1048576)) 32k" "$1" >/dev/null
	done
	qemu-img convert -t unsafe -f qcow2 -O raw "$1" "$OUT/truth"
}

set_l1() { # NAME INDEX BYTES
	local l1
	l1=$((16#$(od -An -j40 -N8 -tx1 "$1" | tr -d ' \n')))
	printf '%b' "$3" | dd of="$1" bs=1 seek=$((l1 + 8 * $2)) conv=notrunc status=none
}

ZERO='\0\0\0\0\0\0\0\0'
NOWHERE='\x80\0\0\x7f\0\0\0\0'

@test "one L1 entry lost: --rebuild gives the disk as it was, and says how, in all option sets" {
	local i=0 span options flags
	while IFS=' ' read -r span options flags; do
		disk a.qcow2 "$span" "$options" "$flags"
		set_l1 a.qcow2 $((i % 4)) "$ZERO"
		run_vdiskck export --rebuild --json a.qcow2 -o "$OUT/disk" --force
		expect_status 0
		cmp "$OUT/disk" "$OUT/truth"
		expect_json '[.[] | select(.record == "finding")] | length == 1 and
			(.[0] | .id == "qcow2-l2-adopted" and .severity == "blemish" and
			.offset == '$((i % 4 * span))' and .length == '"$span"' and
			(.message | test("certain: only this place"))) and (.[0].lost // []) == []'
		expect_json '.[-1].verdict == "blemished"'
		rm a.qcow2
		i=$((i + 1))
	done <<-'END'
		2097152 cluster_size=4k
		2097152 compat=0.10,cluster_size=4k
		2097152 cluster_size=4k,refcount_bits=64 -c
		2097152 cluster_size=4k,compression_type=zstd -c
		16777216 cluster_size=16k,extended_l2=on
	END
}

@test "two L1 entries lost: what the order of tables says is doubtful, and exit 2" {
	disk a.qcow2 2097152 cluster_size=4k
	set_l1 a.qcow2 1 "$ZERO"
	set_l1 a.qcow2 2 "$ZERO"
	run_vdiskck export --rebuild --json a.qcow2 -o "$OUT/disk"
	expect_status 2
	cmp "$OUT/disk" "$OUT/truth"
	expect_json 'any(.id == "qcow2-l2-adopted" and .offset == 2097152 and .length == 4194304 and
		(.message | test("likely")))'
	expect_json 'any(.record == "export" and .lost_bytes == 0 and .doubtful_bytes >= 196608 and
		all(.lost[]; .state == "doubtful" and .why == "qcow2-l2-adopted"))'
}

@test "without --rebuild: info offers, check names the loss, nothing is adopted" {
	disk a.qcow2 2097152 cluster_size=4k
	set_l1 a.qcow2 2 "$ZERO"
	run_vdiskck info a.qcow2
	expect_text '1 orphaned L2 table fits 0x400000..0x600000; try --rebuild'
	run_vdiskck check --json a.qcow2
	expect_status 2
	expect_json 'any(.id == "qcow2-table-orphaned" and
		.lost == [{layer: "qcow2", offset: 4194304, length: 2097152}])'
	run_vdiskck info --rebuild a.qcow2
	expect_text 'adopted l2 tables: +1'
	expect_text 'qcow2-l2-adopted'
	run_vdiskck export a.qcow2 -o "$OUT/disk"
	cmp -n 4194304 "$OUT/disk" "$OUT/truth"
	cmp -i 4194304 -n 2097152 "$OUT/disk" /dev/zero
}

@test "an L1 entry that leads nowhere: lost without --rebuild, whole with it" {
	disk a.qcow2 2097152 cluster_size=4k
	set_l1 a.qcow2 3 "$NOWHERE"
	run_vdiskck export --json a.qcow2 -o "$OUT/disk"
	expect_status 2
	expect_json 'any(.record == "export" and .lost_bytes == 2097152 and
		.lost[0].offset == 6291456 and .lost[0].why == "qcow2-l1-entry")'
	run_vdiskck export --rebuild a.qcow2 -o "$OUT/disk" --force
	expect_status 0
	cmp "$OUT/disk" "$OUT/truth"
	run_vdiskck triage --rebuild a.qcow2 -o "$OUT/case"
	expect_status 2
	[ ! -s "$OUT/case/lost.map" ] || ddrescuelog -t "$OUT/case/lost.map" | grep -q 'bad-sector: *0 B'
}

@test "a table that fits several places is not adopted, and nothing is made up on a clean image" {
	disk a.qcow2 2097152 cluster_size=4k
	qemu-img resize -q a.qcow2 64M
	run_vdiskck info a.qcow2
	expect_status 0
	lacks rebuild <<<"$output"
	run_vdiskck export --rebuild --json a.qcow2 -o "$OUT/disk"
	expect_status 0
	expect_json 'all(.record != "finding")'
	set_l1 a.qcow2 3 "$ZERO"
	run_vdiskck info a.qcow2
	expect_text '1 orphaned L2 table found, but not where it belongs'
	run_vdiskck info --rebuild a.qcow2
	expect_text 'adopted l2 tables: +0'
}

@test "backing file: newer by its own times is damage, newer as a copy is not, older is nothing" {
	qemu-img create -q -f qcow2 base.qcow2 1M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	run_vdiskck check top.qcow2
	expect_status 0
	lacks 'chain-parent|backing' <<<"$output"
	touch -d '2 hours ago' top.qcow2 # they were made together: a copy kept the times of one only
	run_vdiskck check --json top.qcow2
	expect_status 0
	expect_json 'any(.id == "qcow2-backing-copied" and .severity == "info")'
	[ "$(stat -c %W base.qcow2)" != 0 ] || skip "the file system has no birth times"
	touch -d '2020-01-02' base.qcow2
	touch -d '2020-01-01' top.qcow2
	run_vdiskck check top.qcow2
	expect_status 2
	expect_text chain-parent-newer
	touch -d '2019-01-01' base.qcow2
	run_vdiskck check top.qcow2
	expect_status 0
}
