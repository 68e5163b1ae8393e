/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the blocks of directories, and of each entry. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ext4_check.h"
#include "vdiskck/core/sum.h"

enum {
	ENTRY_MIN = 12,
	CRYPT_NAME_MIN = 16, /* encrypted names are whole blocks of the cipher */
	NAMES_MAX = 65536 / ENTRY_MIN + 1,
	SLOTS = 16384, /* to find equal names in a block: more than twice of what fits */
};

struct ck_dir *ck_dir(const struct ck *c, uint32_t ino)
{
	size_t lo = 0, hi = c->n_dirs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->dirs[mid].ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n_dirs && c->dirs[lo].ino == ino ? &c->dirs[lo] : NULL;
}

struct state {
	struct ck *c;
	uint16_t *slots; /* offset of an entry + 1, by the hash of its name */
	struct ck_dir *d;
	const uint8_t *raw;
	uint32_t lblk, len;
	uint64_t at;
	uint32_t min, max; /* hashes */
	unsigned version;
	bool hashed;
};

static void bad_entry(struct state *s, enum finding_id id, uint32_t off, const char *what)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	char name[4 * 48 + 1];
	unsigned n = e->name_len;

	if (n > s->len - off - sizeof(*e))
		n = s->len - off - (unsigned)sizeof(*e);
	ck_say(s->c, id, s->d->ino, s->at + off, sizeof(*e) + n,
	       strf("inode %" PRIu32 ", rec_len %u, name_len %u, type %u", le32(e->inode),
		    le16(e->rec_len), e->name_len, e->type),
	       NULL, "directory inode %" PRIu32 ", entry \"%s\": %s", s->d->ino,
	       name_escape((const char *)(e + 1), n, name, sizeof(name)), what);
}

/* Two entries of one name? Only within the block, where an index keeps equal names together. */
static void check_twice(struct state *s, uint32_t off)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	uint32_t h = sum_crc32c(~0u, e + 1, e->name_len) % SLOTS;

	for (; s->slots[h]; h = (h + 1) % SLOTS) {
		const struct ext4_dirent *o = (const void *)(s->raw + (s->slots[h] - 1) * 4u);

		if (o->name_len == e->name_len && !memcmp(o + 1, e + 1, e->name_len)) {
			bad_entry(s, EXT4_DIR_TWICE, off, "a name that stands there twice");
			return;
		}
	}
	s->slots[h] = (uint16_t)(off / 4 + 1);
}

