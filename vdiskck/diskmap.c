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
	ranges_free(&m->bad);
	*m = (struct diskmap){0};
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

/* m->bad := the same without overlaps; lost wins over doubtful. */
static int normalise(struct diskmap *m, struct ranges *sorted)
{
	const struct ranges none = {0};
	struct ranges lost = {0};
	int err = flatten(m, sorted, GRADE_LOST, &none, &lost);

	if (!err)
		err = ranges_append(&m->bad, &lost);
	if (!err)
		err = flatten(m, sorted, GRADE_DOUBTFUL, &lost, &m->bad);
	ranges_sort(&m->bad);
	ranges_free(&lost);
	return err;
}

/*
 * What is bad was counted as data or zero before if map() knew no better, or not at all: take it
 * from what was not counted, then from the data. Only where a cell holds bad bytes of both sorts
 * and zeros that are no zeros can data and zero be off, and never their sum.
 */
static void repaint(struct cell *c, uint64_t cell_len, uint64_t n, enum cell_kind kind)
{
	uint64_t known = 0;

	for (int k = 0; k < CELL_KINDS; k++)
		known += c->bytes[k];
	c->bytes[kind] += n;
	n -= n < cell_len - known ? n : cell_len - known;
	for (int k = CELL_DATA; k >= CELL_ZERO; k--) {
		uint64_t take = n < c->bytes[k] ? n : c->bytes[k];

		c->bytes[k] -= take;
		n -= take;
	}
}

int diskmap_bad(struct diskmap *m, const struct ranges *bad)
{
	struct ranges sorted = {0};
	int r = ranges_append(&sorted, bad);

	ranges_sort(&sorted);
	if (!r)
		r = normalise(m, &sorted);
	for (size_t i = 0; i < m->bad.n && !r; i++) {
		uint64_t off = m->bad.v[i].off, len = m->bad.v[i].len;

		while (len) {
			uint64_t start = off - off % m->cell_len, n = start + m->cell_len - off;
			uint64_t cell_len = m->size - start;

			if (n > len)
				n = len;
			repaint(&m->cells[off / m->cell_len],
				cell_len < m->cell_len ? cell_len : m->cell_len, n,
				m->bad.v[i].grade == GRADE_LOST ? CELL_LOST : CELL_DOUBTFUL);
			off += n;
			len -= n;
		}
	}
	ranges_free(&sorted);
	return r;
}

void diskmap_run(struct diskmap *m, uint64_t off, uint64_t len, enum cell_kind kind)
{
	if (!clip(m, off, &len))
		return;
	while (len) {
		uint64_t room = m->cell_len - off % m->cell_len;
		uint64_t n = len < room ? len : room;

		m->cells[off / m->cell_len].bytes[kind] += n;
		off += n;
		len -= n;
	}
}

/* What map() says of [off, end) of @l. Lost runs are left to diskmap_bad(). */
static int add_mapped(struct diskmap *m, struct layer *l, uint64_t off, uint64_t end, bool stop)
{
	while (off < end) {
		struct extent run;
		uint64_t next;
		int r;

		if (stop && session_stopped(l->s))
			return -EINTR;
		/* What is stored may be zero by the format in a parent: follow it down. */
		r = layer_resolve(l, off, &run);
		if (r)
			return r;
		next = run.off + run.len;
		next = next <= off ? off + 1 : next > end ? end : next;
		if (run.kind != EXTENT_LOST)
			diskmap_run(m, off, next - off,
				    run.kind == EXTENT_DATA ? CELL_DATA : CELL_ZERO);
		off = next;
	}
	return 0;
}

int diskmap_piece(struct diskmap *m, struct layer *l, const struct piece *p)
{
	/* A piece of data may hold zeros that the engine read along with it. */
	if (p->kind == EXTENT_DATA)
		return add_mapped(m, l, p->off, p->off + p->len, false);
	if (p->kind == EXTENT_ZERO)
		diskmap_run(m, p->off, p->len, CELL_ZERO);
	return 0;
}

int diskmap_scan(struct diskmap *m, struct layer *l)
{
	return add_mapped(m, l, 0, l->size, true);
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

/* The colour is set where it changes, not for each mark; returns the one that is set now. */
static const char *put_mark(FILE *f, const struct cell *c, bool unicode, const char *set)
{
	static const char *const sgr[CELL_KINDS] = {"2", "", "36", "1;33", "1;31"};
	enum cell_kind k = cell_shown(c);

	if (set && strcmp(set, sgr[k])) {
		fprintf(f, "\033[0%s%sm", *sgr[k] ? ";" : "", sgr[k]);
		set = sgr[k];
	}
	fputs(mark(k, cell_share(c), unicode), f);
	return set;
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
	const char *set = colour ? "" : NULL;

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
		set = put_mark(f, &c, unicode, set);
		if (i % width == width - 1 || i == parts - 1) {
			if (set && *set)
				fputs("\033[0m", f);
			set = colour ? "" : NULL;
			fputc('\n', f);
		}
	}
	put_legend(f, m, unicode);
}
