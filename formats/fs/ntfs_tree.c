/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree, out of the $FILE_NAME attributes of folders: one pass over $MFT, and no index is
 * needed for it. Where records are lost, the indexes of the folders that are left say what their
 * names, sizes and times were.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/session.h"

enum {
	NONE = -1,	  /* nobody knows the folder that it lies in */
	AT_ROOT = -2,	  /* in the root */
	DEPTH_MAX = 4096, /* NTFS: 32767 characters of a path */
	BLOB_MAX = 1 << 30,
};

struct ntfs_dir {
	uint32_t number, parent;
	uint16_t sequence, parent_sequence;
	uint32_t name;	   /* in @names */
	uint32_t path_len; /* with a slash before it; in the root's address */
	int32_t up;	   /* index of its folder, NONE or AT_ROOT */
	uint16_t depth;
	uint8_t deleted, guessed, system, rebuilt;
};

/* ---- growing things ---- */

static int grow(void *pv, size_t *cap, size_t need, size_t size)
{
	void **v = pv, *more;
	size_t to = *cap ? *cap : 256;

	if (need <= *cap)
		return 0;
	while (to < need)
		to += to / 2;
	more = realloc(*v, to * size);
	if (!more)
		return -ENOMEM;
	*v = more;
	*cap = to;
	return 0;
}

static int add_dir(struct ntfs_tree *t, uint64_t ref, const struct ntfs_file_name *name,
		   bool deleted, bool rebuilt)
{
	uint64_t parent = ntfs_ref_number(le64(name->parent));
	int r = grow(&t->dirs, &t->cap_dirs, t->n_dirs + 1, sizeof(*t->dirs));

	if (!r)
		r = grow(&t->names, &t->names_cap, t->names_len + NTFS_NAME_MAX + 8, 1);
	if (r || t->names_len > UINT32_MAX - 2 * NTFS_NAME_MAX)
		return r;
	t->dirs[t->n_dirs++] = (struct ntfs_dir){
		.number = (uint32_t)ntfs_ref_number(ref),
		.sequence = ntfs_ref_sequence(ref),
		.parent = parent < UINT32_MAX ? (uint32_t)parent : UINT32_MAX,
		.parent_sequence = ntfs_ref_sequence(le64(name->parent)),
		.name = (uint32_t)t->names_len,
		.deleted = deleted,
		.rebuilt = rebuilt,
		.up = NONE,
	};
	t->names_len += ntfs_name_put(ntfs_file_name_text(name), t->names + t->names_len,
				      NTFS_NAME_MAX + 8) +
			1;
	return 0;
}

/* ---- the pass ---- */

struct pass {
	struct layer *l;
	struct ntfs_tree *t;
	uint8_t *none;		     /* a bit for each record: nothing is there */
	uint64_t lost_from, lost_to; /* records that follow one another, not reported yet */
};

/* Of a record, where the name of a folder lies in it, or 0. */
struct found {
	uint16_t name;
};

/* An extension record doesn't say what its base is; the flags of the name do. */
static int find_name(void *arg, struct ntfs_record *r, void *out)
{
	const struct ntfs *n = ((struct pass *)arg)->l->priv;
	const struct ntfs_record_header *h = ntfs_head(r);
	bool base = !le64(h->base);
	struct found *found = out;
	struct ntfs_attr a;
	uint32_t pos = 0;

	if ((r->state != NTFS_GOOD && r->state != NTFS_TORN) ||
	    (base && !(le16(h->flags) & NTFS_IS_DIR)))
		return 0;
	while (ntfs_attr_next(n, r, &pos, &a) && a.type <= NTFS_FILE_NAME) {
		const struct ntfs_file_name *f =
			a.type == NTFS_FILE_NAME && a.resident ? ntfs_file_name(a.value) : NULL;

		if (f && (base || le32(f->attributes) & NTFS_NAME_DIR) &&
		    (f->space != NTFS_DOS || !found->name))
			found->name = (uint16_t)(a.value.p - r->p);
	}
	return 0;
}

