/* SPDX-License-Identifier: Apache-2.0 */
/* exFAT: streams of clusters, folders, and the sets of entries in them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/exfat.h"
#include "vdiskck/core/text.h"

int exfat_in_use(const struct exfat *x, uint32_t cluster)
{
	uint32_t bit = cluster - 2;

	if (!x->bitmap || (x->unknown.n && ranges_overlap(&x->unknown, bit / 8, 1)))
		return -1;
	return x->bitmap[bit / 8] >> bit % 8 & 1;
}

void exfat_root_place(const struct exfat *x, struct exfat_place *p)
{
	*p = (struct exfat_place){
		.cluster = le32(x->boot.root_cluster), .length = UINT64_MAX, .valid = UINT64_MAX};
}

static uint64_t clusters_of(const struct exfat *x, uint64_t len)
{
	return len / x->t.cluster + (len % x->t.cluster != 0);
}

int exfat_each_run(struct exfat *x, const struct exfat_place *p, uint32_t max, struct chain *c,
		   int (*fn)(void *arg, uint32_t cluster, uint32_t n), void *arg)
{
	uint64_t need = clusters_of(x, p->length);
	uint32_t room = table_valid(&x->t, p->cluster) ? x->t.clusters - (p->cluster - 2) : 0;
	bool together = p->no_chain;
	int r;

	*c = (struct chain){.end = CHAIN_END};
	if (need < max)
		max = (uint32_t)need;
	if (!max || (!p->length && !p->cluster))
		return 0;
	/*
	 * Deleting clears bits of the bitmap only: the chain is still there, until its entries are
	 * used by others. If it has the right length it is taken.
	 */
	if (p->gone && !together) {
		r = table_chain(&x->t, p->cluster, max, c, NULL, NULL);
		if (r)
			return r;
		together = c->clusters < need;
	}
	if (!together)
		return table_chain(&x->t, p->cluster, max, c, fn, arg);
	*c = (struct chain){.end = CHAIN_END, .to = p->cluster};
	if (max > room) {
		max = room;
		c->end = CHAIN_OUTSIDE;
	}
	c->clusters = max;
	c->last = max ? p->cluster + max - 1 : 0;
	return max && fn ? fn(arg, p->cluster, max) : 0;
}

struct placing {
	const struct exfat *x;
	struct fs_runs *runs;
	uint64_t off, valid;
};

static int place_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct placing *p = arg;
	uint64_t len = (uint64_t)n * p->x->t.cluster, data = len;
	int r = 0;

	/* Behind the valid length, clusters hold whatever was there before. */
	if (p->off >= p->valid)
		data = 0;
	else if (p->valid - p->off < data)
		data = p->valid - p->off;
	if (data)
		r = fs_runs_add(p->runs, &(struct fs_run){.off = p->off,
							  .len = data,
							  .kind = EXTENT_DATA,
							  .at = table_addr(&p->x->t, cluster)});
	p->off += len;
	return r;
}

int exfat_place_runs(struct layer *l, const struct exfat_place *p, struct fs_runs *runs,
		     struct chain *c)
{
	struct exfat *x = l->priv;
	struct placing o = {.x = x, .runs = runs, .valid = p->valid};
	struct chain mine;
	int r = exfat_each_run(x, p, UINT32_MAX, &mine, place_run, &o);

	if (c)
		*c = mine;
	if (!r && p->length != UINT64_MAX && o.off < p->length && o.off < p->valid)
		r = fs_runs_add(runs, &(struct fs_run){.off = o.off,
						       .len = p->length - o.off,
						       .kind = EXTENT_LOST,
						       .why = EXFAT_CHAIN_BROKEN});
	return r;
}

/* --- folders --- */

struct load {
	struct layer *l;
	struct exfat_dir *d;
};

