/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: those of one record, and those of a file with all its records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"

enum {
	MORE_RECORDS = 8192,	/* of one file: 256 KiB of attribute list, 32 bytes an entry */
	MORE_BYTES = 32 << 20,	/* ... and their size in memory */
	MORE_ATTRS = 256 << 10, /* of one file */
};

/* Bits of the blocks that [off, off + len) of a record touches. */
static uint64_t blocks(uint64_t off, uint64_t len)
{
	uint64_t first = off / NTFS_BLOCK, last = (off + len - 1) / NTFS_BLOCK, mask = 0;

	for (uint64_t b = first; b <= last; b++)
		mask |= 1ull << (b < 63 ? b : 63);
	return mask;
}

static bool parse_resident(struct span s, struct ntfs_attr *a)
{
	const struct ntfs_resident *h = span_at(s, 0, sizeof(*h));
	const uint8_t *v = h ? span_at(s, le16(h->value_off), le32(h->value_len)) : NULL;

	if (!v)
		return false;
	a->value = (struct span){v, le32(h->value_len), s.addr + le16(h->value_off)};
	a->size = a->initialized = a->allocated = a->stored = a->value.len;
	return true;
}

static bool parse_nonresident(struct span s, struct ntfs_attr *a)
{
	const struct ntfs_nonresident *h = span_at(s, 0, sizeof(*h));

	if (!h || le16(h->pairs_off) < sizeof(*h) || le16(h->pairs_off) > s.len)
		return false;
	a->value = span_from(s, le16(h->pairs_off));
	a->lowest_vcn = le64(h->lowest_vcn);
	a->highest_vcn = le64(h->highest_vcn);
	a->unit = h->compression_unit;
	/* The sizes are kept in the first piece of an attribute only. */
	if (!a->lowest_vcn) {
		const le64_t *stored = span_at(s, sizeof(*h), sizeof(*stored));

		a->allocated = le64(h->allocated);
		a->size = le64(h->size);
		a->initialized = le64(h->initialized);
		a->stored = a->allocated;
		if (a->flags & (NTFS_COMPRESSED | NTFS_SPARSE) && stored &&
		    le16(h->pairs_off) >= sizeof(*h) + sizeof(*stored))
			a->stored = le64(*stored);
	}
	return true;
}

bool ntfs_attr_next(const struct ntfs *n, const struct ntfs_record *r, uint32_t *pos,
		    struct ntfs_attr *a)
{
	const struct ntfs_record_header *rh = ntfs_head(r);
	uint32_t used = le32(rh->used), end = used <= n->g.record ? used : n->g.record;
	struct span record = {r->p, end, 0}, s;
	const struct ntfs_attr_header *h;
	const uint8_t *name;

	if (!*pos)
		*pos = le16(rh->attrs_off);
	h = span_at(record, *pos, sizeof(*h));
	if (!h || le32(h->type) == (uint32_t)NTFS_END || le32(h->length) < sizeof(*h) ||
	    !span_at(record, *pos, le32(h->length)))
		return false;
	s = (struct span){r->p + *pos, le32(h->length), *pos};
	name = span_at(s, le16(h->name_off), h->name_len * 2u);
	*a = (struct ntfs_attr){.type = le32(h->type),
				.flags = le16(h->flags),
				.id = le16(h->id),
				.resident = !h->non_resident,
				.at = *pos};
	if (h->name_len && name)
		a->name = (struct span){name, h->name_len * 2u, s.addr + le16(h->name_off)};
	a->doubtful = ((r->torn | r->lost) & blocks(*pos, s.len)) || (h->name_len && !name);
	if (!(a->resident ? parse_resident(s, a) : parse_nonresident(s, a)))
		return false;
	*pos += (uint32_t)s.len;
	return true;
}

bool ntfs_attr_find(const struct ntfs *n, const struct ntfs_record *r, uint32_t type,
		    const char *name, struct ntfs_attr *a)
{
	uint32_t pos = 0;

	while (ntfs_attr_next(n, r, &pos, a))
		if (a->type == type && ntfs_name_is(a->name, name ? name : ""))
			return true;
	return false;
}

const struct ntfs_file_name *ntfs_file_name(struct span v)
{
	const struct ntfs_file_name *f = span_at(v, 0, sizeof(*f));

	return f && f->name_len && span_at(v, sizeof(*f), f->name_len * 2u) ? f : NULL;
}

