/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of journals, and their texts, in bytes that are no journal any more. */
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/journal.h"
#include "tests/lib/corpus.h"
#include "tests/lib/journal_build.h"

static struct {
	size_t n, whole;
	uint64_t id[4096];
	bool complete[4096];
	char text[4096];
} ev;

static int on_event(void *arg, const struct log_event *e)
{
	struct buf b = {0};

	(void)arg;
	assert_int_equal(e->state, LOG_CARVED);
	assert_true(ev.n < 4096);
	ev.id[ev.n] = e->has_record_id ? e->record_id : 0;
	ev.complete[ev.n] = !e->failed;
	ev.whole += !e->failed;
	ev.n++;
	log_json(&b, e);
	if (b.len + strlen(ev.text) + 1 < sizeof(ev.text))
		strncat(ev.text, b.p, b.len);
	buf_free(&b);
	return 0;
}

static void carve(const uint8_t *p, size_t len)
{
	struct log_run *run = log_run_new();
	struct log_sink sink = {.event = on_event, .run = run};
	struct session s;
	struct layer *l;

	memset(&ev, 0, sizeof(ev));
	session_init(&s);
	l = memory_source(&s, "free", p, len);
	assert_int_equal(log_carve(l, NULL, &sink), 0);
	layer_free(l);
	session_fini(&s);
	log_run_free(run);
}

static bool said(const char *text)
{
	return strstr(ev.text, text) != NULL;
}

/* The journal, whole, with its header, somewhere. */
static void a_journal_in_free_space_gives_all_of_its_entries(void **state)
{
	(void)state;
	for (int compact = 0; compact < 2; compact++) {
		struct journal_build b = journal_build(compact);
		uint8_t *space = calloc(1, 65536);

		memcpy(space + 4096, b.img->buf, 8192);
		carve(space, 65536);
		assert_int_equal(ev.n, 3);
		assert_int_equal(ev.whole, 3);
		assert_true(said("\"MESSAGE\":\"second\""));
		assert_true(said("\"time\":\"2017-07-14T02:40:01Z\""));
		assert_true(said("\"channel\":\"5e910000000000000000000000000000\""));
		free(space);
		image_free(b.img);
	}
}

/* The header is gone, and what was a file is at another distance from where it began. */
static void without_a_header_hashes_lead_to_the_fields(void **state)
{
	(void)state;
	for (int compact = 0; compact < 2; compact++) {
		struct journal_build b = journal_build(compact);
		uint8_t *space = calloc(1, 65536);

		memcpy(space + 24, b.img->buf + 208, b.end - 208);
		carve(space, 65536);
		assert_int_equal(ev.n, 3);
		assert_int_equal(ev.whole, 3);
		assert_true(said("\"MESSAGE\":\"first\""));
		assert_true(said("\"channel\":\"journal\""));
		/* Entries before fields: a regular journal's pieces may lie in any order. */
		memset(space, 0, 65536);
		memcpy(space + 4096, b.img->buf + b.at[0], b.array - b.at[0]);
		memcpy(space + 32768, b.img->buf + 208, b.at[0] - 208);
		carve(space, 65536);
		if (!compact)
			assert_int_equal(ev.whole, 3);
		free(space);
		image_free(b.img);
	}
}

static void what_is_lost_is_said_and_never_made_up(void **state)
{
	struct journal_build b = journal_build(false);
	uint8_t *space = calloc(1, 65536), *file = space + 4096;

	(void)state;
	/* A field's object is gone: the entry says when, and what is left. */
	memcpy(file, b.img->buf, 8192);
	memset(file + b.data[0], 0, 64);
	carve(space, 65536);
	assert_int_equal(ev.n, 3);
	assert_int_equal(ev.whole, 1);
	assert_true(said("\"complete\":false"));
	assert_true(said("\"PRIORITY\":\"3\""));
	assert_false(said("first"));
	/* A field's text was overwritten: the entry's hash tells. */
	memcpy(file, b.img->buf, 8192);
	memcpy(file + b.data[0] + 64 + 8, "FIRST", 5);
	carve(space, 65536);
	assert_int_equal(ev.n, 3);
	assert_int_equal(ev.whole, 1);
	/* An entry is gone: its text is there without a time. */
	memcpy(file, b.img->buf, 8192);
	memset(file + b.at[1], 0, b.len[1]);
	carve(space, 65536);
	assert_int_equal(ev.n, 3);
	assert_true(said("\"time\":null"));
	assert_true(said("\"message\":\"second\""));
	free(space);
	image_free(b.img);
}

