#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0

TOP=$BATS_TEST_DIRNAME/../..

make_quietly() { # The build of the tests is there already: nothing is compiled.
	make -s -C "$TOP" B="${BUILD:-$TOP/build}" DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/usr "$@"
}

@test "install puts program, manual and completion below DESTDIR; uninstall takes them away" {
	[ "${BUILD##*/}" = build ] || skip "only the plain build is installed"
	cd "$BATS_TEST_TMPDIR" || return
	make_quietly install
	root/usr/bin/vdiskck --version | grep -q '^vdiskck [0-9]'
	[ -z "$(find root -type f ! -path '*/bin/*' ! -path '*/share/*' ! -path '*/nbdkit/plugins/*')" ]
	for m in "$TOP"/man/*.[1-8]; do
		[ -e "$m" ] || continue
		[ -e "root/usr/share/man/man${m##*.}/${m##*/}" ]
	done
	make_quietly uninstall
	[ -z "$(find root -type f)" ]
}

@test "completion knows the commands and their options" {
	cd "$BATS_TEST_TMPDIR" || return
	complete_words() { # WORD... as typed, the last one unfinished
		COMP_WORDS=(vdiskck "$@")
		COMP_CWORD=$#
		_vdiskck "$VDISKCK_PROGRAM" "${*: -1}" "${COMP_WORDS[$(($# - 1))]}"
		echo "${COMPREPLY[*]}"
	}
	# shellcheck source=/dev/null
	source "$TOP/deploy/completion.bash"
	[[ $(complete_words ch) == check ]]
	[[ $(complete_words check --js) == --json ]]
	[[ $(complete_words explain vhd-footer-s) == *vhd-footer-sum* ]]
	touch image.vhd
	[[ $(complete_words info im) == image.vhd ]]
}
