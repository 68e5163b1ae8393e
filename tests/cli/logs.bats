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
	expect_text '1922 events of 1 logs'
	cmp "$OUT/logs/raw/qcow2/ext4/var/log/journal/0123/system.journal" "$OUT/root/var/log/journal/0123/system.journal"
	[ "$(wc -l <"$OUT/logs/events.jsonl")" = 1922 ]
	jq -r .time "$OUT/logs/events.jsonl" | LC_ALL=C sort -c
	jq -se 'all(.record == "event" and .path == "/var/log/journal/0123/system.journal" and .state == "intact")' \
		"$OUT/logs/events.jsonl" >/dev/null
}

@test "events are those that journalctl shows" {
	command -v journalctl >/dev/null || skip "no journalctl"
	node
	run_vdiskck logs node.qcow2 -o "$OUT/logs" --quick
	journalctl --file "$OUT/root/var/log/journal/0123/system.journal" -o json --all >"$OUT/theirs"
	diff <(jq -r '.MESSAGE | select(type == "string")' "$OUT/theirs" | sort) \
		<(jq -r '.data.MESSAGE // empty' "$OUT/logs/events.jsonl" | sort)
	diff <(jq -r '.__REALTIME_TIMESTAMP' "$OUT/theirs" | sort -n) \
		<(jq -r '.time' "$OUT/logs/events.jsonl" | python3 -c 'import sys, datetime as d
for t in sys.stdin:
    t = t.strip().rstrip("Z"); s, _, f = t.partition(".")
    print(int(d.datetime.fromisoformat(s + "+00:00").timestamp()) * 1000000 + int((f or "0").ljust(6, "0")[:6]))' | sort -n)
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
	expect_text '415 events of 1 logs \([45][0-9][0-9] copies left out\)'
	# Without the live one, the same records come from free space.
	mdel -i "$OUT/v" $logs/Security.evtx
	qemu-img convert -O vpc "$OUT/v" gone.vhd
	run_vdiskck logs gone.vhd --json
	expect_json '[.[] | select(.record == "event") | .record_id] | unique | length == 415'
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