static void report_lost(struct pass *p)
{
	struct ntfs *n = p->l->priv;
	uint64_t at = ntfs_record_at(n, p->lost_from, 0), count = p->lost_to - p->lost_from;

	if (!count)
		return;
	if (count == 1)
		finding(p->l, NTFS_RECORD_LOST, at == UINT64_MAX ? 0 : at,
			at == UINT64_MAX ? 0 : n->g.record,
			"record %" PRIu64 " of $MFT is in use, but no record is there",
			p->lost_from);
	else
		finding(p->l, NTFS_RECORD_LOST, at == UINT64_MAX ? 0 : at,
			at == UINT64_MAX ? 0 : n->g.record,
			"records %" PRIu64 " to %" PRIu64
			" of $MFT are in use, but no records are there",
			p->lost_from, p->lost_to - 1);
	p->lost_from = p->lost_to = 0;
}

static int add_lost(struct pass *p, uint64_t number)
{
	struct ntfs_tree *t = p->t;
	int r = grow(&t->lost, &t->cap_lost, t->n_lost + 1, sizeof(*t->lost));

	if (r || number > UINT32_MAX)
		return r;
	t->lost[t->n_lost++] = (uint32_t)number;
	/* Without the bitmap of $MFT, nobody knows whether there was one. The root's was missed. */
	if (!((const struct ntfs *)p->l->priv)->mft_bitmap || number == NTFS_ROOT)
		return 0;
	if (number != p->lost_to)
		report_lost(p);
	if (p->lost_from == p->lost_to)
		p->lost_from = number;
	p->lost_to = number + 1;
	return 0;
}

static void report_torn(struct layer *l, const struct ntfs_record *r)
{
	struct ntfs *n = l->priv;

	for (uint32_t i = 0; i * NTFS_BLOCK < n->g.record && i < 63; i++) {
		uint64_t at = ntfs_record_at(n, r->number, i * NTFS_BLOCK);

		if ((r->torn >> i & 1) && at != UINT64_MAX)
			finding(l, NTFS_RECORD_TORN, at, NTFS_BLOCK,
				"block %" PRIu32 " of record %" PRIu64
				" of $MFT does not end in the record's update sequence number",
				i, r->number);
	}
}

static int collect(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	struct pass *p = arg;
	const struct ntfs *n = p->l->priv;
	const struct found *found = out;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct ntfs_record_header *h = ntfs_head(&r[i]);
		bool used = ntfs_record_in_use(n, r[i].number);

		bool none = r[i].state == NTFS_BAD || r[i].state == NTFS_EMPTY;

		if (none)
			p->none[r[i].number / 8] |= (uint8_t)(1 << r[i].number % 8);
		if (none && (used || (!n->mft_bitmap && r[i].state == NTFS_BAD)))
			err = add_lost(p, r[i].number);
		else if (!none && le64(h->base) && le16(h->flags) & NTFS_IN_USE)
			err = ntfs_rest_add(p->t, ntfs_ref_number(le64(h->base)), r[i].number);
		if (r[i].state == NTFS_TORN && used)
			report_torn(p->l, &r[i]);
		if (found[i].name && !err) {
			uint64_t ref = le64(h->base)
					       ? le64(h->base)
					       : r[i].number | (uint64_t)le16(h->sequence) << 48;

			err = add_dir(p->t, ref, (const void *)(r[i].p + found[i].name),
				      !(le16(h->flags) & NTFS_IN_USE), false);
		}
	}
	return err;
}

/* ---- what indexes say of lost records ---- */

static int by_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int ask_entry(void *arg, uint64_t ref, const struct ntfs_file_name *key)
{
	struct ntfs_tree *t = ((struct pass *)arg)->t;
	size_t len = sizeof(*key) + key->name_len * 2u;
	uint32_t number = (uint32_t)ntfs_ref_number(ref);
	int r;

	if (key->space == NTFS_DOS || ntfs_ref_number(ref) > UINT32_MAX ||
	    !bsearch(&number, t->lost, t->n_lost, sizeof(number), by_u32) ||
	    t->blob_len + len > BLOB_MAX)
		return 0;
	r = grow(&t->ghosts, &t->cap_ghosts, t->n_ghosts + 1, sizeof(*t->ghosts));
	if (!r)
		r = grow(&t->blob, &t->blob_cap, t->blob_len + len, 1);
	if (!r && le32(key->attributes) & NTFS_NAME_DIR)
		r = add_dir(t, ref, key, false, true);
	if (r)
		return r;
	t->ghosts[t->n_ghosts++] = (struct ntfs_ghost){number, (uint32_t)t->blob_len, (uint32_t)len,
						       ntfs_ref_sequence(ref)};
	memcpy(t->blob + t->blob_len, key, len);
	t->blob_len += len;
	return 0;
}

