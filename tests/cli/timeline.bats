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
	[ "$(grep -c "Event Logged" "$OUT/case/timeline.jsonl")" = 1922 ]
	jq -se 'all((.message | type == "string") and (.datetime | type == "string") and (.timestamp_desc | type == "string"))' \
		"$OUT/case/timeline.jsonl" >/dev/null
	(cd "$OUT/case" && sha256sum --quiet -c MANIFEST.sha256)
	[ "$(wc -l <"$OUT/case/MANIFEST.sha256")" = "$(find "$OUT/case" -type f ! -name MANIFEST.sha256 | wc -l)" ]
	grep -q 'What the logs say' "$OUT/case/report.html"
	jq -se 'any(.record == "log" and .intact == 1922)' "$OUT/case/report.json" >/dev/null
}

# A Windows with logs, its hives last written in the hour of the logs, its files in that hour or years before.
windows_with_logs() { # NAME
	[ -x "${BUILD:-}/fixtures/mkevtx" ] || skip "no mkevtx"
	python3 -B "$BATS_TEST_DIRNAME/../../fixtures/windows/make_windows.py" "$OUT/root"
	mkdir -p "$OUT/root/Windows/System32/winevt/Logs"
	"$BUILD/fixtures/mkevtx" System 100 300 >"$OUT/root/Windows/System32/winevt/Logs/System.evtx"
	find "$OUT/root" -exec touch -d '2017-02-03 04:05:06 UTC' {} +
	touch -d '2019-04-17 18:47:00 UTC' "$OUT/root/Windows/System32/config/SOFTWARE"
	truncate -s 64M "$OUT/v"
	TZ=UTC mkfs.vfat -F 32 "$OUT/v" >/dev/null
	TZ=UTC mcopy -m -s -i "$OUT/v" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/v" "$1"
}

@test "the timeline has what Timesketch asks for in every line, in the order of time" {
	windows_with_logs node16.vhd
	run_vdiskck triage node16.vhd -o "$OUT/case"
	python3 - "$OUT/case/timeline.jsonl" <<-'END'
		import datetime, json, sys
		before = None
		for number, line in enumerate(open(sys.argv[1], encoding="utf-8"), 1):
		    e = json.loads(line)
		    assert list(e).count("message") == 1, number
		    for key in ("message", "datetime", "timestamp_desc"):
		        assert isinstance(e[key], str) and e[key], (number, key)
		    at = datetime.datetime.fromisoformat(e["datetime"])
		    assert at.utcoffset() is not None, number
		    assert before is None or before <= at.replace(microsecond=0), (number, e["datetime"])
		    before = at.replace(microsecond=0)
		assert number > 300
	END
}

@test "the timeline has the times of files, registry keys and containers of the last hours, and no older ones" {
	windows_with_logs node16.vhd
	run_vdiskck triage node16.vhd -o "$OUT/case"
	has() { jq -se "any(.[]; $1)" "$OUT/case/timeline.jsonl" >/dev/null || { echo "no such line: $1"; return 1; }; }
	has '.source == "fat" and .path == "/Windows/System32/config/SOFTWARE" and .timestamp_desc == "Content Modification Time" and (.datetime | startswith("2019-04-17T18:47:00"))'
	has '.source == "regf" and .timestamp_desc == "Registry Key Written" and .path == "/ControlSet001/Control" and (.layer | endswith(":/Windows/System32/config/SYSTEM"))'
	has '.source == "vhd" and .message == "vhd: created"'
	lacks '"datetime":"2017-02-03.*"Content Modification Time"' <"$OUT/case/timeline.jsonl"
	# Between the events, where they belong.
	[ "$(jq -r 'select(.path == "/Windows/System32/config/SOFTWARE" and .timestamp_desc == "Content Modification Time") | input_line_number' "$OUT/case/timeline.jsonl")" -gt 100 ]
	# They are not what the logs said.
	[ "$(wc -l <"$OUT/case/logs/events.jsonl")" = 300 ]
	expect_text 'Logs survive to 2019-04-17T18:48:12Z'
}
