/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: names in records against names in indexes, both ways. Every name was counted with its hash
 * where it stands, in k->names; only files for which the two sums differ are looked at here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"

/* A name that its counterpart doesn't know. */
struct stray {
	uint64_t dir, child;
	bool dangling; /* the index has it, the record hasn't */
};

struct strays {
	struct ntfs_check *k;
	struct stray *v;
	size_t n, cap;
	uint64_t dir; /* whose index is at hand */
	struct ntfs_inode *child;
};

static int add_stray(struct strays *s, uint64_t dir, uint64_t child, bool dangling)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct stray *more = realloc(s->v, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->v = more;
		s->cap = cap;
	}
	s->v[s->n++] = (struct stray){dir, child, dangling};
	return 0;
}

/* ---- entries of an index whose file has no such name ---- */

static bool has_name(const struct ntfs_inode *ino, const struct ntfs_file_name *key)
{
	for (size_t i = 0; i < ino->n_attrs; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;
		const struct ntfs_file_name *f =
			a->type == NTFS_FILE_NAME && a->resident ? ntfs_file_name(a->value) : NULL;

		if (f && le64(f->parent) == le64(key->parent) && f->name_len == key->name_len &&
		    f->space == key->space && !memcmp(f->name, key->name, f->name_len * 2u))
			return true;
	}
	return false;
}

static int look_at_entry(void *arg, uint64_t ref, const struct ntfs_file_name *key)
{
	struct strays *s = arg;
	uint64_t number = ntfs_ref_number(ref);
	bool good = false;
	int r;

	if (number < s->k->n->records && !s->k->names[number])
		return 0;
	r = ntfs_inode_load(s->k->l, number, s->child);
	if (!r) {
		const struct ntfs_record_header *h = ntfs_head(&s->child->base);

		good = le16(h->flags) & NTFS_IN_USE &&
		       le16(h->sequence) == ntfs_ref_sequence(ref) && has_name(s->child, key);
		/* A part of the file is lost: the name may have been there. */
		good |= s->child->incomplete || s->child->base.state != NTFS_GOOD;
	}
	ntfs_inode_free(s->child);
	if (r == -EBADMSG) {
		good = ntfs_record_in_use(s->k->n, number); /* reported as a lost record */
		r = 0;
	}
	return r || good ? r : add_stray(s, s->dir, number, true);
}

static int look_at_dirs(struct strays *s, struct ntfs_inode *dir)
{
	int r = 0;

	for (size_t i = 0; i < s->k->n_dirs && !r; i++) {
		bool damaged;

		s->dir = s->k->dirs[i];
		r = ntfs_inode_load(s->k->l, s->dir, dir);
		if (!r)
			r = ntfs_index_each(s->k->l, dir, look_at_entry, s, &damaged);
		ntfs_inode_free(dir);
		if (r == -EBADMSG)
			r = 0;
	}
	return r;
}

/* ---- names of a file that no index has ---- */

static int look_at_file(struct strays *s, uint64_t number, struct ntfs_inode *dir)
{
	struct ntfs_inode *ino = s->child;
	int r = ntfs_inode_load(s->k->l, number, ino);

	if (r || !(le16(ntfs_head(&ino->base)->flags) & NTFS_IN_USE))
		goto out;
	for (size_t i = 0; i < ino->n_attrs && !r; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;
		const struct ntfs_file_name *f =
			a->type == NTFS_FILE_NAME && a->resident ? ntfs_file_name(a->value) : NULL;
		uint64_t ref = 0, parent;

		if (!f)
			continue;
		parent = ntfs_ref_number(le64(f->parent));
		r = ntfs_inode_load(s->k->l, parent, dir);
		if (r == -EBADMSG && ntfs_record_in_use(s->k->n, parent)) {
			ntfs_inode_free(dir); /* reported as a lost record */
			r = 0;
			continue;
		}
		if (!r)
			r = ntfs_index_find(s->k->l, dir, ntfs_file_name_text(f), &ref);
		ntfs_inode_free(dir);
		if (!r && ntfs_ref_number(ref) == number)
			continue;
		if (r == -ENOMEM)
			break;
		r = add_stray(s, parent, number, false);
	}
out:
	ntfs_inode_free(ino);
	return r == -EBADMSG ? 0 : r;
}

/* ---- by folder ---- */

static int by_dir(const void *pa, const void *pb)
{
	const struct stray *a = pa, *b = pb;

	if (a->dangling != b->dangling)
		return a->dangling - b->dangling;
	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	return a->child < b->child ? -1 : a->child > b->child;
}

/* The strays [from, to) of one folder and kind. */
static void report(struct strays *s, size_t from, size_t to)
{
	struct ntfs_check *k = s->k;
	bool dangling = s->v[from].dangling;
	char first[NTFS_CHECK_NAME + 16];

	if (dangling)
		snprintf(first, sizeof(first), "record %" PRIu64, s->v[from].child);
	else
		snprintf(first, sizeof(first), "%s", ntfs_check_path(k, s->v[from].child));
	finding(k->l, dangling ? NTFS_INDEX_DANGLING : NTFS_INDEX_MISSING,
		ntfs_check_at(k, dangling ? s->v[from].dir : s->v[from].child, 0), k->n->g.record,
		dangling ? "%s names %zu file%s whose record has no such name; the first is %s"
			 : "%s does not name %zu file%s that should be in it; the first is %s",
		ntfs_check_path(k, s->v[from].dir), to - from, to - from > 1 ? "s" : "", first);
}

static bool any(const struct ntfs_check *k)
{
	for (uint64_t i = 0; i < k->n->records; i++)
		if (k->names[i])
			return true;
	return false;
}

int ntfs_check_names(struct ntfs_check *k)
{
	struct strays s = {.k = k};
	struct ntfs_inode *dir;
	int r = 0;

	if (!any(k))
		return 0;
	dir = malloc(sizeof(*dir));
	s.child = malloc(sizeof(*s.child));
	if (!dir || !s.child)
		r = -ENOMEM;
	if (!r)
		r = look_at_dirs(&s, dir);
	for (uint64_t i = 0; i < k->n->records && !r; i++)
		if (k->names[i])
			r = look_at_file(&s, i, dir);
	if (!r && s.n)
		qsort(s.v, s.n, sizeof(*s.v), by_dir);
	for (size_t i = 0, from = 0; i < s.n && !r; i++)
		if (i + 1 == s.n || s.v[i + 1].dir != s.v[from].dir ||
		    s.v[i + 1].dangling != s.v[from].dangling) {
			report(&s, from, i + 1);
			from = i + 1;
		}
	free(s.v);
	free(s.child);
	free(dir);
	return r;
}
