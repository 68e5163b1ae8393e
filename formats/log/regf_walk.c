/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and values of a hive one by one: those that lists name, and those that none names any more. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "formats/log/regf.h"
#include "vdiskck/core/session.h"

enum {
	PATH_CAP = 65536,  /* of a key's path; 512 names of 255 characters don't occur */
	SHOWN = 256,	   /* bytes of a value's data in its remark */
	ORPHAN_DEPTH = 32, /* parents of a key whose root is gone: its path is PATH_CAP at most */
};

/* One entry at a time: a key, or a value of a key. */
struct walk {
	struct layer *l;
	const struct regf *h;
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	uint8_t *seen;	     /* a bit for every 8 bytes: keys that were met */
	uint8_t *adrift;     /* likewise: keys whose parents don't lead to the root */
	char path[PATH_CAP]; /* of the key in hand; its length */
	size_t len;
	uint32_t key; /* whose entries are listed */
	unsigned depth;
	uint64_t left;	   /* entries of lists still to be followed: each cell is listed once */
	enum fs_sure sure; /* of the path in hand */
	bool deleted;
};

struct fs_time regf_time(le64_t v)
{
	uint64_t t = le64(v); /* 100 ns since 1601 */

	return (struct fs_time){(int64_t)(t / 10000000) - INT64_C(11644473600),
				(uint32_t)(t % 10000000) * 100, t != 0};
}

struct fs_entry regf_key_entry(const struct regf *h, uint32_t off)
{
	const struct regf_nk *nk = regf_nk(h, off);
	struct fs_entry e = {.id = off, .ref = off, .kind = FS_DIR, .links = 1};

	e.parent = le32(nk->parent);
	e.modified = regf_time(nk->written);
	e.stored = regf_cell(h, off, NULL).len;
	if (le16(nk->flags) & 0x10)
		e.remark = "registry link";
	return e;
}

static int emit_value(void *arg, uint32_t off)
{
	struct walk *w = arg;
	const struct regf_vk *vk = regf_vk(w->h, off);
	struct fs_entry e = {.id = off, .parent = w->key, .ref = off, .links = 1};
	char name[REGF_NAME_MAX], data[SHOWN], remark[SHOWN + 64];
	size_t was = w->len, at = was, n;
	struct regf_data d;
	int r;

	if (!vk || !w->left)
		return 0;
	w->left--;
	n = regf_value_name(w->h, off, name);
	if (!n)
		n = (size_t)snprintf(name, sizeof(name), "(default)");
	if (w->len + n + 3 > sizeof(w->path))
		return 0;
	r = regf_data(w->h, off, &d);
	if (r)
		return r;
	snprintf(remark, sizeof(remark), "%s: %s", regf_type_name(d.type),
		 regf_data_text(&d, data, sizeof(data)));
	if (!at)
		w->path[at++] = '/'; /* of the root */
	w->path[at] = ':';
	memcpy(w->path + at + 1, name, n + 1);
	e.path = w->path;
	e.stream = w->path + at + 1;
	e.size = d.len;
	e.stored = d.at_len;
	e.remark = remark;
	e.deleted = w->deleted;
	e.path_sure = w->sure;
	e.data_sure = d.bad.n ? FS_GONE : w->deleted ? FS_GUESSED : FS_SURE;
	r = w->fn(w->arg, &e);
	w->path[was] = '\0';
	regf_data_free(&d);
	return r;
}

static int list(struct walk *w, uint32_t key);

static bool bit(const struct walk *w, const uint8_t *bits, uint32_t off)
{
	uint32_t i = (off - w->h->from) / 8;

	return bits[i / 8] >> (i % 8) & 1;
}

static void set_bit(const struct walk *w, uint8_t *bits, uint32_t off)
{
	uint32_t i = (off - w->h->from) / 8;

	bits[i / 8] |= (uint8_t)(1 << (i % 8));
}

/* Nobody lists a key twice, whatever lists say. */
static bool first_time(struct walk *w, uint32_t off)
{
	bool first = !bit(w, w->seen, off);

	set_bit(w, w->seen, off);
	return first;
}

static int emit_key(void *arg, uint32_t off)
{
	struct walk *w = arg;
	size_t was = w->len, n;
	char name[REGF_NAME_MAX];
	struct fs_entry e;
	int r;

	if (!w->left || !regf_nk(w->h, off))
		return 0;
	w->left--;
	if (!first_time(w, off))
		return 0;
	if (session_stopped(w->l->s))
		return -EINTR;
	n = regf_key_name(w->h, off, name);
	if (!n) /* Windows has none like that */
		n = (size_t)snprintf(name, sizeof(name), "(no name)");
	if (w->len + n + 2 > sizeof(w->path))
		return 0;
	w->path[w->len] = '/';
	memcpy(w->path + w->len + 1, name, n + 1);
	w->len += n + 1;
	e = regf_key_entry(w->h, off);
	e.path = w->path;
	e.path_sure = w->sure;
	e.deleted = w->deleted;
	r = w->fn(w->arg, &e);
	if (!r && w->q->recursive && w->depth < REGF_DEPTH_MAX)
		r = list(w, off);
	w->len = was;
	w->path[was] = '\0';
	return r;
}

static int list(struct walk *w, uint32_t key)
{
	uint32_t was = w->key;
	int r;

	w->key = key;
	w->depth++;
	r = regf_each_value(w->h, key, emit_value, w);
	if (!r)
		r = regf_each_subkey(w->h, key, emit_key, w);
	w->depth--;
	w->key = was;
	return r;
}