static int ask_index(struct pass *p, uint64_t number, struct ntfs_inode *ino)
{
	bool damaged = false;
	int r = ntfs_inode_load(p->l, number, ino);

	if (!r)
		r = ntfs_index_each(p->l, ino, ask_entry, p, &damaged);
	ntfs_inode_free(ino);
	return r == -EBADMSG ? 0 : r;
}

static int by_ghost(const void *pa, const void *pb)
{
	const struct ntfs_ghost *a = pa, *b = pb;

	return a->number != b->number ? (a->number < b->number ? -1 : 1) : a->key < b->key ? -1 : 1;
}

static int ask_indexes(struct pass *p)
{
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	size_t known = p->t->n_dirs;
	int r = ino ? 0 : -ENOMEM;

	if (!r)
		r = ask_index(p, NTFS_ROOT, ino);
	for (size_t i = 0; i < known && !r; i++) {
		const struct ntfs_dir *d = &p->t->dirs[i];

		if (session_stopped(p->l->s))
			r = -EINTR;
		else if (!d->deleted && d->number != NTFS_ROOT)
			r = ask_index(p, d->number, ino);
		session_progress(p->l->s, "looking into folders for lost records", i, known);
	}
	free(ino);
	if (p->t->n_ghosts)
		qsort(p->t->ghosts, p->t->n_ghosts, sizeof(*p->t->ghosts), by_ghost);
	return r;
}

/* ---- who lies in whom ---- */

static int by_number(const void *a, const void *b)
{
	const struct ntfs_dir *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->deleted != y->deleted)
		return x->deleted - y->deleted;
	return x->name < y->name ? -1 : x->name > y->name;
}

