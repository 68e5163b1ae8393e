/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver `integrity`: a dm-integrity device that stands alone. Data is not encrypted, so it is
 * readable in any case. The superblock does not say which hash made the tags: the one that fits
 * the tags of blocks here and there is taken.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/header.h"
#include "crypto/integrity.h"
#include "crypto/unit.h"
#include "crypto/verify.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SECTOR = 512,
	SAID_MAX = 1000,
	HEX_MAX = 16, /* bytes of a tag that a finding shows */
};

/* --- opening --- */

static const char *header_of(struct layer *below)
{
	const char *file = header_for(below, HEADER_INTEGRITY, true);

	return file ? file : header_for(below, HEADER_INTEGRITY, false);
}

static int probe(struct layer *below)
{
	return header_of(below) ? 100 : integrity_probe(below, 0) ? 90 : 0;
}

static int open_(struct layer *l)
{
	struct integrity *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	l->priv = g;
	g->header = header_of(l->below);
	r = g->header ? header_open(l->s, g->header, &l->aside) : 0;
	if (!r)
		r = integrity_dev_open(&g->d, l, l->aside ? l->aside : l->below, 0, l->below);
	if (r)
		return r;
	l->size = g->d.size;
	l->sector = g->d.block > l->below->sector ? g->d.block : l->below->sector;
	return g->d.flags & INTEGRITY_INLINE ? 0 : integrity_hash_decide(l);
}

static void close_(struct layer *l)
{
	struct integrity *g = l->priv;

	if (!g)
		return;
	integrity_dev_close(&g->d);
	integrity_hash_close(g->hash);
	free(g);
}

/* --- reading --- */

static enum finding_id verdict(struct integrity *g, uint64_t off, const uint8_t *data,
			       const uint8_t *stored, uint8_t *made, int *err)
{
	const struct integrity_dev *d = &g->d;

	*err = integrity_hash_tag(g->hash, off / SECTOR, data, d->block, made, d->tag_size);
	if (*err || !memcmp(made, stored, d->tag_size) ||
	    integrity_all_byte(stored, d->tag_size, INTEGRITY_DISCARDED))
		return FINDING_COUNT;
	return integrity_all_byte(stored, d->tag_size, 0) && integrity_all_byte(data, d->block, 0)
		       ? INTEGRITY_NEVER_WRITTEN
		       : INTEGRITY_TAG;
}

/* Is nothing of the block at @off there? Then it is lost, and not doubtful besides. */
static bool wholly_lost(const struct ranges *lost, uint64_t off, uint32_t block)
{
	for (size_t i = ranges_find(lost, off); i < lost->n && lost->v[i].off <= off; i++)
		if (lost->v[i].grade == GRADE_LOST &&
		    lost->v[i].off + lost->v[i].len >= off + block)
			return true;
	return false;
}

/* Hold each block of [off, off + len) against its tag. @lost: what must not be, sorted. */
static int verify(struct integrity *g, uint64_t off, const uint8_t *data, size_t len,
		  const uint8_t *tags, const struct ranges *lost, struct ranges *bad)
{
	const struct integrity_dev *d = &g->d;
	uint64_t end = off + len, same = off;
	uint8_t made[INTEGRITY_TAG_MAX];
	bool stale = false;
	int r = 0;

	for (; !r && off < end; off += d->block, data += d->block, tags += d->tag_size) {
		enum finding_id id;

		if (off >= same)
			stale = integrity_dev_stale(d, off, &same);
		if (stale)
			continue;
		if (lost->n && ranges_overlap(lost, off, d->block)) {
			/* Less than a block proves nothing about the rest of it. */
			if (!wholly_lost(lost, off, d->block))
				r = ranges_add(bad, off, d->block, GRADE_DOUBTFUL,
					       INTEGRITY_TAG_LOST);
			continue;
		}
		id = verdict(g, off, data, tags, made, &r);
		if (!r && id != FINDING_COUNT)
			r = ranges_add(bad, off, d->block, GRADE_DOUBTFUL, id);
	}
	return r;
}

