/* SPDX-License-Identifier: Apache-2.0 */
/* dm-integrity's superblock, and where data and tags lie. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/integrity.h"
#include "crypto/integrity_crypt.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SECTOR = 512,
	VERSION_MAX = 6,
	INTERLEAVE_MIN = 3, /* log2 of sectors */
	INTERLEAVE_MAX = 31,
	BITMAP_MAX = 64 << 20, /* bytes: the kernel keeps it in the journal, at most 64 MiB */
};

static const char magic[8] = "integrt";
static const uint64_t sectors_max = UINT64_MAX >> 12; /* bytes, and sums of them, fit 64 bits */

/* What can't be true in a superblock, or NULL. */
static const char *impossible(const struct integrity_superblock *sb)
{
	unsigned flags = le32(sb->flags), tag = le16(sb->tag_size);

	if (!sb->version)
		return "version 0";
	if (sb->log2_sectors_per_block > 3)
		return "blocks of more than 8 sectors";
	if (!tag || tag > INTEGRITY_TAG_MAX)
		return "a tag size that no journal entry has room for";
	if (!!le32(sb->journal_sections) == !!(flags & INTEGRITY_INLINE))
		return "a count of journal sections that its mode does not have";
	if (sb->log2_interleave_sectors > INTERLEAVE_MAX ||
	    (sb->log2_interleave_sectors && sb->log2_interleave_sectors < INTERLEAVE_MIN))
		return "areas of a size that the kernel does not make";
	if (!le64(sb->provided_data_sectors) || le64(sb->provided_data_sectors) > sectors_max)
		return "a volume size that can't be";
	return NULL;
}

bool integrity_probe(struct layer *below, uint64_t start)
{
	struct integrity_superblock sb;

	return !layer_read(below, start, &sb, sizeof(sb), NULL) &&
	       !memcmp(sb.magic, magic, sizeof(magic));
}

/* Where the tags are kept apart, there are no areas: the superblock says so by a zero. */
bool integrity_probe_apart(struct layer *meta, uint64_t *size)
{
	struct integrity_superblock sb;

	if (layer_read(meta, 0, &sb, sizeof(sb), NULL) || memcmp(sb.magic, magic, sizeof(magic)) ||
	    impossible(&sb) || sb.log2_interleave_sectors || le32(sb.flags) & INTEGRITY_INLINE)
		return false;
	if (size)
		*size = le64(sb.provided_data_sectors) * SECTOR;
	return true;
}

static bool is_apart(const struct integrity_dev *d)
{
	return d->data != d->below;
}

static void sb_finding(struct integrity_dev *d, enum finding_id id, size_t field, size_t len,
		       const char *text)
{
	finding_fact(d->l, id,
		     &(struct fact){.in = d->below, .at = d->start + field, .at_len = len},
		     "superblock at 0x%" PRIx64 ": %s", d->start, text);
}

static uint64_t area_bytes(const struct integrity_dev *d)
{
	/* Of data elsewhere all the tags lie together. */
	if (is_apart(d))
		return 1ull << 63;
	return (uint64_t)SECTOR << d->log2_interleave;
}

/* Where byte @off of the volume lies, or UINT64_MAX when no device is that long. */
static uint64_t data_at(const struct integrity_dev *d, uint64_t off)
{
	uint64_t area = off >> (9 + d->log2_interleave), base = d->start + d->initial, before;

	if (is_apart(d))
		return off;
	if (d->flags & INTEGRITY_INLINE)
		return d->start + d->initial + off;
	if (__builtin_mul_overflow(area + 1, d->run, &before) ||
	    __builtin_add_overflow(before, base, &before) ||
	    __builtin_add_overflow(before, off, &before))
		return UINT64_MAX;
	return before;
}

uint64_t integrity_dev_tag_at(const struct integrity_dev *d, uint64_t off)
{
	uint64_t in = off & (area_bytes(d) - 1);

	if (is_apart(d))
		return d->start + d->initial + off / d->block * d->tag_size;
	return data_at(d, off - in) - d->run + in / d->block * d->tag_size;
}

uint64_t integrity_dev_together(const struct integrity_dev *d, uint64_t off)
{
	uint64_t left = area_bytes(d) - (off & (area_bytes(d) - 1));

	return left < d->size - off ? left : d->size - off;
}