static bool utf8_ok(const uint8_t *p, unsigned n)
{
	for (unsigned k = 0; k < n;) {
		unsigned more = p[k] < 0x80   ? 0
				: p[k] < 0xc2 ? 9
				: p[k] < 0xe0 ? 1
				: p[k] < 0xf0 ? 2
				: p[k] < 0xf5 ? 3
					      : 9;

		if (more > n - k - 1)
			return false;
		for (k++; more; more--, k++)
			if ((p[k] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static const char *check_name(const struct state *s, const struct ext4_dirent *e)
{
	const char *name = (const char *)(e + 1);

	if (!e->name_len)
		return "it has no name";
	if (s->d->flags & EXT4_F_ENCRYPT)
		return e->name_len < CRYPT_NAME_MIN ? "an encrypted name that is too short" : NULL;
	if (memchr(name, '/', e->name_len) || memchr(name, '\0', e->name_len))
		return "its name has a character that names can't have";
	if ((name[0] == '.' && e->name_len == 1) ||
	    (name[0] == '.' && name[1] == '.' && e->name_len == 2))
		return "it stands where it does not belong";
	if (s->d->flags & EXT4_F_CASEFOLD && EXT4_HAS(s->c->fs, incompat, EXT4_I_CASEFOLD) &&
	    !utf8_ok((const uint8_t *)name, e->name_len))
		return "its name is no UTF-8";
	return NULL;
}

static void check_type(struct state *s, uint32_t off, uint32_t ino)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	struct ck *c = s->c;

	if (!EXT4_HAS(c->fs, incompat, EXT4_I_FILETYPE)) {
		if (e->type)
			bad_entry(s, EXT4_DIR_TYPE, off,
				  "states a type, which this file system does not know");
	} else if (e->type != EXT4_FT_UNKNOWN && e->type != c->type[ino]) {
		bad_entry(s, EXT4_DIR_TYPE, off, "states another type than the inode has");
	}
}

static void check_target(struct state *s, uint32_t off)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	uint32_t ino = le32(e->inode);
	struct ck *c = s->c;
	struct ck_dir *to;

	if (ino > c->fs->inodes || (ino < c->fs->first_ino && ino != EXT4_INO_ROOT)) {
		bad_entry(s, EXT4_DIR_INODE, off, "leads to an inode that no file can have");
		return;
	}
	if (ino == EXT4_INO_ROOT || ino == s->d->ino) {
		bad_entry(s, EXT4_DIR_INODE, off,
			  ino == s->d->ino ? "leads to its own directory" : "leads to the root");
		return;
	}
	if (!(c->inode[ino] & CK_USED) || (c->inode[ino] & CK_ORPHAN && !c->links[ino])) {
		bad_entry(s, EXT4_DIR_INODE, off,
			  c->inode[ino] & CK_SEEN
				  ? "leads to an inode that is not in use"
				  : "leads to an inode that was never in use, or is lost");
		return;
	}
	if (s->d->flags & EXT4_F_ENCRYPT && !(c->inode[ino] & CK_CRYPT) &&
	    (c->type[ino] == EXT4_FT_REG || c->type[ino] == EXT4_FT_DIR ||
	     c->type[ino] == EXT4_FT_LNK))
		bad_entry(s, EXT4_DIR_INODE, off,
			  "leads from an encrypted directory to a file that is not");
	if (!(c->inode[ino] & CK_BAD))
		check_type(s, off, ino);
	c->names[ino]++;
	to = c->inode[ino] & CK_DIR ? ck_dir(c, ino) : NULL;
	if (to && to->parent)
		bad_entry(s, EXT4_DIR_INODE, off, "leads to a directory that has a name already");
	else if (to)
		to->parent = s->d->ino;
}

static void check_entry(struct state *s, uint32_t off)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	const char *wrong = check_name(s, e);
	uint32_t h;

	if (wrong)
		bad_entry(s, EXT4_DIR_NAME, off, wrong);
	check_twice(s, off);
	check_target(s, off);
	if (s->hashed && ext4_hash(s->c->fs, s->version, (const char *)(e + 1), e->name_len, &h)) {
		s->min = h < s->min ? h : s->min;
		s->max = h > s->max ? h : s->max;
	}
}

/* "." is the first entry of the first block and leads to the directory, ".." is the second. */
static void check_dot(struct state *s, uint32_t off, unsigned k)
{
	const struct ext4_dirent *e = (const void *)(s->raw + off);
	uint32_t ino = le32(e->inode);
	struct ck *c = s->c;

	if (e->name_len != k + 1 || memcmp(e + 1, "..", k + 1)) {
		bad_entry(s, EXT4_DIR_DOT, off, k ? "should be \"..\"" : "should be \".\"");
		return;
	}
	if (!k && le16(e->rec_len) != ENTRY_MIN)
		bad_entry(s, EXT4_DIR_DOT, off, "takes more room than it needs");
	if (k) {
		s->d->dotdot = ino;
	} else if (ino != s->d->ino) {
		bad_entry(s, EXT4_DIR_DOT, off, "does not lead to the directory");
		return;
	}
	if (ino && ino <= c->fs->inodes)
		c->names[ino]++;
	if (EXT4_HAS(c->fs, incompat, EXT4_I_FILETYPE) && e->type != EXT4_FT_UNKNOWN &&
	    e->type != EXT4_FT_DIR)
		bad_entry(s, EXT4_DIR_TYPE, off, "states another type than directory");
}

/* Entries fill the block. @dots: it begins with the two that every directory has. */
static void check_list(struct state *s, uint32_t end, bool dots)
{
	unsigned k = 0;
	uint32_t off = 0;

	while (off < end) {
		const struct ext4_dirent *e = (const void *)(s->raw + off);
		uint32_t rec = 0, min = ENTRY_MIN;

		if (end - off >= sizeof(*e))
			rec = ext4_rec_len(le16(e->rec_len), s->len);
		if (rec < min || rec % 4 || rec > end - off || sizeof(*e) + e->name_len > rec) {
			ck_say(s->c, EXT4_DIR_BLOCK, s->d->ino, s->at + off, end - off,
			       rec ? strf("rec_len %" PRIu32 ", name_len %u", rec, e->name_len)
				   : NULL,
			       NULL,
			       "directory inode %" PRIu32 ", block %" PRIu32 ", offset %" PRIu32
			       ": no entry can be like that",
			       s->d->ino, s->lblk, off);
			return;
		}
		if (dots && k < 2)
			check_dot(s, off, k);
		else if (le32(e->inode))
			check_entry(s, off);
		off += rec;
		k++;
	}
	if (dots && k < 2)
		ck_say(s->c, EXT4_DIR_DOT, s->d->ino, s->at, end, NULL, NULL,
		       "directory inode %" PRIu32 " has no \"..\"", s->d->ino);
}

static bool has_tail(const struct state *s)
{
	const struct ext4_dir_tail *t = (const void *)(s->raw + s->len - sizeof(*t));

	return !le32(t->zero) && le16(t->rec_len) == sizeof(*t) && !t->zero_len &&
	       t->type == EXT4_FT_TAIL;
}

static void check_sum(struct state *s)
{
	const struct ext4_dir_tail *t = (const void *)(s->raw + s->len - sizeof(*t));
	le32_t ino = to_le32(s->d->ino), gen = to_le32(s->d->generation);
	uint32_t c;

	if (!s->c->fs->sums)
		return;
	if (!has_tail(s)) {
		ck_say(s->c, EXT4_DIR_SUM, s->d->ino, s->at + s->len - sizeof(*t), sizeof(*t), NULL,
		       NULL, "directory inode %" PRIu32 ", block %" PRIu32 ": no checksum",
		       s->d->ino, s->lblk);
		return;
	}
	c = sum_crc32c(s->c->fs->seed, &ino, sizeof(ino));
	c = sum_crc32c(sum_crc32c(c, &gen, sizeof(gen)), s->raw, s->len - sizeof(*t));
	if (c != le32(t->checksum))
		ck_say(s->c, EXT4_DIR_SUM, s->d->ino, s->at, s->len,
		       strf("0x%08" PRIx32, le32(t->checksum)), strf("0x%08" PRIx32, c),
		       "directory inode %" PRIu32 ", block %" PRIu32 ": wrong checksum", s->d->ino,
		       s->lblk);
}

static int note_leaf(struct state *s)
{
	struct ck *c = s->c;
	int r = ck_grow((void **)&c->dx, &c->dx_cap, c->n_dx, sizeof(*c->dx));

	if (!r)
		c->dx[c->n_dx++] = (struct ck_dx){.dir = s->d->ino,
						  .lblk = s->lblk,
						  .min = s->min,
						  .max = s->max,
						  .at = s->at};
	return r;
}

static int check_block(void *arg, uint32_t dir, uint32_t lblk, uint64_t block, const uint8_t *raw,
		       bool lost)
{
	struct state *s = arg;
	struct ck *c = s->c;
	struct ext4 *fs = c->fs;
	bool indexed, node;
	int r;

	s->d = ck_dir(c, dir);
	if (!s->d || (s->d->blocks && lblk >= s->d->blocks))
		return 0;
	s->raw = raw;
	s->len = fs->block_size;
	s->lblk = lblk;
	s->at = block << fs->block_bits;
	session_checked(c->l->s, s->len);
	if (lost) {
		ck_say(c, EXT4_DIR_BLOCK, dir, s->at, s->len, NULL, NULL,
		       "directory inode %" PRIu32 ", block %" PRIu32
		       " can't be read: the names in it are lost",
		       dir, lblk);
		return 0;
	}
	indexed = s->d->flags & EXT4_F_INDEX && EXT4_HAS(fs, compat, EXT4_C_DIR_INDEX);
	node = indexed && ck_dx_is_node(fs, lblk, raw);
	memset(s->slots, 0, SLOTS * sizeof(*s->slots));
	s->hashed = indexed && !node && !(s->d->flags & EXT4_F_CASEFOLD);
	s->version = fs->sb.def_hash_version;
	s->min = UINT32_MAX;
	s->max = 0;
	if (node) {
		r = ck_dx_node(c, s->d, lblk, s->at, raw);
		if (lblk)
			return r;
		/* The root begins with "." and ".."; what follows is hidden in the second. */
		check_list(s, fs->block_size, true);
		return r;
	}
	check_sum(s);
	check_list(s, fs->block_size, !lblk);
	return s->hashed ? note_leaf(s) : 0;
}

static void inline_part(struct state *s, const uint8_t *raw, uint32_t len, uint64_t at)
{
	s->raw = raw;
	s->len = len;
	s->at = at;
	memset(s->slots, 0, SLOTS * sizeof(*s->slots));
	s->hashed = false;
	check_list(s, len, false);
}

/* Directories in their inodes: the parent's number stands for "..", and nothing for ".". */
static int check_inline(struct state *s, struct ck_dir *d, uint8_t *raw)
{
	struct ck *c = s->c;
	struct ext4_inode i;
	const uint8_t *more;
	uint32_t len;
	uint64_t at;
	le32_t parent;

	if (ext4_inode_read(c->fs, d->ino, raw, &i))
		return 0;
	s->d = d;
	s->lblk = 0;
	memcpy(&parent, i.block, sizeof(parent));
	d->dotdot = le32(parent);
	c->names[d->ino]++;
	if (d->dotdot <= c->fs->inodes)
		c->names[d->dotdot]++;
	inline_part(s, i.block + 4, sizeof(((struct ext4_dinode *)0)->block) - 4,
		    i.at + offsetof(struct ext4_dinode, block) + 4);
	ext4_inline(&i, &more, &len, &at);
	if (more && len)
		inline_part(s, more, len, at);
	return 0;
}

int ck_dirs(struct ck *c)
{
	struct state s = {.c = c, .slots = calloc(SLOTS, sizeof(*s.slots))};
	uint8_t *raw = malloc(c->fs->inode_size);
	int r = s.slots && raw ? 0 : -ENOMEM;

	for (size_t k = 0; k < c->n_dirs && !r; k++)
		if (c->dirs[k].flags & EXT4_F_INLINE_DATA)
			r = check_inline(&s, &c->dirs[k], raw);
	if (!r)
		r = ext4_dir_blocks(c->fs, c->runs, c->n_runs, check_block, &s);
	free(s.slots);
	free(raw);
	return r;
}
