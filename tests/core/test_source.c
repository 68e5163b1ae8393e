/* SPDX-License-Identifier: Apache-2.0 */
/* Files, split files, devices; what fails to be read, what a map says, what changes meanwhile. */
#include "tests/lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/core/source.h"

extern unsigned long eio_calls; /* tests/lib/eio_shim.c */

enum { SIZE = 1 << 20, SEEN = 64 };

struct env {
	char root[64], path[128];
	struct session s;
	struct layer *l;
	size_t n;
	struct seen_one {
		enum finding_id id;
		struct fact fact;
		char message[256];
	} seen[SEEN];
	char said[1024];
};

static void on_finding(void *arg, const struct finding *f)
{
	struct env *e = arg;

	assert_true(e->n < SEEN);
	e->seen[e->n].id = f->id;
	e->seen[e->n].fact = f->fact;
	snprintf(e->seen[e->n].message, sizeof(e->seen[0].message), "%s", f->message);
	e->n++;
}

static void on_error(void *arg, const char *line)
{
	struct env *e = arg;

	snprintf(e->said, sizeof(e->said), "%s", line);
}

/* Byte @off of every image here: no two sectors are alike. */
static uint8_t pattern(uint64_t off)
{
	return (uint8_t)(1 + (off / 512 * 7 + off) % 251);
}

static void path_set(struct env *e, const char *name)
{
	strcat(strcat(strcpy(e->path, e->root), "/"), name);
}

