/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dm-integrity's journal, a ring of sections: 8 sectors of entries, then one block of data for
 * each entry. Every sector ends in a commit id, one of four values xor its place; the 8 bytes that
 * it takes from a data sector are kept in the entry. A section counts when all its sectors carry
 * one id, and the ring is read from the section behind the newest one (replay_journal() of the
 * kernel). Nothing is held but where the newest copy of each block lies.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/integrity.h"
#include "crypto/integrity_crypt.h"
#include "crypto/unit.h"
#include "vdiskck/core/session.h"

enum {
	SECTOR = 512,
	IDS = INTEGRITY_IDS,
	ID_NONE = 0xfe,	 /* of a section: none of its sectors has an id that fits */
	ID_MIXED = 0xff, /* different ones: it was being written */
	SAID_MAX = 64,
};

static const uint64_t journal_max = 1ull << 30; /* bytes; the kernel makes at most 64 MiB */

struct journal {
	struct integrity_dev *d;
	uint8_t *id; /* of each section, 0..3 or as above */
	uint8_t *buf;
	size_t section_bytes;
	bool used[IDS], empty;
	uint32_t last[IDS]; /* the last section that has a sector with this id */
	uint64_t bad, good; /* sectors whose id fits none, and others */
	uint64_t bad_at, bad_len, said;
	size_t cap;
};

uint64_t integrity_journal_sector(const struct integrity_dev *d, uint32_t section, uint32_t sector)
{
	return d->start + INTEGRITY_SB + ((uint64_t)section * d->section_sectors + sector) * SECTOR;
}

uint64_t integrity_journal_entry(const struct integrity_dev *d, uint32_t section, uint32_t entry)
{
	return integrity_journal_sector(d, section, entry % 8) +
	       (uint64_t)(entry / 8) * d->entry_size;
}

int integrity_journal_id(const struct integrity_dev *d, const uint8_t *p, uint32_t section,
			 uint32_t sector)
{
	le64_t stored;

	memcpy(&stored, p + SECTOR - 8, 8);
	for (unsigned k = 0; k < IDS; k++)
		if ((le64(stored) ^ ((uint64_t)section << 32 ^ sector)) == d->commit_id[k])
			return (int)k;
	return -1;
}

int integrity_journal_get(struct integrity_dev *d, uint32_t section, uint32_t sector, void *buf,
			  size_t len, uint64_t off, struct ranges *bad)
{
	uint64_t at = integrity_journal_sector(d, section, sector);
	size_t from = bad ? bad->n : 0, echo = integrity_crypt_echo(d);
	uint8_t before[16] = {0};
	struct ranges lost = {0};
	int r = layer_read_as(d->below, at, buf, len, off, bad);

	if (!r && echo && sector)
		r = layer_read(d->below, at - sizeof(before), before, sizeof(before), &lost);
	if (!r)
		r = integrity_crypt_decrypt(d, section, sector, before, buf, len);
	if (!r && lost.n)
		r = ranges_add(bad, off, sizeof(before), GRADE_LOST, lost.v[0].why);
	if (!r && d->crypt)
		unit_blank(bad, from, off, buf, len, echo ? echo : 1, echo, SECTOR);
	ranges_free(&lost);
	return r;
}

/* Sectors with an impossible id that follow one another are one finding. */
static void bad_flush(struct journal *j)
{
	if (j->bad_len && j->said++ < SAID_MAX)
		finding_fact(j->d->l, INTEGRITY_JOURNAL_COMMIT,
			     INTEGRITY_AT(j->d, j->bad_at, j->bad_len),
			     "journal at 0x%" PRIx64 ": the commit ids of %" PRIu64
			     " sectors fit none; the kernel would refuse all of the device",
			     j->bad_at, j->bad_len / SECTOR);
	j->bad_len = 0;
}

static void bad_add(struct journal *j, uint64_t at)
{
	if (j->bad_len && j->bad_at + j->bad_len == at) {
		j->bad_len += SECTOR;
		return;
	}
	bad_flush(j);
	j->bad_at = at;
	j->bad_len = SECTOR;
}

static const uint8_t *entry_of(const struct journal *j, uint32_t n)
{
	return j->buf + (size_t)(n % 8) * SECTOR + (size_t)(n / 8) * j->d->entry_size;
}

static uint64_t entry_sector(const uint8_t *entry)
{
	le64_t v;

	memcpy(&v, entry, 8);
	return le64(v);
}

