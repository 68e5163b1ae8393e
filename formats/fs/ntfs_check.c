/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of NTFS: one pass over $MFT for what each record says by itself and which clusters and
 * names it claims, one over the indexes, and then what the two disagree about.
 */
#include "formats/fs/ntfs_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

uint64_t ntfs_check_at(const struct ntfs_check *k, uint64_t number, uint32_t off)
{
	uint64_t at = ntfs_record_at(k->n, number, off);

	return at == UINT64_MAX ? 0 : at;
}

static int take_path(void *arg, const struct fs_entry *e)
{
	struct ntfs_check *k = arg;
	char text[NTFS_CHECK_NAME];

	name_escape(e->path, strlen(e->path), text, sizeof(text));
	snprintf(k->path, NTFS_PATH_MAX, "\"%s\"", text);
	return 1;
}

const char *ntfs_check_path(struct ntfs_check *k, uint64_t number)
{
	struct ntfs_entries x;

	snprintf(k->path, NTFS_PATH_MAX, "record %" PRIu64, number);
	if (!ntfs_entries_init(&x, k->l, k->tree)) {
		x.fn = take_path;
		x.arg = k;
		if (number == NTFS_ROOT)
			strcpy(k->path, "\"/\"");
		else if (!ntfs_inode_load(k->l, number, k->ino))
			ntfs_entries_of(&x, k->ino);
		if (number != NTFS_ROOT)
			ntfs_inode_free(k->ino);
	}
	ntfs_entries_free(&x);
	return k->path;
}

uint64_t ntfs_check_name(uint64_t child, const struct ntfs_file_name *f)
{
	struct {
		uint64_t parent, child, space;
	} head = {le64(f->parent), child, f->space};

	return sum_xxh64(&head, sizeof(head), f->name, f->name_len * 2u);
}

/* ---- the pass ---- */

/* What @work found of a record. */
struct found {
	bool rules, index, list;
};

static void add_names(struct ntfs_check *k, const struct ntfs_record *r)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	uint64_t self = r->number | (uint64_t)le16(h->sequence) << 48;
	uint64_t child = le64(h->base) ? le64(h->base) : self;
	struct ntfs_attr a;
	uint32_t pos = 0;

	if (!k->names || ntfs_ref_number(child) >= k->n->records)
		return;
	while (ntfs_attr_next(k->n, r, &pos, &a) && a.type <= NTFS_FILE_NAME) {
		const struct ntfs_file_name *f =
			a.type == NTFS_FILE_NAME && a.resident ? ntfs_file_name(a.value) : NULL;

		if (f)
			__atomic_fetch_add(&k->names[ntfs_ref_number(child)],
					   ntfs_check_name(child, f), __ATOMIC_RELAXED);
	}
}

/* A file that has but one name, and no other record. */
static void add_size(struct ntfs_check *k, const struct ntfs_record *r)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	uint64_t size = 0;
	unsigned names = 0;
	struct ntfs_attr a;
	uint32_t pos = 0;

	if (le64(h->base) || le16(h->flags) & NTFS_IS_DIR || r->number < NTFS_SYSTEM_RECORDS ||
	    r->state != NTFS_GOOD)
		return;
	while (ntfs_attr_next(k->n, r, &pos, &a)) {
		const struct ntfs_file_name *f =
			a.type == NTFS_FILE_NAME && a.resident ? ntfs_file_name(a.value) : NULL;

		if (a.type == NTFS_ATTRIBUTE_LIST)
			return;
		names += f && f->space != NTFS_DOS;
		if (a.type == NTFS_DATA && !a.name.len)
			size = a.size;
	}
	if (names == 1 && size != UINT64_MAX)
		k->sizes[r->number] = size + 1;
}

static void report_stale(struct ntfs_check *k)
{
	if (k->stale)
		finding(k->l, NTFS_INDEX_SIZE, k->stale_at, sizeof(le64_t),
			"%" PRIu64 " files have another size in their folder than in their record; "
			"the first is %s",
			k->stale, ntfs_check_path(k, k->stale_first));
}

/* Does the attribute list of a file name records that are not its own, or none? */
static int check_list(struct ntfs_check *k, uint64_t number)
{
	int r = ntfs_inode_load(k->l, number, k->ino);

	if (!r && k->ino->incomplete)
		finding(k->l, NTFS_LIST, ntfs_check_at(k, number, 0), k->n->g.record,
			"record %" PRIu64
			": its attribute list is damaged, or leads to a record that "
			"is not its own",
			number);
	ntfs_inode_free(k->ino);
	return r == -EBADMSG ? 0 : r;
}

static bool has_list(const struct ntfs_check *k, const struct ntfs_record *r)
{
	struct ntfs_attr a;

	return ntfs_attr_find(k->n, r, NTFS_ATTRIBUTE_LIST, NULL, &a);
}

static bool has_index(const struct ntfs_check *k, const struct ntfs_record *r)
{
	struct ntfs_attr a;
	uint32_t pos = 0;

	while (ntfs_attr_next(k->n, r, &pos, &a) && a.type <= NTFS_INDEX_ROOT)
		if (a.type == NTFS_INDEX_ROOT)
			return true;
	return false;
}

static int work(void *arg, struct ntfs_record *r, void *out)
{
	const struct ntfs_record_header *h = ntfs_head(r);
	struct ntfs_check *k = arg;
	struct found *f = out;
	int err = 0;

	if (r->state != NTFS_GOOD && r->state != NTFS_TORN)
		return 0;
	f->rules = r->state == NTFS_GOOD && ntfs_check_rules(k, r, false);
	if (!(le16(h->flags) & NTFS_IN_USE))
		return 0;
	if (k->c.bits)
		err = ntfs_claimed_record(&k->c, r);
	add_names(k, r);
	add_size(k, r);
	/* Where the root of an index is in another record, the flag of a folder says so. */
	f->list = !le64(h->base) && has_list(k, r);
	f->index = !le64(h->base) && (le16(h->flags) & NTFS_IS_DIR || has_index(k, r));
	return err;
}