static int read_blocks(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct integrity *g = l->priv;
	struct ranges lost = {0}, failed = {0};
	uint8_t *tags;
	int r;

	/* Who does not ask what is doubtful need not wait for it. */
	if (!bad || !g->hash)
		return integrity_dev_read(&g->d, off, buf, len, NULL, NULL, bad);
	tags = malloc(len / g->d.block * g->d.tag_size);
	if (!tags)
		return -ENOMEM;
	r = integrity_dev_read(&g->d, off, buf, len, tags, &lost, &lost);
	if (!r && lost.n)
		ranges_sort(&lost);
	if (!r)
		r = verify(g, off, buf, len, tags, &lost, &failed);
	/* A tag that could not be read made its block doubtful in verify(). */
	for (size_t i = 0; !r && i < lost.n; i++)
		if (lost.v[i].why != INTEGRITY_TAG_LOST)
			r = ranges_add(bad, lost.v[i].off, lost.v[i].len, lost.v[i].grade,
				       lost.v[i].why);
	if (!r)
		r = ranges_append(bad, &failed);
	ranges_free(&lost);
	ranges_free(&failed);
	free(tags);
	return r;
}

static int read_(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct integrity *g = l->priv;

	return unit_read(l, g->d.block, off, buf, len, bad, read_blocks);
}

static int map(struct layer *l, uint64_t off, struct extent *run)
{
	struct integrity *g = l->priv;

	return integrity_dev_map(&g->d, off, run);
}

/* --- checking --- */

static const char *hex(const uint8_t *p, size_t len)
{
	char text[2 * HEX_MAX + 1];
	size_t n = len < HEX_MAX ? len : HEX_MAX;

	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", p[i]);
	return strf("%s%s", text, n < len ? "..." : "");
}

static const char *blocks_text(const struct integrity_dev *d, uint64_t off, uint64_t len)
{
	uint64_t first = off / SECTOR, n = len / SECTOR;

	(void)d;
	return n == 1 ? strf("sector %" PRIu64, first)
		      : strf("sectors %" PRIu64 "..%" PRIu64, first, first + n - 1);
}

/* One run of blocks whose tags do not fit: where the first lies, what it has and should have. */
static int tag_report(struct layer *l, const struct range *b, enum finding_id id)
{
	struct integrity *g = l->priv;
	struct integrity_dev *d = &g->d;
	uint8_t data[UNIT_MAX], tag[INTEGRITY_TAG_MAX], made[INTEGRITY_TAG_MAX];
	struct extent run = {.off = b->off};
	struct fact f = {.in = d->below, .off = b->off, .len = b->len, .doubtful = true};
	bool zero;
	int r = integrity_dev_read(d, b->off, data, d->block, tag, NULL, NULL);

	if (!r)
		r = integrity_dev_map(d, b->off, &run);
	if (!r)
		r = integrity_hash_tag(g->hash, b->off / SECTOR, data, d->block, made, d->tag_size);
	if (r)
		return r;
	zero = integrity_all_byte(tag, d->tag_size, 0);
	if (run.kind == EXTENT_DATA) {
		f.in = run.in;
		f.at = run.at;
		f.at_len = run.len < b->len ? run.len : b->len;
	}
	if (id != INTEGRITY_TAG_LOST) {
		f.stored = hex(tag, d->tag_size);
		f.expected = hex(made, d->tag_size);
	}
	if (id == INTEGRITY_NEVER_WRITTEN)
		finding_fact(l, id, &f, "%s: never written, the tag is all zero",
			     blocks_text(d, b->off, b->len));
	else if (id == INTEGRITY_TAG_LOST)
		finding_fact(l, id, &f, "%s: a part of the block or its tag can't be read",
			     blocks_text(d, b->off, b->len));
	else if (integrity_dev_journaled(d, b->off))
		finding_fact(l, INTEGRITY_JOURNAL_TAG, &f,
			     "%s: the newest data, in the journal, does not fit its tag (%s); the "
			     "kernel would refuse all of the device",
			     blocks_text(d, b->off, b->len), integrity_hash_name(g->hash));
	else
		finding_fact(l, id, &f, "%s: the data does not fit its tag at 0x%" PRIx64 " (%s)%s",
			     blocks_text(d, b->off, b->len), integrity_dev_tag_at(d, b->off),
			     integrity_hash_name(g->hash),
			     zero ? ": all zero, never written or wiped" : "");
	return 0;
}

