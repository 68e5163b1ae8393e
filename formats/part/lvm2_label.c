/* SPDX-License-Identifier: Apache-2.0 */
/* LVM2: a physical volume's label, and the rings of metadata in its areas. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/lvm2.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum { LABEL_SECTORS = 4, AREA_HEADER = 512 };
#define CRC_START 0xf597a6cfu

struct label_header {
	char magic[8]; /* "LABELONE" */
	le64_t sector; /* its own number */
	le32_t sum;    /* of what follows, to the end of the sector */
	le32_t offset; /* of the physical volume's header in the sector */
	char type[8];  /* "LVM2 001" */
};

/* Places on the volume; a list ends with one of zeros. Data areas, then metadata areas. */
struct location {
	le64_t offset, size;
};

struct pv_header {
	char id[LVM_ID];
	le64_t size;
};

struct area_header {
	le32_t sum;	/* of what follows, to byte 512 */
	char magic[16]; /* " LVM2 x[5A%r0N*>" */
	le32_t version; /* 1 */
	le64_t start, size;
	le64_t text, text_size; /* the newest metadata, from @start on; 0: there is none */
	le32_t text_sum, flags;
};

uint32_t lvm_crc(const void *p, size_t len)
{
	return sum_crc32_raw(CRC_START, p, len);
}

static bool get(struct layer *below, uint64_t at, void *buf, size_t len)
{
	struct ranges bad = {0};
	bool ok = !layer_read(below, at, buf, len, &bad) && !bad.n;

	ranges_free(&bad);
	return ok;
}

static void read_area(struct layer *below, const struct location *where, struct lvm_area *a)
{
	uint8_t raw[AREA_HEADER];
	struct area_header h;

	*a = (struct lvm_area){.at = le64(where->offset), .len = le64(where->size)};
	if (a->len < 2 * AREA_HEADER || !range_inside(a->at, a->len, below->size) ||
	    !get(below, a->at, raw, sizeof(raw)))
		return;
	memcpy(&h, raw, sizeof(h));
	a->header_ok = !memcmp(h.magic, " LVM2 x[5A%r0N*>", 16) && le64(h.start) == a->at &&
		       le32(h.sum) == lvm_crc(raw + 4, sizeof(raw) - 4);
	a->text = le64(h.text);
	a->size = le64(h.text_size);
	a->sum = le32(h.text_sum);
	if (!a->header_ok || a->text < AREA_HEADER || a->text >= a->len ||
	    a->size > a->len - AREA_HEADER || a->size > LVM_TEXT_MAX)
		a->size = 0;
}

static bool parse_label(struct layer *below, const uint8_t *raw, struct lvm_label *label)
{
	struct span s = {raw, LVM_SECTOR, 0};
	struct label_header h;
	const struct pv_header *pv;
	const struct location *where;
	uint64_t off;

	memcpy(&h, raw, sizeof(h));
	off = le32(h.offset);
	pv = span_at(s, off, sizeof(*pv));
	if (memcmp(h.magic, "LABELONE", 8) || memcmp(h.type, "LVM2 001", 8) || !pv)
		return false;
	label->sum_ok = le32(h.sum) == lvm_crc(raw + 20, LVM_SECTOR - 20);
	memcpy(label->id, pv->id, LVM_ID);
	label->id[LVM_ID] = '\0';
	label->size = le64(pv->size);
	off += sizeof(*pv);
	for (unsigned list = 0; list < 2; off += sizeof(*where)) {
		where = span_at(s, off, sizeof(*where));
		if (!where)
			break;
		if (!le64(where->offset))
			list++;
		else if (!list)
			label->data = label->data ? label->data : le64(where->offset);
		else if (label->n_areas < 2)
			read_area(below, where, &label->area[label->n_areas++]);
	}
	return true;
}

bool lvm_label_read(struct layer *below, struct lvm_label *label)
{
	uint8_t raw[LVM_SECTOR];

	for (unsigned i = 0; i < LABEL_SECTORS; i++) {
		*label = (struct lvm_label){.at = (uint64_t)i * LVM_SECTOR};
		if (get(below, label->at, raw, sizeof(raw)) && parse_label(below, raw, label))
			return true;
	}
	return false;
}