/* ---- a file ---- */

static int add_attr(struct ntfs_inode *ino, const struct ntfs_attr *a, uint64_t record)
{
	if (ino->n_attrs == ino->cap_attrs) {
		size_t cap = ino->cap_attrs * 2;
		struct ntfs_inode_attr *v;

		if (cap > MORE_ATTRS)
			return 0;
		v = realloc(ino->attrs == ino->few ? NULL : ino->attrs, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		if (ino->attrs == ino->few)
			memcpy(v, ino->few, sizeof(ino->few));
		ino->attrs = v;
		ino->cap_attrs = cap;
	}
	ino->attrs[ino->n_attrs++] = (struct ntfs_inode_attr){*a, record};
	return 0;
}

int ntfs_inode_add(const struct ntfs *n, struct ntfs_inode *ino, const struct ntfs_record *r)
{
	struct ntfs_attr a;
	uint32_t pos = 0;
	int err = 0;

	while (!err && ntfs_attr_next(n, r, &pos, &a))
		err = add_attr(ino, &a, r->number);
	return err;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The references of other records in a list, each once. Returns how many, @refs has room. */
static size_t list_refs(struct span list, uint64_t base, uint64_t *refs, size_t cap)
{
	const struct ntfs_list_entry *e;
	size_t count = 0, out = 0;

	for (uint64_t at = 0; count < cap && (e = span_at(list, at, sizeof(*e)));
	     at += le16(e->length)) {
		if (le16(e->length) < sizeof(*e))
			break;
		if (ntfs_ref_number(le64(e->ref)) != base &&
		    (!count || refs[count - 1] != le64(e->ref)))
			refs[count++] = le64(e->ref);
	}
	qsort(refs, count, sizeof(*refs), by_value);
	for (size_t i = 0; i < count; i++)
		if (!i || refs[i] != refs[i - 1])
			refs[out++] = refs[i];
	return out;
}

/* Does @r belong to the file, as its list says it does? */
static bool belongs(const struct ntfs_inode *ino, const struct ntfs_record *r, uint64_t ref)
{
	const struct ntfs_record_header *h = ntfs_head(r);

	if (r->state != NTFS_GOOD && r->state != NTFS_TORN)
		return false;
	/* Records of a deleted file have been counted up, all of them. */
	return ntfs_ref_number(le64(h->base)) == ino->number &&
	       (le16(h->sequence) == ntfs_ref_sequence(ref) || !(le16(h->flags) & NTFS_IN_USE));
}

static int add_listed(struct layer *l, struct ntfs_inode *ino, struct span list)
{
	const struct ntfs *n = l->priv;
	size_t cap = list.len / sizeof(struct ntfs_list_entry) + 1, count;
	uint64_t *refs = malloc(cap * sizeof(*refs));
	int r = refs ? 0 : -ENOMEM;

	count = refs ? list_refs(list, ino->number, refs, cap) : 0;
	if (count > MORE_RECORDS || count > MORE_BYTES / n->g.record) {
		count = MORE_BYTES / n->g.record < MORE_RECORDS ? MORE_BYTES / n->g.record
								: MORE_RECORDS;
		ino->incomplete = true;
	}
	if (count && !(ino->more = malloc(count * n->g.record)))
		r = -ENOMEM;
	for (size_t i = 0; i < count && !r; i++) {
		struct ntfs_record more;

		r = ntfs_record_read(l, ntfs_ref_number(refs[i]), ino->more + i * n->g.record,
				     &more);
		if (!r && belongs(ino, &more, refs[i]))
			r = ntfs_inode_add(n, ino, &more);
		else
			ino->incomplete = true;
		if (r == -EBADMSG)
			r = 0;
	}
	free(refs);
	return r;
}

/* The attribute list, which may lie outside the record itself. */
static int read_list(struct layer *l, struct ntfs_inode *ino, const struct ntfs_attr *a)
{
	struct ntfs_stream s = {0};
	struct layer *file = NULL;
	struct ranges bad = {0};
	uint8_t *buf = NULL;
	int r;

	if (a->resident)
		return add_listed(l, ino, a->value);
	r = ntfs_stream_get(l, ino, NTFS_ATTRIBUTE_LIST, (struct span){0}, &s);
	if (!r && s.size > NTFS_LIST_MAX) {
		s.size = NTFS_LIST_MAX;
		ino->incomplete = true;
	}
	if (!r)
		r = fs_file_new(l, "", s.size, &s.runs, &file);
	if (!r && s.size && !(buf = malloc(s.size)))
		r = -ENOMEM;
	if (!r && s.size) {
		r = layer_read(file, 0, buf, s.size, &bad);
		ino->incomplete |= bad.n || s.partial;
	}
	if (!r)
		r = add_listed(l, ino, (struct span){buf, s.size, 0});
	ranges_free(&bad);
	layer_free(file);
	fs_runs_free(&s.runs);
	free(buf);
	return r;
}

int ntfs_inode_from(struct layer *l, const struct ntfs_record *base, struct ntfs_inode *ino)
{
	const struct ntfs *n = l->priv;
	const struct ntfs_attr *list;
	struct ntfs_attr copy;
	int r;

	ino->number = base->number;
	ino->base = *base;
	ino->attrs = ino->few;
	ino->cap_attrs = NTFS_FEW_ATTRS;
	ino->n_attrs = 0;
	ino->listed = ino->incomplete = false;
	ino->index_size = 0;
	ino->buf = ino->more = NULL;
	r = ntfs_inode_add(n, ino, base);
	list = r ? NULL : ntfs_inode_attr(ino, NTFS_ATTRIBUTE_LIST, (struct span){0});
	if (!list)
		return r;
	copy = *list; /* @attrs may move */
	ino->listed = true;
	return read_list(l, ino, &copy);
}

int ntfs_inode_load(struct layer *l, uint64_t number, struct ntfs_inode *ino)
{
	const struct ntfs *n = l->priv;
	struct ntfs_record base;
	uint8_t *buf = malloc(n->g.record);
	int r = buf ? ntfs_record_read(l, number, buf, &base) : -ENOMEM;

	ino->attrs = ino->few;
	ino->n_attrs = 0;
	ino->more = NULL;
	if (!r && base.state != NTFS_GOOD && base.state != NTFS_TORN)
		r = -EBADMSG;
	if (!r)
		r = ntfs_inode_from(l, &base, ino);
	ino->buf = buf;
	return r;
}

void ntfs_inode_free(struct ntfs_inode *ino)
{
	if (ino->attrs != ino->few)
		free(ino->attrs);
	ino->attrs = ino->few;
	free(ino->buf);
	free(ino->more);
	ino->buf = ino->more = NULL;
}

static bool same(struct span a, struct span b)
{
	return a.len == b.len && (!a.len || !memcmp(a.p, b.p, a.len));
}

const struct ntfs_attr *ntfs_inode_attr(const struct ntfs_inode *ino, uint32_t type,
					struct span name)
{
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].a.type == type && same(ino->attrs[i].a.name, name))
			return &ino->attrs[i].a;
	return NULL;
}