/* calculate_journal_section_size() of the kernel */
static void journal_layout(struct integrity_dev *d, const struct integrity_superblock *sb)
{
	uint32_t space = SECTOR - 8, spb = d->block / SECTOR;

	if (d->flags & INTEGRITY_HAVE_JOURNAL_MAC)
		space -= 8;
	d->entry_size = (uint32_t)((8 + 8 * spb + d->tag_size + 7) & ~7u);
	d->section_entries = space / d->entry_size * 8;
	d->section_sectors = d->section_entries * spb + 8;
	d->sections = le32(sb->journal_sections);
	d->initial = INTEGRITY_SB + (uint64_t)d->section_sectors * d->sections * SECTOR;
}

/* Padding was 256 sectors by mistake until FIXED_PADDING made it 8. */
static void run_layout(struct integrity_dev *d)
{
	uint64_t pad = d->flags & INTEGRITY_FIXED_PADDING ? 8 * SECTOR : 256 * SECTOR;

	if (is_apart(d))
		d->run = d->size / d->block * d->tag_size;
	else
		d->run = (area_bytes(d) / d->block * d->tag_size + pad - 1) & ~(pad - 1);
}

/* Does the last of @sectors sectors lie on the device? */
static bool fits(const struct integrity_dev *d, uint64_t sectors)
{
	uint64_t at = data_at(d, (sectors - 1) * SECTOR);

	return at < d->data->size && d->data->size - at >= SECTOR;
}

/* What the kernel makes of this device's size: in steps of 8 sectors. */
static uint64_t sectors_that_fit(const struct integrity_dev *d)
{
	uint64_t n = 0;

	for (int bit = 51; bit >= 3; bit--)
		if (fits(d, n | 1ull << bit))
			n |= 1ull << bit;
	return n;
}

static void size_report(struct integrity_dev *d)
{
	uint64_t max = sectors_that_fit(d), have = max * SECTOR;
	char a[SIZE_TEXT], b[SIZE_TEXT];
	struct fact f = {.in = d->below,
			 .at = d->start +
			       offsetof(struct integrity_superblock, provided_data_sectors),
			 .at_len = 8,
			 .stored = strf("%" PRIu64 " sectors", d->sectors),
			 .expected = strf("%" PRIu64, max)};

	if (d->sectors > max && !fits(d, d->sectors)) {
		f.off = have;
		f.len = d->size - have;
		f.lost = true;
		finding_fact(d->l, INTEGRITY_TRUNCATED, &f,
			     "the device ends before its data: %s of %s are there",
			     size_text(have, a), size_text(d->size, b));
	} else if (d->sectors < (max & ~7ull)) {
		finding_fact(d->l, INTEGRITY_SIZE, &f,
			     "the volume has %s where the device has room for %s",
			     size_text(d->size, a), size_text(have, b));
	}
}

static int unsupported(struct integrity_dev *d, const struct integrity_superblock *sb)
{
	if (sb->version > VERSION_MAX) {
		sb_finding(d, INTEGRITY_UNSUPPORTED, 8, 1, "a version that is not known");
		return -EOPNOTSUPP;
	}
	if (!(d->flags & INTEGRITY_INLINE) && !d->log2_interleave && !is_apart(d)) {
		sb_finding(d, INTEGRITY_UNSUPPORTED, 9, 1,
			   "it holds only the tags of data on another device: name that one as the "
			   "image, and this one with --header");
		return -EOPNOTSUPP;
	}
	if (d->flags & INTEGRITY_INLINE)
		sb_finding(d, INTEGRITY_UNSUPPORTED, 0x18, 4,
			   "its tags are in the metadata of the disk's own sectors, which no image "
			   "holds: they are not verified");
	return 0;
}

