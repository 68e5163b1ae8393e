/* SPDX-License-Identifier: Apache-2.0 */
/* exFAT: boot regions, bitmap, up-case table, every set of entries, every cluster. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/claim.h"
#include "formats/fs/exfat.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SHARED_MAX = 1024, /* pieces that several files claim, told by name */
	STEPS_PER_CLUSTER = 4,
	FLAG_DIRTY = 2,
	FLAG_FAILED = 4,
};

struct check {
	struct layer *l;
	uint8_t *owned; /* a bit for each cluster */
	struct ranges shared;
	uint64_t steps; /* clusters that may still be looked at beyond what is needed */
	uint64_t at;	/* of the entry that is looked at */
	const char *path;
	uint32_t freed, n_freed; /* clusters of this file that the bitmap calls free: the first */
	const struct exfat_dir *d;
};

static bool owned(const struct check *k, uint32_t cluster)
{
	return k->owned[(cluster - 2) / 8] & 1 << (cluster - 2) % 8;
}

static int own_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct check *k = arg;
	struct exfat *x = k->l->priv;
	int r = 0;

	for (uint32_t c = cluster; c < cluster + n && !r; c++) {
		if (owned(k, c) && k->shared.n < SHARED_MAX)
			r = ranges_add(&k->shared, table_addr(&x->t, c), x->t.cluster,
				       GRADE_DOUBTFUL, EXFAT_CROSS_LINKED);
		k->owned[(c - 2) / 8] |= (uint8_t)(1 << (c - 2) % 8);
		if (!exfat_in_use(x, c) && !k->n_freed++)
			k->freed = c;
	}
	return r;
}

static void report_freed(struct check *k)
{
	struct exfat *x = k->l->priv;

	if (k->n_freed)
		finding_fact(k->l, EXFAT_NOT_ALLOCATED,
			     &(struct fact){.at = k->at,
					    .at_len = EXFAT_ENTRY,
					    .off = table_addr(&x->t, k->freed),
					    .len = x->t.cluster,
					    .doubtful = true,
					    .path = k->path},
			     "%" PRIu32
			     " clusters are this file's, but the allocation bitmap calls "
			     "them free, cluster %" PRIu32 " first",
			     k->n_freed, k->freed);
	k->n_freed = 0;
}

static void report_chain(struct check *k, const struct chain *c, uint64_t need)
{
	struct exfat *x = k->l->priv;
	struct fact f = {.at = k->at,
			 .at_len = EXFAT_ENTRY,
			 .path = k->path,
			 .path_off = (uint64_t)c->clusters * x->t.cluster,
			 .stored = strf("cluster %" PRIu32 " leads to 0x%" PRIx32, c->last, c->to)};

	if (c->end == CHAIN_LOOP)
		finding_fact(k->l, EXFAT_CHAIN_LOOP, &f,
			     "the chain returns to a cluster that it had before, after %" PRIu32,
			     c->clusters);
	else if (c->clusters < need || c->end != CHAIN_END)
		finding_fact(k->l, EXFAT_CHAIN_BROKEN, &f,
			     "the clusters end %s, after %" PRIu32 "%s",
			     c->end == CHAIN_FREE      ? "at one that leads nowhere"
			     : c->end == CHAIN_BAD     ? "at one that is marked bad"
			     : c->end == CHAIN_OUTSIDE ? "with the number of no cluster"
			     : c->end == CHAIN_LOST    ? "in a part of the FAT that can't be read"
						       : "too early",
			     c->clusters, need ? strf(" of %" PRIu64, need) : "");
}

