/* SPDX-License-Identifier: Apache-2.0 */
/* Walking: all of $MFT in its own order, or one folder by its index. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/entry_list.h"
#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

enum {
	INDEX_SHARE =
		16, /* a folder with more of the volume's files than that is not read singly */
	SHEAF_MAX = 1 << 20, /* bytes of entries that a thread makes ahead */
};

struct sheaf;
struct walk {
	struct ntfs_entries x;
	const struct fs_query *q;
	int (*fn)(void *arg, const struct fs_entry *e);
	void *arg;
	uint64_t top;
	struct ntfs_inode *ino;
	struct sheaf *sheaf; /* NTFS_SLOTS, for a scan */
};

/* Is it what was asked for, of what the entries module has? */
static bool passes(const struct walk *w, const struct fs_entry *e)
{
	bool own = e->id == NTFS_ROOT && e->parent == NTFS_ROOT; /* the root lies in itself */

	if (own ? !e->stream || !w->q->system : e->system && !w->q->system)
		return false;
	return e->id != w->top || e->stream;
}

static int filter(void *arg, const struct fs_entry *e)
{
	const struct walk *w = arg;

	return passes(w, e) ? w->fn(w->arg, e) : 0;
}

static bool in_folder(const struct ntfs_entries *x, const struct ntfs_file_name *name)
{
	return ntfs_ref_number(le64(name->parent)) == x->top;
}

static bool below_folder(const struct ntfs_entries *x, const struct ntfs_file_name *name)
{
	return ntfs_tree_below(x->t, ntfs_ref_number(le64(name->parent)), x->top);
}

static bool is_wanted(const struct walk *w, const struct ntfs_record *r)
{
	const struct ntfs_record_header *h = ntfs_head(r);

	return (r->state == NTFS_GOOD || r->state == NTFS_TORN) && !le64(h->base) &&
	       (le16(h->flags) & NTFS_IN_USE || w->q->deleted);
}

static int one_record(struct ntfs_entries *x, const struct ntfs_record *r, struct ntfs_inode *ino)
{
	int err = ntfs_inode_from(x->l, r, ino);

	if (!err)
		err = ntfs_entries_of(x, ino);
	ntfs_inode_free(ino);
	return err;
}

/* ---- all of $MFT: entries are made on every thread, and delivered in order ---- */

struct sheaf {
	struct walk *w;
	struct ntfs_entries x;
	struct ntfs_inode *ino;
	struct entry_list list; /* of the records of a piece, */
	uint64_t full;		/* up to this one: names may be many, and long */
};

static int keep(void *arg, const struct fs_entry *e)
{
	struct sheaf *s = arg;

	if (!passes(s->w, e))
		return 0;
	return s->list.len < SHEAF_MAX ? entry_list_add(&s->list, e) : -E2BIG;
}

static int sheaf_begin(struct sheaf *s, struct walk *w)
{
	int r = ntfs_entries_init(&s->x, w->x.l, w->x.t);

	s->w = w;
	s->x.bitmap = w->x.bitmap;
	s->x.owned = w->x.owned;
	s->x.fn = keep;
	s->x.arg = s;
	s->x.streams = w->x.streams;
	s->x.wanted = w->x.wanted;
	s->x.top = w->x.top;
	s->ino = malloc(sizeof(*s->ino));
	s->full = UINT64_MAX;
	return r || s->ino ? r : -ENOMEM;
}

static int gather(void *arg, struct ntfs_record *r, void *out)
{
	struct walk *w = arg;
	struct sheaf *s = &w->sheaf[r->slot];
	size_t had;
	int err = s->w ? 0 : sheaf_begin(s, w);

	(void)out;
	if (err || s->full != UINT64_MAX || !is_wanted(w, r))
		return err;
	had = s->list.len;
	err = one_record(&s->x, r, s->ino);
	if (err != -E2BIG)
		return err;
	s->list.len = had;
	s->full = r->number;
	return 0;
}

static int deliver(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	struct walk *w = arg;
	struct sheaf *s = &w->sheaf[r->slot];
	int err = entry_list_each(&s->list, w->fn, w->arg);

	(void)out;
	for (size_t i = 0; i < count && !err; i++)
		if (r[i].number >= s->full && is_wanted(w, &r[i]))
			err = one_record(&w->x, &r[i], w->ino);
	s->list.len = 0;
	s->full = UINT64_MAX;
	return err;
}

static int ghosts(struct walk *w)
{
	const struct ntfs_tree *t = w->x.t;
	int r = 0, rest = -ENOENT;

	for (size_t i = 0; i < t->n_ghosts && !r; i++) {
		const struct ntfs_ghost *g = &t->ghosts[i];

		if (!i || g->number != g[-1].number) {
			if (i)
				ntfs_inode_free(w->ino);
			rest = ntfs_rest_load(w->x.l, t, g->number, w->ino);
		}
		r = rest && rest != -ENOENT
			    ? rest
			    : ntfs_entries_ghost(&w->x, g->number | (uint64_t)g->sequence << 48,
						 (const void *)(t->blob + g->key),
						 rest ? NULL : w->ino);
	}
	if (t->n_ghosts)
		ntfs_inode_free(w->ino);
	return r;
}