/* A file of the pattern's bytes [from, from + len); e->path is its path. */
static void put(struct env *e, const char *name, uint64_t from, size_t len)
{
	uint8_t *buf = malloc(len ? len : 1);
	FILE *f;

	path_set(e, name);
	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(from + i);
	f = fopen(e->path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	free(buf);
}

static void put_text(struct env *e, const char *name, const char *text)
{
	FILE *f;

	path_set(e, name);
	f = fopen(e->path, "wb");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void open_path(struct env *e, const char *name)
{
	path_set(e, name);
	assert_int_equal(source_open(&e->s, e->path, &e->l), 0);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	snprintf(e->root, sizeof(e->root), "/tmp/vdiskck-test-XXXXXX");
	assert_non_null(mkdtemp(e->root));
	session_init(&e->s);
	e->s.on_finding = on_finding;
	e->s.on_error = on_error;
	e->s.arg = e;
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;
	char command[128];

	unsetenv("EIO_PATH");
	unsetenv("EIO_RANGES");
	unsetenv("EIO_SHORT");
	unsetenv("EIO_ERRNO");
	layer_free(e->l);
	session_fini(&e->s);
	snprintf(command, sizeof(command), "rm -r '%s'", e->root);
	assert_int_equal(system(command), 0);
	free(e);
	return 0;
}

static void fails(struct env *e, const char *ranges)
{
	setenv("EIO_PATH", e->path, 1);
	setenv("EIO_RANGES", ranges, 1);
	eio_calls = 0;
}

/*
 * Read all of e->l in pieces; every byte must be the pattern's (from @shift on) or be lost, and
 * then zero. Returns the lost bytes; @bad gets the ranges, sorted.
 */
static uint64_t read_all(struct env *e, size_t piece, struct ranges *bad)
{
	uint8_t *buf = malloc(piece);
	uint64_t lost;

	for (uint64_t off = 0; off < e->l->size; off += piece) {
		struct ranges some = {0};
		size_t len = e->l->size - off < piece ? (size_t)(e->l->size - off) : piece;

		memset(buf, 0xaa, piece);
		assert_int_equal(layer_read(e->l, off, buf, len, &some), 0);
		for (size_t i = 0; i < len; i++) {
			uint8_t want = ranges_overlap(&some, off + i, 1) ? 0 : pattern(off + i);

			if (buf[i] != want)
				fail_msg("byte %zu is %02x, not %02x", (size_t)off + i, buf[i],
					 want);
		}
		ranges_append(bad, &some);
		ranges_free(&some);
	}
	ranges_sort(bad);
	lost = ranges_bytes(bad, GRADE_LOST);
	free(buf);
	return lost;
}

static size_t seen(const struct env *e, enum finding_id id)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += e->seen[i].id == id;
	return n;
}

static void a_file_is_read_as_it_is(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	struct extent run;

	put(e, "disk.img", 0, 100001);
	open_path(e, "disk.img");
	assert_int_equal(e->l->size, 100001);
	assert_int_equal(e->l->sector, 512);
	assert_string_equal(e->l->path, "disk.img");
	assert_int_equal(read_all(e, 777, &bad), 0);
	assert_int_equal(layer_map(e->l, 5, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.len, 100001 - 5);
	source_changed(e->l);
	assert_int_equal(e->n, 0);
}

static void only_files_and_block_devices_are_images(void **state)
{
	struct env *e = *state;

	path_set(e, "fifo");
	assert_int_equal(mkfifo(e->path, 0600), 0);
	assert_int_not_equal(source_open(&e->s, e->path, &e->l), 0);
	assert_non_null(strstr(e->said, "no regular file or block device"));
	assert_int_not_equal(source_open(&e->s, e->root, &e->l), 0);
	assert_non_null(strstr(e->said, "is a folder"));
	assert_int_not_equal(source_open(&e->s, "/dev/zero", &e->l), 0);
	assert_non_null(strstr(e->said, "no regular file or block device"));
	path_set(e, "none");
	assert_int_equal(source_open(&e->s, e->path, &e->l), -ENOENT);
	assert_null(e->l);
}

static void a_chain_folder_that_is_not_there_is_said(void **state)
{
	struct env *e = *state;
	const char *const chain[] = {"/no/such/folder", NULL};

	put(e, "disk.img", 0, 512);
	e->s.opt.chain = chain;
	assert_int_equal(source_open(&e->s, e->path, &e->l), -ENOENT);
	assert_non_null(strstr(e->said, "--chain /no/such/folder"));
}

static void an_empty_file_is_reported_and_stacked(void **state)
{
	struct env *e = *state;
	struct layer *stack = NULL;
	uint8_t b = 1;

	put(e, "empty", 0, 0);
	open_path(e, "empty");
	assert_int_equal(seen(e, SOURCE_EMPTY), 1);
	assert_int_equal(layer_read(e->l, 0, &b, 1, NULL), 0);
	assert_int_equal(b, 0);
	stack_open(&e->s, e->path, &stack);
	layer_free(stack);
}

static void the_image_and_its_times_stay_as_they_are(void **state)
{
	struct env *e = *state;
	const struct timespec old[2] = {{1000000000, 0}, {1200000000, 0}};
	struct stat before, after, dir_before, dir_after;
	struct ranges bad = {0};

	put(e, "disk.img", 0, 4096);
	assert_int_equal(utimensat(AT_FDCWD, e->path, old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, e->root, old, 0), 0);
	stat(e->path, &before);
	stat(e->root, &dir_before);
	open_path(e, "disk.img");
	read_all(e, 4096, &bad);
	stat(e->path, &after);
	stat(e->root, &dir_after);
	assert_int_equal(before.st_atime, after.st_atime);
	assert_int_equal(before.st_mtime, after.st_mtime);
	assert_int_equal(before.st_ctime, after.st_ctime);
	assert_int_equal(dir_before.st_atime, dir_after.st_atime);
}

static void bad_sectors_cost_only_themselves(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	fails(e, "5120+512,70000+1,1048000+100");
	assert_int_equal(read_all(e, SIZE, &bad), 3 * 512 + 512 * (1048099 / 512 - 1048000 / 512));
	assert_int_equal(bad.v[0].off, 5120);
	assert_int_equal(bad.v[0].len, 512);
	assert_int_equal(bad.v[0].why, SOURCE_UNREADABLE);
	assert_int_equal(bad.v[1].off, 70000 / 512 * 512);
	ranges_free(&bad);
	/* Said once, with its place; not read again; not said again. */
	source_changed(e->l);
	assert_int_equal(seen(e, SOURCE_UNREADABLE), 3);
	assert_int_equal(e->seen[0].fact.off, 5120);
	assert_true(e->seen[0].fact.lost);
	setenv("EIO_RANGES", "0+0", 1);
	assert_int_not_equal(read_all(e, 4096, &bad), 0);
	ranges_free(&bad);
	source_changed(e->l);
	assert_int_equal(seen(e, SOURCE_UNREADABLE), 3);
}

static void reads_that_stop_before_a_bad_sector_go_on_behind_it(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	setenv("EIO_SHORT", "1", 1);
	fails(e, "4096+4096,8704+512");
	assert_int_equal(read_all(e, 65536, &bad), 4096 + 512);
	assert_int_equal(bad.n, 2);
	ranges_free(&bad);
}

static void unaligned_reads_lose_only_what_they_asked_for(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	uint8_t buf[300];

	put(e, "disk.img", 0, 8192);
	open_path(e, "disk.img");
	fails(e, "1024+512");
	assert_int_equal(layer_read(e->l, 900, buf, 300, &bad), 0);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 1024);
	assert_int_equal(bad.v[0].len, 176);
	assert_int_equal(buf[0], pattern(900));
	ranges_free(&bad);
	assert_int_equal(layer_read(e->l, 1300, buf, 300, &bad), 0);
	assert_int_equal(bad.v[0].off, 1300);
	assert_int_equal(bad.v[0].len, 1536 - 1300);
	assert_int_equal(buf[299], pattern(1599));
	ranges_free(&bad);
}

static void an_error_that_passes_costs_nothing(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	fails(e, "512+512*1,66000+1*8,200000+512*3");
	assert_int_equal(read_all(e, SIZE, &bad), 0);
	source_changed(e->l);
	assert_int_equal(e->n, 0);
}

static void other_errors_are_unreadable_too(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	char code[8];

	put(e, "disk.img", 0, 65536);
	open_path(e, "disk.img");
	snprintf(code, sizeof(code), "%d", EBADMSG); /* a checksum of the file system below */
	setenv("EIO_ERRNO", code, 1);
	fails(e, "4096+512");
	assert_int_equal(read_all(e, 65536, &bad), 512);
	ranges_free(&bad);
	snprintf(code, sizeof(code), "%d", ENODEV); /* unplugged: no sector of it is tried */
	setenv("EIO_ERRNO", code, 1);
	fails(e, "8192+57344");
	assert_int_equal(read_all(e, 65536, &bad), 65536 - 4096);
	assert_true(eio_calls < 4);
	ranges_free(&bad);
}

static void a_large_bad_area_costs_two_reads_a_sector(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	uint64_t lost;

	put(e, "disk.img", 0, 16 << 20);
	open_path(e, "disk.img");
	fails(e, "1000000+8000000");
	lost = read_all(e, 1 << 20, &bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 1000000 / 512 * 512);
	assert_int_equal(lost, (9000000 + 511) / 512 * 512 - bad.v[0].off);
	assert_true(eio_calls < 2 * lost / 512 + 16 * 64);
	ranges_free(&bad);
	source_changed(e->l);
	assert_int_equal(e->n, 1);
	assert_int_equal(e->seen[0].fact.len, lost);
}

static void every_other_sector_bad_is_linear_and_bounded(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	char ranges[2048] = "";

	for (int i = 0; i < 60; i++)
		snprintf(ranges + strlen(ranges), 32, "%d+1,", 65536 + 1024 * i);
	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	fails(e, ranges);
	assert_int_equal(read_all(e, SIZE, &bad), 60 * 512);
	assert_true(eio_calls < 60 * 6 + 64);
	ranges_free(&bad);
	source_changed(e->l);
	assert_int_equal(seen(e, SOURCE_UNREADABLE), 60);
}

static void a_file_that_shrinks_is_lost_behind_its_end(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	assert_int_equal(truncate(e->path, 600000), 0);
	assert_int_equal(read_all(e, 65536, &bad), SIZE - 600000);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].off, 600000);
	assert_int_equal(bad.v[0].why, SOURCE_SHRANK);
	ranges_free(&bad);
	source_changed(e->l);
	source_changed(e->l);
	assert_int_equal(e->n, 1);
	assert_int_equal(e->seen[0].id, SOURCE_SHRANK);
	assert_int_equal(e->seen[0].fact.at, 600000);
	assert_int_equal(e->seen[0].fact.len, SIZE - 600000);
}

