#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Includes point one way, and each outside library is called from one file (docs: Libraries).
set -u
cd "$(dirname "$0")/../.." || exit 1

git ls-files -co --exclude-standard 'vdiskck/*.[ch]' 'crypto/*.[ch]' 'formats/*.[ch]' 'recover/*.[ch]' |
	xargs awk '
	function rank(f) {
		if (f ~ /^vdiskck\/(core\/|version.h$)/) return 1
		if (f ~ /^crypto\//) return 2
		if (f ~ /^formats\//) return 3
		if (f ~ /^recover\//) return 4
		if (f ~ /^vdiskck\//) return 5
		return 0
	}
	function fail(why) { printf "%s:%d: %s\n", FILENAME, FNR, why; bad = 1 }
	BEGIN {
		only["gcrypt.h"] = "^crypto/prim\\.c$"
		only["gpg-error.h"] = "^crypto/prim\\.c$"
		inflate = "^vdiskck/core/inflate\\.c$"
		only["zstd.h"] = only["lzma.h"] = only["lz4.h"] = inflate
		only["isa-l.h"] = only["isa-l/igzip_lib.h"] = inflate
		only["zlib.h"] = inflate
		only["libdeflate.h"] = "^vdiskck/core/(inflate|sum)\\.c$"
		only["xxhash.h"] = "^vdiskck/core/sum\\.c$"
		only["json.h"] = only["json-c/json.h"] = "^vdiskck/core/json\\.c$"
		only["sqlite3.h"] = "^vdiskck/db\\.c$"
		only["libnbd.h"] = "^vdiskck/core/source[a-z_]*\\.c$"
		only["seccomp.h"] = only["linux/landlock.h"] = "^vdiskck/sandbox\\.c$"
		only["wimlib.h"] = "^formats/fs/wof\\.c$"
		only["guestfs.h"] = "^vdiskck/guest\\.c$"
	}
	/^#include "/ {
		split($0, part, "\"")
		if (!rank(part[2])) fail("included by a path that does not start at the top: " part[2])
		else if (rank(part[2]) > rank(FILENAME)) fail("includes upwards: " part[2])
	}
	/^#include </ {
		split($0, part, /[<>]/)
		if (part[2] in only && FILENAME !~ only[part[2]])
			fail(part[2] " may be included only by " only[part[2]])
	}
	END { exit bad }'