/* A stream's clusters; @root: as many as the chain has. */
static int check_stream(struct check *k, const struct exfat_place *p, bool root)
{
	struct exfat *x = k->l->priv;
	uint64_t need = p->length / x->t.cluster + (p->length % x->t.cluster != 0);
	uint64_t max = k->steps + need + 1;
	struct exfat_place all = *p;
	struct chain c;
	int r;

	if (!root && !p->length) {
		if (p->cluster)
			finding(k->l, EXFAT_CLUSTER_BAD, k->at, EXFAT_ENTRY,
				"an empty stream states a first cluster, %" PRIu32, p->cluster);
		return 0;
	}
	if (!table_valid(&x->t, p->cluster) || (!root && need > x->t.clusters)) {
		finding_fact(k->l, EXFAT_CLUSTER_BAD,
			     &(struct fact){.at = k->at,
					    .at_len = EXFAT_ENTRY,
					    .path = k->path,
					    .stored = strf("cluster %" PRIu32 ", %" PRIu64 " bytes",
							   p->cluster, p->length)},
			     "the clusters that a stream states can't be its own");
		return 0;
	}
	if (!p->no_chain)
		all.length = UINT64_MAX; /* the chain may be longer than it should */
	r = exfat_each_run(x, &all, max < UINT32_MAX ? (uint32_t)max : UINT32_MAX, &c, own_run, k);
	k->steps -= k->steps < c.clusters ? k->steps : c.clusters;
	report_freed(k);
	if (c.end == CHAIN_MORE)
		c.end = CHAIN_END;
	report_chain(k, &c, root ? 0 : need);
	if (!root && c.end == CHAIN_END && c.clusters > need)
		finding_fact(k->l, EXFAT_CHAIN_LONG,
			     &(struct fact){.at = k->at,
					    .at_len = EXFAT_ENTRY,
					    .path = k->path,
					    .stored = strf("%" PRIu32 " clusters", c.clusters),
					    .expected = strf("%" PRIu64, need)},
			     "the chain has more clusters than the file needs");
	return r;
}

/* --- sets --- */

static void on_stray(void *arg, unsigned i)
{
	struct check *k = arg;
	const uint8_t *e = exfat_dir_entry(k->d, i);

	finding_fact(k->l, EXFAT_SET_BAD,
		     &(struct fact){.at = exfat_dir_at(k->d, i),
				    .at_len = EXFAT_ENTRY,
				    .path = k->path,
				    .path_off = (uint64_t)i * EXFAT_ENTRY,
				    .stored = strf("type 0x%02x", *e)},
		     "an entry is no part of a whole set");
}

/* XS 7.7.3, table 35: control characters and these. */
static bool name_bad(const struct exfat_set *set)
{
	for (unsigned i = 0; i < set->units; i++) {
		unsigned c = set->utf16[2 * i] | (unsigned)set->utf16[2 * i + 1] << 8;

		if (c < ' ' || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c)))
			return true;
	}
	return !set->units;
}

static void check_set(struct check *k, const struct exfat_set *set, const char *dir)
{
	struct fact f = {.at = set->at,
			 .at_len = (uint64_t)set->n * EXFAT_ENTRY,
			 .path = dir,
			 .path_off = (uint64_t)set->i * EXFAT_ENTRY};

	if (!set->sum_ok)
		finding_fact(k->l, EXFAT_SET_SUM, &f,
			     "the entries of a file do not have their checksum");
	if (!set->name_ok) {
		f.stored = strf("%u", set->s.name_length);
		finding_fact(k->l, EXFAT_SET_BAD, &f,
			     "the name of a file does not have the length that is stated");
	} else if (le16(set->s.name_hash) != set->hash) {
		f.stored = strf("0x%04x", le16(set->s.name_hash));
		f.expected = strf("0x%04x", set->hash);
		finding_fact(k->l, EXFAT_NAME_HASH, &f, "a name does not have its hash");
	}
	f.stored = f.expected = NULL;
	if (name_bad(set))
		finding_fact(k->l, EXFAT_NAME_BAD, &f, "a name has characters that it can't have");
	if (le64(set->s.valid_length) > le64(set->s.length))
		finding_fact(k->l, EXFAT_LENGTH_BAD, &f,
			     "more bytes of the file are stated to be valid than it has");
}

/* A name for comparing: units in upper case. */
struct key {
	uint16_t hash, units;
	unsigned i;
};

static int by_hash(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int r = x->hash - y->hash;

	r = r ? r : x->units - y->units;
	return r ? r : (x->i > y->i) - (x->i < y->i);
}

/* Equal hashes: are the names equal, too? */
static bool same_set(const struct exfat *x, const struct exfat_dir *d, unsigned a, unsigned b)
{
	struct exfat_set s, t;

	return exfat_dir_next(x, d, &a, &s, NULL, NULL) &&
	       exfat_dir_next(x, d, &b, &t, NULL, NULL) &&
	       exfat_same_name(x, s.name, strlen(s.name), &t);
}