/* All of the ring, unrolled from @from on; text of @len bytes may wrap once. */
static char *ring(struct layer *below, const struct lvm_area *a, uint64_t from, size_t len)
{
	char *buf = malloc(len + 1);
	uint64_t first = a->len - from < len ? a->len - from : len;

	if (!buf)
		return NULL;
	/* What can't be read is zeros, and ends the text there. */
	layer_read(below, a->at + from, buf, (size_t)first, NULL);
	if (first < len)
		layer_read(below, a->at + AREA_HEADER, buf + first, len - (size_t)first, NULL);
	buf[len] = '\0';
	return buf;
}

static uint64_t seqno_of(const struct lvm_text *t)
{
	const struct lvm_node *n = lvm_child(t, &t->node[0]);

	while (n && n->kind != LVM_SECTION)
		n = lvm_next(t, n);
	return n && lvm_get(t, n, "physical_volumes") ? lvm_number(t, n, "seqno", 0) : 0;
}

/* Take @text if it is newer than @best. */
static int consider(const char *text, size_t len, struct lvm_text *best, uint64_t *seqno)
{
	struct lvm_text t;
	int r = lvm_text_parse(text, strnlen(text, len), &t);

	if (r)
		return r == -EBADMSG ? 0 : r;
	if (seqno_of(&t) <= *seqno) {
		lvm_text_free(&t);
		return 0;
	}
	*seqno = seqno_of(&t);
	lvm_text_free(best);
	*best = t;
	return 0;
}

/* "NAME {\nid = \"": how each text begins, at a multiple of a sector. */
static bool begins(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && n < 128 && p[n] > ' ' && p[n] != '{' && p[n] != '"')
		n++;
	return n && len - n > 8 && !memcmp(p + n, " {\nid = ", 8);
}

/* The ring keeps older texts until they are overwritten. Without a checksum, but whole. */
static int search_ring(struct layer *below, const struct lvm_area *a, struct lvm_text *best,
		       uint64_t *seqno)
{
	size_t len =
		a->len < LVM_TEXT_MAX ? (size_t)a->len - AREA_HEADER : LVM_TEXT_MAX - AREA_HEADER;
	char *buf = ring(below, a, AREA_HEADER, len);
	unsigned tries = 4096;
	int r = buf ? 0 : -ENOMEM;

	for (size_t off = 0; off < len && !r && tries; off += LVM_SECTOR)
		if (begins(buf + off, len - off)) {
			tries--;
			r = consider(buf + off, len - off, best, seqno);
		}
	free(buf);
	return r;
}

static int read_newest(struct layer *below, struct lvm_area *a, struct lvm_text *best,
		       uint64_t *seqno)
{
	char *buf = a->size ? ring(below, a, a->text, (size_t)a->size) : NULL;
	int r = 0;

	if (a->size && !buf)
		return -ENOMEM;
	a->text_ok = buf && lvm_crc(buf, (size_t)a->size) == a->sum;
	if (a->text_ok)
		r = consider(buf, (size_t)a->size, best, seqno);
	free(buf);
	return r;
}

static void report_areas(struct layer *l, const struct lvm_label *label, uint64_t seqno, bool old)
{
	for (unsigned i = 0; i < label->n_areas; i++) {
		const struct lvm_area *a = &label->area[i];

		if (!a->header_ok)
			finding(l, LVM2_AREA_BAD, a->at, AREA_HEADER,
				"the header of metadata area %u is lost or does not have its checksum",
				i + 1);
		else if (a->size && !a->text_ok)
			finding(l, LVM2_METADATA_TORN, a->at + a->text, a->size,
				"the newest metadata in area %u does not have its checksum", i + 1);
	}
	if (old)
		finding(l, LVM2_METADATA_OLD, label->area[0].at, label->area[0].len,
			"older metadata from the ring is used, number %" PRIu64
			": what was changed after it is not known",
			seqno);
}

int lvm_metadata_read(struct layer *l, const struct lvm_label *given, struct lvm_text *t)
{
	struct lvm_label label = *given;
	uint64_t seqno = 0;
	bool old = false;
	int r = 0;

	*t = (struct lvm_text){0};
	for (unsigned i = 0; i < label.n_areas && !r; i++)
		r = read_newest(l->below, &label.area[i], t, &seqno);
	if (!r && !t->buf) {
		for (unsigned i = 0; i < label.n_areas && !r; i++)
			if (range_inside(label.area[i].at, label.area[i].len, l->below->size) &&
			    label.area[i].len >= 2 * AREA_HEADER)
				r = search_ring(l->below, &label.area[i], t, &seqno);
		old = t->buf != NULL;
	}
	report_areas(l, &label, seqno, old);
	return r ? r : t->buf ? 0 : -EBADMSG;
}
