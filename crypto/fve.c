/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/fve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"

enum { SEARCH_STEP = 512 };

static const uint8_t signature[8] = {'-', 'F', 'V', 'E', '-', 'F', 'S', '-'};
/* GUIDs that Windows' driver looks for in the volume header, as they lie on disk */
static const uint8_t info_guid[16] = {0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
				      0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01};
static const uint8_t eow_guid[16] = {0x3b, 0x4d, 0xa8, 0x92, 0x80, 0xdd, 0x0e, 0x4d,
				     0x9e, 0x4e, 0xb1, 0xe3, 0x28, 0x4e, 0xae, 0xd8};

const char *fve_verdict_text(enum fve_verdict v)
{
	static const char *const text[] = {
		[FVE_GOOD] = "good",
		[FVE_UNREADABLE] = "unreadable",
		[FVE_NO_SIGNATURE] = "no signature",
		[FVE_TORN] = "sizes that can't be",
		[FVE_BAD_CRC] = "wrong CRC",
		[FVE_MISPLACED] = "in the wrong place",
		[FVE_BAD_HASH] = "wrong SHA-256",
	};

	return text[v];
}

const struct fve_header *fve_copy_header(const struct fve_copy *c)
{
	return (const struct fve_header *)c->bytes;
}

const struct fve_dataset *fve_copy_dataset(const struct fve_copy *c)
{
	return (const struct fve_dataset *)(c->bytes + sizeof(struct fve_header));
}

bool fve_datum_next(struct span *rest, struct fve_datum *d)
{
	const le16_t *h = span_at(*rest, 0, 8);
	uint16_t size = h ? le16(h[0]) : 0;

	if (size < 8 || size > rest->len)
		return false;
	d->role = le16(h[1]);
	d->type = le16(h[2]);
	d->body = (struct span){rest->p + 8, size - 8u, rest->addr + 8};
	*rest = span_from(*rest, size);
	return true;
}

bool fve_datum_find(struct span datums, int role, int type, struct fve_datum *d)
{
	while (fve_datum_next(&datums, d))
		if (d->type == type && (role < 0 || d->role == role))
			return true;
	return false;
}

struct span fve_dataset_datums(struct span s)
{
	const struct fve_dataset *h = span_at(s, 0, sizeof(*h));
	uint32_t start = h ? le32(h->start) : 0, end = h ? le32(h->end) : 0;

	if (h && le32(h->size) < end)
		end = le32(h->size);
	if (!h || start < sizeof(*h) || end < start || !span_at(s, 0, end))
		return (struct span){.addr = s.addr};
	return (struct span){s.p + start, end - start, s.addr + start};
}

/* Judge c->bytes, which were read from c->off. */
static void judge(struct fve_copy *c)
{
	const struct fve_header *h = fve_copy_header(c);
	struct span s = {c->bytes, FVE_BLOCK, c->off};
	const struct fve_validation *v;
	bool home = false;

	if (memcmp(h->signature, signature, sizeof(signature))) {
		c->verdict = FVE_NO_SIGNATURE;
		return;
	}
	c->size = (size_t)le16(h->size) * (le16(h->version) >= 2 ? 16 : 1);
	c->datums = fve_dataset_datums(span_from(s, sizeof(*h)));
	c->usable = c->datums.len > 0;
	v = span_at(s, c->size, sizeof(*v));
	if (!v || c->size < sizeof(*h) + sizeof(struct fve_dataset)) {
		c->verdict = FVE_TORN;
		return;
	}
	c->stored_crc = le32(v->crc32);
	c->crc = sum_crc32(0, c->bytes, c->size);
	for (int i = 0; i < FVE_COPIES; i++)
		home |= le64(h->copy[i]) == c->off;
	c->verdict = c->crc != c->stored_crc ? FVE_BAD_CRC : home ? FVE_GOOD : FVE_MISPLACED;
}

int fve_copy_read(struct layer *below, uint64_t off, struct fve_copy *c)
{
	struct ranges bad = {0};
	int r;

	*c = (struct fve_copy){.off = off};
	c->bytes = calloc(1, FVE_BLOCK);
	if (!c->bytes)
		return -ENOMEM;
	r = layer_read(below, off, c->bytes, FVE_BLOCK, &bad);
	ranges_sort(&bad);
	/* What can't be read is zeroed: the CRC tells whether that matters. */
	if (bad.n && bad.v[0].off <= off)
		c->verdict = FVE_UNREADABLE;
	else
		judge(c);
	ranges_free(&bad);
	return r;
}