static void check_twice(struct check *k, struct key *key, size_t n)
{
	struct exfat *x = k->l->priv;

	if (n)
		qsort(key, n, sizeof(*key), by_hash);
	for (size_t i = 1; i < n; i++)
		if (key[i].hash == key[i - 1].hash && key[i].units == key[i - 1].units &&
		    same_set(x, k->d, key[i - 1].i, key[i].i))
			finding_fact(k->l, EXFAT_NAME_TWICE,
				     &(struct fact){.at = exfat_dir_at(k->d, key[i].i),
						    .at_len = EXFAT_ENTRY,
						    .path = k->path,
						    .path_off = (uint64_t)key[i].i * EXFAT_ENTRY},
				     "a name is in this folder a second time");
}

/* XS 6.2.1: behind the end of a folder there are no entries. */
static void check_end(struct check *k, unsigned i)
{
	const uint8_t *e;

	for (; (uint64_t)i * EXFAT_ENTRY < k->d->len; i++) {
		e = exfat_dir_entry(k->d, i);
		if (!e || *e == EXFAT_END)
			continue;
		finding_fact(k->l, EXFAT_BEHIND_END,
			     &(struct fact){.at = exfat_dir_at(k->d, i),
					    .at_len = EXFAT_ENTRY,
					    .path = k->path,
					    .path_off = (uint64_t)i * EXFAT_ENTRY,
					    .stored = strf("type 0x%02x", *e),
					    .expected = "0"},
			     "entries stand behind the end of this folder");
		return;
	}
}

static int check_folder(struct check *k, const struct exfat_place *p, const char *path)
{
	struct exfat *x = k->l->priv;
	struct exfat_dir d = {0};
	struct key *key = NULL;
	struct exfat_set set;
	unsigned i = 0, n = 0;
	int r = exfat_dir_load(k->l, p, &d);

	k->d = &d;
	k->path = path;
	if (!r)
		key = malloc((d.len / EXFAT_ENTRY / 3 + 1) * sizeof(*key));
	if (!key)
		r = r ? r : -ENOMEM;
	if (!r && d.bad.n)
		finding_fact(k->l, EXFAT_DIR_LOST,
			     &(struct fact){.at = exfat_dir_at(
						    &d, (unsigned)(d.bad.v[0].off / EXFAT_ENTRY)),
					    .at_len = d.bad.v[0].len,
					    .path = path,
					    .path_off = d.bad.v[0].off},
			     "%" PRIu64 " bytes of this folder can't be read",
			     ranges_bytes(&d.bad, GRADE_LOST));
	while (!r && exfat_dir_next(x, &d, &i, &set, on_stray, k)) {
		if (set.deleted)
			continue;
		check_set(k, &set, path);
		key[n++] = (struct key){set.hash, (uint16_t)set.units, set.i};
	}
	if (!r) {
		check_twice(k, key, n);
		check_end(k, i);
	}
	session_checked(k->l->s, d.len);
	free(key);
	exfat_dir_free(&d);
	return r;
}

static int check_item(void *arg, const struct fs_entry *e)
{
	const struct exfat_item *item = (const void *)e;
	struct check *k = arg;
	int r;

	k->at = e->id;
	k->path = e->path;
	r = check_stream(k, &item->place, false);
	return r || e->kind != FS_DIR ? r : check_folder(k, &item->place, e->path);
}

/* --- the volume --- */

static int name_shared(void *arg, const struct fs_owner *o)
{
	struct check *k = arg;

	/* Pieces of one file come one behind the other: the first one is enough. */
	if (!o->file || o->file->id == k->at)
		return 0;
	k->at = o->file->id;
	finding_fact(k->l, EXFAT_CROSS_LINKED,
		     &(struct fact){.at = o->file->id,
				    .at_len = EXFAT_ENTRY,
				    .off = o->off,
				    .len = o->len,
				    .doubtful = true,
				    .path = o->file->path,
				    .path_off = o->file_off},
		     "this file's clusters are in use by something else, too");
	return 0;
}

