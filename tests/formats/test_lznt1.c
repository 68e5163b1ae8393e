/* SPDX-License-Identifier: Apache-2.0 */
/* LZNT1: known answers, damage that stays in its chunk. */
#include "formats/fs/lznt1.h"

#include "tests/lib/corpus.h"
#include "tests/lib/image.h"

/* [MS-XCA] 3.3, with its NUL */
static const char text[] =
	"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D "
	"E E F# D E F# G F# D E F# G F# E D E A F# F# G A A G F# E D D E F# E D D";
static const uint8_t text_packed[] = {
	0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47,
	0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20,
	0x05, 0x24, 0x13, 0x88, 0x05, 0xb4, 0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09,
	0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00};

enum { UNIT = 4 * LZNT1_CHUNK };

/*
 * A unit of four chunks: 'a' repeated, 4096 bytes as they are, 'c' repeated, "dd" and a phrase of
 * 4094. Each head is at heads[i].
 */
static const size_t heads[] = {0, 6, 4104, 4110};
enum { PACKED = 4116 };

static void build(uint8_t *in)
{
	/* 02: a literal, then a phrase; 0x0ffc: 1 back, 4092 + 3 bytes. */
	static const uint8_t run[] = {0x03, 0xb0, 0x02, 'a', 0xfc, 0x0f};

	memset(in, 0, PACKED + 100);
	memcpy(in, run, sizeof(run));
	memcpy(in + heads[1], "\xff\x3f", 2);
	for (size_t i = 0; i < LZNT1_CHUNK; i++)
		in[heads[1] + 2 + i] = (uint8_t)(i * 7 + i / 256);
	memcpy(in + heads[2], run, sizeof(run));
	in[heads[2] + 3] = 'c';
	memcpy(in + heads[3], run, sizeof(run));
	in[heads[3] + 3] = 'd';
}

static void check_chunk(const uint8_t *out, size_t chunk, bool there)
{
	static const uint8_t fill[] = {'a', 0, 'c', 'd'};

	out += chunk * LZNT1_CHUNK;
	for (size_t i = 0; i < LZNT1_CHUNK; i++)
		assert_int_equal(out[i], !there	      ? 0
					 : chunk == 1 ? (uint8_t)(i * 7 + i / 256)
						      : fill[chunk]);
}

