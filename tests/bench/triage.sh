#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From an encrypted VHD to its System.evtx, and to the full verdict, page cache warm, against what an
# engineer has otherwise: triage.sh BUILD-DIR. SIZE_GIB (8), RUNS (3), GUESTFISH=no may be set.
# The others get the volume decrypted: their row for the events leaves out what that takes.
# The image is made once, in BUILD-DIR/bench; its volume needs FUSE and takes twice SIZE_GIB.
set -eu
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build} size=${SIZE_GIB:-8} runs=${RUNS:-3}
vdiskck=$build/vdiskck dir=$build/bench
log=Windows/System32/winevt/Logs/System.evtx
mkdir -p "$dir"
cd "$dir"

make_image() {
	local root=$dir/triage.root mnt=$dir/triage.mnt
	echo "making a volume of $size GiB" >&2
	python3 -B "$OLDPWD/fixtures/windows/make_windows.py" "$root"
	mkdir -p "$root/${log%/*}" "$root/Users/data" "$mnt"
	"$build/fixtures/mkevtx" System 1000 43118 >"$root/$log"
	for ((i = 0; i < size * 100; i++)); do
		head -c $((1 + RANDOM * 80)) /dev/urandom >"$root/Users/data/$i.bin"
	done
	truncate -s "${size}G" plain.part
	mkntfs -q -F -f plain.part >/dev/null 2>&1
	ntfs-3g plain.part "$mnt"
	cp -r "$root"/* "$mnt"
	umount "$mnt"
	"$build/fixtures/mkbitlocker" --password secret plain.part cipher.part >/dev/null
	qemu-img convert -f raw -O vpc -o force_size=on cipher.part triage.vhd.part
	rm -rf cipher.part "$root" "$mnt"
	mv plain.part triage.plain
	mv triage.vhd.part triage.vhd
	echo 'passphrase secret' >triage.keys
}

# The least time of RUNS runs, in seconds.
best() { # COMMAND...
	local i from to
	for ((i = 0; i < runs; i++)); do
		from=$EPOCHREALTIME
		"$@" >/dev/null 2>&1 || [ $? -lt 3 ] || { echo failed; return; }
		to=$EPOCHREALTIME
		echo $((${to/./} - ${from/./}))
	done | sort -n | awk 'NR == 1 { if ($1 == "failed") print $1; else printf "%.3f", $1 / 1e6 }'
}

row() { # WHAT SECONDS OURS GOAL
	awk -v what="$1" -v them="$2" -v us="$3" -v goal="$4" 'BEGIN {
		if (them == "" || them == "failed") printf "%-62s not measured (%s)\n", what, them
		else if (us == "") printf "%-62s %8.3f s\n", what, them
		else printf "%-62s %8.3f s  %7.1fx%s\n", what, them, them / us, goal ? " (goal " goal "x)" : "" }'
}

extract() {
	rm -rf triage.out
	"$vdiskck" extract -q triage.vhd "/$log" --keys triage.keys -o triage.out
}

# The events as well: the log as it was, and parsed.
events() {
	rm -rf triage.out
	"$vdiskck" logs -q triage.vhd --quick --keys triage.keys --channel System -o triage.out
}

triage() { # OPTION...
	rm -rf triage.case
	"$vdiskck" triage -q triage.vhd --keys triage.keys -o triage.case "$@"
}

guestfish_copy() {
	rm -rf triage.out
	mkdir triage.out
	guestfish --ro -a triage.plain -m /dev/sda copy-out "/$log" triage.out
}

sleuthkit() {
	local inode
	inode=$(fls -r -p -F triage.plain | awk -F '[ :\t]+' -v f="$log" '$NF == f { print $(NF - 1); exit }')
	icat triage.plain "$inode" >triage.evtx
	evtxexport -f xml triage.evtx
}

have() { command -v "$1" >/dev/null; }

if [ ! -e triage.vhd ]; then
	if ! have ntfs-3g || [ ! -e /dev/fuse ]; then
		echo "triage: no FUSE, not measured"
		exit 0
	fi
	make_image
fi
trap 'rm -rf "$dir"/triage.out "$dir"/triage.case "$dir"/triage.evtx' EXIT
cat triage.vhd triage.plain >/dev/null # into the cache

x=$(best extract) e=$(best events) q=$(best triage --quick) t=$(best triage)
row "System.evtx out of the encrypted VHD (extract)" "$x" "" ""
row "and its 43118 events as JSON (logs --quick --channel System)" "$e" "" ""
row "verdict of all structures, logs, report (triage --quick)" "$q" "" ""
row "verdict, all $size GiB read and decrypted, free space carved" "$t" "" ""
if have guestfish && [ "${GUESTFISH:-yes}" != no ]; then
	# Where KVM does not work, its appliance is emulated.
	guestfish -a /dev/null run >/dev/null 2>&1 ||
		export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
	g=$(runs=1 best guestfish_copy)
	row "guestfish, decrypted volume: System.evtx" "$g" "$x" 100
	row "guestfish against the verdict of triage --quick" "$g" "$q" ""
else
	echo "guestfish: not there, or GUESTFISH=no"
fi
if have fls && have evtxexport; then
	s=$(runs=1 best sleuthkit)
	row "fls, icat, evtxexport, decrypted volume: events" "$s" "$e" ""
else
	echo "sleuthkit, evtxexport: not there"
fi
echo "Python's dissect: Debian has no package of it, not measured"
