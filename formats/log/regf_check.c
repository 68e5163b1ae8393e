/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that a hive proves about itself: bins that state their own offset, cells that tile them,
 * keys that name their parent and are named by it, hashes of key names. The bytes of values are
 * covered by nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/log/regf.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

/* Bin header */
struct regf_bin {
	char magic[4];	    /* 0x00 "hbin" */
	le32_t off;	    /* 0x04 its own, from the first bin */
	le32_t size;	    /* 0x08 a multiple of 4096 */
	le32_t reserved[2]; /* 0x0c */
	le64_t time;	    /* 0x14 */
	le32_t spare;	    /* 0x1c */
};
_Static_assert(sizeof(struct regf_bin) == REGF_BIN_HEAD, "regf spec, Hive bin");

struct check {
	struct layer *l;
	struct regf *h;
	uint8_t *seen;	 /* a bit for every 8 bytes: keys that were met */
	char path[2048]; /* of the key in hand, cut if need be */
	uint64_t left;	 /* entries of lists still to be followed: each cell is listed once */
	uint32_t key;
	uint32_t subkeys, values; /* that its lists name */
	unsigned depth;
};

static uint64_t in_file(uint32_t off)
{
	return (uint64_t)REGF_BASE + off;
}

static void complain(struct check *c, enum finding_id id, uint32_t off, uint64_t len,
		     const char *what)
{
	finding_fact(
		c->l, id,
		&(struct fact){.at = in_file(off), .at_len = len, .path = *c->path ? c->path : "/"},
		"%s", what);
}

/* The cells of [off, end), which must fill it. */
static void check_cells(struct check *c, uint32_t off, uint32_t end)
{
	while (off < end) {
		struct span s = regf_cell(c->h, off, NULL);

		if (!s.p || s.len + 4 > end - off) {
			finding(c->l, REGF_CELLS, in_file(off), end - off,
				"a cell with no possible size: the rest of its bin, 0x%" PRIx32
				" bytes, can't be divided",
				end - off);
			return;
		}
		off += (uint32_t)s.len + 4;
	}
}

static void check_bins(struct check *c)
{
	struct span bins = {c->h->bins, c->h->len, REGF_BASE};

	for (uint32_t off = 0; off < c->h->len;) {
		const struct regf_bin *b = span_at(bins, off, sizeof(*b));
		uint32_t size = b ? le32(b->size) : 0;
		bool magic = b && !memcmp(b->magic, "hbin", 4);

		if (!magic || le32(b->off) != off || !size || size % REGF_PAGE ||
		    size > c->h->len - off) {
			finding_fact(c->l, REGF_BIN,
				     &(struct fact){.at = in_file(off),
						    .at_len = REGF_BIN_HEAD,
						    .off = in_file(off),
						    .len = REGF_PAGE,
						    .doubtful = true,
						    .stored = magic ? strf("offset 0x%" PRIx32
									   ", size 0x%" PRIx32,
									   le32(b->off), size)
								    : "no \"hbin\"",
						    .expected = strf("offset 0x%" PRIx32, off)},
				     "no bin where one must begin");
			off += REGF_PAGE;
			continue;
		}
		check_cells(c, off + REGF_BIN_HEAD, off + size);
		session_checked(c->l->s, size);
		off += size;
	}
}

/* RtlUpcaseUnicodeChar for ASCII and Latin-1; false: a name that needs more than that. */
static bool name_hash(const struct regf *h, uint32_t off, uint32_t *hash)
{
	const struct regf_nk *nk = regf_nk(h, off);
	bool latin1 = le16(nk->flags) & REGF_NK_LATIN1;
	const uint8_t *p = span_at(regf_cell(h, off, NULL), sizeof(*nk), le16(nk->name_len));

	*hash = 0;
	for (uint32_t i = 0; p && i < le16(nk->name_len); i += latin1 ? 1 : 2) {
		uint32_t ch = p[i];

		if (!latin1 && (i + 1 >= le16(nk->name_len) || p[i + 1]))
			return false;
		if ((ch >= 'a' && ch <= 'z') || (ch >= 0xe0 && ch <= 0xfe && ch != 0xf7))
			ch -= 0x20;
		else if (ch == 0xff || ch == 0xb5)
			return false;
		*hash = *hash * 37 + ch;
	}
	return p;
}

/* An "lh" list carries a hash of each name. */
static void check_hashes(struct check *c, uint32_t list, bool root)
{
	struct span s = regf_cell(c->h, list, NULL);
	const char *magic = s.p ? span_at(s, 0, 4) : NULL;
	uint32_t n = magic ? le16(*(const le16_t *)(magic + 2)) : 0, want;

	if (!magic)
		return;
	for (uint32_t i = 0; i < n && root && !memcmp(magic, "ri", 2); i++) {
		const le32_t *e = span_at(s, 4 + (uint64_t)i * 4, sizeof(*e));

		if (e)
			check_hashes(c, le32(*e), false);
	}
	for (uint32_t i = 0; i < n && !memcmp(magic, "lh", 2); i++) {
		const le32_t *e = span_at(s, 4 + (uint64_t)i * 8, 8);

		if (!e) {
			complain(c, REGF_KEY, list, s.len + 4,
				 "a list of subkeys is longer than its cell");
			break;
		}
		if (!regf_nk(c->h, le32(e[0])) || !name_hash(c->h, le32(e[0]), &want) ||
		    want == le32(e[1]))
			continue;
		finding_fact(c->l, REGF_KEY_HASH,
			     &(struct fact){.at = s.addr + 4 + (uint64_t)i * 8,
					    .at_len = 8,
					    .path = *c->path ? c->path : "/",
					    .stored = strf("0x%08" PRIx32, le32(e[1])),
					    .expected = strf("0x%08" PRIx32, want)},
			     "the name of a subkey does not fit its hash");
	}
}