/* The journal's own tags: few, and one that does not fit stops the kernel. */
static int check_journal(struct layer *l)
{
	struct integrity *g = l->priv;
	struct integrity_dev *d = &g->d;
	uint8_t data[UNIT_MAX], tag[INTEGRITY_TAG_MAX], made[INTEGRITY_TAG_MAX];
	size_t said = 0;
	int r = 0;

	for (size_t i = 0; !r && i < d->n_replay && said < SAID_MAX; i++) {
		uint64_t off = d->replay[i].sector * SECTOR;
		struct range b = {off, d->block, GRADE_DOUBTFUL, INTEGRITY_TAG};
		struct ranges lost = {0};

		if (session_stopped(l->s))
			return -EINTR;
		r = integrity_dev_read(d, off, data, d->block, tag, &lost, &lost);
		if (!r && !lost.n && verdict(g, off, data, tag, made, &r) != FINDING_COUNT && !r) {
			r = tag_report(l, &b, INTEGRITY_TAG);
			said++;
		}
		ranges_free(&lost);
	}
	return r;
}

const enum finding_id integrity_reasons[] = {INTEGRITY_TAG, INTEGRITY_TAG_LOST,
					     INTEGRITY_NEVER_WRITTEN, FINDING_COUNT};

static int check_data(struct layer *l)
{
	struct ranges bad = {0};
	struct integrity *g = l->priv;
	uint64_t rest = 0;
	size_t said = 0;
	char size[SIZE_TEXT];
	int r = verify_bytes(l, 0, l->size, "verifying tags", integrity_reasons, &bad), err = 0;

	for (size_t i = 0; !err && i < bad.n; i++) {
		const struct range *b = &bad.v[i];

		if (b->why == INTEGRITY_TAG && integrity_dev_journaled(&g->d, b->off) &&
		    b->len == g->d.block)
			continue; /* check_journal() said so */
		if (said++ < SAID_MAX)
			err = tag_report(l, b, b->why);
		else
			rest += b->len;
	}
	if (rest)
		finding_fact(l, INTEGRITY_TAG, INTEGRITY_AT(&g->d, g->d.start + g->d.initial, 0),
			     "%zu more runs of sectors whose tags do not fit, %s altogether",
			     said - SAID_MAX, size_text(rest, size));
	ranges_free(&bad);
	return r ? r : err;
}

/* What is not verified, and why that is as it should be. */
static void check_stale(struct layer *l)
{
	struct integrity *g = l->priv;
	struct integrity_dev *d = &g->d;
	uint64_t bytes = 0, first = UINT64_MAX;
	char size[SIZE_TEXT];

	for (uint64_t off = 0, end; off < d->size; off = end)
		if (integrity_dev_stale(d, off, &end)) {
			bytes += end - off;
			first = off < first ? off : first;
		}
	if (!bytes)
		return;
	if (d->flags & INTEGRITY_DIRTY_BITMAP)
		finding_fact(l, INTEGRITY_DIRTY,
			     &(struct fact){.in = d->below,
					    .at = d->start + INTEGRITY_SB,
					    .at_len = (d->bitmap_bits + 7) / 8,
					    .off = first},
			     "the device was not closed: %s are marked as written to, their tags "
			     "may be older than the data and are not verified",
			     size_text(bytes, size));
	else
		finding_fact(l, INTEGRITY_RECALCULATE,
			     &(struct fact){.in = d->below,
					    .at = d->start + 0x20,
					    .at_len = 8,
					    .off = first,
					    .len = bytes},
			     "the tags of %s are not computed yet; they are not verified",
			     size_text(bytes, size));
}

static int check(struct layer *l)
{
	struct integrity *g = l->priv;
	int r = 0;

	session_checked(l->s, INTEGRITY_SB);
	if (g->d.flags & INTEGRITY_INLINE)
		return 0;
	check_stale(l);
	if (g->d.flags & INTEGRITY_HAVE_JOURNAL_MAC && !(g->d.flags & INTEGRITY_DIRTY_BITMAP))
		r = integrity_mac_check(&g->d);
	if (!g->hash || r)
		return r;
	r = check_journal(l);
	if (!r && l->s->opt.data)
		r = check_data(l);
	return r;
}

static void info(struct layer *l, struct json *to)
{
	const struct integrity *g = l->priv;

	if (g->header)
		js_str(to, "header", g->header);
	js_str(to, "hash", g->hash ? integrity_hash_name(g->hash) : "not known");
	if (g->key)
		js_u64(to, "key", g->key);
	integrity_dev_info(&g->d, to);
}

static bool structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		      uint64_t *len)
{
	const struct integrity *g = l->priv;

	return integrity_dev_structure(&g->d, at, name, cap, start, len);
}

const struct layer_ops integrity_ops = {
	.name = "integrity",
	.kind = LAYER_CIPHER,
	.probe = probe,
	.open = open_,
	.read = read_,
	.map = map,
	.check = check,
	.info = info,
	.structure = structure,
	.close = close_,
};