static void the_example_of_the_specification(void **state)
{
	struct ranges bad = {0};
	uint8_t out[sizeof(text) + 100];

	(void)state;
	memset(out, 0xee, sizeof(out));
	assert_int_equal(lznt1_decode(text_packed, sizeof(text_packed), NULL, out, sizeof(out),
				      sizeof(text), &bad),
			 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(out, text, sizeof(text));
	assert_true(!out[sizeof(text)] && !out[sizeof(out) - 1]);
}

static void a_whole_unit(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges bad = {0};

	(void)state;
	build(in);
	assert_int_equal(lznt1_decode(in, sizeof(in), NULL, out, UNIT, UNIT, &bad), 0);
	assert_int_equal(bad.n, 0);
	for (size_t i = 0; i < 4; i++)
		check_chunk(out, i, true);
}

static void a_bad_phrase_costs_its_chunk(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges bad = {0};

	(void)state;
	build(in);
	memcpy(in + heads[2] + 4, "\x00\x10", 2); /* 2 back, after one literal */
	assert_int_equal(lznt1_decode(in, sizeof(in), NULL, out, UNIT, UNIT, &bad), 0);
	assert_int_equal(bad.n, 2);
	assert_true(bad.v[0].off == 2 * LZNT1_CHUNK && bad.v[0].len == 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_true(bad.v[1].off == 2 * LZNT1_CHUNK + 1 && bad.v[1].len == LZNT1_CHUNK - 1);
	assert_int_equal(bad.v[1].grade, GRADE_LOST);
	assert_int_equal(bad.v[1].why, NTFS_LZNT1);
	assert_int_equal(out[2 * LZNT1_CHUNK], 'c');
	assert_int_equal(out[2 * LZNT1_CHUNK + 1], 0);
	check_chunk(out, 0, true);
	check_chunk(out, 1, true);
	check_chunk(out, 3, true);
	ranges_free(&bad);
}

static void a_chunk_is_never_longer_than_a_chunk(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges bad = {0};

	(void)state;
	build(in);
	in[heads[2] + 4] = 0xfd; /* one byte too many */
	assert_int_equal(lznt1_decode(in, sizeof(in), NULL, out, UNIT, UNIT, &bad), 0);
	assert_true(bad.n == 1 && bad.v[0].off == 2 * LZNT1_CHUNK && bad.v[0].len == LZNT1_CHUNK);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	check_chunk(out, 3, true);
	ranges_free(&bad);
}

static void a_phrase_before_the_chunk_is_impossible(void **state)
{
	static const uint8_t in[] = {0x02, 0xb0, 0x01, 0x00, 0x00};
	struct ranges bad = {0};
	uint8_t out[16];

	(void)state;
	assert_int_equal(lznt1_decode(in, sizeof(in), NULL, out, sizeof(out), 1, &bad), 0);
	assert_true(bad.n == 1 && bad.v[0].len == sizeof(out) && bad.v[0].grade == GRADE_LOST);
	ranges_free(&bad);
}

/* Where the packed bytes are lost, what came out before is right, and so are the other chunks. */
static void lost_packed_bytes_cut_their_chunk(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges in_bad = {0}, bad = {0};

	(void)state;
	build(in);
	ranges_add(&in_bad, heads[1] + 2 + 1000, 512, GRADE_LOST, SOURCE_UNREADABLE);
	assert_int_equal(lznt1_decode(in, sizeof(in), &in_bad, out, UNIT, UNIT, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_true(bad.v[0].off == LZNT1_CHUNK + 1000 && bad.v[0].len == LZNT1_CHUNK - 1000);
	assert_int_equal(bad.v[0].why, SOURCE_UNREADABLE);
	for (size_t i = 0; i < 4; i++)
		if (i != 1)
			check_chunk(out, i, true);
	ranges_free(&in_bad);
	ranges_free(&bad);
}

static void a_lost_head_costs_what_follows(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges in_bad = {0}, bad = {0};

	(void)state;
	build(in);
	ranges_add(&in_bad, heads[2] + 1, 1, GRADE_LOST, SOURCE_UNREADABLE);
	assert_int_equal(lznt1_decode(in, sizeof(in), &in_bad, out, UNIT, UNIT, &bad), 0);
	assert_true(bad.n == 1 && bad.v[0].off == 2 * LZNT1_CHUNK &&
		    bad.v[0].len == 2 * LZNT1_CHUNK);
	check_chunk(out, 0, true);
	check_chunk(out, 1, true);
	check_chunk(out, 2, false);
	ranges_free(&in_bad);
	ranges_free(&bad);
}

static void doubtful_packed_bytes_give_a_doubtful_chunk(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges in_bad = {0}, bad = {0};

	(void)state;
	build(in);
	ranges_add(&in_bad, heads[2] + 3, 1, GRADE_DOUBTFUL, INTEGRITY_TAG);
	assert_int_equal(lznt1_decode(in, sizeof(in), &in_bad, out, UNIT, UNIT, &bad), 0);
	assert_true(bad.n == 1 && bad.v[0].off == 2 * LZNT1_CHUNK && bad.v[0].len == LZNT1_CHUNK);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	ranges_free(&in_bad);
	ranges_free(&bad);
}

/* Zeros written over a chunk read as an end mark: that must not become data silently. */
static void an_end_mark_too_early_is_no_end(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];
	struct ranges bad = {0};

	(void)state;
	build(in);
	memset(in + heads[2], 0, 20);
	assert_int_equal(lznt1_decode(in, sizeof(in), NULL, out, UNIT, UNIT, &bad), 0);
	assert_true(bad.n == 1 && bad.v[0].off == 2 * LZNT1_CHUNK &&
		    bad.v[0].len == 2 * LZNT1_CHUNK && bad.v[0].why == NTFS_LZNT1);
	ranges_free(&bad);
}

static void cut_at_every_length(void **state)
{
	static uint8_t in[PACKED + 100], out[UNIT];

	(void)state;
	build(in);
	for (size_t len = 0; len <= PACKED; len++) {
		struct ranges bad = {0};
		uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees its end */

		assert_non_null(exact);
		memcpy(exact, in, len);
		assert_int_equal(lznt1_decode(exact, len, NULL, out, UNIT, UNIT, &bad), 0);
		assert_int_equal(bad.n != 0, len < PACKED);
		ranges_free(&bad);
		free(exact);
	}
}

/* What Windows has written: J. Schicht's sample, with the plain text that icat gave. */
static void a_stream_of_windows(void **state)
{
	size_t in_len, want_len;
	uint8_t *in = corpus_bytes("ntfs/ntfs-forensic-lznt1_real.bin", &in_len);
	uint8_t *want = corpus_bytes("ntfs/ntfs-forensic-lznt1_real.expected", &want_len), *out;
	struct ranges bad = {0};

	(void)state;
	if (!in || !want)
		skip();
	out = malloc(want_len);
	assert_non_null(out);
	assert_int_equal(lznt1_decode(in, in_len, NULL, out, want_len, want_len, &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(out, want, want_len);
	free(in);
	free(want);
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_specification),
		cmocka_unit_test(a_whole_unit),
		cmocka_unit_test(a_bad_phrase_costs_its_chunk),
		cmocka_unit_test(a_chunk_is_never_longer_than_a_chunk),
		cmocka_unit_test(a_phrase_before_the_chunk_is_impossible),
		cmocka_unit_test(lost_packed_bytes_cut_their_chunk),
		cmocka_unit_test(a_lost_head_costs_what_follows),
		cmocka_unit_test(doubtful_packed_bytes_give_a_doubtful_chunk),
		cmocka_unit_test(an_end_mark_too_early_is_no_end),
		cmocka_unit_test(cut_at_every_length),
		cmocka_unit_test(a_stream_of_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