static void check_lost(struct check *k)
{
	struct exfat *x = k->l->priv;
	uint32_t first = 0, n = 0;
	char size[SIZE_TEXT];

	for (uint32_t c = 2; table_valid(&x->t, c); c++) {
		if (owned(k, c) || exfat_in_use(x, c) != 1)
			continue;
		first = first ? first : c;
		n++;
	}
	if (n)
		finding_fact(k->l, EXFAT_LOST_CLUSTERS,
			     &(struct fact){.at = x->bitmap_entry_at,
					    .at_len = EXFAT_ENTRY,
					    .off = table_addr(&x->t, first),
					    .len = x->t.cluster},
			     "%" PRIu32 " clusters (%s) are in use, but no file has them, cluster "
			     "%" PRIu32 " first",
			     n, size_text((uint64_t)n * x->t.cluster, size), first);
}

static int check_own_stream(struct check *k, const struct exfat_stream *s, uint64_t at)
{
	struct exfat_place p = {.cluster = le32(s->cluster), .length = le64(s->length)};

	k->at = at;
	k->path = NULL;
	return at ? check_stream(k, &p, false) : 0;
}

static void check_tables(struct check *k)
{
	struct exfat *x = k->l->priv;
	uint64_t need = ((uint64_t)x->t.clusters + 7) / 8;

	if (!x->bitmap || x->unknown.n || le64(x->bitmap_entry.length) != need)
		finding_fact(k->l, EXFAT_BITMAP_LOST,
			     &(struct fact){.at = x->bitmap_entry_at,
					    .at_len = x->bitmap_entry_at ? EXFAT_ENTRY : 0,
					    .stored = strf("%" PRIu64 " bytes",
							   le64(x->bitmap_entry.length)),
					    .expected = strf("%" PRIu64, need)},
			     !x->bitmap_entry_at ? "there is no allocation bitmap"
			     : x->unknown.n	 ? "parts of the allocation bitmap can't be read"
						 : "the allocation bitmap has a wrong size");
	if (!x->upcase_ok)
		finding(k->l, EXFAT_UPCASE_BAD, x->upcase_entry_at,
			x->upcase_entry_at ? EXFAT_ENTRY : 0,
			x->upcase_entry_at ? "the up-case table does not have its checksum"
					   : "there is no up-case table");
}

static void check_boot(struct layer *l)
{
	struct exfat *x = l->priv;
	uint64_t region = (uint64_t)EXFAT_BOOT_SECTORS * x->sector;
	unsigned flags = le16(x->boot.flags);

	if (!x->from_backup && !x->sum_ok[1])
		finding(l, EXFAT_BACKUP_BAD, region, region,
			x->there[1] ? "the copy of the boot region does not have its checksum"
				    : "there is no copy of the boot region");
	if (!x->from_backup && flags & FLAG_DIRTY)
		finding(l, EXFAT_DIRTY, 106, 2, "the volume was in use, and not unmounted");
	if (!x->from_backup && flags & FLAG_FAILED)
		finding(l, EXFAT_MEDIA_FAILED, 106, 2,
			"the system that used the volume last met read or write errors on it");
	session_checked(l->s, 2 * region);
}

int exfat_check(struct layer *l)
{
	struct exfat *x = l->priv;
	struct check k = {.l = l,
			  .owned = calloc(1, x->t.clusters / 8 + 1),
			  .steps = (uint64_t)STEPS_PER_CLUSTER * x->t.clusters};
	struct exfat_place root;
	int r = k.owned ? 0 : -ENOMEM;

	exfat_root_place(x, &root);
	check_boot(l);
	check_tables(&k);
	k.path = "/";
	if (!r)
		r = check_stream(&k, &root, true);
	if (!r)
		r = check_own_stream(&k, &x->bitmap_entry, x->bitmap_entry_at);
	if (!r)
		r = check_own_stream(&k, &x->upcase_entry, x->upcase_entry_at);
	k.at = 0;
	if (!r)
		r = check_folder(&k, &root, "/");
	if (!r)
		r = exfat_walk(l, &(struct fs_query){.recursive = true}, check_item, &k);
	if (!r) {
		check_lost(&k);
		r = ranges_flatten(&k.shared);
	}
	k.at = 0;
	if (!r && k.shared.n)
		r = exfat_owners(l, &k.shared, name_shared, &k);
	ranges_free(&k.shared);
	free(k.owned);
	return r;
}
