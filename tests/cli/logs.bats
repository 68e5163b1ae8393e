#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

# An ext4 disk with a journal as journald wrote it, in a qcow2. Needs the corpus.
node() {
	local from=${CORPUS:-}/journal/systemd-no-rtc-system.journal.zst
	[ -e "$from" ] || skip "no corpus"
	mkdir -p "$OUT/root/var/log/journal/0123"
	zstd -qdc "$from" >"$OUT/root/var/log/journal/0123/system.journal"
	truncate -s 40M "$OUT/disk"
	mkfs.ext4 -q -d "$OUT/root" "$OUT/disk"
	qemu-img convert -O qcow2 "$OUT/disk" node.qcow2
}

@test "a journal on a disk comes out as it was, and as events in the order of time" {
	node
	run_vdiskck logs node.qcow2 -o "$OUT/logs"
	expect_status 0
	expect_text 'qcow2/ext4:/var/log/journal/0123/system.journal: 1922 records, 20'
	expect_text '1922 events of 1 log: .*, and the logs as they are in raw'
	cmp "$OUT/logs/raw/qcow2/ext4/var/log/journal/0123/system.journal" "$OUT/root/var/log/journal/0123/system.journal"
	[ "$(wc -l <"$OUT/logs/events.jsonl")" = 1922 ]
	jq -r .time "$OUT/logs/events.jsonl" | LC_ALL=C sort -c
	jq -se 'all(.record == "event" and .path == "/var/log/journal/0123/system.journal" and .state == "intact")' \
		"$OUT/logs/events.jsonl" >/dev/null
}

@test "every entry and every field, as journalctl has them" {
	command -v journalctl >/dev/null || skip "no journalctl"
	local f=${CORPUS:-}/journal/systemd-no-rtc
	[ -e "$f-system.journal.zst" ] || skip "no corpus"
	for f in "$f"*.zst; do
		zstd -qdfc "$f" >"$OUT/a.journal"
		cp "$OUT/a.journal" a.journal
		run_vdiskck logs a.journal --json
		echo "$output" >"$OUT/ours"
		journalctl --file "$OUT/a.journal" -o json --all >"$OUT/theirs"
		"$BATS_TEST_DIRNAME/../formats/journal-compare" "$OUT/ours" "$OUT/theirs"
	done
}

@test "a damaged log costs the records that rested on the damage; the rest is intact" {
	node
	local at
	at=$("$VDISKCK" locate node.qcow2 --file /var/log/journal/0123/system.journal:5000000 --json |
		jq -s 'first(.[] | select(.record == "location")) | .where[0].offset')
	dd if=/dev/zero of=node.qcow2 bs=1 seek=$((at / 4096 * 4096)) count=4096 conv=notrunc status=none
	run_vdiskck logs node.qcow2 -o "$OUT/logs" --json
	expect_status 2
	expect_json 'any(.record == "log" and .intact > 1500 and .doubtful > 0)'
}

@test "entries that a journal says it has, and that are gone, are missing" {
	node
	rm node.qcow2
	cp "$OUT/root/var/log/journal/0123/system.journal" j
	local at
	at=$("$VDISKCK" logs j --json | jq -s '[.[] | select(.record == "event")][1000].offset')
	dd if=/dev/zero of=j bs=1 seek="$at" count=1024 conv=notrunc status=none
	run_vdiskck logs j -o "$OUT/logs"
	expect_status 2
	expect_text '19[0-9]+ records, .* [0-9]+ of the 1922 that it says it has are MISSING'
	expect_text 'missing.*: .*/events.jsonl$'
	run_vdiskck logs j --json
	expect_json 'any(.record == "log" and .stated == 1922 and .missing > 0 and .intact + .doubtful + .missing == 1922)'
}

@test "a volume that stays locked: its logs are not all there are" {
	command -v qemu-img >/dev/null || skip "no qemu-img"
	truncate -s 8M "$OUT/plain"
	mkfs.ext4 -q "$OUT/plain"
	qemu-img convert --object secret,id=s,data=abc -O luks -o key-secret=s,iter-time=10 "$OUT/plain" locked
	run_vdiskck logs locked -o "$OUT/logs"
	expect_status 3
	expect_text 'layer-locked'
}

