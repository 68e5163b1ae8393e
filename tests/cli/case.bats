#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The case folder: its database, its parts, and what is left of a run that did not end.
load common

# Two logs and a few files on FAT, in a VHD: NAME
node() {
	[ -x "${BUILD:-}/fixtures/mkevtx" ] || skip "no mkevtx"
	local logs=$OUT/root/Windows/System32/winevt/Logs
	mkdir -p "$logs"
	"$BUILD/fixtures/mkevtx" System 100 300 >"$logs/System.evtx"
	"$BUILD/fixtures/mkevtx" Application 1 50 >"$logs/Application.evtx"
	mkdir -p "$OUT/root/Windows/Panther"
	printf '2019-04-17 18:40:00, Info "quoted" back\\slash tab\there \x01 \xc3\xa9 \xf0\x9f\x92\xa5 {"a":[1,"]"]}\n' >"$OUT/root/Windows/Panther/setupact.log"
	yes 'a line of the report' | head -c 3M >"$OUT/root/report.txt"
	truncate -s 40M "$OUT/v"
	mkfs.vfat -F 32 "$OUT/v" >/dev/null
	mcopy -s -i "$OUT/v" "$OUT"/root/* ::/
	qemu-img convert -O vpc "$OUT/v" "$1"
}

# The same without the block that holds the middle of report.txt.
damaged_node() { # NAME
	node "$1"
	local at
	at=$("$VDISKCK" locate "$1" --file /report.txt:2M --json |
		jq -s 'last(.[] | select(.record == "location")) | .where[] | select(.layer == "vhd") | .offset')
	printf '\x00\xff\xff\x00' | dd of="$1" bs=1 seek=$((1536 + 4 * (at / 2097152))) conv=notrunc status=none
}

SHIM=${BUILD:-}/fault_shim.so

# The program with the shim before it; FAULT_... are in the environment.
faulty() {
	ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 LD_PRELOAD=$SHIM "$VDISKCK" "$@"
}

sql() { # CASE QUERY
	sqlite3 -batch -bail "$1/case.sqlite" "$2"
}

whole() { # CASE: complete, and as its manifest says
	[ ! -e "$1/INCOMPLETE" ]
	(cd "$1" && sha256sum --quiet -c MANIFEST.sha256)
	[ "$(sql "$1" "SELECT value FROM run WHERE name = 'complete'; PRAGMA integrity_check")" = $'1\nok' ]
	[ -z "$(cd "$1" && find . -name '.*.part' -o -name '*-journal')" ]
}

contents() { # CASE
	(cd "$1" && find . -type f | LC_ALL=C sort)
}

@test "case.sqlite: every table agrees with report.json and events.jsonl" {
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	damaged_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	expect_status 2
	whole "$OUT/case"
	count() { jq -s "[.[] | select(.record == \"$1\")] | length" "$OUT/case/report.json"; }
	[ "$(sql "$OUT/case" 'SELECT count(*) FROM layers')" = "$(count layer)" ]
	[ "$(sql "$OUT/case" 'SELECT count(*) FROM findings')" = "$(count finding)" ]
	[ "$(sql "$OUT/case" 'SELECT count(*) FROM damage')" = "$(count file)" ]
	[ "$(sql "$OUT/case" 'SELECT count(*) FROM boot')" = "$(count boot)" ]
	[ "$(sql "$OUT/case" 'SELECT count(*) FROM events')" = "$(wc -l <"$OUT/case/logs/events.jsonl")" ]
	python3 - "$OUT/case" <<-'END'
		import json, sqlite3, sys
		db = sqlite3.connect(sys.argv[1] + "/case.sqlite")
		names = "time source channel provider event_id record_id level computer message data path offset state".split()
		rows = db.execute("SELECT " + ",".join(names) + " FROM events ORDER BY id").fetchall()
		lines = open(sys.argv[1] + "/logs/events.jsonl", encoding="utf-8").read().splitlines()
		assert len(rows) == len(lines) > 350, (len(rows), len(lines))
		for row, line in zip(rows, lines):
		    event = json.loads(line)
		    for name, have in zip(names, row):
		        want = event.get(name)
		        assert (json.loads(have) if name == "data" and have else have) == want, (name, have, want)
		assert any("\U0001f4a5" in (row[8] or "") for row in rows)
	END
	# The bytes that are lost of the file, and of the disk.
	[ "$(sql "$OUT/case" "SELECT lost FROM damage WHERE path = '/report.txt'")" = "$(jq -s '.[] | select(.record == "file" and .path == "/report.txt").lost' "$OUT/case/report.json")" ]
	[ "$(sql "$OUT/case" "SELECT sum(length) FROM extents WHERE layer = 'vhd' AND state = 'lost'")" = 2097152 ]
	[ "$(sql "$OUT/case" "SELECT below.layer FROM layers JOIN layers AS below ON below.id = layers.below WHERE layers.layer = 'vhd'")" = node.vhd ]
	# Files as they are on the volume.
	[ "$(sql "$OUT/case" "SELECT size || kind || deleted FROM files WHERE path = '/report.txt'")" = 3145728file0 ]
	[ "$(sql "$OUT/case" "SELECT count(*) FROM files WHERE kind = 'file'")" = 4 ]
	# What was saved, with the digests that sha256sum finds.
	sql "$OUT/case" "SELECT sha256 || '  ' || output FROM recovered ORDER BY output" >"$OUT/sums"
	[ "$(wc -l <"$OUT/sums")" = 4 ]
	(cd "$OUT/case" && sha256sum --quiet -c "$OUT/sums")
}

@test "the queries of the manual run as they stand there, and answer" {
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	damaged_node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case"
	mandoc -T ascii -O width=100 "$MAN/vdiskck-case.5" | col -bx | sed -n '/^EXAMPLES/,/^SEE ALSO/p' |
		awk '/^ +SELECT/ { q = 1; n++ } q { print > ("'"$OUT"'/q" n) } /;$/ { q = 0 }'
	[ -e "$OUT/q4" ] && [ ! -e "$OUT/q5" ]
	for i in 1 2 3 4; do sqlite3 -batch -bail "$OUT/case/case.sqlite" <"$OUT/q$i" >"$OUT/a$i"; done
	cat "$OUT/a1" "$OUT/a3"
	grep -q '^user data|vhd/fat:/report.txt|[1-9][0-9]*|0|1096192|vhd-bat-past-end' "$OUT/a1"
	[ "$(wc -l <"$OUT/a2")" -gt 0 ]
	grep -q '^vhd-bat-past-end|.*|node.vhd|15[0-9][0-9]|4|vhd$' "$OUT/a3"
	grep -q '^vhd-bat-past-end|pointer|' "$OUT/a4"
	# Every table and column of the database is in the manual.
	mandoc -T ascii -O width=400 "$MAN/vdiskck-case.5" | col -bx >"$OUT/text"
	sql "$OUT/case" "SELECT m.name || ' (' || group_concat(p.name, ', ') || ')' FROM sqlite_schema AS m, pragma_table_info(m.name) AS p WHERE m.type = 'table' GROUP BY m.name" >"$OUT/tables"
	[ "$(wc -l <"$OUT/tables")" = 12 ]
	while read -r table; do grep -qF -- "$table" "$OUT/text" || { echo "not in the manual: $table"; return 1; }; done <"$OUT/tables"
}

@test "names that are no UTF-8 or hold quotes do no harm to the database" {
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	mkdir -p "$OUT/root"
	printf x >"$OUT/root/"$'a\xff\'); DROP TABLE files;--'
	truncate -s 8M "$OUT/v"
	mkfs.ext4 -q -d "$OUT/root" "$OUT/v"
	qemu-img convert -O qcow2 "$OUT/v" d.qcow2
	run_vdiskck triage d.qcow2 -o "$OUT/case"
	expect_status 0
	[ "$(sql "$OUT/case" "SELECT path FROM files WHERE path LIKE '%DROP%'")" = "/a\\xff'); DROP TABLE files;--" ]
}

@test "--only and --skip: what they name, and no more" {
	node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/logs" --only logs
	expect_status 3 # nothing was verified
	expect_text 'Structures were not verified'
	[ "$(contents "$OUT/logs" | grep -v raw | xargs)" = "./MANIFEST.sha256 ./logs/events.jsonl ./lost.map ./report.json ./run.log ./timeline.jsonl" ]
	run_vdiskck triage node.vhd -o "$OUT/some" --skip logs,report,listing
	expect_status 0
	[ "$(contents "$OUT/some" | xargs)" = "./MANIFEST.sha256 ./case.sqlite ./lost.map ./report.json ./run.log" ]
	grep -q 'parts: structures, data, boot, database$' "$OUT/some/run.log"
	! command -v sqlite3 >/dev/null || [ "$(sql "$OUT/some" 'SELECT count(*) FROM files')" = 0 ]
	# --only and --skip both hold; --quick is --skip data.
	run_vdiskck triage node.vhd -o "$OUT/quick" --only structures,data,report --skip report --quick
	expect_status 0
	grep -q 'parts: structures$' "$OUT/quick/run.log"
	run_vdiskck triage node.vhd -o "$OUT/none" --only log
	expect_status 3
	expect_text 'no part "log"'
	run_vdiskck triage node.vhd -o "$OUT/none" --only logs --skip logs
	expect_status 3
	[ ! -e "$OUT/none" ]
}

@test "--files: what fits the patterns, whole, with a manifest and digests" {
	node node.vhd
	run_vdiskck triage node.vhd -o "$OUT/case" --files '/**/*.evtx' --files /report.txt --files '/*.none'
	expect_status 0
	cmp "$OUT/root/report.txt" "$OUT/case/files/report.txt"
	grep -q "$(sha256sum <"$OUT/root/report.txt" | cut -d" " -f1)" "$OUT/case/report.html"
	cmp "$OUT/root/Windows/System32/winevt/Logs/System.evtx" "$OUT/case/files/Windows/System32/winevt/Logs/System.evtx"
	jq -se 'any(.path == "/report.txt" and .lost == 0)' "$OUT/case/files/manifest.jsonl"
	grep -q -- '--files /\*.none: no such file' "$OUT/case/run.log"
	(cd "$OUT/case" && sha256sum --quiet -c MANIFEST.sha256)
}

@test "--hash: the digests of the image and its parent, before and after; no keys in run.log" {
	qemu-img create -q -f qcow2 base.qcow2 4M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 child.qcow2
	echo 'passphrase not-to-be-seen' >"$OUT/keys"
	run_vdiskck triage child.qcow2 -o "$OUT/case" --hash --keys "$OUT/keys"
	for f in base child; do
		for when in before after; do
			grep -q "sha256 $when of $f.qcow2: $(sha256sum <$f.qcow2 | cut -d' ' -f1)" "$OUT/case/run.log"
		done
	done
	lacks not-to-be-seen <"$OUT/case/run.log"
	lacks not-to-be-seen <"$OUT/case/report.html"
}

@test "an image that is written to during the run: that is said" {
	truncate -s 3G "$OUT/d.raw"
	printf 'label: dos\nstart=2048, type=L\n' | sfdisk -q "$OUT/d.raw"
	VDISKCK=$VDISKCK_PROGRAM
	"$VDISKCK" triage "$OUT/d.raw" -o "$OUT/case" --hash >"$OUT/text" 2>&1 &
	local pid=$! waited=0
	until grep -qs 'file d.raw' "$OUT/case/run.log"; do
		sleep 0.01
		[ $((waited += 1)) -lt 1000 ]
	done
	touch -d '2020-01-01' "$OUT/d.raw"
	wait $pid || true
	grep -q 'source-changed' "$OUT/text"
	grep -q 'source-changed' "$OUT/case/report.html"
}

@test "--max-time ends the run, and the case says that it is incomplete" {
	# Hashing so much takes longer than a second on any machine, and reads no disk.
	truncate -s 40G d.raw
	printf 'label: dos\nstart=2048, type=L\n' | sfdisk -q d.raw
	VDISKCK=$VDISKCK_PROGRAM # does not read the image again and again
	status=0
	"$VDISKCK" triage d.raw -o "$OUT/case" --max-time 1 --hash >"$OUT/text" 2>&1 || status=$?
	# shellcheck disable=SC2034 # expect_text() looks at both
	output=$(cat "$OUT/text") stderr=
	expect_status 3
	expect_text 'run-interrupted'
	grep -q Incomplete "$OUT/case/report.html"
	[ -e "$OUT/case/INCOMPLETE" ]
	! command -v sqlite3 >/dev/null || [ "$(sql "$OUT/case" "SELECT value FROM run WHERE name = 'complete'")" = 0 ]
	(cd "$OUT/case" && sha256sum --quiet -c MANIFEST.sha256)
	"$VDISKCK" triage d.raw -q -o "$OUT/case" --only report || [ $? = 3 ]
	[ ! -e "$OUT/case/INCOMPLETE" ]
	[ "$(contents "$OUT/case" | xargs)" = "./MANIFEST.sha256 ./lost.map ./report.html ./report.json ./run.log" ]
}

@test "killed at any moment: what is there is valid, and the same command starts over" {
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	local n step=1 again
	[ -e "$SHIM" ] || skip "no fault_shim.so"
	node node.vhd
	VDISKCK=$VDISKCK_PROGRAM
	local command=(triage node.vhd -q -o "$OUT/case" --files '/**/*.evtx')
	"$VDISKCK" triage node.vhd -q -o "$OUT/reference" --files '/**/*.evtx'
	for ((n = 1; ; n += step)); do
		rm -rf "$OUT/case"
		status=0
		FAULT_AT=$n faulty "${command[@]}" >/dev/null 2>&1 || status=$?
		[ $status = 137 ] || break
		if [ -e "$OUT/case/INCOMPLETE" ]; then
			if [ -s "$OUT/case/case.sqlite" ]; then
				[ "$(sqlite3 "$OUT/case/case.sqlite" 'PRAGMA integrity_check')" = ok ]
				[ "$(sqlite3 "$OUT/case/case.sqlite" "SELECT value FROM run WHERE name = 'complete'" 2>/dev/null || true)" != 1 ] ||
					[ -e "$OUT/case/report.html" ]
			fi
		elif [ -e "$OUT/case/run.log" ]; then
			whole "$OUT/case" # it died behind the last thing to be done
			continue
		fi
		again=0
		"$VDISKCK" "${command[@]}" >"$OUT/text" 2>&1 || again=$?
		[ $again = 0 ] || { echo "killed at $n:"; cat "$OUT/text"; ls -lAR "$OUT/case"; return 1; }
		whole "$OUT/case"
		diff <(contents "$OUT/reference") <(contents "$OUT/case")
		[ $n -lt 20 ] || step=11
	done
	echo "$n moments"
	[ $n -gt 60 ]
	[ $status = 0 ]
}