enum { BITS_SAID = 16 }; /* a bitmap that is garbage is one fact, not thousands */

static void check_bitmap_bit(struct ntfs_check *k, const struct ntfs_record *r)
{
	bool used = r->state != NTFS_EMPTY && le16(ntfs_head(r)->flags) & NTFS_IN_USE;

	/* Reserved ones are called used before they are; of others nobody knows what they are. */
	if (r->number < NTFS_SYSTEM_RECORDS || r->state == NTFS_BAD || !k->n->mft_bitmap ||
	    used == ntfs_record_in_use(k->n, r->number))
		return;
	if (k->bits_wrong++ >= BITS_SAID)
		return;
	finding_fact(k->l, NTFS_MFT_BITMAP,
		     &(struct fact){.at = ntfs_check_at(k, r->number, 0),
				    .at_len = k->n->g.record,
				    .stored = used ? "free" : "in use",
				    .expected = used ? "in use" : "free"},
		     "record %" PRIu64 " is %s, which the bitmap of $MFT denies", r->number,
		     used ? "in use" : "not in use");
}

static int add_dir(struct ntfs_check *k, uint64_t number)
{
	if (k->n_dirs == k->cap_dirs) {
		size_t cap = k->cap_dirs ? k->cap_dirs * 2 : 256;
		uint32_t *more = realloc(k->dirs, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		k->dirs = more;
		k->cap_dirs = cap;
	}
	k->dirs[k->n_dirs++] = (uint32_t)number;
	return 0;
}

static int deliver(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	const struct found *f = out;
	struct ntfs_check *k = arg;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		check_bitmap_bit(k, &r[i]);
		if (f[i].rules)
			ntfs_check_rules(k, &r[i], true);
		if (f[i].index)
			err = add_dir(k, r[i].number);
		if (f[i].list && !err)
			err = check_list(k, r[i].number);
	}
	session_checked(k->l->s, count * k->n->g.record);
	return err;
}

static int pass(struct ntfs_check *k)
{
	struct ntfs_scan scan = {.l = k->l,
				 .what = "records",
				 .per_record = sizeof(struct found),
				 .work = work,
				 .deliver = deliver,
				 .arg = k};
	int r = ntfs_scan(&scan);

	if (k->bits_wrong > BITS_SAID)
		finding(k->l, NTFS_MFT_BITMAP, ntfs_check_at(k, NTFS_MFT, 0), k->n->g.record,
			"%" PRIu64 " more records about which the bitmap of $MFT is wrong",
			k->bits_wrong - BITS_SAID);
	for (size_t i = 0; i < k->n_dirs && !r; i++) {
		r = session_stopped(k->l->s) ? -EINTR : ntfs_check_indexes(k, k->dirs[i]);
		if (i % 256 == 0)
			session_progress(k->l->s, "folders", i, k->n_dirs);
	}
	return r;
}

static bool upcase_is_good(struct layer *l)
{
	const struct ntfs *n = l->priv;
	struct ranges bad = {0};
	size_t len = 0;
	uint8_t *p = ntfs_stream_load(l, NTFS_UPCASE_FILE, NTFS_DATA, NULL, 131072, &len, &bad);
	bool good = p && len == 131072 && !bad.n && !memcmp(p, n->upcase, len);

	free(p);
	ranges_free(&bad);
	return good;
}

static int check_state(struct ntfs_check *k)
{
	struct ntfs_state s;
	int r = ntfs_state_get(k->l, &s);

	if (!r && s.dirty)
		finding(k->l, NTFS_DIRTY, ntfs_check_at(k, NTFS_VOLUME, 0), k->n->g.record,
			"the volume's flags are 0x%04x: dirty", k->n->volume_flags);
	if (!r && s.hibernated)
		finding(k->l, NTFS_HIBERNATED, 0, 0, "/hiberfil.sys holds a system that sleeps");
	return r;
}

int ntfs_check(struct layer *l)
{
	struct ntfs_check k = {.l = l, .n = l->priv};
	int r = ntfs_tree_get(l, &k.tree), c = ntfs_claimed_init(&k.c, k.n);

	if (!r && c == -ENOMEM)
		r = c;
	k.names = calloc(k.n->records + 1, sizeof(*k.names));
	k.sizes = calloc(k.n->records + 1, sizeof(*k.sizes));
	k.ino = malloc(sizeof(*k.ino));
	k.path = malloc(NTFS_PATH_MAX);
	k.upcase_good = upcase_is_good(l);
	if (!r && (!k.names || !k.sizes || !k.ino || !k.path))
		r = -ENOMEM;
	if (!r)
		r = check_state(&k);
	if (!r)
		r = ntfs_check_copies(&k);
	if (!r)
		r = pass(&k);
	report_stale(&k);
	if (!r)
		r = ntfs_check_names(&k);
	if (!r && k.c.bits)
		r = ntfs_check_clusters(&k);
	if (!r)
		r = ntfs_check_secure(&k);
	if (!r)
		r = ntfs_check_log(&k);
	if (!r)
		r = ntfs_check_usn(&k);
	if (!r && l->s->opt.data)
		r = ntfs_check_data(&k);
	ntfs_claimed_free(&k.c);
	free(k.names);
	free(k.sizes);
	free(k.dirs);
	free(k.ino);
	free(k.path);
	return r;
}