static int load_run(void *arg, uint32_t cluster, uint32_t n)
{
	struct load *o = arg;
	struct exfat *x = o->l->priv;
	struct exfat_dir *d = o->d;
	size_t len = (size_t)n * x->t.cluster, have = d->len / d->unit;
	uint8_t *buf = realloc(d->buf, d->len + len);
	uint64_t *at;
	int r;

	if (!buf)
		return -ENOMEM;
	d->buf = buf;
	at = realloc(d->at, (have + n) * sizeof(*at));
	if (!at)
		return -ENOMEM;
	d->at = at;
	for (uint32_t i = 0; i < n; i++)
		d->at[have + i] = table_addr(&x->t, cluster + i);
	r = layer_read_as(o->l->below, table_addr(&x->t, cluster), d->buf + d->len, len, d->len,
			  &d->bad);
	d->len += len;
	return r;
}

int exfat_dir_load(struct layer *l, const struct exfat_place *p, struct exfat_dir *d)
{
	struct exfat *x = l->priv;
	struct load o = {l, d};
	struct exfat_place inside = *p;
	uint32_t max = EXFAT_DIR_MAX / x->t.cluster + 1;
	struct chain c;
	int r;

	/* A length behind the end of the volume: as much as can be there. */
	if (p->no_chain && l->size > x->t.heap && p->length > l->size)
		inside.length = l->size;
	*d = (struct exfat_dir){.unit = x->t.cluster};
	r = exfat_each_run(x, &inside, max, &c, load_run, &o);
	ranges_sort(&d->bad);
	return r;
}

void exfat_dir_free(struct exfat_dir *d)
{
	free(d->buf);
	free(d->at);
	ranges_free(&d->bad);
}

const uint8_t *exfat_dir_entry(const struct exfat_dir *d, unsigned i)
{
	uint64_t off = (uint64_t)i * EXFAT_ENTRY;

	if (off + EXFAT_ENTRY > d->len || (d->bad.n && ranges_overlap(&d->bad, off, EXFAT_ENTRY)))
		return NULL;
	return d->buf + off;
}

uint64_t exfat_dir_at(const struct exfat_dir *d, unsigned i)
{
	uint64_t off = (uint64_t)i * EXFAT_ENTRY;

	return off < d->len ? d->at[off / d->unit] + off % d->unit : 0;
}

/* XS 6.3.3; as the entries were before they were deleted. */
uint16_t exfat_set_sum(const uint8_t *entries, size_t len)
{
	uint16_t sum = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t b = entries[i];

		if (i == 2 || i == 3)
			continue;
		if (i % EXFAT_ENTRY == 0)
			b |= EXFAT_IN_USE;
		sum = (uint16_t)((sum << 15 | sum >> 1) + b);
	}
	return sum;
}

/* XS 7.6.4 */
uint16_t exfat_name_hash(const struct exfat *x, const uint8_t *utf16, unsigned units)
{
	uint16_t hash = 0;

	for (unsigned i = 0; i < units; i++) {
		uint16_t c = x->upcase[utf16[2 * i] | utf16[2 * i + 1] << 8];

		hash = (uint16_t)((hash << 15 | hash >> 1) + (c & 0xff));
		hash = (uint16_t)((hash << 15 | hash >> 1) + (c >> 8));
	}
	return hash;
}

void exfat_set_place(const struct exfat_set *set, struct exfat_place *p)
{
	uint64_t len = le64(set->s.length), valid = le64(set->s.valid_length);

	*p = (struct exfat_place){.cluster = le32(set->s.cluster),
				  .length = len,
				  .valid = valid < len ? valid : len,
				  .no_chain = set->s.flags & EXFAT_NO_CHAIN,
				  .gone = set->deleted};
	if (le16(set->f.attributes) & EXFAT_ATTR_DIR)
		p->valid = len;
}

static void put_name(const struct exfat *x, struct exfat_set *set, unsigned have)
{
	char text[EXFAT_SET_MAX * 15 * 3 + 1];
	unsigned stated = set->s.name_length, units = 0;

	while (units < have && units < 255 && (set->utf16[2 * units] || set->utf16[2 * units + 1]))
		units++;
	set->name_ok = stated && stated <= units && (stated + 14) / 15 * 15 == have;
	set->units = set->name_ok || (stated && stated < units) ? stated : units;
	set->hash = exfat_name_hash(x, set->utf16, set->units);
	utf16_text(set->utf16, set->units, 0, text, sizeof(text));
	fs_name_put(text, strlen(text), set->name, sizeof(set->name));
}

