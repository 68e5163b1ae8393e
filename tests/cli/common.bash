# SPDX-License-Identifier: Apache-2.0
# For every .bats file: load common
#
# run_vdiskck runs the program as `run` does, with stderr apart in $stderr, and fails when a file
# beside the image changed: contents, size, times (access included), or what the folder holds.
# Whoever expects a new file beside the image puts it elsewhere: $OUT is for that.

VDISKCK=${VDISKCK:-$BATS_TEST_DIRNAME/../../build/vdiskck}
MAN=$BATS_TEST_DIRNAME/../../man

setup() {
	DIR=$BATS_TEST_TMPDIR/evidence
	OUT=$BATS_TEST_TMPDIR/out
	mkdir -p "$DIR" "$OUT"
	cd "$DIR" || return 1
	unset NO_COLOR VDISKCK_KEYS
}

# On a busy machine qemu-img fails to measure how long key derivation takes ("Unable to get accurate
# CPU usage"): it is asked again.
qemu-img() {
	local err try
	err=$(mktemp)
	for try in 1 2 3 4 5 6 7 8 9 10; do
		if command qemu-img "$@" 2>"$err"; then
			cat "$err" >&2
			rm "$err"
			return 0
		fi
		grep -q 'accurate CPU' "$err" || break
		sleep "0.$try"
	done
	cat "$err" >&2
	rm "$err"
	return 1
}

# All that must not change. stat first: reading for the sum could move the access time.
state_of() { # DIR
	(cd "$1" && find . -printf '%p %y %s %T@ %C@ %A@ %i %m\n' | sort
		find . -type f -size -64M -exec sha256sum {} + | sort)
}

run_vdiskck() {
	local before after
	before=$(state_of "$DIR")
	# Reading our own sums may have moved access times once: ask again, nothing moves now.
	before=$(state_of "$DIR")
	status=0
	output=$("$VDISKCK" "$@" 2>"$OUT/stderr") || status=$?
	stderr=$(cat "$OUT/stderr")
	after=$(state_of "$DIR")
	if [ "$before" != "$after" ]; then
		echo "vdiskck $* changed the evidence:"
		diff <(echo "$before") <(echo "$after")
		return 1
	fi
}

# For the message of a test that fails.
show() { printf 'status %s\nstdout:\n%s\nstderr:\n%s\n' "$status" "$output" "$stderr"; }

expect_status() {
	[ "$status" = "$1" ] || { echo "expected exit status $1"; show; return 1; }
}

# Every line of $output is a JSON record; FILTER must give true for the array of all.
expect_json() { # FILTER
	jq -se "$1" <<<"$output" >"$OUT/jq" || { echo "not so: $1"; show; return 1; }
}

expect_text() { # REGEX
	grep -qE -- "$1" <<<"$output$stderr" || { echo "no such text: $1"; show; return 1; }
}

# Standard input has nothing that matches REGEX.
lacks() { # REGEX
	if grep -E -- "$1"; then return 1; fi
}
