/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/diskmap.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { SECTOR = 512 };

int diskmap_init(struct diskmap *m, uint64_t size)
{
	uint64_t sectors = size / SECTOR + (size % SECTOR != 0);
	uint64_t per_cell = sectors / DISKMAP_CELLS + (sectors % DISKMAP_CELLS != 0);

	*m = (struct diskmap){.size = size, .cell_len = per_cell * SECTOR};
	if (!size)
		return 0;
	m->n = (size_t)((sectors + per_cell - 1) / per_cell);
	m->cells = calloc(m->n, sizeof(*m->cells));
	return m->cells ? 0 : -ENOMEM;
}

void diskmap_free(struct diskmap *m)
{
	free(m->cells);
	ranges_free(&m->over);
	ranges_free(&m->bad);
	*m = (struct diskmap){0};
}

/* Count [off, off + len), which lies inside the disk. Linear in the cells that it touches. */
static void paint(struct diskmap *m, uint64_t off, uint64_t len, enum cell_kind kind)
{
	while (len) {
		uint64_t i = off / m->cell_len;
		uint64_t room = m->cell_len - off % m->cell_len;
		uint64_t n = len < room ? len : room;

		m->cells[i].bytes[kind] += n;
		off += n;
		len -= n;
	}
}

static bool clip(const struct diskmap *m, uint64_t off, uint64_t *len)
{
	if (off >= m->size)
		return false;
	if (*len > m->size - off)
		*len = m->size - off;
	return *len != 0;
}

/*
 * The next stretch of [*off, end) outside @holes (sorted, no overlaps): moves *off to its start
 * and returns its length, 0 at the end. *i is ranges_find(holes, *off) at first.
 */
static uint64_t gap_next(const struct ranges *holes, size_t *i, uint64_t *off, uint64_t end)
{
	for (; *off < end && *i < holes->n && holes->v[*i].off < end; ++*i) {
		const struct range *h = &holes->v[*i];

		if (h->off > *off)
			return h->off - *off;
		if (h->off + h->len > *off)
			*off = h->off + h->len;
	}
	return *off < end ? end - *off : 0;
}

/* Append the parts of @r that lie outside @holes and behind @from. */
static int add_outside(struct ranges *to, const struct range *r, uint64_t from,
		       const struct ranges *holes)
{
	uint64_t off = r->off > from ? r->off : from, end = r->off + r->len, n;
	size_t i = ranges_find(holes, off);
	int err = 0;

	for (; !err && (n = gap_next(holes, &i, &off, end)); off += n)
		err = ranges_add(to, off, n, r->grade, r->why);
	return err;
}

/* The ranges of one grade, clipped to the disk, each byte once, outside @holes. @sorted is. */
static int flatten(const struct diskmap *m, const struct ranges *sorted, enum grade grade,
		   const struct ranges *holes, struct ranges *to)
{
	uint64_t seen = 0; /* everything before it was dealt with */
	int err = 0;

	for (size_t i = 0; i < sorted->n && !err; i++) {
		struct range r = sorted->v[i];

		if (r.grade != grade || !clip(m, r.off, &r.len) || r.off + r.len <= seen)
			continue;
		err = add_outside(to, &r, seen, holes);
		seen = r.off + r.len;
	}
	return err;
}

/* Replace @r by the same without overlaps; lost wins over doubtful. */
static int normalise(const struct diskmap *m, struct ranges *r)
{
	struct ranges lost = {0}, all = {0};
	const struct ranges none = {0};
	int err;

	ranges_sort(r);
	err = flatten(m, r, GRADE_LOST, &none, &lost);
	if (!err)
		err = ranges_append(&all, &lost);
	if (!err)
		err = flatten(m, r, GRADE_DOUBTFUL, &lost, &all);
	if (!err) {
		struct ranges old = *r;

		ranges_sort(&all);
		*r = all;
		all = old;
	}
	ranges_free(&lost);
	ranges_free(&all);
	return err;
}