static int check_value(void *arg, uint32_t off)
{
	struct check *c = arg;
	const struct regf_vk *vk = regf_vk(c->h, off);
	struct regf_data d;
	int r;

	if (!c->left)
		return 0;
	c->left--;
	c->values++;
	if (!vk || !span_at(regf_cell(c->h, off, NULL), sizeof(*vk), le16(vk->name_len))) {
		complain(c, REGF_VALUE, off, 4, "the list of values names a cell that is no value");
		return 0;
	}
	r = regf_data(c->h, off, &d);
	if (r)
		return r;
	if (d.bad.n && d.bad.v[0].why == REGF_VALUE_DATA)
		complain(c, REGF_VALUE_DATA, off, 4 + sizeof(*vk),
			 "the data of a value is not where it says");
	regf_data_free(&d);
	return 0;
}

static int check_key(struct check *c, uint32_t off);

static int check_subkey(void *arg, uint32_t off)
{
	struct check *c = arg;
	const struct regf_nk *nk = regf_nk(c->h, off);
	uint32_t key = c->key, subkeys = c->subkeys + 1, values = c->values;
	size_t was = strlen(c->path), n;
	char name[REGF_NAME_MAX];
	uint8_t *b;
	int r = 0;

	if (!c->left)
		return 0;
	c->left--;
	c->subkeys = subkeys;
	if (!nk) {
		complain(c, REGF_KEY, off, 4, "the list of subkeys names a cell that is no key");
		return 0;
	}
	b = &c->seen[off / 64];
	if (*b >> (off / 8 % 8) & 1) {
		complain(c, REGF_KEY, off, 80, "two lists name the same key");
		return 0;
	}
	*b |= (uint8_t)(1 << (off / 8 % 8));
	n = regf_key_name(c->h, off, name);
	if (was + n + 2 < sizeof(c->path)) {
		c->path[was] = '/';
		memcpy(c->path + was + 1, name, n + 1);
	}
	if (le32(nk->parent) != key)
		finding_fact(c->l, REGF_KEY_PARENT,
			     &(struct fact){.at = in_file(off) + 4 + 0x10,
					    .at_len = 4,
					    .path = c->path,
					    .stored = strf("0x%" PRIx32, le32(nk->parent)),
					    .expected = strf("0x%" PRIx32, key)},
			     "a key says that it belongs to another one");
	if (c->depth < REGF_DEPTH_MAX)
		r = check_key(c, off);
	c->path[was] = '\0';
	c->key = key;
	c->subkeys = subkeys;
	c->values = values;
	return r;
}

static void check_count(struct check *c, const char *what, uint32_t off, uint32_t said,
			uint32_t there)
{
	if (said != there)
		finding_fact(c->l, REGF_KEY_COUNT,
			     &(struct fact){.at = in_file(off),
					    .at_len = 4,
					    .path = *c->path ? c->path : "/",
					    .stored = strf("%" PRIu32, said),
					    .expected = strf("%" PRIu32, there)},
			     "the key's number of %s is not that of its list", what);
}

static int check_key(struct check *c, uint32_t off)
{
	const struct regf_nk *nk = regf_nk(c->h, off);
	struct span sk = regf_cell(c->h, le32(nk->security), NULL);
	int r;

	if (session_stopped(c->l->s))
		return -EINTR;
	if (!span_at(regf_cell(c->h, off, NULL), sizeof(*nk), le16(nk->name_len)))
		complain(c, REGF_KEY, off, 80, "the name of a key is longer than its cell");
	if (le32(nk->security) != REGF_NONE && (sk.len < 20 || memcmp(sk.p, "sk", 2)))
		complain(c, REGF_SECURITY, off + 4 + 0x2c, 4,
			 "a key's security descriptor is not where it says");
	c->key = off;
	c->subkeys = c->values = 0;
	r = regf_each_value(c->h, off, check_value, c);
	if (!r)
		check_count(c, "values", off + 4 + 0x24, le32(nk->values), c->values);
	if (!r && le32(nk->subkeys))
		check_hashes(c, le32(nk->list), true);
	c->depth++;
	if (!r)
		r = regf_each_subkey(c->h, off, check_subkey, c);
	c->depth--;
	if (!r)
		check_count(c, "subkeys", off + 4 + 0x14, le32(nk->subkeys), c->subkeys);
	return r;
}

int regf_check(struct layer *l)
{
	struct regf *h = regf_of(l);
	struct check *c = calloc(1, sizeof(*c));
	int r = -ENOMEM;

	if (!c)
		return r;
	c->l = l;
	c->h = h;
	c->left = h->len / 4;
	c->seen = calloc(1, h->len / 64 + 1);
	if (c->seen) {
		check_bins(c);
		r = regf_nk(h, h->root) ? check_key(c, h->root) : 0;
	}
	free(c->seen);
	free(c);
	return r;
}