static void bytes_that_look_like_objects_are_survived(void **state)
{
	(void)state;
	for (int compact = 0; compact < 2; compact++) {
		struct journal_build b = journal_build(compact);

		for (size_t off = 208; off < b.end; off++)
			for (unsigned bit = 0; bit < 8; bit += 7) {
				b.img->buf[off] ^= (uint8_t)(1 << bit);
				carve(b.img->buf, 8192);
				for (size_t i = 0; i < ev.n; i++)
					assert_true(ev.id[i] <= 3 || !ev.complete[i] ||
						    off >= b.at[0]);
				b.img->buf[off] ^= (uint8_t)(1 << bit);
			}
		image_free(b.img);
	}
}

/* Pieces of a real journal in reverse: entries whose objects lie within pieces are all there. */
static void a_real_journal_in_pieces_is_put_together(void **state)
{
	enum { PIECE = 65536 };
	const char *path = corpus_file("journal/systemd-no-rtc-system.journal.zst");
	static bool cut[4096], seen[4096];
	struct journal_object o;
	struct journal_entry e;
	static struct journal_items it;
	uint64_t off, skipped;
	struct image *img;
	struct journal *j;
	uint8_t *space;
	size_t pieces, expected = 0;

	(void)state;
	if (!path)
		skip();
	img = image_file(path);
	image_check(img, &journal_ops);
	j = journal_of(img->top);
	for (off = j->start; !journal_next(j, &off, &o, &skipped);
	     off += (le64(o.size) + 7) / 8 * 8) {
		bool across = false;

		if (o.type != JOURNAL_ENTRY)
			continue;
		assert_int_equal(journal_items(j, off, &o, &e, &it, NULL), 0);
		across = off / PIECE != (off + le64(o.size) - 1) / PIECE;
		for (size_t i = 0; i < it.n; i++) {
			struct journal_data d;

			assert_int_equal(journal_read(j, it.off[i], &d, sizeof(d), NULL), 0);
			across |= it.off[i] / PIECE != (it.off[i] + le64(d.o.size) - 1) / PIECE;
		}
		assert_true(le64(e.seqnum) < 4096);
		cut[le64(e.seqnum)] = across;
		seen[le64(e.seqnum)] = true;
		expected += !across;
	}
	pieces = (img->len + PIECE - 1) / PIECE;
	space = calloc(pieces, PIECE);
	for (size_t i = 0; i < pieces; i++) {
		size_t n = img->len - i * PIECE < PIECE ? img->len - i * PIECE : PIECE;

		memcpy(space + (pieces - 1 - i) * PIECE, img->buf + i * PIECE, n);
	}
	carve(space, pieces * PIECE);
	assert_true(expected > 1500 && ev.whole >= expected);
	for (size_t i = 0; i < ev.n; i++)
		if (ev.id[i]) {
			assert_true(ev.id[i] < 4096 && seen[ev.id[i]]);
			if (!ev.complete[i])
				assert_true(cut[ev.id[i]]);
			seen[ev.id[i]] = cut[ev.id[i]];
		}
	for (size_t i = 0; i < 4096; i++)
		if (seen[i] && !cut[i])
			fail_msg("entry %zu was not found", i);
	free(space);
	image_free(img);
	corpus_file(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_journal_in_free_space_gives_all_of_its_entries),
		cmocka_unit_test(without_a_header_hashes_lead_to_the_fields),
		cmocka_unit_test(what_is_lost_is_said_and_never_made_up),
		cmocka_unit_test(bytes_that_look_like_objects_are_survived),
		cmocka_unit_test(a_real_journal_in_pieces_is_put_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
