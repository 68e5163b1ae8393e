/* SPDX-License-Identifier: Apache-2.0 */
/* The two binary headers of LUKS2 with their JSON areas: the better one is used. Nothing is written. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

enum { BINARY = LUKS2_BINARY, HEADER_MIN = LUKS2_HEADER_MIN, HEADER_MAX = 4 << 20 };

/* LUKS2 2.1 */
struct luks2_header {
	uint8_t magic[6]; /* "LUKS\xba\xbe", of the secondary one "SKUL\xba\xbe" */
	be16_t version;
	be64_t size; /* 0x08 with the JSON area */
	be64_t seqid;
	char label[48]; /* 0x18 */
	char sum_alg[32];
	uint8_t salt[64];
	char uuid[40]; /* 0xa8 */
	char subsystem[48];
	be64_t off; /* 0x100 where this header lies */
	uint8_t reserved[184];
	uint8_t sum[64]; /* 0x1c0 of header and JSON area, this field zero */
	uint8_t reserved2[7 * 512];
};
_Static_assert(sizeof(struct luks2_header) == BINARY, "LUKS2 2.1");

/* Where a secondary header may lie: behind a primary one of each legal size. */
static const uint64_t second_at[] = {0x4000,  0x8000,	0x10000,  0x20000, 0x40000,
				     0x80000, 0x100000, 0x200000, 0x400000};

static bool is_magic(const struct luks2_header *h, int second)
{
	return !memcmp(h->magic, second ? "SKUL\xba\xbe" : "LUKS\xba\xbe", 6) &&
	       be16(h->version) == 2;
}

int luks2_find(struct layer *below, uint64_t *off)
{
	struct luks2_header h;

	for (size_t i = 0; i < sizeof(second_at) / sizeof(*second_at); i++) {
		if (layer_read(below, second_at[i], &h, sizeof(h), NULL))
			return 0;
		if (is_magic(&h, 1) && be64(h.off) == second_at[i]) {
			*off = second_at[i];
			return 1;
		}
	}
	return 0;
}

static bool sum_fits(uint8_t *buf, size_t len)
{
	struct luks2_header *h = (struct luks2_header *)buf;
	char name[sizeof(h->sum_alg) + 1] = {0};
	uint8_t stored[64], out[PRIM_HASH_MAX];
	int hash;

	memcpy(name, h->sum_alg, sizeof(h->sum_alg));
	hash = prim_hash_find(name);
	if (hash < 0)
		return false;
	memcpy(stored, h->sum, sizeof(stored));
	memset(h->sum, 0, sizeof(h->sum));
	prim_hash((enum prim_hash)hash, buf, len, out);
	memcpy(h->sum, stored, sizeof(stored));
	return !memcmp(out, stored, prim_hash_len((enum prim_hash)hash));
}

static int copy_read(struct luks *u, uint64_t off, int second, struct luks2_copy *c)
{
	struct luks2_header h;
	char *json;
	int r = layer_read(u->meta, off, &h, sizeof(h), NULL);

	*c = (struct luks2_copy){.off = off, .verdict = LUKS2_ABSENT};
	if (r || !is_magic(&h, second))
		return r;
	c->size = be64(h.size);
	c->seqid = be64(h.seqid);
	if (c->size < HEADER_MIN || c->size > HEADER_MAX || c->size % 4096) {
		c->verdict = LUKS2_BAD_SUM;
		c->size = BINARY;
		return 0;
	}
	c->text = calloc(1, c->size + 1);
	if (!c->text)
		return -ENOMEM;
	r = layer_read(u->meta, off, c->text, c->size, NULL);
	if (r)
		return r;
	json = c->text + BINARY;
	c->json = js_parse(json, strlen(json));
	c->verdict = !sum_fits((uint8_t *)c->text, c->size) ? LUKS2_BAD_SUM
		     : be64(h.off) != off		    ? LUKS2_MISPLACED
		     : !c->json				    ? LUKS2_BAD_JSON
							    : LUKS2_GOOD;
	return 0;
}

static int copies_read(struct luks *u)
{
	uint64_t second = 0;
	int r = copy_read(u, 0, 0, &u->copy[0]);

	if (r)
		return r;
	if (u->copy[0].verdict == LUKS2_GOOD || u->copy[0].verdict == LUKS2_BAD_JSON)
		second = u->copy[0].size;
	else
		luks2_find(u->meta, &second);
	if (second)
		r = copy_read(u, second, 1, &u->copy[1]);
	else
		u->copy[1].verdict = LUKS2_ABSENT;
	return r;
}

/* Index of the copy to use: good and the newer one; else one whose JSON parses; else -1. */
static int copy_choose(const struct luks *u)
{
	const struct luks2_copy *a = &u->copy[0], *b = &u->copy[1];

	if (a->verdict == LUKS2_GOOD && b->verdict == LUKS2_GOOD)
		return b->seqid > a->seqid;
	if (a->verdict == LUKS2_GOOD || b->verdict == LUKS2_GOOD)
		return b->verdict == LUKS2_GOOD;
	return a->json ? 0 : b->json ? 1 : -1;
}

static void copies_report(struct layer *l)
{
	static const char *const text[] = {
		[LUKS2_GOOD] = "good",
		[LUKS2_ABSENT] = "not there",
		[LUKS2_BAD_SUM] = "its checksum does not fit",
		[LUKS2_BAD_JSON] = "its JSON area does not parse",
		[LUKS2_MISPLACED] = "it says that it lies elsewhere",
	};
	struct luks *u = l->priv;
	const struct luks2_copy *a = &u->copy[0], *b = &u->copy[1];

	for (int i = 0; i < 2; i++) {
		const struct luks2_copy *c = &u->copy[i];
		struct fact f = {.in = u->meta, .at = c->off, .at_len = c->size ? c->size : BINARY};

		if (c->verdict == LUKS2_GOOD)
			continue;
		finding_fact(l,
			     i == u->used || u->used < 0 ? LUKS2_HEADER_USED_BAD : LUKS2_HEADER_BAD,
			     &f, "%s header at 0x%" PRIx64 ": %s%s", i ? "secondary" : "primary",
			     c->off, text[c->verdict],
			     i == u->used ? "; used all the same, for the other one is worse" : "");
	}
	if (a->verdict == LUKS2_GOOD && b->verdict == LUKS2_GOOD && a->seqid != b->seqid)
		finding_fact(l, LUKS2_HEADER_STALE,
			     &(struct fact){.in = u->meta,
					    .at = u->copy[!u->used].off + 16,
					    .at_len = 8,
					    .stored = strf("sequence id %" PRIu64,
							   u->copy[!u->used].seqid),
					    .expected = strf("%" PRIu64, u->copy[u->used].seqid)},
			     "the %s header is older than the other one: an update was cut short",
			     u->used ? "primary" : "secondary");
}

int luks2_copies_open(struct layer *l)
{
	struct luks *u = l->priv;
	const struct luks2_header *h;
	int r = copies_read(u);

	if (r)
		return r;
	u->used = copy_choose(u);
	copies_report(l);
	if (u->used < 0)
		return -EBADMSG;
	h = (const struct luks2_header *)u->copy[u->used].text;
	memcpy(u->uuid, h->uuid, sizeof(h->uuid));
	memcpy(u->label, h->label, sizeof(h->label));
	memcpy(u->subsystem, h->subsystem, sizeof(h->subsystem));
	return 0;
}
