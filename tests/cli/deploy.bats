#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
load common

DEPLOY=$BATS_TEST_DIRNAME/../../deploy

@test "the systemd unit is hardened, and systemd understands it" {
	command -v systemd-analyze >/dev/null || skip "no systemd"
	systemd-analyze security --help | grep -q offline || skip "an old systemd"
	cp "$DEPLOY/vdiskck-scrub@.service" "$OUT/vdiskck-scrub@x.service"
	systemd-analyze security --offline=yes --threshold=15 "$OUT/vdiskck-scrub@x.service" >"$OUT/seen" ||
		{ tail -n 1 "$OUT/seen"; return 1; }
	for option in $(grep -o -- ' --[a-z-]*' "$DEPLOY/vdiskck-scrub@.service" | sort -u); do
		"$VDISKCK" scrub --help | grep -q -- "  $option\b" || { echo "$option"; return 1; }
	done
}

@test "alert rules speak of metrics that there are" {
	truncate -s 1M a.raw
	run_vdiskck seal a.raw -o "$OUT/s"
	run_vdiskck scrub a.raw --seal "$OUT/s" --format raw --prom "$OUT/m.prom"
	expect_status 0
	for metric in $(grep -o 'vdiskck_[a-z_]*' "$DEPLOY/alerts.yml" | sort -u); do
		grep -q "^$metric{" "$OUT/m.prom" || { echo "$metric"; return 1; }
	done
	if command -v promtool >/dev/null; then promtool check rules "$DEPLOY/alerts.yml"; fi
}
