/* SPDX-License-Identifier: Apache-2.0 */
/* md: do copies agree, and parity with data? For --data: every member is read. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/part/md.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { PIECE = 1 << 18 };

struct compare {
	struct layer *l;
	const struct md *a;
	uint8_t *buf[2];
	uint64_t bytes, first; /* that don't match; the first one, in the array */
};

static void differ(struct compare *c, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i += MD_SECTOR) {
		size_t n = len - i < MD_SECTOR ? len - i : MD_SECTOR;

		if (!memcmp(c->buf[0] + i, c->buf[1] + i, n))
			continue;
		if (!c->bytes)
			c->first = off + i;
		c->bytes += n;
	}
}

/* Copy @k of a piece, or what parity makes of it; false: it can't be had, and says nothing. */
static bool get(struct compare *c, uint64_t off, uint32_t k, bool parity, uint8_t *buf, size_t len,
		int *r)
{
	struct md_place p;
	struct ranges bad = {0};
	bool ok;

	md_place(c->a, off, k, &p);
	if (!parity && (p.disk >= c->a->disks || !md_usable(c->a, p.disk, p.at)))
		return false;
	*r = parity ? md_rebuild(c->a, &p, buf, len, off, &bad)
		    : md_read_member(c->a, p.disk, p.at, buf, len, off, &bad);
	ok = !*r && !bad.n;
	ranges_free(&bad);
	return ok;
}

static int compare_at(struct compare *c, uint64_t off, size_t len)
{
	uint32_t first = 0, copies = md_copies(c->a);
	int r = 0;

	if (c->a->parities) {
		if (get(c, off, 0, false, c->buf[0], len, &r) &&
		    get(c, off, 0, true, c->buf[1], len, &r))
			differ(c, off, len);
		return r;
	}
	while (first < copies && !r && !get(c, off, first, false, c->buf[0], len, &r))
		first++;
	for (uint32_t k = first + 1; k < copies && !r; k++)
		if (get(c, off, k, false, c->buf[1], len, &r))
			differ(c, off, len);
	return r;
}

/* Bytes that the longest member really has: a superblock may state any number. */
static uint64_t longest(const struct md *a)
{
	uint64_t len = 0;

	for (uint32_t i = 0; i < a->disks; i++)
		if (a->member[i].on && a->member[i].on->size > len)
			len = a->member[i].on->size;
	return len;
}

int md_check_data(struct layer *l)
{
	struct md *a = l->priv;
	uint64_t end = longest(a);
	struct compare c = {.l = l, .a = a, .buf = {malloc(PIECE), malloc(PIECE)}};
	char size[SIZE_TEXT];
	int r = c.buf[0] && c.buf[1] ? 0 : -ENOMEM;

	/* All parity members or copies that are there; a degraded one has nothing to compare with. */
	for (uint64_t off = 0; off < a->size && !r && (a->parities || md_copies(a) > 1);) {
		struct md_place p;
		uint64_t n = a->size - off;

		md_place(a, off, 0, &p);
		if (p.at >= end)
			break; /* the first copies lie in the order of the array */
		n = p.len < n ? p.len : n;
		n = n < PIECE ? n : PIECE;
		r = session_stopped(l->s) ? -EINTR : compare_at(&c, off, (size_t)n);
		session_checked(l->s, n);
		session_progress(l->s, "comparing members", off, a->size);
		off += n;
	}
	if (!r && c.bytes)
		finding_fact(l->child, MD_MISMATCH,
			     &(struct fact){.off = c.first, .len = MD_SECTOR, .doubtful = true},
			     "%s do not match: %s in all, byte %" PRIu64 " of the array first",
			     a->parities ? "data and parity" : "copies", size_text(c.bytes, size),
			     c.first);
	free(c.buf[0]);
	free(c.buf[1]);
	return r;
}