const struct ntfs_attr *ntfs_inode_find(const struct ntfs_inode *ino, uint32_t type,
					const char *ascii)
{
	for (size_t i = 0; i < ino->n_attrs; i++)
		if (ino->attrs[i].a.type == type && ntfs_name_is(ino->attrs[i].a.name, ascii))
			return &ino->attrs[i].a;
	return NULL;
}

/* ---- a stream ---- */

static int by_vcn(const void *a, const void *b)
{
	uint64_t x = (*(const struct ntfs_inode_attr *const *)a)->a.lowest_vcn;
	uint64_t y = (*(const struct ntfs_inode_attr *const *)b)->a.lowest_vcn;

	return x < y ? -1 : x > y;
}

/*
 * Where a resident value lies in the volume. The last two bytes of each block were moved to the
 * update sequence array, and have to be fetched from there.
 */
static int resident_runs(struct ntfs *n, const struct ntfs_inode_attr *ia, struct ntfs_stream *s)
{
	const struct ntfs_attr *a = &ia->a;
	const struct ntfs_record_header *h = (const void *)(a->value.p - a->value.addr);
	uint32_t usa = le16(h->usa_off);
	int r = 0;

	for (uint64_t i = 0, len; i < a->value.len && !r; i += len) {
		uint32_t at = (uint32_t)(a->value.addr + i), in = at % NTFS_BLOCK;
		struct fs_run run = {.off = i, .kind = EXTENT_DATA};

		len = in < NTFS_BLOCK - 2 ? NTFS_BLOCK - 2 - in : NTFS_BLOCK - in;
		if (len > a->value.len - i)
			len = a->value.len - i;
		if (in >= NTFS_BLOCK - 2)
			at = usa + 2 * (at / NTFS_BLOCK + 1) + (in - (NTFS_BLOCK - 2));
		run.len = len;
		run.at = ntfs_record_at(n, ia->record, at);
		if (run.at == UINT64_MAX) {
			run.kind = EXTENT_LOST;
			run.why = NTFS_RECORD_LOST;
		}
		r = fs_runs_add(&s->runs, &run);
	}
	s->resident = true;
	s->value = a->value;
	s->stored = s->size = s->initialized = s->allocated = a->value.len;
	return r;
}

