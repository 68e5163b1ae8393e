/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every layout of md's levels 4, 5, 6 and 10, as kernel 6.1 wrote it: which chunk of the array lies
 * on which member, row by row. Read off the members that fixtures/volumes/kernel.sh makes.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/part/md.h"
#include "tests/lib/image.h"

enum { CHUNK = 1024, ROWS = 6, FAR_ROWS = 8, MEMBERS = 5, P = -1, Q = -2 };

static const struct kind {
	int level;
	uint32_t layout, disks;
	const char *rows; /* of members: chunks of the array, P, Q */
} kinds[] = {
	{10, 0x102, 4, "0 0 1 1|2 2 3 3|4 4 5 5|6 6 7 7|8 8 9 9|10 10 11 11"},
	{10, 0x102, 3, "0 0 1|1 2 2|3 3 4|4 5 5|6 6 7|7 8 8"},
	{10, 0x103, 4, "0 0 0 1|1 1 2 2|2 3 3 3|4 4 4 5|5 5 6 6|6 7 7 7"},
	/* far: the first rows, and those of the second half */
	{10, 0x201, 2, "0 1|2 3|4 5|6 7|1 0|3 2|5 4|7 6"},
	{10, 0x201, 3, "0 1 2|3 4 5|6 7 8|9 10 11|2 0 1|5 3 4|8 6 7|11 9 10"},
	{10, 0x10201, 4, "0 1 2 3|3 0 1 2|4 5 6 7|7 4 5 6|8 9 10 11|11 8 9 10"},
	{10, 0x10201, 3, "0 1 2|2 0 1|3 4 5|5 3 4|6 7 8|8 6 7"},
	{4, 0, 3, "0 1 P|2 3 P|4 5 P|6 7 P|8 9 P|10 11 P"},
	{5, 2, 4, "0 1 2 P|4 5 P 3|8 P 6 7|P 9 10 11|12 13 14 P|16 17 P 15"},
	{5, 0, 4, "0 1 2 P|3 4 P 5|6 P 7 8|P 9 10 11|12 13 14 P|15 16 P 17"},
	{5, 1, 4, "P 0 1 2|3 P 4 5|6 7 P 8|9 10 11 P|P 12 13 14|15 P 16 17"},
	{5, 3, 4, "P 0 1 2|5 P 3 4|7 8 P 6|9 10 11 P|P 12 13 14|17 P 15 16"},
	{5, 4, 4, "P 0 1 2|P 3 4 5|P 6 7 8|P 9 10 11|P 12 13 14|P 15 16 17"},
	{5, 5, 4, "0 1 2 P|3 4 5 P|6 7 8 P|9 10 11 P|12 13 14 P|15 16 17 P"},
	{6, 2, 5, "Q 0 1 2 P|3 4 5 P Q|7 8 P Q 6|11 P Q 9 10|P Q 12 13 14|Q 15 16 17 P"},
	{6, 0, 5, "Q 0 1 2 P|3 4 5 P Q|6 7 P Q 8|9 P Q 10 11|P Q 12 13 14|Q 15 16 17 P"},
	{6, 1, 5, "P Q 0 1 2|3 P Q 4 5|6 7 P Q 8|9 10 11 P Q|Q 12 13 14 P|P Q 15 16 17"},
	{6, 3, 5, "P Q 0 1 2|5 P Q 3 4|7 8 P Q 6|9 10 11 P Q|Q 12 13 14 P|P Q 15 16 17"},
	{6, 4, 5, "P Q 0 1 2|P Q 3 4 5|P Q 6 7 8|P Q 9 10 11|P Q 12 13 14|P Q 15 16 17"},
	{6, 5, 5, "0 1 2 P Q|3 4 5 P Q|6 7 8 P Q|9 10 11 P Q|12 13 14 P Q|15 16 17 P Q"},
	{6, 8, 5, "P Q 0 1 2|3 P Q 4 5|6 7 P Q 8|9 10 11 P Q|Q 12 13 14 P|P Q 15 16 17"},
	{6, 9, 5, "0 1 2 P Q|3 4 P Q 5|6 P Q 7 8|P Q 9 10 11|Q 12 13 14 P|15 16 17 P Q"},
	{6, 10, 5, "0 1 2 Q P|4 5 Q P 3|8 Q P 6 7|Q P 9 10 11|P 12 13 14 Q|15 16 17 Q P"},
	{6, 16, 5, "0 1 2 P Q|3 4 P 5 Q|6 P 7 8 Q|P 9 10 11 Q|12 13 14 P Q|15 16 P 17 Q"},
	{6, 17, 5, "P 0 1 2 Q|3 P 4 5 Q|6 7 P 8 Q|9 10 11 P Q|P 12 13 14 Q|15 P 16 17 Q"},
	{6, 18, 5, "0 1 2 P Q|4 5 P 3 Q|8 P 6 7 Q|P 9 10 11 Q|12 13 14 P Q|16 17 P 15 Q"},
	{6, 19, 5, "P 0 1 2 Q|5 P 3 4 Q|7 8 P 6 Q|9 10 11 P Q|P 12 13 14 Q|17 P 15 16 Q"},
	{6, 20, 5, "P 0 1 2 Q|P 3 4 5 Q|P 6 7 8 Q|P 9 10 11 Q|P 12 13 14 Q|P 15 16 17 Q"},
};

