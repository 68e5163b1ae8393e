/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `journalctl --verify` looks at, and on past the first fault: every object, every payload's
 * hash, what entries name, entry arrays, the numbers in the header.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "formats/log/journal.h"
#include "vdiskck/core/session.h"

struct check {
	struct journal *j;
	struct layer *l;
	struct journal_items items;
	uint64_t objects, entries, last, first, gap_from;
};

static void check_field(struct check *c, uint64_t off, const struct journal_object *o)
{
	struct journal_field f;
	int r = journal_field(c->j, off, &f);

	if (r == -EBADMSG)
		finding_fact(c->l, JOURNAL_DATA_HASH,
			     &(struct fact){.at = off,
					    .at_len = le64(o->size),
					    .off = off,
					    .len = le64(o->size),
					    .doubtful = true},
			     "a field can't be unpacked");
	else if (!r && !f.ok)
		finding_fact(c->l, JOURNAL_DATA_HASH,
			     &(struct fact){.at = off + 16,
					    .at_len = 8,
					    .off = off,
					    .len = le64(o->size),
					    .doubtful = true,
					    .stored = strf("0x%016" PRIx64, f.hash)},
			     "the hash of a field does not fit its bytes");
	free(f.p);
}

static void check_entry(struct check *c, uint64_t off, const struct journal_object *o)
{
	struct journal_items *it = &c->items;
	struct journal_entry e;

	if (journal_items(c->j, off, o, &e, it, NULL))
		return;
	for (size_t i = 0; i < it->n; i++) {
		struct journal_object d;

		if (it->off[i] < c->j->start || it->off[i] > c->j->end - sizeof(d) ||
		    journal_read(c->j, it->off[i], &d, sizeof(d), NULL) || d.type != JOURNAL_DATA ||
		    !journal_sane(c->j, it->off[i], &d))
			finding_fact(
				c->l, JOURNAL_ENTRY_ITEM,
				&(struct fact){.at = off + sizeof(e) +
						     i * (c->j->flags & JOURNAL_COMPACT ? 4 : 16),
					       .at_len = 4,
					       .stored = strf("0x%" PRIx64, it->off[i])},
				"entry %" PRIu64 ": field %zu of %zu is not there", le64(e.seqnum),
				i + 1, it->n);
	}
	if (c->entries && le64(e.seqnum) <= c->last)
		finding_fact(c->l, JOURNAL_ORDER,
			     &(struct fact){.at = off + 16,
					    .at_len = 8,
					    .stored = strf("%" PRIu64, le64(e.seqnum)),
					    .expected = strf("above %" PRIu64, c->last)},
			     "an entry's number does not follow the one before it");
	c->last = le64(e.seqnum);
	c->entries++;
}

static int check_array(struct check *c, uint64_t off, const struct journal_object *o)
{
	bool compact = c->j->flags & JOURNAL_COMPACT;
	size_t step = compact ? 4 : 8;
	uint64_t n = (le64(o->size) - 24) / step;

	for (uint64_t i = 0; i < n; i++) {
		struct journal_object e;
		uint8_t raw[8] = {0};
		le64_t at;
		int r = journal_read(c->j, off + 24 + i * step, raw, step, NULL);

		if (r)
			return r;
		memcpy(&at, raw, sizeof(at));
		if (!le64(at)) /* not used yet; nothing follows */
			break;
		if (le64(at) < c->j->start || le64(at) > c->j->end - sizeof(e) ||
		    journal_read(c->j, le64(at), &e, sizeof(e), NULL) || e.type != JOURNAL_ENTRY ||
		    !journal_sane(c->j, le64(at), &e)) {
			finding_fact(
				c->l, JOURNAL_ARRAY_ITEM,
				&(struct fact){.at = off + 24 + i * step,
					       .at_len = step,
					       .stored = strf("0x%" PRIx64, le64(at))},
				"a list of entries names something else; journalctl stops there");
			break;
		}
	}
	return 0;
}

static void check_header(struct check *c)
{
	const struct journal_header *h = &c->j->h;
	struct layer *l = c->l;

	if (!c->j->header_ok)
		return;
	if (le64(h->header_size) + le64(h->arena_size) > l->below->size)
		finding_fact(l, JOURNAL_TRUNCATED,
			     &(struct fact){.at = 0x60,
					    .at_len = 8,
					    .stored = strf("%" PRIu64, le64(h->header_size) +
									       le64(h->arena_size)),
					    .expected = strf("%" PRIu64, l->below->size)},
			     "the file is shorter than its header says");
	if (h->state == 1)
		finding(l, JOURNAL_ONLINE, 16, 1,
			"the journal was being written when the machine (or this copy) stopped");
	/* While it is written, the header may be behind. */
	if (h->state != 1 && le64(h->n_objects) != c->objects)
		finding_fact(l, JOURNAL_COUNT,
			     &(struct fact){.at = 0x90,
					    .at_len = 8,
					    .stored = strf("%" PRIu64, le64(h->n_objects)),
					    .expected = strf("%" PRIu64, c->objects)},
			     "the header's number of objects is not what is there");
	if (h->state != 1 && le64(h->n_entries) != c->entries)
		finding_fact(l, JOURNAL_COUNT,
			     &(struct fact){.at = 0x98,
					    .at_len = 8,
					    .stored = strf("%" PRIu64, le64(h->n_entries)),
					    .expected = strf("%" PRIu64, c->entries)},
			     "the header's number of entries is not what is there");
}

int journal_check(struct layer *l)
{
	struct check *c = calloc(1, sizeof(*c));
	struct journal *j = journal_of(l);
	uint64_t off = j->start, skipped, from, tail;
	struct journal_object o;
	int r = c ? 0 : -ENOMEM;

	if (!c)
		return r;
	c->j = j;
	c->l = l;
	tail = j->header_ok ? le64(j->h.tail_object) : 0;
	while (!r) {
		from = off;
		r = journal_next(j, &off, &o, &skipped);
		/* Behind the last object lies what was allocated, and not used yet. */
		if (skipped && (!r || r == -ENOENT) && (!r || from < tail))
			finding_fact(l, JOURNAL_OBJECT,
				     &(struct fact){.at = from,
						    .at_len = skipped,
						    .off = from,
						    .len = skipped,
						    .doubtful = true},
				     "%" PRIu64 " bytes where an object must begin hold none",
				     skipped);
		if (r)
			break;
		c->objects++;
		if (o.type == JOURNAL_DATA)
			check_field(c, off, &o);
		else if (o.type == JOURNAL_ENTRY)
			check_entry(c, off, &o);
		else if (o.type == JOURNAL_ARRAY)
			r = check_array(c, off, &o);
		session_checked(l->s, le64(o.size));
		if (!r && session_stopped(l->s))
			r = -EINTR;
		off += (le64(o.size) + 7) / 8 * 8;
	}
	if (r == -ENOENT)
		r = 0;
	if (!r)
		check_header(c);
	free(c);
	return r;
}