/* Bit N set: the tags of the Nth piece of the volume need not be as new as its data. */
static int bitmap_load(struct integrity_dev *d, const struct integrity_superblock *sb)
{
	uint64_t bytes, room = d->initial - INTEGRITY_SB;

	d->bitmap_shift = sb->log2_blocks_per_bitmap_bit + sb->log2_sectors_per_block;
	if (d->bitmap_shift > 60 && d->flags & INTEGRITY_DIRTY_BITMAP)
		sb_finding(d, INTEGRITY_SUPERBLOCK, 0x1d, 1,
			   "bitmap bits that stand for more than any volume has");
	if (d->bitmap_shift > 60)
		d->bitmap_shift = 60;
	if (!(d->flags & INTEGRITY_DIRTY_BITMAP))
		return 0;
	d->bitmap_bits = ((d->sectors - 1) >> d->bitmap_shift) + 1;
	bytes = (d->bitmap_bits + 7) / 8;
	if (bytes > room || bytes > BITMAP_MAX || room > d->below->size) {
		sb_finding(d, INTEGRITY_SUPERBLOCK, 0x1d, 1,
			   "a bitmap that has no room in the journal: no tag is taken as current");
		d->bitmap_bits = 0;
		return 0;
	}
	d->bitmap = malloc(bytes);
	return d->bitmap ? layer_read(d->below, d->start + INTEGRITY_SB, d->bitmap, bytes, NULL)
			 : -ENOMEM;
}

int integrity_dev_open(struct integrity_dev *d, struct layer *l, struct layer *below,
		       uint64_t start, struct layer *data)
{
	struct integrity_superblock sb;
	const char *why;
	int r = layer_read(below, start, &sb, sizeof(sb), NULL);

	*d = (struct integrity_dev){.l = l, .below = below, .start = start, .data = data};
	integrity_crypt_close(d);
	if (r)
		return r;
	why = memcmp(sb.magic, magic, sizeof(magic)) ? "its magic is gone" : impossible(&sb);
	if (why) {
		sb_finding(d, INTEGRITY_SUPERBLOCK, 0, sizeof(sb), why);
		return -EBADMSG;
	}
	d->version = sb.version;
	d->flags = le32(sb.flags);
	d->block = (uint32_t)SECTOR << sb.log2_sectors_per_block;
	d->tag_size = le16(sb.tag_size);
	d->log2_interleave = sb.log2_interleave_sectors;
	d->sectors = le64(sb.provided_data_sectors);
	d->recalc_sector = le64(sb.recalc_sector);
	memcpy(d->salt, sb.salt, sizeof(d->salt));
	d->sectors &= ~(uint64_t)(d->block / SECTOR - 1);
	d->size = d->sectors * SECTOR;
	r = unsupported(d, &sb);
	if (r)
		return r;
	journal_layout(d, &sb);
	run_layout(d);
	if (!d->sectors || d->initial > d->below->size) {
		sb_finding(d, INTEGRITY_SUPERBLOCK, 0, sizeof(sb),
			   "a journal that is larger than the device");
		return -EBADMSG;
	}
	size_report(d);
	if (d->flags & INTEGRITY_INLINE)
		return 0;
	r = bitmap_load(d, &sb);
	if (!r && !(d->flags & INTEGRITY_DIRTY_BITMAP))
		r = integrity_journal_load(d);
	return r;
}

void integrity_dev_close(struct integrity_dev *d)
{
	integrity_crypt_close(d);
	free(d->replay);
	free(d->bitmap);
	d->replay = NULL;
	d->bitmap = NULL;
}

/* The first block at or behind @off whose newest data is in the journal; NULL: none. */
static const struct integrity_replay *replay_next(const struct integrity_dev *d, uint64_t off)
{
	size_t lo = 0, hi = d->n_replay;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->replay[mid].sector * SECTOR + d->block <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < d->n_replay ? &d->replay[lo] : NULL;
}

bool integrity_dev_journaled(const struct integrity_dev *d, uint64_t off)
{
	const struct integrity_replay *e = replay_next(d, off);

	return e && e->sector * SECTOR <= off;
}

/* The length of the run at @off that lies together, up to @len; whole blocks if @off is one's. */
static uint64_t plain_run(const struct integrity_dev *d, uint64_t off, uint64_t len)
{
	const struct integrity_replay *e = replay_next(d, off);
	uint64_t area = area_bytes(d) - (off & (area_bytes(d) - 1));

	if (d->flags & INTEGRITY_INLINE)
		return len;
	if (len > area)
		len = area;
	if (e && e->sector * SECTOR - off < len)
		len = e->sector * SECTOR - off;
	return len;
}