/*
 * Do links to parents lead from @off to the root, within the depth that Windows allows? What is found
 * to lead elsewhere is marked, so that of a hive full of such keys each is passed a few times
 * only: a walk that finds no root in twice the depth condemns half of the keys on its way.
 */
static bool rooted(struct walk *w, uint32_t off)
{
	uint32_t way[2 * REGF_DEPTH_MAX];
	unsigned n = 0, lost;
	bool root = false, dead = false;

	while (n < 2 * REGF_DEPTH_MAX && !root && !dead) {
		const struct regf_nk *nk = regf_nk(w->h, off);

		root = nk && off == w->h->root;
		dead = !nk || bit(w, w->adrift, off);
		if (!root && !dead) {
			way[n++] = off;
			off = le32(nk->parent);
		}
	}
	/* Of [0, lost) it is sure that they are too deep, or lead nowhere. */
	lost = dead ? n : n > REGF_DEPTH_MAX ? n - REGF_DEPTH_MAX : 0;
	for (unsigned i = 0; i < lost; i++)
		set_bit(w, w->adrift, way[i]);
	return root && !lost;
}

/* The path of @off, which is rooted(), at the end of @at; where in it. */
static size_t path_up(const struct walk *w, uint32_t off, char *at, size_t cap)
{
	size_t n = cap - 1;

	at[n] = '\0';
	while (off != w->h->root) {
		char name[REGF_NAME_MAX];
		size_t len = regf_key_name(w->h, off, name);

		if (len + 1 > n)
			break;
		n -= len;
		memcpy(at + n, name, len);
		at[--n] = '/';
		off = le32(regf_nk(w->h, off)->parent);
	}
	return n;
}

/* The path of the key that @off is in, into w->path; @up: PATH_CAP bytes of scratch. Its length. */
static size_t parents_path(struct walk *w, uint32_t off, char *up)
{
	size_t n = path_up(w, le32(regf_nk(w->h, off)->parent), up, PATH_CAP);

	memcpy(w->path, up + n, PATH_CAP - n);
	return PATH_CAP - 1 - n;
}

/* The same where no way leads to the root: from the highest parent that is there. */
static size_t orphan_path(struct walk *w, uint32_t off)
{
	uint32_t way[ORPHAN_DEPTH];
	unsigned n = 0;
	size_t len;

	for (bool again = false; n < ORPHAN_DEPTH && !again;) {
		uint32_t up = le32(regf_nk(w->h, n ? way[n - 1] : off)->parent);

		again = up == off || !regf_nk(w->h, up);
		for (unsigned i = 0; i < n; i++)
			again |= way[i] == up;
		if (!again)
			way[n++] = up;
	}
	len = (size_t)snprintf(w->path, sizeof(w->path), "/$orphans/%" PRIu32,
			       n ? way[n - 1] : off);
	while (n-- > 0) {
		char name[REGF_NAME_MAX];
		size_t more = regf_key_name(w->h, way[n], name);

		w->path[len++] = '/';
		memcpy(w->path + len, name, more);
		len += more;
	}
	return len;
}

/* Keys that no list names: deleted ones in free cells, and those whose list was lost. */
static int sweep(struct walk *w)
{
	char *up = malloc(PATH_CAP);
	int r = up ? 0 : -ENOMEM;

	for (uint32_t at = 0; at < w->h->len && !r; at += 8) {
		uint32_t off = w->h->from + at;
		const struct regf_nk *nk = regf_nk(w->h, off);
		bool whole, unused;

		if (!nk || bit(w, w->seen, off) || off == w->h->root)
			continue;
		regf_cell(w->h, off, &unused);
		if (!span_at(regf_cell(w->h, off, NULL), sizeof(*nk), le16(nk->name_len)) ||
		    !le16(nk->name_len) || (unused && !w->q->deleted))
			continue;
		whole = rooted(w, off);
		w->len = whole ? parents_path(w, off, up) : orphan_path(w, off);
		w->path[w->len] = '\0';
		w->deleted = unused;
		w->sure = whole && !unused ? FS_REBUILT : FS_GUESSED;
		r = emit_key(w, off);
	}
	free(up);
	return r;
}

int regf_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct regf *h = l->priv;
	struct walk *w = calloc(1, sizeof(*w));
	uint32_t from = h->root;
	int r = -ENOMEM;

	if (!w)
		return r;
	*w = (struct walk){.l = l, .h = h, .q = q, .fn = fn, .arg = arg};
	w->left = h->len / 4;
	w->seen = calloc(1, h->len / 64 + 1);
	w->adrift = calloc(1, h->len / 64 + 1);
	if (!w->seen || !w->adrift)
		goto out;
	r = q->dir ? regf_find(h, h->root, q->dir, &from) : 0;
	if (r)
		goto out;
	if (q->dir && from != h->root) {
		w->len = (size_t)snprintf(w->path, sizeof(w->path), "/%s",
					  q->dir + strspn(q->dir, "/\\"));
		w->len = w->len < sizeof(w->path) ? w->len : 0;
	}
	if (regf_nk(h, from)) {
		first_time(w, from);
		r = list(w, from);
	}
	if (!r && q->recursive && from == h->root)
		r = sweep(w);
out:
	free(w->seen);
	free(w->adrift);
	free(w);
	return r;
}
