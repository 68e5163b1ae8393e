/* SPDX-License-Identifier: Apache-2.0 */
/* md: superblocks. */
#include <stdio.h>
#include <string.h>

#include "formats/part/md.h"
#include "vdiskck/core/span.h"

#define MD_MAGIC 0xa92b4efcu

enum {
	OLD_SIZE = 4096, /* of a superblock 0.90, at the last multiple of 64 KiB */
	OLD_RESERVED = 65536,
	NEW_HEAD = 256,
	ROLE_SPARE = 0xfffe, /* and above: 0xffff a spare, 0xfffe failed, 0xfffd a journal */
	FEATURE_BITMAP = 1,
	FEATURE_RECOVERY = 2,
	FEATURE_RESHAPE = 4,
};

/* Version 1: at the end (1.0), the start (1.1), or 4 KiB behind it (1.2). */
struct super1 {
	le32_t magic, major, features, pad;
	uint8_t uuid[16];
	char name[32];
	le64_t ctime;
	le32_t level, layout;
	le64_t size; /* of each member, in sectors */
	le32_t chunk, disks;
	le32_t bitmap;
	le32_t new_level;
	le64_t reshape;
	le32_t delta_disks, new_layout, new_chunk, new_offset;
	le64_t data_offset, data_size, super_offset, recovery_offset;
	le32_t number, corrected;
	uint8_t device_uuid[16];
	uint8_t flags, bblog_shift;
	le16_t bblog_size;
	le32_t bblog_offset;
	le64_t utime, events, resync_offset;
	le32_t sum, max_dev;
	uint8_t pad3[32];
	/* le16_t roles[max_dev] */
};
_Static_assert(sizeof(struct super1) == NEW_HEAD, "md_p.h, mdp_superblock_1");

/* Version 0.90: 1024 words of 32 bits, in the byte order of the machine. */
struct super0 {
	le32_t magic, major, minor, patch, gvalid, uuid0, ctime, level, size, disks_all;
	le32_t disks, md_minor, not_persistent, uuid1, uuid2, uuid3;
	le32_t pad[16];
	le32_t utime, state, active, working, failed, spares, sum, events_lo, events_hi;
	le32_t cp_lo, cp_hi, recovery;
	le64_t reshape;
	le32_t pad2[18];
	le32_t layout, chunk, root_pv, root_block;
	le32_t pad3[60];
	le32_t disk[27][32]; /* number, major, minor, role, state */
	le32_t pad4[0];
	le32_t this_disk[32];
};
_Static_assert(sizeof(struct super0) == OLD_SIZE, "md_p.h, mdp_super_t");

static bool get(struct layer *below, uint64_t at, void *buf, size_t len)
{
	struct ranges bad = {0};
	bool ok = range_inside(at, len, below->size) && !layer_read(below, at, buf, len, &bad) &&
		  !bad.n;

	ranges_free(&bad);
	return ok;
}

static uint32_t sum_words(const uint8_t *p, size_t len, size_t skip, bool fold)
{
	uint64_t sum = 0;
	size_t i = 0;

	for (; i + 4 <= len; i += 4) {
		uint32_t w;

		memcpy(&w, p + i, 4);
		sum += i == skip ? 0 : w;
	}
	if (i + 2 <= len)
		sum += (uint32_t)(p[i] | p[i + 1] << 8);
	return fold ? (uint32_t)sum + (uint32_t)(sum >> 32) : (uint32_t)sum;
}