static bool has_ghost(const struct ntfs_tree *t, uint32_t number)
{
	size_t lo = 0, hi = t->n_ghosts;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->ghosts[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n_ghosts && t->ghosts[lo].number == number;
}

/* Files that no index knows, and of which only records that continue them are left. */
static int rests(struct walk *w)
{
	const struct ntfs_tree *t = w->x.t;
	int r = 0;

	for (size_t i = 0; i < t->n_rests && !r; i++) {
		uint32_t base = t->rests[i].base;

		if ((i && base == t->rests[i - 1].base) || has_ghost(t, base))
			continue;
		r = ntfs_rest_load(w->x.l, t, base, w->ino);
		if (!r)
			r = ntfs_entries_of(&w->x, w->ino);
		ntfs_inode_free(w->ino);
	}
	return r;
}

static int walk_all(struct walk *w)
{
	struct ntfs_scan scan = {.l = w->x.l, .work = gather, .deliver = deliver, .arg = w};
	int r = -ENOMEM;

	w->sheaf = calloc(NTFS_SLOTS, sizeof(*w->sheaf));
	if (w->sheaf)
		r = ntfs_scan(&scan);
	for (size_t i = 0; w->sheaf && i < NTFS_SLOTS; i++) {
		ntfs_entries_free(&w->sheaf[i].x);
		entry_list_free(&w->sheaf[i].list);
		free(w->sheaf[i].ino);
	}
	free(w->sheaf);
	if (!r)
		r = ghosts(w);
	return r ? r : rests(w);
}

/* ---- one folder, by its index ---- */

struct numbers {
	uint32_t *v;
	size_t n, cap, most;
};

static int add_number(void *arg, uint64_t ref, const struct ntfs_file_name *key)
{
	struct numbers *s = arg;

	if (key->space == NTFS_DOS || ntfs_ref_number(ref) > UINT32_MAX)
		return 0;
	if (s->n == s->most)
		return -E2BIG;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		uint32_t *v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (uint32_t)ntfs_ref_number(ref);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The numbers of what the index has, each once. -EBADMSG: the index can't be trusted. */
static int list_folder(struct layer *l, uint64_t number, struct numbers *s, struct ntfs_inode *ino)
{
	bool damaged = false;
	int r = ntfs_inode_load(l, number, ino);
	size_t n = 0;

	if (!r)
		r = ntfs_index_each(l, ino, add_number, s, &damaged);
	ntfs_inode_free(ino);
	if (!r && damaged) {
		uint64_t at = ntfs_record_at(l->priv, number, 0);

		finding(l, NTFS_INDEX_LOST, at == UINT64_MAX ? 0 : at,
			at == UINT64_MAX ? 0 : NTFS_BLOCK,
			"the index of the folder with record %" PRIu64
			" is damaged: its files are found by their own records",
			number);
		r = -EBADMSG;
	}
	if (r)
		return r;
	if (!s->n)
		return 0;
	qsort(s->v, s->n, sizeof(*s->v), by_number);
	for (size_t i = 0; i < s->n; i++)
		if (!i || s->v[i] != s->v[i - 1])
			s->v[n++] = s->v[i];
	s->n = n;
	return 0;
}

/* -EBADMSG: nothing was delivered, and the records have to be asked. */
static int walk_index(struct walk *w)
{
	const struct ntfs *n = w->x.l->priv;
	struct numbers s = {.most = n->records / INDEX_SHARE + 1024};
	int r = list_folder(w->x.l, w->top, &s, w->ino);
	bool sound = !r;
	uint8_t *buf = malloc(n->g.record);

	/* A record that is lost has to be told from the index: the other way does that. */
	for (size_t i = 0; buf && i < s.n && sound; i++) {
		struct ntfs_record rec;

		sound = !ntfs_record_read(w->x.l, s.v[i], buf, &rec) && rec.state == NTFS_GOOD &&
			!le64(ntfs_head(&rec)->base);
	}
	for (size_t i = 0; buf && i < s.n && sound && !r; i++) {
		r = ntfs_inode_load(w->x.l, s.v[i], w->ino);
		if (!r)
			r = ntfs_entries_of(&w->x, w->ino);
		ntfs_inode_free(w->ino);
	}
	free(buf);
	free(s.v);
	return !buf ? -ENOMEM : !sound && (!r || r == -E2BIG) ? -EBADMSG : r;
}

/* ---- */

static int find_top(struct layer *l, const struct fs_query *q, uint64_t *top)
{
	struct fs_entry *e = NULL;
	int r;

	*top = NTFS_ROOT;
	if (!q->dir || !strcmp(q->dir, "/"))
		return 0;
	r = ntfs_lookup(l, q->dir, &e);
	if (!r && e->kind != FS_DIR)
		r = -ENOTDIR;
	if (!r)
		*top = e->id;
	fs_entry_free(e);
	return r;
}

static int start(struct walk *w, struct layer *l)
{
	struct ntfs_tree *t = NULL;
	int r;

	/* One healthy folder needs no tree; its path does. */
	r = ntfs_tree_get(l, &t);
	if (!r)
		r = ntfs_entries_init(&w->x, l, t);
	if (!r && !(w->ino = malloc(sizeof(*w->ino))))
		r = -ENOMEM;
	w->x.fn = filter;
	w->x.arg = w;
	w->x.streams = true;
	if (!r && w->q->deleted) {
		w->x.bitmap = ntfs_cluster_bitmap(l);
		w->x.owned = ntfs_owned_bitmap(l);
	}
	return r;
}

int ntfs_walk(struct layer *l, const struct fs_query *q,
	      int (*fn)(void *arg, const struct fs_entry *e), void *arg)
{
	struct walk w = {.q = q, .fn = fn, .arg = arg};
	int r = find_top(l, q, &w.top);

	if (!r)
		r = start(&w, l);
	if (!r) {
		w.x.top = w.top;
		if (!q->recursive)
			w.x.wanted = in_folder;
		else if (w.top != NTFS_ROOT)
			w.x.wanted = below_folder;
		r = q->recursive || q->deleted ? -EBADMSG : walk_index(&w);
		if (r == -EBADMSG)
			r = walk_all(&w);
	}
	ntfs_entries_free(&w.x);
	free(w.ino);
	return r;
}