/* What no record tells: [@vcn, @to) of the stream. */
static int lose(const struct ntfs *n, struct ntfs_stream *s, uint64_t vcn, uint64_t to)
{
	struct fs_run run = {.kind = EXTENT_LOST, .why = NTFS_RUNS};
	int r;

	if (vcn >= to || to > (uint64_t)INT64_MAX / n->g.cluster)
		return 0;
	run.off = vcn * n->g.cluster;
	run.len = (to - vcn) * n->g.cluster;
	s->partial = true;
	r = fs_runs_add(&s->runs, &run);
	return r == -EINVAL ? 0 : r;
}

static int add_piece(const struct ntfs *n, const struct ntfs_attr *a, uint64_t *vcn,
		     uint64_t *clusters, struct ntfs_stream *s)
{
	uint64_t first = a->lowest_vcn;
	int r;

	if (first < *vcn) { /* two records tell the same clusters */
		s->doubtful = true;
		return 0;
	}
	r = lose(n, s, *vcn, first);
	*vcn = first;
	if (!r)
		r = ntfs_pairs_decode(&n->g, a->value, first, &s->runs, vcn, clusters);
	s->doubtful |= a->doubtful;
	if (r == -EBADMSG) {
		s->partial = true;
		r = 0;
	}
	/* The runs must reach as far as the attribute says. */
	if (!r && a->highest_vcn < (uint64_t)INT64_MAX / n->g.cluster &&
	    *vcn < a->highest_vcn + 1) {
		r = lose(n, s, *vcn, a->highest_vcn + 1);
		*vcn = a->highest_vcn + 1;
	}
	return r;
}

int ntfs_stream_get(struct layer *l, const struct ntfs_inode *ino, uint32_t type, struct span name,
		    struct ntfs_stream *s)
{
	struct ntfs *n = l->priv;
	const struct ntfs_inode_attr **piece = malloc((ino->n_attrs + 1) * sizeof(*piece));
	uint64_t vcn = 0, clusters = 0;
	size_t count = 0;
	int r = piece ? 0 : -ENOMEM;

	*s = (struct ntfs_stream){0};
	for (size_t i = 0; i < ino->n_attrs && !r; i++)
		if (ino->attrs[i].a.type == type && same(ino->attrs[i].a.name, name))
			piece[count++] = &ino->attrs[i];
	if (!r && !count)
		r = -ENOENT;
	if (!r && piece[0]->a.resident) {
		s->flags = piece[0]->a.flags;
		s->doubtful = piece[0]->a.doubtful;
		r = resident_runs(n, piece[0], s);
	} else if (!r) {
		qsort(piece, count, sizeof(*piece), by_vcn);
		for (size_t i = 0; i < count && !r; i++) {
			const struct ntfs_attr *a = &piece[i]->a;

			if (a->resident)
				continue;
			if (!a->lowest_vcn && !i) {
				s->size = a->size;
				s->initialized =
					a->initialized < a->size ? a->initialized : a->size;
				s->allocated = a->allocated;
				s->flags = a->flags;
				s->unit = a->unit;
			}
			r = add_piece(n, a, &vcn, &clusters, s);
		}
		if (s->size > INT64_MAX)
			s->size = s->initialized = vcn * n->g.cluster;
		/* The first piece is lost: the size is not known, but what the others tell is there. */
		if (!r && piece[0]->a.lowest_vcn) {
			s->size = s->initialized = vcn * n->g.cluster;
			if (ino->index_size && type == NTFS_DATA && !name.len)
				s->size = s->initialized = ino->index_size;
		}
		if (!r && (uint64_t)vcn * n->g.cluster < s->size)
			r = lose(n, s, vcn, (s->size + n->g.cluster - 1) / n->g.cluster);
		s->stored = clusters * n->g.cluster;
	}
	free(piece);
	return r;
}
