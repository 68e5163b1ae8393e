#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that the build and the tests need, and those of the groups named:
# tests/deps.sh [lint] [bench] [browser]. Silent when none is missing.
set -eu

build="gcc make pkg-config libgcrypt20-dev zlib1g-dev libzstd-dev liblzma-dev liblz4-dev
libdeflate-dev libwim-dev libxxhash-dev libjson-c-dev libsqlite3-dev libnbd-dev libseccomp-dev
nbdkit-plugin-dev"
# clang: fuzz targets. The rest: oracles, and tools that make images.
tests="libcmocka-dev bats clang libclang-rt-14-dev mandoc jq xz-utils zstd bzip2 python3 qemu-utils
libvhdi-utils gddrescue fdisk gdisk parted ntfs-3g dosfstools mtools e2fsprogs git dislocker
attr wimtools libbde-utils libhivex-bin cryptsetup-bin libevtx-utils python3-evtx exfatprogs lvm2 mdadm
sleuthkit slurm-wlm munge parallel nbdkit libnbd-bin icoutils gcab sqlite3 gnutls-bin"
# Large, and not to be had everywhere: where they can't be installed, their tests are skipped.
optional="libguestfs-dev libguestfs-xfs linux-image-amd64 xfsprogs btrfs-progs f2fs-tools"
# shellcheck disable=SC2034 # named by an argument
lint="clang-format cppcheck shellcheck"
# shellcheck disable=SC2034
bench="time"
# report.html is looked at by tests/cli/report.bats; without it, that is skipped.
# shellcheck disable=SC2034
browser="chromium fonts-dejavu-core"

wanted="$build $tests"
for group in "$@"; do
	wanted="$wanted ${!group}"
done
missing_of() { # PACKAGE...
	local p
	for p in "$@"; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$p"
	done
}
# shellcheck disable=SC2086
missing=$(missing_of $wanted) more=$(missing_of $optional)
[ -n "$missing$more" ] || exit 0

echo "Installing Debian packages:$missing$more"
if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
export DEBIAN_FRONTEND=noninteractive
# A mirror that is being updated answers with a wrong size once in a while.
$sudo apt-get update -qq || { sleep 5 && $sudo apt-get update -qq; }
install() {
	[ $# = 0 ] || $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
# shellcheck disable=SC2086
install $missing
# shellcheck disable=SC2086
install $more || echo "not installed, their tests are skipped:$more"