static void a_file_that_is_written_to_is_reported(void **state)
{
	struct env *e = *state;
	int fd;

	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	source_changed(e->l);
	assert_int_equal(e->n, 0);
	usleep(20000); /* the clock of file times ticks every few milliseconds */
	fd = open(e->path, O_WRONLY);
	assert_int_equal(pwrite(fd, "x", 1, 77), 1);
	close(fd);
	source_changed(e->l);
	source_changed(e->l);
	assert_int_equal(e->n, 1);
	assert_int_equal(e->seen[0].id, SOURCE_CHANGED);
	assert_non_null(strstr(e->seen[0].message, "written to"));
}

static void a_file_that_grows_is_reported_and_read_as_it_was(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "disk.img", 0, 4096);
	open_path(e, "disk.img");
	assert_int_equal(truncate(e->path, 8192), 0);
	assert_int_equal(e->l->size, 4096);
	assert_int_equal(read_all(e, 512, &bad), 0);
	source_changed(e->l);
	assert_int_equal(seen(e, SOURCE_CHANGED), 1);
	assert_non_null(strstr(e->seen[0].message, "appended"));
}

static void split_parts_follow_each_other(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	static const char *const first[] = {"a.001", "b.000", "c.01", "d.0001"};
	static const char *const more[][2] = {
		{"a.002", "a.003"}, {"b.001", "b.002"}, {"c.02", "c.03"}, {"d.0002", "d.0003"}};

	for (int i = 0; i < 4; i++) {
		put(e, first[i], 0, 10000);
		put(e, more[i][0], 10000, 10000);
		put(e, more[i][1], 20000, 77);
		open_path(e, first[i]);
		assert_int_equal(e->l->size, 20077);
		assert_int_equal(read_all(e, 4096, &bad), 0);
		layer_free(e->l);
		e->l = NULL;
	}
	assert_int_equal(e->n, 0);
}