static ptrdiff_t find_dir(const struct ntfs_tree *t, uint64_t number)
{
	size_t lo = 0, hi = t->n_dirs;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->dirs[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->n_dirs && t->dirs[lo].number == number ? (ptrdiff_t)lo : -1;
}

/* Is @ref the folder @d, and not one that had its record before or has it since? */
static bool is_that(const struct ntfs_dir *d, uint16_t sequence, bool deleted)
{
	/* A sequence number of 0 is none; when a file is deleted, its own is counted up. */
	return !sequence || d->sequence == sequence ||
	       (deleted && d->deleted && (uint16_t)(d->sequence - 1) == sequence);
}

/* Set depth and path length of @i and all above it; cuts where it goes in circles, or too deep. */
static void resolve(struct ntfs_tree *t, size_t i, uint32_t *stack)
{
	enum { BUSY = UINT16_MAX };
	size_t n = 0;

	for (;;) {
		struct ntfs_dir *d = &t->dirs[i];

		if (d->depth == BUSY) /* in a circle: the folder that led back to @d lies nowhere */
			t->dirs[stack[n - 1]].up = NONE;
		if (d->depth)
			break;
		d->depth = BUSY;
		stack[n++] = (uint32_t)i;
		if (d->up < 0)
			break;
		i = (size_t)d->up;
	}
	while (n) {
		struct ntfs_dir *d = &t->dirs[stack[--n]];
		const struct ntfs_dir *up = d->up >= 0 ? &t->dirs[d->up] : NULL;
		size_t len = strlen(t->names + d->name) + 1;

		if (up && (up->depth >= DEPTH_MAX || up->path_len + len > NTFS_PATH_MAX - 64)) {
			d->up = NONE;
			up = NULL;
		}
		d->depth = up ? up->depth + 1 : 1;
		d->path_len = (uint32_t)(up ? up->path_len + len : len);
		d->system = up ? up->system : d->up == AT_ROOT && d->number == NTFS_EXTEND;
	}
}

static int link_dirs(struct ntfs_tree *t)
{
	uint32_t *stack = malloc((t->n_dirs + 1) * sizeof(*stack));
	size_t kept = 0;

	if (!stack)
		return -ENOMEM;
	if (t->n_dirs)
		qsort(t->dirs, t->n_dirs, sizeof(*t->dirs), by_number);
	for (size_t i = 0; i < t->n_dirs; i++)
		if (!kept || t->dirs[kept - 1].number != t->dirs[i].number)
			t->dirs[kept++] = t->dirs[i];
	t->n_dirs = kept;
	for (size_t i = 0; i < kept; i++) {
		struct ntfs_dir *d = &t->dirs[i];
		ptrdiff_t up = find_dir(t, d->parent);

		if (d->parent == NTFS_ROOT) {
			d->up = AT_ROOT;
		} else if (up >= 0 && (size_t)up != i) {
			d->up = (int32_t)up;
			d->guessed = !is_that(&t->dirs[up], d->parent_sequence, d->deleted);
		}
	}
	for (size_t i = 0; i < kept; i++)
		resolve(t, i, stack);
	free(stack);
	return 0;
}

void ntfs_tree_free(struct ntfs_tree *t)
{
	if (!t)
		return;
	free(t->dirs);
	free(t->names);
	free(t->lost);
	free(t->ghosts);
	free(t->rests);
	free(t->blob);
	free(t);
}

static int make(struct layer *l, struct ntfs_tree **tree)
{
	const struct ntfs *n = l->priv;
	struct ntfs_tree *t = calloc(1, sizeof(*t));
	struct pass p = {.l = l, .t = t};
	struct ntfs_scan scan = {.l = l,
				 .per_record = sizeof(struct found),
				 .work = find_name,
				 .deliver = collect,
				 .arg = &p};
	int r = -ENOMEM;

	p.none = calloc(1, (size_t)(n->records / 8 + 1));
	if (t && p.none)
		r = ntfs_scan(&scan);
	if (!r) {
		report_lost(&p);
		ntfs_rest_keep(t, p.none, n->records);
		if (t->n_lost)
			r = ask_indexes(&p);
	}
	if (!r)
		r = link_dirs(t);
	free(p.none);
	if (r) {
		ntfs_tree_free(t);
		return r;
	}
	*tree = t;
	return 0;
}

int ntfs_tree_get(struct layer *l, struct ntfs_tree **t)
{
	struct ntfs *n = l->priv;
	int r = 0;

	pthread_mutex_lock(&n->lock);
	if (!n->tree)
		r = make(l, &n->tree);
	*t = n->tree;
	pthread_mutex_unlock(&n->lock);
	return r;
}

/* ---- asked ---- */

struct ntfs_place ntfs_tree_path(const struct ntfs_tree *t, uint64_t ref, bool deleted, char *out)
{
	uint64_t number = ntfs_ref_number(ref);
	struct ntfs_place p = {.sure = FS_SURE};
	ptrdiff_t i = find_dir(t, number);
	const struct ntfs_dir *d;
	char orphan[32];
	size_t head = 0, at;

	*out = '\0';
	if (number == NTFS_ROOT)
		return p;
	if (i < 0) {
		p.sure = FS_GONE;
		p.len = (size_t)sprintf(out, "/$orphans/%" PRIu64, number);
		return p;
	}
	if (!is_that(&t->dirs[i], ntfs_ref_sequence(ref), deleted))
		p.sure = FS_GUESSED;
	p.system = t->dirs[i].system;
	/* From its end to its beginning: the lengths are known. */
	at = t->dirs[i].path_len;
	for (d = &t->dirs[i];; d = &t->dirs[d->up]) {
		if (d->rebuilt && p.sure == FS_SURE)
			p.sure = FS_REBUILT;
		if (d->guessed)
			p.sure = FS_GUESSED;
		if (d->up < 0)
			break;
	}
	if (d->up == NONE) {
		p.sure = FS_GONE;
		head = (size_t)sprintf(orphan, "/$orphans/%" PRIu32, d->parent);
		memcpy(out, orphan, head);
	}
	p.len = head + at;
	out[p.len] = '\0';
	for (d = &t->dirs[i];; d = &t->dirs[d->up]) {
		size_t len = strlen(t->names + d->name);

		at -= len + 1;
		out[head + at] = '/';
		memcpy(out + head + at + 1, t->names + d->name, len);
		if (d->up < 0)
			break;
	}
	return p;
}

bool ntfs_tree_below(const struct ntfs_tree *t, uint64_t number, uint64_t top)
{
	ptrdiff_t i = find_dir(t, number);

	if (number == top || top == NTFS_ROOT)
		return true;
	while (i >= 0 && t->dirs[i].number != top) {
		if (t->dirs[i].up < 0)
			return t->dirs[i].up == AT_ROOT && top == NTFS_ROOT;
		i = t->dirs[i].up;
	}
	return i >= 0;
}