/* The set whose file entry is at @i; false: what follows is no set. */
static bool read_set(const struct exfat *x, const struct exfat_dir *d, unsigned i,
		     struct exfat_set *set)
{
	uint8_t raw[(1 + 255) * EXFAT_ENTRY];
	const uint8_t *e = exfat_dir_entry(d, i);
	uint8_t use = *e & EXFAT_IN_USE;
	unsigned n = 1, have = 0,
		 stated = 1u + ((const struct exfat_file *)(const void *)e)->secondaries;

	memcpy(raw, e, EXFAT_ENTRY);
	for (; n < stated; n++) {
		e = exfat_dir_entry(d, i + n);
		if (!e || (*e & EXFAT_IN_USE) != use || !(*e & EXFAT_SECONDARY))
			break;
		if ((n == 1) != ((*e | EXFAT_IN_USE) == EXFAT_STREAM))
			break;
		memcpy(raw + (size_t)n * EXFAT_ENTRY, e, EXFAT_ENTRY);
		if ((*e | EXFAT_IN_USE) != EXFAT_NAME || have + 15 > EXFAT_SET_MAX * 15 ||
		    n > EXFAT_SET_MAX)
			continue;
		memcpy(set->utf16 + (size_t)have * 2, e + 2, 30);
		have += 15;
	}
	if (n < 3 || !have)
		return false;
	memcpy(&set->f, raw, EXFAT_ENTRY);
	memcpy(&set->s, raw + EXFAT_ENTRY, EXFAT_ENTRY);
	set->at = exfat_dir_at(d, i);
	set->i = i;
	set->n = n;
	set->deleted = !use;
	set->sum_ok =
		n == stated && le16(set->f.sum) == exfat_set_sum(raw, (size_t)n * EXFAT_ENTRY);
	put_name(x, set, have);
	return true;
}

bool exfat_dir_next(const struct exfat *x, const struct exfat_dir *d, unsigned *i,
		    struct exfat_set *set, void (*stray)(void *arg, unsigned i), void *arg)
{
	for (; (uint64_t)*i * EXFAT_ENTRY < d->len; ++*i) {
		const uint8_t *e = exfat_dir_entry(d, *i);

		if (!e)
			continue;
		if (*e == EXFAT_END)
			return false;
		*set = (struct exfat_set){0};
		if ((*e | EXFAT_IN_USE) == EXFAT_FILE && read_set(x, d, *i, set)) {
			*i += set->n;
			return true;
		}
		/* Critical entries that stand alone: a set that lost its head, or its tail. */
		if (*e & EXFAT_IN_USE && stray &&
		    (*e == EXFAT_FILE ||
		     (*e & (EXFAT_SECONDARY | EXFAT_BENIGN)) == EXFAT_SECONDARY))
			stray(arg, *i);
	}
	return false;
}

static unsigned next_unit(const char **p, const char *end, uint16_t unit[2])
{
	uint8_t c = (uint8_t) * (*p)++;
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	uint32_t v = more ? c & (0x3fu >> more) : c;

	for (; more && *p < end && (**p & 0xc0) == 0x80; more--)
		v = v << 6 | (uint32_t)(*(*p)++ & 0x3f);
	if (v == 0xf02f || v == 0xf000) /* fs.h */
		v &= 0xff;
	unit[0] = (uint16_t)v;
	if (v < 0x10000)
		return 1;
	unit[0] = (uint16_t)(0xd800 + ((v - 0x10000) >> 10 & 0x3ff));
	unit[1] = (uint16_t)(0xdc00 + (v & 0x3ff));
	return 2;
}

bool exfat_same_name(const struct exfat *x, const char *utf8, size_t len,
		     const struct exfat_set *set)
{
	const char *end = utf8 + len;
	unsigned at = 0;

	while (utf8 < end) {
		uint16_t unit[2];
		unsigned n = next_unit(&utf8, end, unit);

		for (unsigned i = 0; i < n; i++, at++)
			if (at >= set->units ||
			    x->upcase[unit[i]] !=
				    x->upcase[set->utf16[2 * at] | set->utf16[2 * at + 1] << 8])
				return false;
	}
	return at == set->units;
}