@test "a complete case is never overwritten, and an incomplete one of another image is left" {
	node node.vhd
	cp node.vhd other.vhd
	run_vdiskck triage node.vhd -q -o "$OUT/case"
	sha256sum "$OUT/case/report.json" >"$OUT/sum"
	run_vdiskck triage node.vhd -q -o "$OUT/case"
	expect_status 3
	expect_text 'the case of node.vhd is there, and is never overwritten; name a new folder'
	sha256sum --quiet -c "$OUT/sum"
	printf 'This\nThe\nimage %s\nmade report.json\n' "$PWD/other.vhd" >"$OUT/case/INCOMPLETE"
	run_vdiskck triage node.vhd -q -o "$OUT/case"
	expect_status 3
	expect_text 'incomplete case of .*other.vhd'
	sha256sum --quiet -c "$OUT/sum"
}

@test "no room in the middle: said, nothing half, and with room again the same command starts over" {
	unshare -rm true 2>/dev/null || skip "no user namespaces"
	command -v sqlite3 >/dev/null || skip "no sqlite3"
	node node.vhd
	export VDISKCK=$VDISKCK_PROGRAM OUT
	mkdir -p "$OUT/small"
	# In a file system that is too small for logs/, then for case.sqlite and report.html.
	for size in 64k 600k 1200k; do
		run unshare -rm bash -c '
			mount -t tmpfs -o size='$size' none "$OUT/small" || exit 77
			status=0
			"$VDISKCK" triage node.vhd -q -o "$OUT/small/case" >"$OUT/text" 2>&1 || status=$?
			[ $status = 3 ] || { echo "exit $status"; exit 1; }
			[ -e "$OUT/small/case/INCOMPLETE" ] || exit 2
			find "$OUT/small/case" -name ".*.part" | grep . && exit 3
			if [ -s "$OUT/small/case/case.sqlite" ]; then
				cp "$OUT"/small/case/case.sqlite* "$OUT"
				[ "$(sqlite3 "$OUT/case.sqlite" "PRAGMA integrity_check")" = ok ] || exit 4
				rm -f "$OUT"/case.sqlite*
			fi
			grep -q "No space left\|disk is full" "$OUT/text" || exit 5
			mount -o remount,size=40m "$OUT/small"
			"$VDISKCK" triage node.vhd -q -o "$OUT/small/case" || exit 6
			[ ! -e "$OUT/small/case/INCOMPLETE" ] || exit 7
			cd "$OUT/small/case" && sha256sum --quiet -c MANIFEST.sha256'
		[ "$status" != 77 ] || skip "no tmpfs"
		[ "$status" = 0 ] || { echo "$size: $status: $output"; cat "$OUT/text"; return 1; }
	done
}