static bool read_new(struct layer *below, uint64_t at, unsigned minor, struct md_super *s)
{
	uint8_t raw[NEW_HEAD + 2 * MD_DISKS_MAX];
	struct super1 h;
	uint32_t max, number, role;

	if (!get(below, at, raw, sizeof(raw)))
		return false;
	memcpy(&h, raw, sizeof(h));
	max = le32(h.max_dev);
	if (le32(h.magic) != MD_MAGIC || le32(h.major) != 1 || max > MD_DISKS_MAX ||
	    le64(h.super_offset) != at / MD_SECTOR || le32(h.disks) > MD_DISKS_MAX ||
	    le64(h.data_offset) > UINT64_MAX >> 12 || le64(h.data_size) > UINT64_MAX >> 12 ||
	    le64(h.size) > UINT64_MAX >> 12)
		return false;
	number = le32(h.number);
	role = number < max ? (uint32_t)(raw[NEW_HEAD + 2 * number] | raw[NEW_HEAD + 2 * number + 1]
									      << 8)
			    : 0xffff;
	*s = (struct md_super){
		.at = at,
		.at_len = NEW_HEAD + 2 * max,
		.minor = minor,
		.sum_ok = le32(h.sum) == sum_words(raw, NEW_HEAD + 2 * max, 216, true),
		.level = (int32_t)le32(h.level),
		.layout = le32(h.layout),
		.disks = le32(h.disks),
		.chunk = (uint64_t)le32(h.chunk) * MD_SECTOR,
		.size = le64(h.size) * MD_SECTOR,
		.data = le64(h.data_offset) * MD_SECTOR,
		.data_len = le64(h.data_size) * MD_SECTOR,
		.events = le64(h.events),
		.role = role >= ROLE_SPARE - 1 ? UINT32_MAX : role,
		.clean = le64(h.resync_offset) == UINT64_MAX,
		.reshape = le32(h.features) & FEATURE_RESHAPE,
		.recovering = le32(h.features) & FEATURE_RECOVERY,
		.recovered = le64(h.recovery_offset) < UINT64_MAX >> 12
				     ? le64(h.recovery_offset) * MD_SECTOR
				     : 0,
	};
	memcpy(s->uuid, h.uuid, sizeof(s->uuid));
	memcpy(s->name, h.name, sizeof(h.name));
	return true;
}

static bool read_old(struct layer *below, struct md_super *s)
{
	uint64_t at = below->size / OLD_RESERVED * OLD_RESERVED - OLD_RESERVED;
	struct super0 h;
	uint32_t role;

	if (below->size < 2 * OLD_RESERVED || !get(below, at, &h, sizeof(h)) ||
	    le32(h.magic) != MD_MAGIC || le32(h.major) || le32(h.disks) > 27)
		return false;
	role = le32(h.this_disk[3]);
	*s = (struct md_super){
		.at = at,
		.at_len = OLD_SIZE,
		.minor = 90,
		.sum_ok = le32(h.sum) == sum_words((const uint8_t *)&h, sizeof(h),
						   offsetof(struct super0, sum), true),
		.level = (int32_t)le32(h.level),
		.layout = le32(h.layout),
		.disks = le32(h.disks),
		.chunk = le32(h.chunk),
		.size = (uint64_t)le32(h.size) * 1024,
		.data_len = at,
		.events = le32(h.events_lo) | (uint64_t)le32(h.events_hi) << 32,
		.role = role < le32(h.disks) ? role : UINT32_MAX,
		.clean = le32(h.state) & 1,
		.reshape = le32(h.minor) > 90 && le64(h.reshape) != UINT64_MAX,
	};
	memcpy(s->uuid, &h.uuid0, 4);
	memcpy(s->uuid + 4, &h.uuid1, 12);
	return true;
}

bool md_super_read(struct layer *below, struct md_super *s)
{
	static const uint64_t place[] = {4096, 0};
	struct md_super other;
	bool any = false;

	for (unsigned i = 0; i < 2 && !(any && s->sum_ok); i++)
		if (read_new(below, place[i], i ? 1 : 2, &other)) {
			*s = other;
			any = true;
		}
	/* 1.0: 8 KiB before the end, at a multiple of 4 KiB. */
	if (!(any && s->sum_ok) && below->size > 16384 &&
	    read_new(below, (below->size / MD_SECTOR - 16) / 8 * 8 * MD_SECTOR, 0, &other)) {
		*s = other;
		any = true;
	}
	if (!(any && s->sum_ok) && read_old(below, &other) && (!any || other.sum_ok)) {
		*s = other;
		any = true;
	}
	return any;
}