static void a_missing_part_is_lost_and_the_rest_in_place(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	struct extent run;

	put(e, "a.001", 0, 8192);
	put(e, "a.002", 8192, 8192);
	put(e, "a.005", 4 * 8192, 100);
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 4 * 8192 + 100);
	assert_int_equal(seen(e, SOURCE_PART_MISSING), 1);
	assert_int_equal(e->seen[0].fact.off, 2 * 8192);
	assert_int_equal(e->seen[0].fact.len, 2 * 8192);
	assert_int_equal(read_all(e, 3000, &bad), 2 * 8192);
	assert_int_equal(bad.v[0].why, SOURCE_PART_MISSING);
	ranges_free(&bad);
	assert_int_equal(layer_map(e->l, 100, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.len, 2 * 8192 - 100);
	assert_int_equal(layer_map(e->l, 2 * 8192 + 5, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
	assert_int_equal(run.len, 2 * 8192 - 5);
	/* A check does not say it again. */
	source_ops.check(e->l);
	assert_int_equal(e->n, 1);
}

static void a_missing_first_part_is_lost(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "a.002", 8192, 8192);
	put(e, "a.003", 16384, 50);
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 16384 + 50);
	assert_int_equal(read_all(e, 8192, &bad), 8192);
	assert_int_equal(bad.v[0].off, 0);
	ranges_free(&bad);
}

static void a_part_cut_short_leaves_the_others_in_place(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "a.001", 0, 8192);
	put(e, "a.002", 8192, 5000);
	put(e, "a.003", 16384, 8192);
	put(e, "a.004", 24576, 10);
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 24586);
	assert_int_equal(read_all(e, 10000, &bad), 8192 - 5000);
	assert_int_equal(bad.v[0].off, 8192 + 5000);
	ranges_free(&bad);
	assert_int_equal(seen(e, SOURCE_PART_MISSING), 1);
}

static void parts_of_any_size_follow_each_other_and_it_is_said(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "a.001", 0, 5000);
	put(e, "a.002", 5000, 5000);
	put(e, "a.003", 10000, 8000);
	put(e, "a.004", 18000, 3000);
	put(e, "a.005", 21000, 10);
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 21010);
	assert_int_equal(read_all(e, 10000, &bad), 0);
	assert_int_equal(seen(e, SOURCE_PART_SIZE), 1);
	assert_int_equal(e->n, 1);
}

static void bad_sectors_of_a_part_are_lost_in_place(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};

	put(e, "a.001", 0, 10000);
	put(e, "a.002", 10000, 10000);
	open_path(e, "a.001");
	path_set(e, "a.002");
	fails(e, "512+512,9990+1");
	assert_int_equal(read_all(e, 20000, &bad), 512 + 10000 - 19 * 512);
	assert_int_equal(bad.v[0].off, 10512);
	assert_int_equal(bad.v[1].off + bad.v[1].len, 20000);
	ranges_free(&bad);
}