static enum cell_kind kind_of(enum grade g)
{
	return g == GRADE_LOST ? CELL_LOST : CELL_DOUBTFUL;
}

int diskmap_overlay(struct diskmap *m, const struct ranges *bad)
{
	int r = ranges_append(&m->over, bad);

	if (!r)
		r = normalise(m, &m->over);
	for (size_t i = 0; i < m->over.n && !r; i++)
		paint(m, m->over.v[i].off, m->over.v[i].len, kind_of(m->over.v[i].grade));
	return r;
}

void diskmap_run(struct diskmap *m, uint64_t off, uint64_t len, enum cell_kind kind)
{
	uint64_t end, n;
	size_t i = ranges_find(&m->over, off);

	if (!clip(m, off, &len))
		return;
	for (end = off + len; (n = gap_next(&m->over, &i, &off, end)); off += n)
		paint(m, off, n, kind);
}

/* What map() says of [off, end) of @l, outside @bad, which is counted already. */
static int add_mapped(struct diskmap *m, struct layer *l, uint64_t off, uint64_t end,
		      const struct ranges *bad)
{
	int r = 0;

	while (!r && off < end) {
		struct extent run;
		uint64_t stop, n, at = off;
		size_t i = ranges_find(bad, at);

		if (session_stopped(l->s))
			return -EINTR;
		/* What is stored may still be lost in the layers below: follow it down. */
		r = layer_resolve(l, off, &run);
		if (r)
			break;
		stop = run.off + run.len;
		stop = stop <= off ? off + 1 : stop > end ? end : stop;
		for (; (n = gap_next(bad, &i, &at, stop)); at += n) {
			diskmap_run(m, at, n,
				    run.kind == EXTENT_DATA   ? CELL_DATA
				    : run.kind == EXTENT_LOST ? CELL_LOST
							      : CELL_ZERO);
			if (run.kind == EXTENT_LOST && !r)
				r = ranges_add(&m->bad, at, n, GRADE_LOST, run.why);
		}
		off = stop;
	}
	return r;
}

int diskmap_piece(struct diskmap *m, struct layer *l, struct piece *p)
{
	int r = normalise(m, &p->bad);

	if (!r)
		r = ranges_append(&m->bad, &p->bad);
	if (r)
		return r;
	for (size_t i = 0; i < p->bad.n; i++)
		diskmap_run(m, p->bad.v[i].off, p->bad.v[i].len, kind_of(p->bad.v[i].grade));
	/* A piece of data may hold zeros that the engine read along with it. */
	if (p->kind == EXTENT_DATA)
		return add_mapped(m, l, p->off, p->off + p->len, &p->bad);
	if (p->kind == EXTENT_ZERO)
		diskmap_run(m, p->off, p->len, CELL_ZERO);
	return 0;
}

int diskmap_scan(struct diskmap *m, struct layer *l)
{
	return add_mapped(m, l, 0, l->size, &m->over);
}

int diskmap_finish(struct diskmap *m)
{
	int r = ranges_append(&m->bad, &m->over);

	return r ? r : normalise(m, &m->bad);
}

/* First cell of part @i of @parts: n * i / parts, as n < 2^14 and i <= parts <= n. */
static size_t first_cell(const struct diskmap *m, size_t i, size_t parts)
{
	return m->n * i / parts;
}

void diskmap_bounds(const struct diskmap *m, size_t i, size_t parts, uint64_t *off, uint64_t *len)
{
	uint64_t end = m->cell_len * first_cell(m, i + 1, parts);

	*off = m->cell_len * first_cell(m, i, parts);
	*len = (end < m->size ? end : m->size) - *off;
}

struct cell diskmap_part(const struct diskmap *m, size_t i, size_t parts)
{
	struct cell c = {0};
	uint64_t off, len, known = 0;

	for (size_t k = first_cell(m, i, parts); k < first_cell(m, i + 1, parts); k++)
		for (int kind = 0; kind < CELL_KINDS; kind++)
			c.bytes[kind] += m->cells[k].bytes[kind];
	for (int kind = 0; kind < CELL_KINDS; kind++)
		known += c.bytes[kind];
	diskmap_bounds(m, i, parts, &off, &len);
	c.bytes[CELL_UNKNOWN] = known < len ? len - known : 0;
	return c;
}