static bool entry_unused(const uint8_t *entry)
{
	return entry_sector(entry) >> 32 == UINT32_MAX;
}

static int section_read(struct journal *j, uint32_t section)
{
	if (session_stopped(j->d->l->s))
		return -EINTR;
	return integrity_journal_get(j->d, section, 0, j->buf, j->section_bytes, 0, NULL);
}

static void section_look(struct journal *j, uint32_t section, bool report)
{
	struct integrity_dev *d = j->d;
	uint8_t id = ID_NONE;

	for (uint32_t i = 0; i < d->section_sectors; i++) {
		int k = integrity_journal_id(d, j->buf + (size_t)i * SECTOR, section, i);

		if (k < 0) {
			j->bad += !report;
			if (report)
				bad_add(j, integrity_journal_sector(d, section, i));
			continue;
		}
		j->good += !report;
		j->used[k] = true;
		j->last[k] = section;
		id = id == ID_NONE || id == k ? (uint8_t)k : ID_MIXED;
	}
	j->id[section] = id;
	for (uint32_t i = 0; j->empty && i < d->section_entries; i++)
		j->empty = entry_unused(entry_of(j, i));
}

static int look(struct journal *j, bool report)
{
	int r = 0;

	for (uint32_t i = 0; !r && i < j->d->sections; i++) {
		r = section_read(j, i);
		if (!r)
			section_look(j, i, report);
	}
	bad_flush(j);
	return r;
}

static int entry_take(struct journal *j, uint32_t section, uint32_t n)
{
	struct integrity_dev *d = j->d;
	const uint8_t *e = entry_of(j, n);
	uint64_t sector = entry_sector(e), at = integrity_journal_entry(d, section, n);

	if (entry_unused(e))
		return 0;
	/* The kernel drops what lies outside, and rounds down what is no block's first sector. */
	if (sector >= d->sectors || sector % (d->block / SECTOR)) {
		if (j->said++ < SAID_MAX)
			finding_fact(d->l, INTEGRITY_JOURNAL_ENTRY,
				     &(struct fact){.in = d->below,
						    .at = at,
						    .at_len = 8,
						    .stored = strf("0x%" PRIx64, sector)},
				     "journal section %" PRIu32 ", entry %" PRIu32
				     ": no block has the number 0x%" PRIx64,
				     section, n, sector);
		if (sector >= d->sectors)
			return 0;
		sector -= sector % (d->block / SECTOR);
	}
	if (d->n_replay == j->cap) {
		size_t cap = j->cap ? 2 * j->cap : 64;
		void *v = realloc(d->replay, cap * sizeof(*d->replay));

		if (!v)
			return -ENOMEM;
		d->replay = v;
		j->cap = cap;
	}
	d->replay[d->n_replay] = (struct integrity_replay){sector, d->n_replay, section, n};
	d->n_replay++;
	return 0;
}