static void a_lone_file_with_a_number_is_a_file(void **state)
{
	struct env *e = *state;

	put(e, "disk.001", 0, 1234);
	open_path(e, "disk.001");
	assert_int_equal(e->l->size, 1234);
	layer_free(e->l);
	put(e, "backup.2024", 0, 99);
	put(e, "backup.2025", 0, 99);
	open_path(e, "backup.2024");
	assert_int_equal(e->l->size, 99);
	assert_int_equal(e->n, 0);
}

static void a_thousand_parts_are_opened(void **state)
{
	struct env *e = *state;
	char name[16];

	for (int i = 1; i <= 999; i++) {
		snprintf(name, sizeof(name), "a.%03d", i);
		put(e, name, 0, i < 999 ? 16 : 5);
	}
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 998 * 16 + 5);
	assert_int_equal(e->n, 0);
}

static void what_the_map_calls_bad_is_lost(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	struct extent run;
	char map[128];

	put_text(e, "map",
		 "# Mapfile\n0x1000 ? 1\n0 0x1000 +\n0x1000 0x200 -\n0x1200 0x200 /\n"
		 "0x1400 0xc00 +\n0x2000 0x2000 *\n0x4000 0xfc000 ?\n");
	strcpy(map, e->path);
	e->s.opt.bad_map = map;
	put(e, "disk.img", 0, SIZE);
	open_path(e, "disk.img");
	assert_int_equal(read_all(e, 65536, &bad), 0x400 + 0xfe000);
	assert_int_equal(bad.n, 2);
	assert_int_equal(bad.v[0].off, 0x1000);
	assert_int_equal(bad.v[0].why, SOURCE_BAD_MAP);
	ranges_free(&bad);
	assert_int_equal(layer_map(e->l, 0x1100, &run), 0);
	assert_int_equal(run.kind, EXTENT_LOST);
	assert_int_equal(run.why, SOURCE_BAD_MAP);
	assert_int_equal(run.len, 0x300);
	assert_int_equal(e->n, 0);
	source_ops.check(e->l);
	source_ops.check(e->l);
	assert_int_equal(seen(e, SOURCE_BAD_MAP), 2);
	assert_int_equal(e->seen[0].fact.off, 0x1000);
	assert_int_equal(e->seen[0].fact.len, 0x400);
}

static void a_copy_shorter_than_its_map_keeps_the_disk_s_size(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	char map[128];

	/* ddrescue was interrupted: the file ends where it was. And 512 bytes fell off later. */
	put_text(e, "map", "0x10000 ? 1\n0 0x10000 +\n0x10000 0x30000 ?\n");
	strcpy(map, e->path);
	e->s.opt.bad_map = map;
	put(e, "disk.img", 0, 0x10000 - 512);
	open_path(e, "disk.img");
	assert_int_equal(e->l->size, 0x40000);
	assert_int_equal(read_all(e, 4096, &bad), 0x30000 + 512);
	assert_int_equal(bad.v[0].why, SOURCE_MAP_LONGER);
	assert_int_equal(bad.v[0].len, 512);
	assert_int_equal(bad.v[1].why, SOURCE_BAD_MAP);
	ranges_free(&bad);
	source_ops.check(e->l);
	assert_int_equal(seen(e, SOURCE_MAP_LONGER), 1);
}

static void a_map_and_a_missing_part_agree_on_each_byte(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	char map[128];

	put_text(e, "map",
		 "0 + 1\n0 4000 +\n4000 2000 -\n6000 4000 +\n10000 10000 +\n20000 10000 -\n");
	strcpy(map, e->path);
	e->s.opt.bad_map = map;
	put(e, "a.001", 0, 5000);
	put(e, "a.003", 10000, 5000);
	put(e, "a.004", 15000, 100);
	open_path(e, "a.001");
	assert_int_equal(e->l->size, 30000);
	assert_int_equal(read_all(e, 3333, &bad), 1000 + 5000 + 30000 - 15100);
	for (size_t i = 1; i < bad.n; i++)
		assert_true(bad.v[i].off >= bad.v[i - 1].off + bad.v[i - 1].len);
	ranges_free(&bad);
}

