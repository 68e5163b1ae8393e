/* SPDX-License-Identifier: Apache-2.0 */
/* What all file systems share: files made of runs, paths with links in them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "formats/fs/fs.h"
#include "formats/fs/runs.h"
#include "vdiskck/core/session.h"

static uint8_t volume[4096];

static int mem_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	(void)l;
	(void)bad;
	memcpy(buf, volume + off, len);
	return 0;
}

static int mem_map(struct layer *l, uint64_t off, struct extent *run)
{
	*run = (struct extent){
		.off = off, .len = l->size - off, .kind = EXTENT_DATA, .in = l, .at = off};
	return 0;
}

/* A file system of links: /a -> b/c, /b -> /real, /loop -> loop, /real/c and /real/up -> ../x. */
static int lookup(struct layer *l, const char *path, struct fs_entry **e)
{
	static const struct fs_entry all[] = {
		{.path = "/", .kind = FS_DIR, .id = 1},
		{.path = "/a", .kind = FS_SYMLINK, .target = "b/c", .id = 2},
		{.path = "/b", .kind = FS_SYMLINK, .target = "/real", .id = 3},
		{.path = "/loop", .kind = FS_SYMLINK, .target = "loop", .id = 4},
		{.path = "/real", .kind = FS_DIR, .id = 5},
		{.path = "/real/c", .kind = FS_FILE, .id = 6},
		{.path = "/real/up", .kind = FS_SYMLINK, .target = "../../../x", .id = 7},
		{.path = "/x", .kind = FS_FILE, .id = 8},
	};

	(void)l;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(all[i].path, path)) {
			*e = fs_entry_copy(&all[i]);
			return *e ? 0 : -ENOMEM;
		}
	return -ENOENT;
}

static const struct fs_ops mem_fs = {.lookup = lookup};
static const struct layer_ops mem_ops = {
	.name = "mem", .kind = LAYER_FILESYSTEM, .read = mem_read, .map = mem_map, .fs = &mem_fs};

static int setup(void **state)
{
	static struct session s;

	session_init(&s);
	for (size_t i = 0; i < sizeof(volume); i++)
		volume[i] = (uint8_t)(i >> 8 | 0x80);
	*state = layer_new(&s, &mem_ops, NULL, "mem");
	((struct layer *)*state)->size = sizeof(volume);
	return 0;
}

static int teardown(void **state)
{
	layer_free(*state);
	return 0;
}

static uint64_t found(struct layer *fs, const char *path)
{
	struct fs_entry *e;
	int r = fs_find(fs, path, &e);
	uint64_t id = r ? 0 : e->id;

	fs_entry_free(e);
	return r ? (uint64_t)-r : id;
}

static void links_are_followed_inside_the_file_system(void **state)
{
	assert_int_equal(found(*state, "/"), 1);
	assert_int_equal(found(*state, "/a"), 6);
	assert_int_equal(found(*state, "b"), 5);
	assert_int_equal(found(*state, "//b/./c"), 6);
	assert_int_equal(found(*state, "/real/up"), 8);
	assert_int_equal(found(*state, "/../../x"), 8);
	assert_int_equal(found(*state, "/loop"), ELOOP);
	assert_int_equal(found(*state, "/b/none"), ENOENT);
}

static void a_file_reads_data_holes_and_what_is_lost(void **state)
{
	struct layer *fs = *state, *f;
	struct fs_runs runs = {0};
	struct ranges bad = {0};
	uint8_t buf[2048];
	struct extent run;

	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){0, 256, EXTENT_DATA, 0, 512}), 0);
	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){256, 256, EXTENT_DATA, 0, 768}), 0);
	assert_int_equal(runs.n, 1);
	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){500, 1, EXTENT_DATA, 0, 0}), -EINVAL);
	assert_int_equal(
		fs_runs_add(&runs, &(struct fs_run){1024, 256, EXTENT_LOST, SOURCE_BAD_MAP, 0}), 0);
	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){1280, 512, EXTENT_DATA, 0, 3840}), 0);
	assert_int_equal(fs_file_new(fs, "/dir/file", 2000, &runs, &f), 0);
	assert_string_equal(f->path, "mem:/dir/file");

	assert_int_equal(layer_read(f, 0, buf, 2000, &bad), 0);
	assert_int_equal(buf[0], 0x82);
	assert_int_equal(buf[511], 0x83);
	assert_int_equal(buf[512], 0);
	assert_int_equal(buf[1280], 0x8f);
	assert_int_equal(buf[1536], 0);
	ranges_sort(&bad);
	assert_int_equal(bad.n, 2);
	assert_int_equal(bad.v[0].off, 1024);
	assert_int_equal(bad.v[0].why, SOURCE_BAD_MAP);
	/* The volume ends in the middle of the last run. */
	assert_int_equal(bad.v[1].off, 1536);
	assert_int_equal(bad.v[1].len, 256);
	assert_int_equal(bad.v[1].why, LAYER_READ_PAST_END);

	assert_int_equal(layer_map(f, 300, &run), 0);
	assert_ptr_equal(run.in, fs);
	assert_int_equal(run.at, 812);
	assert_int_equal(run.len, 212);
	assert_int_equal(layer_map(f, 1800, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, 200);
	ranges_free(&bad);
	layer_free(f);
}

/* What came with its metadata is not read again, and still has its place. */
static void bytes_at_hand_are_a_file_with_a_place(void **state)
{
	struct fs_runs runs = {0};
	struct layer *f;
	struct extent run;
	uint8_t buf[4];

	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){0, 6, EXTENT_DATA, 0, 100}), 0);
	assert_int_equal(fs_runs_add(&runs, &(struct fs_run){6, 4, EXTENT_DATA, 0, 40}), 0);
	assert_int_equal(fs_file_held(*state, "/small", "0123456789", 10, &runs, &f), 0);
	assert_int_equal(f->size, 10);
	assert_int_equal(layer_read(f, 5, buf, 4, NULL), 0);
	assert_memory_equal(buf, "5678", 4);
	assert_int_equal(layer_map(f, 7, &run), 0);
	assert_int_equal(run.at, 41);
	assert_int_equal(run.len, 3);
	layer_free(f);
}

static void names_hold_no_separators(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(fs_name_put("a/b\0c", 5, out, sizeof(out)), 9);
	assert_string_equal(out, "a\xef\x80\xaf"
				 "b\xef\x80\x80"
				 "c");
	assert_int_equal(fs_name_put("abcdef", 6, out, 4), 3);
	assert_string_equal(out, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_are_followed_inside_the_file_system, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_file_reads_data_holes_and_what_is_lost, setup,
						teardown),
		cmocka_unit_test_setup_teardown(bytes_at_hand_are_a_file_with_a_place, setup,
						teardown),
		cmocka_unit_test(names_hold_no_separators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