static int replay_cmp(const void *a, const void *b)
{
	const struct integrity_replay *x = a, *y = b;

	if (x->sector != y->sector)
		return x->sector < y->sector ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

/* Of the copies of a block, keep the last. */
static void replay_sort(struct integrity_dev *d)
{
	size_t n = 0;

	if (d->n_replay)
		qsort(d->replay, d->n_replay, sizeof(*d->replay), replay_cmp);
	for (size_t i = 0; i < d->n_replay; i++)
		if (i + 1 == d->n_replay || d->replay[i].sector != d->replay[i + 1].sector)
			d->replay[n++] = d->replay[i];
	d->n_replay = n;
}

/* The first id behind those in use, or -1: all four are, which no history of writes makes. */
static int id_unused(const struct journal *j)
{
	int k = IDS - 1;

	if (!j->used[IDS - 1]) {
		while (k && !j->used[k - 1])
			k--;
		return k;
	}
	for (k = 0; k < IDS; k++)
		if (!j->used[k])
			return k;
	return -1;
}

static int replay(struct journal *j)
{
	struct integrity_dev *d = j->d;
	int unused = id_unused(j), last = (unused + IDS - 1) % IDS, want = (last + IDS - 1) % IDS;
	uint32_t at;
	int r = 0;

	if (unused < 0) {
		finding_fact(
			d->l, INTEGRITY_JOURNAL_COMMIT,
			INTEGRITY_AT(d, d->start + INTEGRITY_SB, d->initial - INTEGRITY_SB),
			"all four commit ids are in use in the journal: it is not applied; the "
			"kernel would refuse all of the device");
		return 0;
	}
	if (!j->used[want] && j->used[(want + IDS - 1) % IDS])
		return 0;
	at = j->last[last] + 1;
	if (at >= d->sections) {
		at = 0;
		want = (want + 1) % IDS;
	}
	for (uint32_t n = 0; !r && n < d->sections; n++) {
		/* A crash while writing leaves a torn section: it and the rest are not newer. */
		if (j->id[at] != want)
			break;
		r = section_read(j, at);
		for (uint32_t i = 0; !r && i < d->section_entries; i++)
			r = entry_take(j, at, i);
		if (++at == d->sections) {
			at = 0;
			want = (want + 1) % IDS;
		}
	}
	replay_sort(d);
	return r;
}

static void replay_report(struct journal *j)
{
	struct integrity_dev *d = j->d;

	if (!d->n_replay)
		return;
	finding_fact(
		d->l, INTEGRITY_JOURNAL_REPLAYED,
		INTEGRITY_AT(d, d->start + INTEGRITY_SB, d->initial - INTEGRITY_SB),
		"%zu blocks are newer in the journal than at their place; they are read from it%s",
		d->n_replay,
		d->flags & INTEGRITY_HAVE_JOURNAL_MAC ? " (check verifies its MAC)" : "");
}

static void say_opaque(struct integrity_dev *d, unsigned keys)
{
	finding_fact(d->l, INTEGRITY_JOURNAL_OPAQUE,
		     INTEGRITY_AT(d, d->start + INTEGRITY_SB, d->initial - INTEGRITY_SB),
		     "no sector of the journal has a commit id that fits: it is encrypted with a "
		     "key of its own (%s), or was overwritten; what it may hold is not applied",
		     keys ? strf("none of %u keys fits", keys) : "volume-key or keyfile");
}

int integrity_journal_load(struct integrity_dev *d)
{
	unsigned keys = 0;
	struct journal j = {
		.d = d, .empty = true, .section_bytes = (size_t)d->section_sectors * SECTOR};
	int r = -ENOMEM;

	if (d->initial > journal_max) {
		finding_fact(
			d->l, INTEGRITY_JOURNAL_OPAQUE,
			INTEGRITY_AT(d, d->start + INTEGRITY_SB, d->initial - INTEGRITY_SB),
			"the journal is larger than any that the kernel makes: it is not applied");
		return 0;
	}
	j.id = malloc(d->sections);
	j.buf = malloc(j.section_bytes);
	if (!j.id || !j.buf)
		goto out;
	r = look(&j, false);
	if (!r && !j.good)
		r = integrity_crypt_find(d, &keys);
	if (!r && d->crypt) {
		j.bad = 0;
		j.empty = true;
		r = look(&j, false);
	}
	if (r)
		goto out;
	if (!j.good) {
		say_opaque(d, keys);
		goto out;
	}
	if (j.bad)
		r = look(&j, true);
	if (!r && !j.empty)
		r = replay(&j);
	if (!r)
		replay_report(&j);
out:
	free(j.id);
	free(j.buf);
	return r;
}

int integrity_journal_read(struct integrity_dev *d, const struct integrity_replay *e, uint64_t off,
			   void *buf, uint8_t *tag, struct ranges *no_tag, struct ranges *bad)
{
	uint32_t spb = d->block / SECTOR;
	uint8_t sector[SECTOR], *entry = sector + (size_t)(e->entry / 8) * d->entry_size;
	struct ranges lost = {0};
	int r = integrity_journal_get(d, e->section, e->entry % 8, sector, SECTOR, 0, &lost);

	if (!r)
		r = integrity_journal_get(d, e->section, 8 + e->entry * spb, buf, d->block, off,
					  bad);
	for (uint32_t s = 0; !r && s < spb; s++)
		memcpy((uint8_t *)buf + (s + 1) * SECTOR - 8, entry + 8 + 8 * s, 8);
	if (!r && lost.n) {
		for (uint32_t s = 0; !r && s < spb; s++)
			r = ranges_add(bad, off + (s + 1) * SECTOR - 8, 8, GRADE_LOST,
				       lost.v[0].why);
		if (!r)
			r = ranges_add(no_tag, off, d->block, GRADE_DOUBTFUL, INTEGRITY_TAG_LOST);
	}
	if (tag)
		memcpy(tag, entry + 8 + 8 * spb, d->tag_size);
	ranges_free(&lost);
	return r;
}