static void a_file_that_is_no_map_stops_the_run(void **state)
{
	struct env *e = *state;
	char map[128];

	put_text(e, "map", "this is a letter\n");
	strcpy(map, e->path);
	e->s.opt.bad_map = map;
	put(e, "disk.img", 0, SIZE);
	assert_int_equal(source_open(&e->s, e->path, &e->l), -EBADMSG);
	assert_non_null(strstr(e->said, "no ddrescue map"));
	strcat(map, "-not-there");
	assert_int_equal(source_open(&e->s, e->path, &e->l), -ENOENT);
	assert_null(e->l);
}

/* First line of a command's output; false if it failed. */
static bool output(char *line, int cap, const char *command)
{
	FILE *f = popen(command, "r");
	bool got = f && fgets(line, cap, f);

	return f && !pclose(f) && got && strtok(line, "\n");
}

static void a_block_device_is_read(void **state)
{
	struct env *e = *state;
	struct ranges bad = {0};
	char command[256], device[64];

	put(e, "disk.img", 0, SIZE);
	snprintf(command, sizeof(command), "losetup -r -f --show -b 4096 '%s' 2>/dev/null",
		 e->path);
	if (!output(device, sizeof(device), command)) {
		skip(); /* needs a loop device and the right to set it up */
		return;
	}
	assert_int_equal(source_open(&e->s, device, &e->l), 0);
	assert_int_equal(e->l->size, SIZE);
	assert_int_equal(e->l->sector, 4096);
	assert_int_equal(read_all(e, 65536, &bad), 0);
	source_changed(e->l);
	assert_int_equal(e->n, 0);
	layer_free(e->l);
	e->l = NULL;
	snprintf(command, sizeof(command), "losetup -d %s", device);
	assert_int_equal(system(command), 0);
}

static void a_hole_is_zeros_that_nobody_reads(void **state)
{
	struct env *e = *state;
	struct extent run;
	int fd;

	path_set(e, "sparse.img");
	fd = open(e->path, O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, 64 << 20), 0);
	assert_int_equal(pwrite(fd, "data", 4, 32 << 20), 4);
	close(fd);
	open_path(e, "sparse.img");
	assert_int_equal(layer_map(e->l, 1000, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, (32 << 20) - 1000);
	assert_int_equal(layer_map(e->l, (32 << 20) + 1, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.at, (32 << 20) + 1);
	assert_in_range(run.len, 3, 1 << 20);
	assert_int_equal(layer_map(e->l, 48 << 20, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, 16 << 20);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_hole_is_zeros_that_nobody_reads),
		T(a_file_is_read_as_it_is),
		T(only_files_and_block_devices_are_images),
		T(a_chain_folder_that_is_not_there_is_said),
		T(an_empty_file_is_reported_and_stacked),
		T(the_image_and_its_times_stay_as_they_are),
		T(bad_sectors_cost_only_themselves),
		T(reads_that_stop_before_a_bad_sector_go_on_behind_it),
		T(unaligned_reads_lose_only_what_they_asked_for),
		T(an_error_that_passes_costs_nothing),
		T(other_errors_are_unreadable_too),
		T(a_large_bad_area_costs_two_reads_a_sector),
		T(every_other_sector_bad_is_linear_and_bounded),
		T(a_file_that_shrinks_is_lost_behind_its_end),
		T(a_file_that_is_written_to_is_reported),
		T(a_file_that_grows_is_reported_and_read_as_it_was),
		T(split_parts_follow_each_other),
		T(a_missing_part_is_lost_and_the_rest_in_place),
		T(a_missing_first_part_is_lost),
		T(a_part_cut_short_leaves_the_others_in_place),
		T(parts_of_any_size_follow_each_other_and_it_is_said),
		T(bad_sectors_of_a_part_are_lost_in_place),
		T(a_lone_file_with_a_number_is_a_file),
		T(a_thousand_parts_are_opened),
		T(what_the_map_calls_bad_is_lost),
		T(a_copy_shorter_than_its_map_keeps_the_disk_s_size),
		T(a_map_and_a_missing_part_agree_on_each_byte),
		T(a_file_that_is_no_map_stops_the_run),
		T(a_block_device_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