/* Tags of the blocks in [off, off + len), which lie in one area. */
static int tags_read(struct integrity_dev *d, uint64_t off, uint64_t len, uint8_t *tags,
		     struct ranges *no_tag)
{
	uint64_t at = integrity_dev_tag_at(d, off);
	struct ranges lost = {0};
	int r = layer_read(d->below, at, tags, len / d->block * d->tag_size, &lost);

	for (size_t i = 0; !r && i < lost.n; i++) {
		uint64_t first = (lost.v[i].off - at) / d->tag_size;
		uint64_t last = (lost.v[i].off + lost.v[i].len - 1 - at) / d->tag_size;

		if (lost.v[i].grade == GRADE_LOST)
			r = ranges_add(no_tag, off + first * d->block,
				       (last - first + 1) * d->block, GRADE_DOUBTFUL,
				       INTEGRITY_TAG_LOST);
	}
	ranges_free(&lost);
	return r;
}

int integrity_dev_read(struct integrity_dev *d, uint64_t off, void *buf, size_t len, uint8_t *tags,
		       struct ranges *no_tag, struct ranges *bad)
{
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		const struct integrity_replay *e = replay_next(d, off);
		size_t n = d->block;

		if (e && e->sector * SECTOR == off) {
			r = integrity_journal_read(d, e, off, p, tags, no_tag, bad);
		} else {
			n = (size_t)plain_run(d, off, len);
			r = layer_read_as(d->data, data_at(d, off), p, n, off, bad);
			if (!r && tags && !(d->flags & INTEGRITY_INLINE))
				r = tags_read(d, off, n, tags, no_tag);
		}
		if (tags)
			tags += n / d->block * d->tag_size;
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

/* A block in the journal: 504 bytes of each sector where the data is, 8 in its entry. */
static void map_journal(struct integrity_dev *d, const struct integrity_replay *e, uint64_t off,
			struct extent *run)
{
	uint32_t in = (uint32_t)(off - e->sector * SECTOR), s = in / SECTOR, b = in % SECTOR;

	run->kind = EXTENT_DATA;
	run->in = d->below;
	if (b < SECTOR - 8) {
		run->at = integrity_journal_sector(d, e->section,
						   8 + e->entry * (d->block / SECTOR) + s) +
			  b;
		run->len = SECTOR - 8 - b;
	} else {
		run->at = integrity_journal_entry(d, e->section, e->entry) + 8 + 8 * s + b -
			  (SECTOR - 8);
		run->len = SECTOR - b;
	}
}

int integrity_dev_map(struct integrity_dev *d, uint64_t off, struct extent *run)
{
	const struct integrity_replay *e = replay_next(d, off);

	if (e && e->sector * SECTOR <= off) {
		map_journal(d, e, off, run);
		return 0;
	}
	run->at = data_at(d, off);
	run->len = plain_run(d, off, d->size - off);
	if (run->at >= d->data->size) {
		/* Addresses only grow: nothing behind this is there, but for the journal. */
		run->kind = EXTENT_LOST;
		run->why = INTEGRITY_TRUNCATED;
		run->len = (e ? e->sector * SECTOR : d->size) - off;
		return 0;
	}
	run->kind = EXTENT_DATA;
	run->in = d->data;
	if (run->len > d->data->size - run->at)
		run->len = d->data->size - run->at;
	return 0;
}

bool integrity_dev_stale(const struct integrity_dev *d, uint64_t off, uint64_t *end)
{
	uint64_t sector = off / SECTOR, bit = sector >> d->bitmap_shift, i = bit;
	bool stale;

	*end = d->size;
	if (integrity_dev_journaled(d, off)) {
		*end = off - off % d->block + d->block;
		return false;
	}
	if (d->flags & INTEGRITY_DIRTY_BITMAP) {
		if (!d->bitmap)
			return true;
		stale = d->bitmap[bit / 8] >> bit % 8 & 1;
		while (++i < d->bitmap_bits && i - bit < 4096 &&
		       (d->bitmap[i / 8] >> i % 8 & 1) == stale)
			;
		if (i < d->bitmap_bits)
			*end = (i << d->bitmap_shift) * SECTOR;
		return stale;
	}
	if (!(d->flags & INTEGRITY_RECALCULATING) || d->recalc_sector >= d->sectors)
		return false;
	if (sector >= d->recalc_sector)
		return true;
	*end = d->recalc_sector * SECTOR;
	return false;
}