@test "a deleted log says so; where events were chosen, logs that have none of them are not listed" {
	truncate -s 20M disk
	mkfs.fat disk >/dev/null
	mmd -i disk ::/var ::/var/log
	printf '2018-05-14T11:52:08Z node16 kernel: one\n' >"$OUT/one"
	printf '2019-05-14T11:52:08Z node16 kernel: two\n' >"$OUT/two"
	mcopy -i disk "$OUT/one" ::/var/log/cloud-init.log
	mcopy -i disk "$OUT/two" ::/var/log/messages
	mdel -i disk ::/var/log/cloud-init.log
	run_vdiskck logs disk -o "$OUT/logs"
	expect_status 0
	expect_text 'raw/fat:/var/log/cloud-init.log \(deleted\): 1 record, 2018-05-14T11:52:08Z$'
	expect_text '2 events of 2 logs'
	run_vdiskck logs disk --json
	expect_json '[.[] | select(.record == "log" and .deleted)] | length == 1'
	run_vdiskck logs disk -o "$OUT/few" --since 2019
	expect_status 3
	run_vdiskck logs disk -o "$OUT/few" --since 2019-01-01
	expect_text 'messages'
	lacks cloud-init <<<"$output"
}

@test "a bare log is an image, too; --since, --until and --source choose" {
	node
	cp "$OUT/root/var/log/journal/0123/system.journal" .
	run_vdiskck logs system.journal --json
	expect_status 0
	expect_json '[.[] | select(.record == "event")] | length == 1922'
	local half
	half=$(jq -r 'select(.record == "event") | .time' <<<"$output" | sort | sed -n 961p | cut -c1-19)Z
	run_vdiskck logs system.journal --json --since "$half"
	local after
	after=$(jq -s '[.[] | select(.record == "event")] | length' <<<"$output")
	run_vdiskck logs system.journal --json --until "$half"
	expect_json "[.[] | select(.record == \"event\")] | length >= 1922 - $after and length < 1922"
	run_vdiskck logs system.journal --json --source evtx
	expect_json '[.[] | select(.record == "event")] | length == 0'
	run_vdiskck logs system.journal --json --since yesterday
	expect_status 3
	expect_text 'no time'
}

@test "an event log that was deleted is carved from free space, once" {
	local from=${CORPUS:-}/evtx/attack-Credential_Access__etw_rpc_zerologon.evtx.xz
	[ -e "$from" ] || skip "no corpus"
	local logs=::/Windows/System32/winevt/Logs dir
	xz -dc "$from" >"$OUT/Security.evtx"
	truncate -s 100M "$OUT/v"
	mkfs.vfat "$OUT/v" >/dev/null
	for dir in ::/Windows ::/Windows/System32 ::/Windows/System32/winevt $logs; do mmd -i "$OUT/v" $dir; done
	mcopy -i "$OUT/v" "$OUT/Security.evtx" $logs
	mcopy -i "$OUT/v" "$OUT/Security.evtx" ::/old
	mdel -i "$OUT/v" ::/old
	qemu-img convert -O vpc "$OUT/v" node16.vhd
	run_vdiskck logs node16.vhd -o "$OUT/logs"
	expect_status 0
	expect_text 'Security.evtx: 415 records'
	expect_text '415 events of 1 log \([45][0-9][0-9] copies left out\)'
	# Without the live one, the same records come from free space.
	mdel -i "$OUT/v" $logs/Security.evtx
	qemu-img convert -O vpc "$OUT/v" gone.vhd
	run_vdiskck logs gone.vhd --json
	expect_json '[.[] | select(.record == "event") | .record_id] | unique | length == 415'
}

# A FAT disk whose System.evtx has COUNT records from FIRST on.
windows() { # NAME FIRST COUNT
	local dir
	rm -f "$1"
	truncate -s 20M "$1"
	mkfs.vfat -i 12345678 "$1" >/dev/null
	for dir in ::/Windows ::/Windows/System32 ::/Windows/System32/winevt ::/Windows/System32/winevt/Logs; do mmd -i "$1" $dir; done
	"${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx" System "$2" "$3" >"$OUT/System.evtx"
	mcopy -i "$1" "$OUT/System.evtx" ::/Windows/System32/winevt/Logs
}

