/* SPDX-License-Identifier: Apache-2.0 */
/* One block of a directory that fast commits change: names go, come, and lead elsewhere. */
#include <string.h>

#include "formats/fs/ext4_fc.h"
#include "vdiskck/core/sum.h"

enum { STEP = 4, ENTRY_MIN = FC_ENTRY_MIN, TAIL_LEN = sizeof(struct ext4_dir_tail) };

int fc_by_name(const struct fc_name *a, const struct fc_name *b)
{
	int r;

	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	r = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);
	return r ? r : (int)a->len - (int)b->len;
}

static uint32_t used_len(const struct ext4_dirent *d)
{
	return (uint32_t)(sizeof(*d) + d->name_len + STEP - 1) & ~(STEP - 1u);
}

/* "Directory Entries": in blocks of 64 KiB the highest bits are stored in the lowest */
le16_t fc_rec_len(const struct ext4 *fs, uint32_t len)
{
	if (fs->block_size < 65536)
		return to_le16((uint16_t)len);
	return to_le16((uint16_t)(len == 65536 ? 65535 : (len & 65532) | (len >> 16 & 3)));
}

static uint32_t block_sum(const struct fc_folder *o, const uint8_t *buf)
{
	return sum_crc32c(o->seed, buf, o->len);
}

bool fc_block_ok(const struct fc_folder *o, const uint8_t *buf)
{
	const struct ext4_dir_tail *t = (const void *)(buf + o->len);

	return o->has_tails && t->type == EXT4_FT_TAIL && le32(t->checksum) == block_sum(o, buf);
}

void fc_put_tail(const struct fc_folder *o, uint8_t *buf)
{
	struct ext4_dir_tail *t = (void *)(buf + o->len);

	if (o->has_tails)
		*t = (struct ext4_dir_tail){.rec_len = to_le16(TAIL_LEN),
					    .type = EXT4_FT_TAIL,
					    .checksum = to_le32(block_sum(o, buf))};
}

/* The next entry of a block at *@off, and where the one after it begins; NULL: no more. */
static struct ext4_dirent *entry(const struct fc_folder *o, uint8_t *buf, uint32_t *off)
{
	struct ext4_dirent *d = (void *)(buf + *off);
	uint32_t rec, end = o->len;

	if (*off + ENTRY_MIN > end)
		return NULL;
	rec = ext4_rec_len(le16(d->rec_len), o->f->fs->block_size);
	if (rec < ENTRY_MIN || rec % STEP || rec > end - *off || used_len(d) > rec)
		return NULL;
	*off += rec;
	return d;
}

static unsigned type_of(struct fc *f, uint32_t ino)
{
	static const uint8_t type[16] = {
		[1] = EXT4_FT_FIFO, [2] = EXT4_FT_CHR,	[4] = EXT4_FT_DIR,  [6] = EXT4_FT_BLK,
		[8] = EXT4_FT_REG,  [10] = EXT4_FT_LNK, [12] = EXT4_FT_SOCK};
	uint8_t *raw;

	if (!EXT4_HAS(f->fs, incompat, EXT4_I_FILETYPE) || fc_raw(f, ino, &raw))
		return EXT4_FT_UNKNOWN;
	return type[le16(((const struct ext4_dinode *)(const void *)raw)->mode) >> 12];
}

void fc_put_entry(struct fc_folder *o, struct ext4_dirent *d, uint32_t rec, uint32_t ino,
		  const char *name, uint8_t len)
{
	d->inode = to_le32(ino);
	d->rec_len = fc_rec_len(o->f->fs, rec);
	d->name_len = len;
	d->type = (uint8_t)type_of(o->f, ino);
	o->counts |= d->type == EXT4_FT_DIR;
	memcpy(d + 1, name, len);
}

/* Put as many of the names that are missing as there is room for behind the entries of a block. */
bool fc_add_names(struct fc_folder *o, uint8_t *buf)
{
	uint32_t off = 0, at = 0;
	struct ext4_dirent *d;
	bool added = false;

	while ((d = entry(o, buf, &off))) {
		uint32_t used = le32(d->inode) ? used_len(d) : 0, rec = off - at;

		for (;;) {
			struct fc_name *n;
			uint32_t need;

			while (o->next < o->n && (o->v[o->next].gone || o->v[o->next].done))
				o->next++;
			if (o->next == o->n)
				return added;
			n = &o->v[o->next];
			need = (uint32_t)(sizeof(*d) + n->len + STEP - 1) & ~(STEP - 1u);
			if (rec - used < need)
				break;
			if (used)
				d->rec_len = fc_rec_len(o->f->fs, used);
			d = (void *)(buf + at + used);
			fc_put_entry(o, d, rec - used, n->ino, n->name, n->len);
			n->done = added = true;
			at += used;
			rec -= used;
			used = need;
		}
		at = off;
	}
	return added;
}

/* A block of the index becomes one of entries: the first keeps "." and "..". */
void fc_drop_index(struct fc_folder *o, uint32_t lblk, uint8_t *buf)
{
	struct ext4_dirent *d = (void *)buf;

	if (!lblk) {
		d = (void *)(buf + ENTRY_MIN);
		d->rec_len = fc_rec_len(o->f->fs, o->len - ENTRY_MIN);
	} else {
		memset(buf, 0, o->f->fs->block_size);
		d->rec_len = fc_rec_len(o->f->fs, o->len);
	}
	fc_put_tail(o, buf);
}

/* Is the block one of the index? Its one entry of no inode spans it; the first has a root. */
bool fc_is_index(const struct fc_folder *o, uint32_t lblk, const uint8_t *buf)
{
	const struct ext4_dirent *d = (const void *)buf;

	return o->indexed && (!lblk || (!le32(d->inode) && !d->name_len &&
					ext4_rec_len(le16(d->rec_len), o->f->fs->block_size) ==
						o->f->fs->block_size));
}

static struct fc_name *word_on(const struct fc_folder *o, const struct ext4_dirent *d)
{
	struct fc_name key = {
		.dir = o->dir->ino, .name = (const char *)(d + 1), .len = d->name_len};
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = fc_by_name(&o->v[mid], &key);

		if (!r)
			return &o->v[mid];
		if (r < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* Names of the block that go, or lead to another inode by now. @buf: a copy; true: changed */
bool fc_edit_names(struct fc_folder *o, uint8_t *buf)
{
	uint32_t off = 0;
	struct ext4_dirent *d, *last = NULL;
	bool changed = false;

	for (uint32_t at = 0; (d = entry(o, buf, &off)); at = off) {
		struct fc_name *n = le32(d->inode) ? word_on(o, d) : NULL;

		if (n && !n->gone) {
			n->done = true;
			if (le32(d->inode) != n->ino) {
				o->counts |= d->type == EXT4_FT_DIR;
				fc_put_entry(o, d, off - at, n->ino, n->name, n->len);
				changed = true;
			}
		} else if (n && le32(d->inode) == n->ino) {
			n->done = changed = true;
			o->counts |= d->type == EXT4_FT_DIR;
			if (last) { /* as the kernel does it: the one before takes its room */
				uint32_t rec =
					(uint32_t)((uint8_t *)d - (uint8_t *)last) + off - at;

				last->rec_len = fc_rec_len(o->f->fs, rec);
				continue;
			}
			d->inode = to_le32(0);
		}
		last = d;
	}
	return changed;
}
