/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes, and the inline data that lies in one of them. */
#include <errno.h>
#include <string.h>

#include "formats/fs/ext4_fs.h"

/* The entries from s[0] on; values count from @base of the same bytes. */
static int each(struct span s, uint64_t entries, uint64_t base,
		int (*fn)(void *arg, const struct ext4_xattr *x), void *arg)
{
	uint64_t off = entries;
	int r = 0;

	while (!r) {
		const struct ext4_xattr_entry *e = span_at(s, off, sizeof(*e));
		const le32_t *end = span_at(s, off, sizeof(*end));
		struct ext4_xattr x = {.e = e, .at = s.addr + off};

		/* Four zero bytes end the list, also where no whole entry would fit. */
		if (end && !le32(*end))
			return 0;
		if (!e)
			return -EBADMSG;
		x.name = span_at(s, off + sizeof(*e), e->name_len);
		if (!x.name)
			return -EBADMSG;
		x.value_off = le16(e->value_offs);
		x.value_at = s.addr + base + x.value_off;
		if (!le32(e->value_inum))
			x.value = span_at(s, base + x.value_off, le32(e->value_size));
		r = fn(arg, &x);
		off += sizeof(*e) + ((e->name_len + 3u) & ~3u);
	}
	return r;
}

int ext4_xattr_inode(const struct ext4_inode *i, int (*fn)(void *arg, const struct ext4_xattr *x),
		     void *arg)
{
	uint32_t at = EXT4_GOOD_OLD_INODE + i->extra;
	struct span s = {i->raw + at, i->raw_len - at, i->at + at};
	const le32_t *magic = span_at(s, 0, sizeof(*magic));

	if (i->raw_len == EXT4_GOOD_OLD_INODE || !i->extra || !magic ||
	    le32(*magic) != EXT4_XATTR_MAGIC)
		return 0;
	return each(s, sizeof(*magic), sizeof(*magic), fn, arg);
}

int ext4_xattr_block(const struct ext4 *fs, const uint8_t *raw, uint64_t at,
		     int (*fn)(void *arg, const struct ext4_xattr *x), void *arg)
{
	struct span s = {raw, fs->block_size, at};

	return each(s, sizeof(struct ext4_xattr_header), 0, fn, arg);
}

struct inline_data {
	bool found;
	const uint8_t *p;
	uint32_t len;
	uint64_t at;
};

static int find_data(void *arg, const struct ext4_xattr *x)
{
	struct inline_data *d = arg;

	if (x->e->name_index != EXT4_XATTR_SYSTEM || x->e->name_len != 4 ||
	    memcmp(x->name, "data", 4) || le32(x->e->value_inum))
		return 0;
	d->found = true;
	d->p = x->value;
	d->len = x->value ? le32(x->e->value_size) : 0;
	d->at = x->value_at;
	return 1;
}

bool ext4_inline(const struct ext4_inode *i, const uint8_t **more, uint32_t *len, uint64_t *at)
{
	struct inline_data d = {0};

	ext4_xattr_inode(i, find_data, &d);
	*more = d.p;
	*len = d.len;
	*at = d.at;
	return d.found;
}
