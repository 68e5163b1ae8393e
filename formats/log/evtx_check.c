/* SPDX-License-Identifier: Apache-2.0 */
/* Verify an EVTX file: its header, each chunk's two sums, each record's frame, id and content. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "formats/log/binxml.h"
#include "formats/log/evtx.h"
#include "vdiskck/core/session.h"

enum { SAID_MAX = 64 }; /* gaps of ids, one finding each */

struct checking {
	struct layer *l;
	const struct evtx *v;
	struct log_ledger *ledger;
	struct bx *x;
	struct buf data;
	uint64_t newest; /* the highest id that a chunk states */
	uint64_t used, gaps, gap_ids;
};

static bool flag(const struct checking *k, uint32_t bit)
{
	return k->v->magic && le32(k->v->header.flags) & bit;
}

static void check_header(struct checking *k)
{
	const struct evtx_file_header *h = &k->v->header;
	struct layer *l = k->l;
	uint64_t end = EVTX_FILE_HEADER + (uint64_t)EVTX_CHUNK * le16(h->chunks);

	if (!k->v->magic) {
		finding(l, EVTX_HEADER_LOST, 0, sizeof(*h), "no EVTX file header");
		return;
	}
	if (flag(k, EVTX_NO_SUM))
		finding(l, EVTX_NO_SUMS, offsetof(struct evtx_file_header, flags), 4,
			"the log says that it keeps no checksums");
	else if (!k->v->sum_ok)
		finding_fact(l, EVTX_HEADER_SUM,
			     &(struct fact){.at = offsetof(struct evtx_file_header, crc),
					    .at_len = 4,
					    .stored = strf("0x%08x", le32(h->crc))},
			     "the file header fails its checksum");
	if (flag(k, EVTX_DIRTY))
		finding(l, EVTX_OPEN, offsetof(struct evtx_file_header, flags), 4,
			"the log was open for writing");
	if (k->v->sum_ok && end > l->size)
		finding_fact(l, EVTX_CUT,
			     &(struct fact){.at = offsetof(struct evtx_file_header, chunks),
					    .at_len = 2,
					    .stored = strf("%u chunks", le16(h->chunks)),
					    .expected = strf("at most %" PRIu64, k->v->chunks)},
			     "the file ends %" PRIu64 " bytes before its last chunk does",
			     end - l->size);
}

/* The bytes of a chunk where a record should be and none is. */
static void say_broken(struct checking *k, const struct evtx_chunk *c, size_t from, size_t to)
{
	finding_fact(k->l, EVTX_RECORD_LOST,
		     &(struct fact){.at = c->addr + from,
				    .at_len = to - from,
				    .off = c->addr + from,
				    .len = to - from,
				    .lost = true},
		     "%zu bytes of the records of chunk %" PRIu64 " are no record", to - from,
		     (c->addr - EVTX_FILE_HEADER) / EVTX_CHUNK);
}

static void check_content(struct checking *k, const struct evtx_chunk *c,
			  const struct evtx_frame *f)
{
	struct log_event e;

	/* Elsewhere, the sum that fails says it already. */
	if (!evtx_chunk_sound(c))
		return;
	evtx_event(k->x, c, f, NULL, &k->data, &e);
	if (e.failed & LOG_CONTENT)
		finding(k->l, EVTX_RECORD_CONTENT, e.off, e.len,
			"the content of record %" PRIu64 " can't be decoded to its end", f->id);
}

static int note(struct checking *k, uint64_t id)
{
	return ledger_seen(k->ledger, (struct log_text){"", 0}, id, LOG_INTACT);
}

/* Returns -errno. @gaps: how often something else than a record was in between. */
static int check_records(struct checking *k, const struct evtx_chunk *c, unsigned *gaps)
{
	uint64_t want = c->first_id;
	size_t off = EVTX_CHUNK_DATA, at = off;
	struct evtx_frame f;
	int r = 0;

	while (!r && evtx_chunk_record(c, &off, &f)) {
		if (f.off != at) {
			if (c->header_ok)
				say_broken(k, c, at, f.off);
			++*gaps;
		} else if (c->header_ok && f.id != want) {
			finding_fact(k->l, EVTX_RECORD_ORDER,
				     &(struct fact){.at = c->addr + f.off + 8,
						    .at_len = 8,
						    .stored = strf("%" PRIu64, f.id),
						    .expected = strf("%" PRIu64, want)},
				     "record %" PRIu64 " does not follow the one before it", f.id);
		}
		check_content(k, c, &f);
		want = f.id + 1;
		at = off;
		r = note(k, f.id);
	}
	if (c->header_ok && at < c->free_off) {
		say_broken(k, c, at, c->free_off);
		++*gaps;
	}
	return r;
}