enum cell_kind cell_shown(const struct cell *c)
{
	int k = CELL_KINDS - 1;

	while (k && !c->bytes[k])
		k--;
	return (enum cell_kind)k;
}

unsigned cell_share(const struct cell *c)
{
	uint64_t all = 0, data = c->bytes[CELL_DATA];

	for (int k = 0; k < CELL_KINDS; k++)
		all += c->bytes[k];
	if (!data)
		return 0;
	/* Quarters by comparison: no product can overflow. */
	return data > all - all / 4 ? 4 : data > all / 2 ? 3 : data > all / 4 ? 2 : 1;
}

const char *cell_name(enum cell_kind k)
{
	static const char *const name[CELL_KINDS] = {"zero", "data", "not examined", "doubtful",
						     "lost"};

	return name[k];
}

/* What a part looks like: the mark, and its colour as an SGR parameter. */
static const char *mark(enum cell_kind k, unsigned share, bool unicode)
{
	static const char *const plain[CELL_KINDS] = {".", "#", "?", "!", "X"};
	static const char *const block[CELL_KINDS] = {"·", "█", "?", "!", "X"};
	static const char *const shade[] = {"·", "░", "▒", "▓", "█"};

	if (k == CELL_DATA)
		return unicode ? shade[share] : share > 2 ? "#" : "+";
	return unicode ? block[k] : plain[k];
}

static void put_mark(FILE *f, const struct cell *c, bool unicode, bool colour)
{
	static const char *const sgr[CELL_KINDS] = {"2", "", "36", "1;33", "1;31"};
	enum cell_kind k = cell_shown(c);
	const char *text = mark(k, cell_share(c), unicode);

	if (colour && *sgr[k])
		fprintf(f, "\033[%sm%s\033[0m", sgr[k], text);
	else
		fputs(text, f);
}

static void put_legend(FILE *f, const struct diskmap *m, bool unicode)
{
	static const char *const plain = "# data (+ less than half)",
				 *const block = "█▓▒░ data, by how full";
	struct cell all = diskmap_part(m, 0, 1);
	char size[SIZE_TEXT];
	const char *sep = "";

	fprintf(f, "%12s", "");
	for (int k = 0; k < CELL_KINDS; k++) {
		if (!all.bytes[k])
			continue;
		if (k == CELL_DATA)
			fprintf(f, "%s%s", sep, unicode ? block : plain);
		else
			fprintf(f, "%s%s %s", sep, mark((enum cell_kind)k, 0, unicode),
				cell_name((enum cell_kind)k));
		fprintf(f, " %s", size_text(all.bytes[k], size));
		sep = "   ";
	}
	fputc('\n', f);
}

void diskmap_print(FILE *f, const struct diskmap *m, unsigned columns, bool unicode, bool colour)
{
	enum { LABEL = 12, ROWS = 8 };
	size_t width = columns < LABEL + 17 ? 16 : columns - LABEL - 1, parts;
	char size[SIZE_TEXT], each[SIZE_TEXT];

	width -= width % 16; /* rows then begin at rounder offsets */
	parts = width * ROWS < m->n ? width * ROWS : m->n;
	if (!parts)
		return;
	fprintf(f, "the disk, %s, in marks of %s:\n", size_text(m->size, size),
		size_text(m->size / parts, each));
	for (size_t i = 0; i < parts; i++) {
		struct cell c = diskmap_part(m, i, parts);
		uint64_t off, len;

		diskmap_bounds(m, i, parts, &off, &len);
		if (i % width == 0)
			fprintf(f, "%*s ", LABEL - 1, size_text(off, size));
		put_mark(f, &c, unicode, colour);
		if (i % width == width - 1 || i == parts - 1)
			fputc('\n', f);
	}
	put_legend(f, m, unicode);
}
