/* SPDX-License-Identifier: Apache-2.0 */
/* Where the superblock of dm-verity is. */
#include "crypto/verity.h"

#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/span.h"

enum { AFTER_FS = 8 << 20 }; /* how far behind a file system's end it is looked for */

static bool sb_read(struct layer *below, uint64_t at, struct verity_superblock *sb)
{
	return range_inside(at, sizeof(*sb), below->size) &&
	       !layer_read(below, at, sb, sizeof(*sb), NULL) &&
	       !memcmp(sb->magic, "verity\0\0", 8) && le32(sb->version) == 1;
}

/* Where the file system at 0 ends, or 0: of those that are used read-only under verity. */
static uint64_t fs_end(struct layer *below)
{
	uint8_t b[2048];
	le32_t lo, hi;
	le64_t used;
	uint64_t n;

	if (below->size < sizeof(b) || layer_read(below, 0, b, sizeof(b), NULL))
		return 0;
	memcpy(&lo, b + 1024 + 4, 4);
	memcpy(&hi, b + 1024 + 24, 4);
	if (b[1024 + 0x38] == 0x53 && b[1024 + 0x39] == 0xef && le32(hi) <= 6) {
		/* ext4: blocks of 1 KiB << s_log_block_size */
		n = (uint64_t)le32(lo) << (10 + le32(hi));
		return n < below->size ? n : 0;
	}
	if (!memcmp(b, "hsqs", 4)) {
		memcpy(&used, b + 40, 8); /* squashfs: bytes_used */
		n = le64(used);
	} else if (!memcmp(b + 1024, "\xe2\xe1\xf5\xe0", 4) && b[1024 + 12] < 17) {
		memcpy(&lo, b + 1024 + 36, 4); /* erofs: blocks, and their log2 */
		n = (uint64_t)le32(lo) << b[1024 + 12];
	} else {
		return 0;
	}
	return n < below->size ? n : 0;
}

/* A superblock in [from, to) that comes behind the data it speaks of; read in pieces. */
static bool sb_scan(struct layer *below, uint64_t from, uint64_t to, uint64_t *at,
		    struct verity_superblock *sb)
{
	enum { PIECE = 64 << 10 };
	uint8_t *buf = malloc(PIECE);
	bool found = false;

	for (; buf && !found && from < to; from += PIECE) {
		size_t n = to - from < PIECE ? (size_t)(to - from) : PIECE;

		if (layer_read(below, from, buf, n, NULL))
			break;
		for (size_t i = 0; !found && i + sizeof(*sb) <= n; i += VERITY_BLOCK_MIN) {
			*at = from + i;
			found = !memcmp(buf + i, "verity\0\0", 8) && sb_read(below, *at, sb) &&
				le64(sb->data_blocks) <= verity_blocks_max &&
				le64(sb->data_blocks) * le32(sb->data_block_size) <= *at;
		}
	}
	free(buf);
	return found;
}

/* The hash device alone, or data and tree on one device: then behind the file system. */
bool verity_find(struct layer *below, uint64_t *at, struct verity_superblock *sb)
{
	uint64_t end, stop;

	*at = 0;
	if (sb_read(below, 0, sb))
		return true;
	end = (fs_end(below) + VERITY_BLOCK_MIN - 1) & ~(uint64_t)(VERITY_BLOCK_MIN - 1);
	if (!end || end >= below->size)
		return false;
	stop = below->size - end < AFTER_FS ? below->size : end + AFTER_FS;
	return sb_scan(below, end, stop, at, sb);
}
