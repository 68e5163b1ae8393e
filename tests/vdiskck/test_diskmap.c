/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"
#include "vdiskck/diskmap.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

static uint64_t total(const struct diskmap *m, enum cell_kind k)
{
	return diskmap_part(m, 0, 1).bytes[k];
}

static void every_byte_is_counted_once(void **state)
{
	struct diskmap m;
	struct ranges bad = {0};

	(void)state;
	assert_int_equal(diskmap_init(&m, 10 * MIB), 0);
	diskmap_run(&m, 0, 5 * MIB, CELL_DATA);
	diskmap_run(&m, 6 * MIB, 100 * MIB, CELL_ZERO);
	/* Two findings overlap, one reaches past the end of the disk. */
	ranges_add(&bad, 2 * MIB, MIB, GRADE_DOUBTFUL, SOURCE_CHANGED);
	ranges_add(&bad, 2 * MIB + 512, 1024, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&bad, 2 * MIB + 512, 512, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&bad, 10 * MIB - 512, MIB, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(diskmap_bad(&m, &bad), 0);

	assert_int_equal(total(&m, CELL_LOST), 1024 + 512);
	assert_int_equal(total(&m, CELL_DOUBTFUL), MIB - 1024);
	assert_int_equal(total(&m, CELL_DATA), 4 * MIB);
	assert_int_equal(total(&m, CELL_ZERO), 4 * MIB - 512);
	assert_int_equal(total(&m, CELL_UNKNOWN), MIB);
	assert_int_equal(ranges_bytes(&m.bad, GRADE_LOST), 1024 + 512);
	ranges_free(&bad);
	diskmap_free(&m);
}

static void a_piece_is_counted_by_what_map_says_of_it(void **state)
{
	/* Zeros and lost bytes that the engine read along with data: map() of a raw has none. */
	struct piece p = {.off = MIB, .len = MIB, .kind = EXTENT_DATA};
	struct image *img = image_new(4 * MIB);
	struct ranges bad = {0};
	struct diskmap m;

	(void)state;
	image_open(img, &raw_ops);
	assert_int_equal(diskmap_init(&m, 4 * MIB), 0);
	assert_int_equal(diskmap_piece(&m, img->top, &p), 0);
	p = (struct piece){.off = 2 * MIB, .len = MIB, .kind = EXTENT_ZERO};
	assert_int_equal(diskmap_piece(&m, img->top, &p), 0);
	p = (struct piece){.off = 3 * MIB, .len = MIB, .kind = EXTENT_LOST};
	assert_int_equal(diskmap_piece(&m, img->top, &p), 0);
	assert_int_equal(total(&m, CELL_UNKNOWN), 2 * MIB);
	/* Read, but in vain; zeros that are none; lost by map(). */
	ranges_add(&bad, MIB, 4096, GRADE_LOST, SOURCE_UNREADABLE);
	ranges_add(&bad, 2 * MIB + 512, 512, GRADE_LOST, SOURCE_BAD_MAP);
	ranges_add(&bad, 3 * MIB, MIB, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(diskmap_bad(&m, &bad), 0);

	assert_int_equal(total(&m, CELL_LOST), MIB + 4096 + 512);
	assert_int_equal(total(&m, CELL_DATA), MIB - 4096);
	assert_int_equal(total(&m, CELL_ZERO), MIB - 512);
	assert_int_equal(total(&m, CELL_UNKNOWN), MIB);
	assert_int_equal(m.bad.n, 3);
	image_free(img);
	ranges_free(&bad);
	diskmap_free(&m);
}

static void what_map_knows_is_scanned_without_reading(void **state)
{
	struct image *img = image_new(4 * MIB + 100);
	struct diskmap m;

	(void)state;
	image_open(img, &raw_ops);
	assert_int_equal(diskmap_init(&m, img->top->size), 0);
	assert_int_equal(diskmap_scan(&m, img->top), 0);
	assert_int_equal(total(&m, CELL_DATA), img->top->size);
	assert_int_equal(total(&m, CELL_UNKNOWN), 0);
	diskmap_free(&m);
	img->s.stop = true;
	assert_int_equal(diskmap_init(&m, img->top->size), 0);
	assert_int_equal(diskmap_scan(&m, img->top), -EINTR);
	assert_int_equal(total(&m, CELL_UNKNOWN), img->top->size);
	diskmap_free(&m);
	image_free(img);
}

static void one_lost_sector_shows_on_a_disk_of_exabytes(void **state)
{
	struct diskmap m;
	struct ranges bad = {0};
	struct cell c;

	(void)state;
	assert_int_equal(diskmap_init(&m, UINT64_MAX), 0);
	assert_true(m.n <= DISKMAP_CELLS);
	diskmap_run(&m, 0, UINT64_MAX, CELL_ZERO);
	ranges_add(&bad, UINT64_MAX - 511, 511, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(diskmap_bad(&m, &bad), 0);
	c = diskmap_part(&m, 511, 512);
	assert_int_equal(cell_shown(&c), CELL_LOST);
	c = diskmap_part(&m, 510, 512);
	assert_int_equal(cell_shown(&c), CELL_ZERO);
	ranges_free(&bad);
	diskmap_free(&m);
}

static void parts_tile_a_disk_of_any_size(void **state)
{
	static const uint64_t size[] = {1, 511, 512, 513, 1474560, 3 * MIB + 17, 127ull << 30};

	(void)state;
	for (size_t i = 0; i < sizeof(size) / sizeof(*size); i++) {
		struct diskmap m;
		uint64_t next = 0, off, len;
		size_t parts;

		assert_int_equal(diskmap_init(&m, size[i]), 0);
		parts = m.n < 100 ? m.n : 100;
		for (size_t k = 0; k < parts; k++) {
			diskmap_bounds(&m, k, parts, &off, &len);
			assert_int_equal(off, next);
			assert_true(len > 0);
			next = off + len;
		}
		assert_int_equal(next, size[i]);
		diskmap_free(&m);
	}
}

static char *printed(const struct diskmap *m, unsigned columns, bool unicode)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	diskmap_print(f, m, columns, unicode, false);
	fclose(f);
	return text;
}

static void lines_fit_the_terminal_and_ascii_is_ascii(void **state)
{
	struct diskmap m;
	struct ranges bad = {0};
	char *text;

	(void)state;
	assert_int_equal(diskmap_init(&m, 64 * MIB), 0);
	diskmap_run(&m, 0, 32 * MIB, CELL_DATA);
	ranges_add(&bad, 32 * MIB, MIB, GRADE_LOST, SOURCE_BAD_MAP);
	assert_int_equal(diskmap_bad(&m, &bad), 0);
	for (unsigned columns = 29; columns < 300; columns += 27) {
		size_t longest = 0, lines = 0;
		char *next;

		text = printed(&m, columns, false);
		for (char *p = text; *p; p = next + 1, lines++) {
			next = strchr(p, '\n');
			/* The legend may wrap, rows may not. */
			if (strspn(p + 12, "#+.X!?") >= 16 && (size_t)(next - p) > longest)
				longest = (size_t)(next - p);
		}
		assert_in_range(longest, 28, columns);
		assert_int_equal(lines, 1 + 8 + 1);
		for (char *p = text; *p; p++)
			assert_true(*p == '\n' || (*p >= ' ' && *p < 0x7f));
		free(text);
	}
	text = printed(&m, 80, true);
	assert_non_null(strstr(text, "█"));
	assert_non_null(strstr(text, "X lost 1 MiB"));
	assert_non_null(strstr(text, "? not examined 31 MiB"));
	assert_null(strstr(text, "doubtful"));
	ranges_free(&bad);
	free(text);
	diskmap_free(&m);
}

static void an_empty_disk_has_no_map(void **state)
{
	struct diskmap m;
	char *text;

	(void)state;
	assert_int_equal(diskmap_init(&m, 0), 0);
	diskmap_run(&m, 0, 512, CELL_DATA);
	text = printed(&m, 80, true);
	assert_string_equal(text, "");
	free(text);
	diskmap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_counted_once),
		cmocka_unit_test(a_piece_is_counted_by_what_map_says_of_it),
		cmocka_unit_test(what_map_knows_is_scanned_without_reading),
		cmocka_unit_test(one_lost_sector_shows_on_a_disk_of_exabytes),
		cmocka_unit_test(parts_tile_a_disk_of_any_size),
		cmocka_unit_test(lines_fit_the_terminal_and_ascii_is_ascii),
		cmocka_unit_test(an_empty_disk_has_no_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
