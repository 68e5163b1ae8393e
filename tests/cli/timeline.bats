#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

@test "a case has the logs, a timeline for Timesketch, and what tells of trouble" {
	local from=${CORPUS:-}/journal/systemd-no-rtc-system.journal.zst
	[ -e "$from" ] || skip "no corpus"
	mkdir -p "$OUT/root/var/log/journal/1"
	zstd -qdc "$from" >"$OUT/root/var/log/journal/1/system.journal"
	truncate -s 40M "$OUT/d"
	mkfs.ext4 -q -d "$OUT/root" "$OUT/d"
	qemu-img convert -O qcow2 "$OUT/d" node.qcow2
	run_vdiskck triage node.qcow2 -o "$OUT/case"
	expect_status 0
	expect_text 'Logs survive to 2022-10-24T04:07:18Z'
	expect_text 'a journal was not closed: the shutdown was not clean'
	cmp "$OUT/root/var/log/journal/1/system.journal" "$OUT/case/logs/raw/qcow2/ext4/var/log/journal/1/system.journal"
	[ "$(wc -l <"$OUT/case/logs/events.jsonl")" = 1922 ]
	[ "$(wc -l <"$OUT/case/timeline.jsonl")" = 1922 ]
	jq -se 'all((.message | type == "string") and (.datetime | type == "string") and .timestamp_desc == "Event Logged")' \
		"$OUT/case/timeline.jsonl" >/dev/null
	(cd "$OUT/case" && sha256sum --quiet -c MANIFEST.sha256)
	[ "$(wc -l <"$OUT/case/MANIFEST.sha256")" = "$(find "$OUT/case" -type f ! -name MANIFEST.sha256 | wc -l)" ]
	grep -q 'What the logs say' "$OUT/case/report.html"
	jq -se 'any(.record == "log" and .intact == 1922)' "$OUT/case/report.json" >/dev/null
}