void fve_copy_free(struct fve_copy *c)
{
	free(c->bytes);
	*c = (struct fve_copy){0};
}

static const uint8_t *find_guid(const uint8_t *sector, const uint8_t guid[16], size_t need)
{
	const uint8_t *p = memmem(sector, 512, guid, 16);

	return p && (size_t)(sector + 512 - p) >= need ? p : NULL;
}

void fve_boot_parse(const uint8_t sector[512], struct fve_boot *b)
{
	uint32_t size = (uint32_t)sector[12] << 8 | sector[11];
	const uint8_t *eow = find_guid(sector, eow_guid, 16 + 5 * 8);
	const uint8_t *guid = eow ? eow : find_guid(sector, info_guid, 16 + 3 * 8);
	le64_t v;

	*b = (struct fve_boot){0};
	if (size == 512 || size == 4096)
		b->sector = size;
	b->cluster = b->sector * sector[13];
	b->oem = !memcmp(sector + 3, signature, 8) || !memcmp(sector + 3, "MSWIN4.1", 8);
	b->to_go = !memcmp(sector + 3, "MSWIN4.1", 8);
	b->eow = eow != NULL;
	if (guid) {
		for (int i = 0; i < FVE_COPIES; i++) {
			memcpy(&v, guid + 16 + 8 * i, 8);
			b->copy[i] = le64(v);
		}
		for (int i = 0; eow && i < FVE_EOW_COPIES; i++) {
			memcpy(&v, guid + 40 + 8 * i, 8);
			b->eow_off[i] = le64(v);
		}
		b->found = true;
	} else if (!memcmp(sector + 3, signature, 8)) {
		/* Vista: the field where NTFS keeps the cluster of $MFTMirr */
		memcpy(&v, sector + 0x38, 8);
		b->vista = b->found =
			b->cluster && !__builtin_mul_overflow(le64(v), b->cluster, &b->copy[0]);
	}
}

/*
 * A block says where it lies: a signature that does not is one of another volume, or chance.
 * Which of the copies it is, or -1.
 */
static int block_slot(uint64_t off, const struct fve_header *h)
{
	for (int i = 0; off && i < FVE_COPIES; i++)
		if (le64(h->copy[i]) == off)
			return i;
	return -1;
}

/* The first block in @len bytes at @at; 1 and *off, or 0. */
static int search_piece(const uint8_t *buf, size_t len, uint64_t at, uint64_t *off, int *slot)
{
	for (size_t i = 0; i + sizeof(struct fve_header) <= len; i += SEARCH_STEP) {
		const struct fve_header *h = (const struct fve_header *)(buf + i);

		if (memcmp(h->signature, signature, sizeof(signature)))
			continue;
		*slot = block_slot(at + i, h);
		if (*slot >= 0) {
			*off = at + i;
			return 1;
		}
	}
	return 0;
}

int fve_search(struct layer *below, uint64_t from, uint64_t limit, uint64_t *off, int *slot)
{
	enum { PIECE = 1 << 20 };
	uint8_t *buf = malloc(PIECE);
	uint64_t at = from & ~(uint64_t)(SEARCH_STEP - 1);
	int r = buf ? 0 : -ENOMEM;

	if (limit > below->size)
		limit = below->size;
	while (!r && at < limit) {
		struct extent run;
		size_t n = limit - at < PIECE ? (size_t)(limit - at) : PIECE;

		if (session_stopped(below->s))
			r = -EINTR;
		if (!r)
			r = layer_resolve(below, at, &run);
		if (r)
			break;
		if (run.kind != EXTENT_DATA) {
			/* A block can't start in a hole; the step that the hole ends in may. */
			uint64_t end = (run.off + run.len) & ~(uint64_t)(SEARCH_STEP - 1);

			at = end > at ? end : at + SEARCH_STEP;
			continue;
		}
		session_progress(below->s, "searching for BitLocker metadata", at, limit);
		r = layer_read(below, at, buf, n, NULL);
		if (!r)
			r = search_piece(buf, n, at, off, slot);
		at += n;
	}
	free(buf);
	return r;
}