static uint8_t byte_of(int n, unsigned b)
{
	return (uint8_t)(n * 37 + 11 + b % 5);
}

/* The members of @k, one behind the other. Returns how many chunks the rows have. */
static int fill(struct image *img, const struct kind *k, uint64_t column)
{
	const char *p = k->rows;
	int chunks = 0;

	for (unsigned row = 0; *p; row++) {
		uint8_t *parity = NULL, *at[MEMBERS];
		int n[MEMBERS];

		for (unsigned i = 0; i < k->disks; i++) {
			char *end;

			p += *p == ' ' || *p == '|';
			n[i] = *p == 'P' ? P : *p == 'Q' ? Q : (int)strtol(p, &end, 10);
			p = n[i] < 0 ? p + 1 : end;
			at[i] = img->buf + i * column + (size_t)row * CHUNK;
			parity = n[i] == P ? at[i] : parity;
			chunks = n[i] >= chunks ? n[i] + 1 : chunks;
		}
		for (unsigned i = 0; i < k->disks; i++)
			for (unsigned b = 0; n[i] >= 0 && b < CHUNK; b++) {
				at[i][b] = byte_of(n[i], b);
				if (parity)
					parity[b] ^= at[i][b];
			}
	}
	return chunks;
}

static void assert_reads(const struct md *a, int chunks)
{
	for (int n = 0; n < chunks; n++) {
		struct ranges bad = {0};
		uint8_t buf[CHUNK];

		assert_int_equal(md_read(a, (uint64_t)n * CHUNK, buf, CHUNK, &bad), 0);
		assert_int_equal(bad.n, 0);
		for (unsigned b = 0; b < CHUNK; b += 101)
			assert_int_equal(buf[b], byte_of(n, b));
	}
}

static void every_layout_is_where_a_kernel_has_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct kind *k = &kinds[i];
		bool far = k->level == 10 && k->layout >> 16 == 0 && k->layout >> 8 > 1;
		struct md_member member[MEMBERS] = {0};
		struct md a = {.member = member, .disks = k->disks};
		struct image *img;
		int chunks;

		a.column = (far ? FAR_ROWS : ROWS) * CHUNK;
		a.s = (struct md_super){.level = k->level, .layout = k->layout, .chunk = CHUNK};
		a.parities = k->level == 6 ? 2 : k->level != 10;
		img = image_new(k->disks * (size_t)a.column);
		chunks = fill(img, k, a.column);
		image_discover(img);
		a.l = img->source;
		for (uint32_t m = 0; m < k->disks; m++) {
			member[m].on = img->source;
			member[m].s.data = m * a.column;
			member[m].s.data_len = a.column;
		}
		a.size = md_size(&a);
		assert_true(a.size >= (uint64_t)chunks * CHUNK);
		assert_reads(&a, chunks);
		for (uint32_t gone = 0; gone < k->disks; gone++) {
			member[gone].on = NULL;
			assert_reads(&a, chunks);
			member[gone].on = img->source;
		}
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_layout_is_where_a_kernel_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