static void check_sums(struct checking *k, const struct evtx_chunk *c, uint64_t i, unsigned gaps)
{
	struct fact fact = {.at = c->addr + offsetof(struct evtx_chunk_header, data_crc),
			    .at_len = 4,
			    .off = c->addr + EVTX_CHUNK_DATA,
			    .len = c->free_off > EVTX_CHUNK_DATA ? c->free_off - EVTX_CHUNK_DATA
								 : 0,
			    .doubtful = true};

	if (!c->magic) {
		finding(k->l, EVTX_CHUNK_LOST, c->addr, EVTX_CHUNK_DATA,
			"the header of chunk %" PRIu64 " is lost", i);
	} else if (!c->header_ok) {
		finding(k->l, EVTX_CHUNK_SUM, c->addr, EVTX_CHUNK_DATA,
			"the header of chunk %" PRIu64 " fails its checksum", i);
	} else if (!c->data_ok && !c->no_sum) {
		/* A chunk that was being written, and whose records are all there. */
		bool unfinished = flag(k, EVTX_DIRTY) && c->last_id == k->newest && !gaps;

		fact.doubtful = !unfinished;
		finding_fact(k->l, unfinished ? EVTX_CHUNK_UNFINISHED : EVTX_DATA_SUM, &fact,
			     "the records of chunk %" PRIu64 " (ids %" PRIu64 " to %" PRIu64
			     ") fail their checksum",
			     i, c->first_id, c->last_id);
	}
}

static int check_chunk(struct checking *k, uint64_t i, uint8_t *buf)
{
	struct ranges bad = {0};
	struct evtx_chunk c;
	unsigned gaps = 0;
	int r = session_stopped(k->l->s) ? -EINTR : 0;

	if (!r)
		r = evtx_chunk_read(k->l, i, buf, &bad, &c);
	if (r || c.empty)
		goto out;
	k->used++;
	bx_chunk(k->x, &(struct bx_chunk){buf, c.len, evtx_chunk_sound(&c)});
	r = check_records(k, &c, &gaps);
	if (!r && c.header_ok)
		r = ledger_claim(k->ledger, (struct log_text){"", 0}, c.first_id, c.last_id);
	check_sums(k, &c, i, gaps);
	session_checked(k->l->s, c.len);
	session_progress(k->l->s, "checking the log", i + 1, k->v->chunks);
out:
	ranges_free(&bad);
	return r;
}

static int find_newest(struct checking *k, uint8_t *buf)
{
	int r = 0;

	if (!flag(k, EVTX_DIRTY))
		return 0;
	for (uint64_t i = 0; i < k->v->chunks && !r; i++) {
		const struct evtx_chunk_header *h = (const void *)buf;
		uint64_t off = EVTX_FILE_HEADER + i * EVTX_CHUNK;

		if (k->l->size - off < sizeof(*h))
			break;
		r = layer_read(k->l, off, buf, sizeof(*h), NULL);
		if (!r && !memcmp(h->magic, "ElfChnk", 8) && le64(h->last_id) > k->newest)
			k->newest = le64(h->last_id);
	}
	return r;
}

static int say_gap(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	struct checking *k = arg;

	(void)c;
	if (++k->gaps <= SAID_MAX)
		finding(k->l, EVTX_IDS_MISSING, 0, 0,
			"records %" PRIu64 " to %" PRIu64 " are missing", first, last);
	k->gap_ids += last - first + 1;
	return 0;
}

static void check_ids(struct checking *k)
{
	const struct evtx_file_header *h = &k->v->header;

	/* Only a log that was closed has a header that is up to date. */
	if (k->v->sum_ok && !flag(k, EVTX_DIRTY)) {
		if (le64(h->next_record) > 1)
			ledger_claim(k->ledger, (struct log_text){"", 0}, le64(h->next_record) - 1,
				     le64(h->next_record) - 1);
		if (k->used < le16(h->chunks))
			finding_fact(k->l, EVTX_CHUNKS_MISSING,
				     &(struct fact){.at = offsetof(struct evtx_file_header, chunks),
						    .at_len = 2,
						    .stored = strf("%u", le16(h->chunks)),
						    .expected = strf("%" PRIu64, k->used)},
				     "the header states %u chunks, but %" PRIu64 " are there",
				     le16(h->chunks), k->used);
	}
	ledger_walk(k->ledger, NULL, say_gap, k);
	if (k->gaps > SAID_MAX)
		finding(k->l, EVTX_IDS_MISSING, 0, 0,
			"%" PRIu64 " more gaps; %" PRIu64 " records are missing in all",
			k->gaps - SAID_MAX, k->gap_ids);
}

int evtx_check(struct layer *l)
{
	struct log_run *run = log_run_new();
	struct checking k = {.l = l, .v = l->priv, .ledger = ledger_new()};
	uint8_t *buf = malloc(EVTX_CHUNK);
	int r;

	k.x = run ? bx_new(log_run_templates(run)) : NULL;
	r = k.x && k.ledger && buf ? find_newest(&k, buf) : -ENOMEM;
	if (!r)
		check_header(&k);
	for (uint64_t i = 0; i < k.v->chunks && !r; i++)
		r = check_chunk(&k, i, buf);
	if (!r)
		check_ids(&k);
	buf_free(&k.data);
	free(buf);
	bx_free(k.x);
	ledger_free(k.ledger);
	log_run_free(run);
	return r;
}
