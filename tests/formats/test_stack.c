/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery: how deep it goes, and how layers are named. */
#include "tests/lib/image.h"

#include "formats/drivers.h"
#include "formats/stack.h"

enum { SECTOR = 512, LEVELS = 16, SECTORS = 4096 };

/* A table with one Linux partition, from the next sector to the end of the disk. */
static void put_mbr(struct image *img, unsigned level)
{
	uint64_t at = (uint64_t)level * SECTOR;
	static const uint8_t type = 0x83, end[2] = {0x55, 0xaa};

	image_poke(img, at + 446 + 4, &type, 1);
	image_le32(img, at + 446 + 8, 1);
	image_le32(img, at + 446 + 12, SECTORS - level - 1);
	image_poke(img, at + 510, end, 2);
}

static void tables_within_tables_end_somewhere(void **state)
{
	struct image *img = image_new(SECTORS * SECTOR);

	(void)state;
	for (unsigned i = 0; i < LEVELS; i++)
		put_mbr(img, i);
	image_discover(img);
	assert_finding(img, LAYER_TOO_DEEP, ANYWHERE);
	assert_int_equal(image_seen(img, LAYER_TOO_DEEP, ANYWHERE), 1);
	image_free(img);
}

static void a_layer_is_found_by_its_path(void **state)
{
	struct image *img = image_new(SECTORS * SECTOR);
	struct layer *l;

	(void)state;
	put_mbr(img, 0);
	put_mbr(img, 1);
	image_discover(img);
	assert_int_equal(image_seen(img, LAYER_TOO_DEEP, ANYWHERE), 0);
	l = stack_find(img->source, "mbr/p1/mbr/p1");
	assert_non_null(l);
	assert_int_equal(l->size, (SECTORS - 2) * SECTOR);
	assert_null(stack_find(img->source, "mbr/p2"));
	assert_ptr_equal(stack_find(img->source, "test.img"), img->source);
	image_free(img);
}

/* A table is no log; lines are. */
static void drivers_that_are_not_named_are_not_tried(void **state)
{
	static const char line[] = "Jan  2 03:04:05 node kernel: a line of a log\n";
	enum { LINE = sizeof(line) - 1, LINES = 100 };
	struct image *img = image_new(SECTORS * SECTOR);
	char text[LINES * LINE];
	struct layer *table, *log;

	(void)state;
	put_mbr(img, 0);
	image_discover(img);
	assert_non_null(img->top);
	table = memory_source(&img->s, "table", img->buf, img->len);
	assert_int_equal(stack_discover_as(table, log_drivers), 0);
	assert_null(table->child);
	layer_free(table);

	for (size_t i = 0; i < LINES; i++)
		memcpy(text + i * LINE, line, LINE);
	log = memory_source(&img->s, "messages", text, sizeof(text));
	assert_int_equal(stack_discover_as(log, log_drivers), 0);
	assert_non_null(log->child);
	assert_int_equal(log->child->ops->kind, LAYER_LOG);
	layer_free(log);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_within_tables_end_somewhere),
		cmocka_unit_test(a_layer_is_found_by_its_path),
		cmocka_unit_test(drivers_that_are_not_named_are_not_tried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
