# SPDX-License-Identifier: Apache-2.0
# For tests that load common, and then this: build/fault_shim.so counts the calls that write, and
# strikes at one of them. No test with it depends on how fast the machine is.

PROGRAM=${VDISKCK_PROGRAM:-$VDISKCK}
SHIM=${PROGRAM%/*}/fault_shim.so

# The program with the shim before it; FAULT_... are in the environment.
faulty() {
	status=0
	output=$(ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 LD_PRELOAD=$SHIM FAULT_HURRY=1 FAULT_COUNT=1 \
		"$PROGRAM" "$@" 2>"$OUT/stderr") || status=$?
	stderr=$(cat "$OUT/stderr")
}

calls() { sed -n 's/^calls: //p' "$OUT/stderr"; }

# What a run says, but for how long it took.
said() { jq -cS 'del(.seconds)' <<<"$output"; }

# A file system with files, random data, rot in three places; a cluster of the qcow2 that nothing needs.
disk() {
	[ -e "$SHIM" ] || skip "no fault_shim.so"
	truncate -s 5M a.raw
	mke2fs -q -F -t ext4 a.raw
	head -c 2M /dev/urandom | dd of=a.raw bs=64k seek=40 conv=notrunc status=none
	qemu-img convert -O qcow2 a.raw a.qcow2
}

rot() { # FILE OFFSET...
	local when file=$1 at
	when=$(stat -c %y "$file")
	shift
	for at; do printf ROTTEN | dd of="$file" bs=1 seek="$at" conv=notrunc status=none; done
	touch -d "$when" "$file"
}