@test "an older link of the chain has records that were overwritten since; the same ones count once" {
	windows "$OUT/then" 1000 100
	windows "$OUT/now" 1060 100
	qemu-img convert -O qcow2 "$OUT/then" base.qcow2
	qemu-img convert -O qcow2 -B base.qcow2 -F qcow2 "$OUT/now" node.qcow2
	run_vdiskck logs node.qcow2 -o "$OUT/logs"
	expect_status 0
	[ "$(jq .record_id "$OUT/logs/events.jsonl" | sort -un | wc -l)" = 160 ]
	[ "$(wc -l <"$OUT/logs/events.jsonl")" = 160 ]
	expect_text '40 copies left out'
	expect_text 'qcow2~1/fat:/Windows/System32/winevt/Logs/System.evtx: 100 records'
	[ -e "$OUT/logs/raw/qcow2~1/fat/Windows/System32/winevt/Logs/System.evtx" ]
	# --quick is for what is there now.
	run_vdiskck logs node.qcow2 -o "$OUT/quick" --quick
	[ "$(wc -l <"$OUT/quick/events.jsonl")" = 100 ]
}

@test "records are found in the paging file" {
	windows "$OUT/v" 1000 10
	"${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx" Security 50 30 >"$OUT/lost.evtx"
	{ head -c 8192 /dev/zero | tr '\0' '\245'; tail -c +4097 "$OUT/lost.evtx"; seq 2000; } >"$OUT/pagefile.sys"
	mcopy -i "$OUT/v" "$OUT/pagefile.sys" ::/
	qemu-img convert -O vpc "$OUT/v" node.vhd
	run_vdiskck logs node.vhd --json
	expect_status 0
	expect_json '[.[] | select(.record == "event" and .channel == "Security")] | length == 30 and
		all(.state == "carved" and .path == "/pagefile.sys" and .offset >= 8192)'
}

@test "a log whose record of the file system is gone is put together from its own" {
	command -v ntfscp >/dev/null || skip "no ntfscp"
	truncate -s 40M n.raw
	mkntfs -q -F n.raw >/dev/null 2>&1
	"${BUILD:-$BATS_TEST_DIRNAME/../../build}/fixtures/mkevtx" System 1000 300 >"$OUT/System.evtx"
	ntfscp -q n.raw "$OUT/System.evtx" System.evtx >/dev/null 2>&1
	local record sector cluster mft
	record=$(ntfsinfo -F System.evtx n.raw 2>/dev/null | sed -n 's/^Dumping Inode \([0-9]*\).*/\1/p')
	sector=$(od -An -tu2 -j 11 -N 2 n.raw) cluster=$(od -An -tu1 -j 13 -N 1 n.raw) mft=$(od -An -tu8 -j 48 -N 8 n.raw)
	dd if=/dev/zero of=n.raw bs=1024 count=1 seek=$((mft * cluster * sector / 1024 + record)) conv=notrunc status=none
	run_vdiskck logs n.raw --json
	expect_json '[.[] | select(.record == "event") | .record_id] | unique | length == 300'
}

@test "a folder that can't be read: there may have been more in it, say ls, extract and logs" {
	local n
	mkdir -p "$OUT/root/var/log/old"
	for n in 1 2 3 4 5 6 7 8 9; do echo "Jan  $n 03:04:05 node kernel: line $n"; done >"$OUT/root/var/log/messages"
	truncate -s 8M fs.img
	mkfs.ext4 -q -d "$OUT/root" fs.img
	cat fs.img >/dev/null
	run_vdiskck logs fs.img -o "$OUT/sound"
	expect_status 0
	expect_text '9 events of 1 log'
	debugfs -w -R 'set_inode_field /var/log/old block[0] 0x7fffffff' fs.img 2>/dev/null
	cat fs.img >/dev/null
	run_vdiskck logs fs.img -o "$OUT/damaged"
	expect_status 2
	expect_text '9 events of 1 log'
	grep -q 'ext4-dir-block' <<<"$stderr"
	for n in 'ls -R fs.img' 'ls fs.img /var/log/old' "extract fs.img /var -o $OUT/x"; do
		# shellcheck disable=SC2086 # words of a command line
		run_vdiskck $n
		expect_status 2
		grep -q 'ext4-dir-block' <<<"$stderr"
	done
	run_vdiskck extract fs.img /var/log/messages -o "$OUT/one"
	expect_status 0
}

@test "where to is needed; a folder that holds something is refused" {
	truncate -s 1M a.raw
	run_vdiskck logs a.raw
	expect_status 3
	expect_text 'where to\?'
	mkdir "$OUT/full"
	touch "$OUT/full/x"
	run_vdiskck logs a.raw -o "$OUT/full"
	expect_status 3
}
