/* SPDX-License-Identifier: Apache-2.0 */
/* VHD chains: parents by locator, name and UUID, and what can be wrong with them. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/image.h"
#include "tests/lib/vhd_build.h"

enum { BLOCK = 32768, MADE = 300000000, MTIME = 946684800 + 310000000 };

struct dir {
	char path[64], vm[80], pool[80];
	const char *chain[2];
};

static int setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	*state = d;
	strcpy(d->path, "/tmp/vhd_chain.XXXXXX");
	if (!mkdtemp(d->path))
		return -1;
	snprintf(d->vm, sizeof(d->vm), "%s/vm", d->path);
	snprintf(d->pool, sizeof(d->pool), "%s/pool", d->path);
	d->chain[0] = d->pool;
	return mkdir(d->vm, 0755) || mkdir(d->pool, 0755);
}

static int teardown(void **state)
{
	struct dir *d = *state;
	char cmd[128];
	int r;

	snprintf(cmd, sizeof(cmd), "rm -rf %s", d->path);
	r = system(cmd);
	free(d);
	return r;
}

/* Write @spec to a file, with a modification time in seconds since 1970. */
static void make(const char *folder, const char *name, const struct vhd_spec *spec, int64_t mtime)
{
	struct image *img = vhd_build(spec);
	struct timespec t[2] = {{mtime, 0}, {mtime, 0}};
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	image_write(img, path);
	assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
	image_free(img);
}

static struct image *open_in(struct dir *d, const char *name, bool chain)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", d->vm, name);
	return image_stack(path, chain ? d->chain : NULL);
}

static const struct vhd_spec base = {
	.id = 0xba,
	.whole_bitmaps = true,
	.write = {{0, BLOCK, 1}, {2 * BLOCK, BLOCK, 2}, {3 * BLOCK, BLOCK, 3}},
};

/* Names nothing: whoever uses it says how the parent is called. */
static const struct vhd_spec diff = {
	.type = VHD_DIFFERENCING,
	.id = 0xcc,
	.parent_id = 0xba,
	.parent_time = MTIME - 946684800,
	.write = {{0, 4096, 9}, {5 * BLOCK, 512, 9}},
};

static void assert_filled(struct image *img, uint64_t off, size_t len, uint8_t byte)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(layer_read(img->top, off, buf, len, NULL), 0);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte)
			fail_msg("byte %#zx is %#x, not %#x", (size_t)off + i, buf[i], byte);
	free(buf);
}

/* @diff over @base. */
static void assert_merged(struct image *img)
{
	if (img->err)
		image_print(img);
	assert_int_equal(img->err, 0);
	assert_filled(img, 0, 4096, 9);
	assert_filled(img, 4096, BLOCK - 4096, 1);
	assert_filled(img, BLOCK, BLOCK, 0);
	assert_filled(img, 2 * BLOCK, BLOCK, 2);
	assert_filled(img, 3 * BLOCK, BLOCK, 3);
	assert_filled(img, 4 * BLOCK, BLOCK, 0);
	assert_filled(img, 5 * BLOCK, 512, 9);
	assert_filled(img, 5 * BLOCK + 512, 3 * BLOCK - 512, 0);
	assert_readable(img, 0, img->top->size);
}

static void assert_chain_clean(struct image *img)
{
	assert_merged(img);
	assert_clean(img);
	image_free(img);
}

static void parent_by_each_locator_and_by_name(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s[6] = {diff, diff, diff, diff, diff, diff};

	make(d->vm, "base.vhd", &base, MTIME);
	s[0].w2ru = ".\\base.vhd";
	s[1].w2ku = "D:\\vms\\base.vhd";
	s[2].macx = "file:///srv/vms/base.vhd";
	s[3].macx = "file://./base.vhd";
	s[4].parent_name = "base.vhd";
	s[5].parent_name = "C:\\vms\\base.vhd";
	for (int i = 0; i < 6; i++) {
		make(d->vm, "child.vhd", &s[i], MTIME + 100);
		assert_chain_clean(open_in(d, "child.vhd", false));
	}
}

static void parent_below_the_folder(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	char sub[96];

	snprintf(sub, sizeof(sub), "%s/old disks", d->vm);
	assert_int_equal(mkdir(sub, 0755), 0);
	make(sub, "base.vhd", &base, MTIME);
	s.macx = "file://localhost/x/old%20disks/../old%20disks/base.vhd";
	s.w2ru = ".\\old disks\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME + 100);
	assert_chain_clean(open_in(d, "child.vhd", false));
}

static void parent_by_uuid_beside_the_child(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff, stranger = base;
	struct image *img;

	stranger.id = 0xee;
	make(d->vm, "another.vhd", &stranger, MTIME);
	make(d->vm, "renamed.vhd", &base, MTIME);
	s.w2ru = ".\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, VHD_PARENT_FOUND, 512);
	assert_chain_clean(img);
}

static void parent_by_uuid_in_a_chain_folder(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;

	make(d->pool, "5ea1.vhd", &base, MTIME);
	s.w2ru = "..\\..\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, CHAIN_PARENT_MISSING, 512 + 0x40);
	assert_filled(img, 0, 4096, 9);
	assert_lost(img, 4096, 5 * BLOCK - 4096, CHAIN_PARENT_MISSING);
	image_free(img);
	img = open_in(d, "child.vhd", true);
	assert_finding(img, VHD_PARENT_FOUND, 512);
	assert_chain_clean(img);
}

static void the_right_one_is_preferred_to_the_named_one(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff, stranger = base;
	struct image *img;

	stranger.id = 0xee;
	stranger.write[0].byte = 0x66;
	make(d->vm, "base.vhd", &stranger, MTIME);
	s.w2ru = ".\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", true);
	assert_finding(img, CHAIN_PARENT_ID, 512 + 0x28);
	assert_filled(img, 4096, 512, 0x66);
	image_free(img);
	make(d->pool, "real.vhd", &base, MTIME);
	assert_chain_clean(open_in(d, "child.vhd", true));
}

static void an_absolute_name_outside_is_refused(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;
	char name[128];

	make(d->pool, "base.vhd", &base, MTIME);
	snprintf(name, sizeof(name), "%s/base.vhd", d->pool);
	s.w2ku = name;
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, CHAIN_PARENT_REFUSED, 512 + 0x40);
	assert_null(img->top->parent);
	image_free(img);
	assert_chain_clean(open_in(d, "child.vhd", true));
}

static void a_chain_of_three(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff, top = diff;
	struct image *img;

	make(d->vm, "base.vhd", &base, MTIME);
	s.w2ru = ".\\base.vhd";
	make(d->vm, "mid.vhd", &s, MTIME);
	top.parent_id = 0xcc;
	top.id = 0xdd;
	top.w2ru = ".\\mid.vhd";
	top.write[0] = (struct vhd_write){BLOCK, BLOCK, 7};
	top.write[1].len = 0;
	make(d->vm, "top.vhd", &top, MTIME);
	img = open_in(d, "top.vhd", false);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_filled(img, 0, 4096, 9);
	assert_filled(img, 4096, BLOCK - 4096, 1);
	assert_filled(img, BLOCK, BLOCK, 7);
	assert_filled(img, 2 * BLOCK, BLOCK, 2);
	assert_string_equal(img->top->parent->parent->path, "vhd~2");
	image_free(img);
}

static void a_cycle_is_cut(void **state)
{
	struct dir *d = *state;
	struct vhd_spec a = diff, b = diff;
	struct image *img;

	a.w2ru = ".\\b.vhd";
	a.parent_id = 0xbb;
	a.id = 0xaa;
	b.w2ru = ".\\a.vhd";
	b.parent_id = 0xaa;
	b.id = 0xbb;
	make(d->vm, "a.vhd", &a, MTIME);
	make(d->vm, "b.vhd", &b, MTIME);
	img = open_in(d, "a.vhd", false);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_seen(img, CHAIN_CYCLE, ANYWHERE), 1);
	assert_filled(img, 0, 4096, 9);
	assert_lost(img, BLOCK, BLOCK, CHAIN_CYCLE);
	image_free(img);
}

static void a_chain_without_end_is_cut(void **state)
{
	struct dir *d = *state;
	struct image *img;

	for (int i = 0; i < 70; i++) {
		struct vhd_spec s = diff;
		char name[32], parent[32];

		s.id = (uint8_t)(100 + i);
		s.parent_id = (uint8_t)(101 + i);
		snprintf(name, sizeof(name), "%d.vhd", i);
		snprintf(parent, sizeof(parent), ".\\%d.vhd", i + 1);
		s.w2ru = parent;
		make(d->vm, name, &s, MTIME);
	}
	img = open_in(d, "0.vhd", false);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_seen(img, CHAIN_TOO_DEEP, ANYWHERE), 1);
	assert_filled(img, 0, 4096, 9);
	assert_lost(img, BLOCK, BLOCK, CHAIN_TOO_DEEP);
	image_free(img);
}

static void a_parent_that_is_no_vhd_any_more(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/base.vhd", d->vm);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("gone\n", f);
	fclose(f);
	s.w2ru = ".\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", false);
	assert_int_equal(img->err, 0);
	assert_int_equal(image_seen(img, CHAIN_PARENT_UNREADABLE, ANYWHERE), 1);
	assert_lost(img, BLOCK, BLOCK, CHAIN_PARENT_UNREADABLE);
	image_free(img);
}

static void a_parent_made_anew_is_newer(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff, again = base;
	struct image *img;

	s.w2ru = ".\\base.vhd";
	again.time = MTIME - 946684800 + 90000;
	make(d->vm, "base.vhd", &again, MTIME + 90000);
	make(d->vm, "child.vhd", &s, MTIME + 100000);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, CHAIN_PARENT_NEWER, 512 + 0x38);
	assert_merged(img);
	image_free(img);
}

static void a_parent_written_to_after_the_child_is_newer(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;

	s.w2ru = ".\\base.vhd";
	make(d->vm, "base.vhd", &base, MTIME + 90000);
	make(d->vm, "child.vhd", &s, MTIME + 100);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, CHAIN_PARENT_NEWER, 512 + 0x38);
	image_free(img);
}

static void a_copied_chain_is_no_damage(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;

	s.w2ru = ".\\base.vhd";
	make(d->vm, "base.vhd", &base, MTIME + 90003);
	make(d->vm, "child.vhd", &s, MTIME + 90000);
	img = open_in(d, "child.vhd", false);
	assert_finding(img, VHD_PARENT_COPIED, 512 + 0x38);
	assert_chain_clean(img);
}

static void a_larger_child_reads_zeros_behind_its_parent(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct image *img;

	s.w2ru = ".\\base.vhd";
	s.size = 12 * BLOCK;
	make(d->vm, "base.vhd", &base, MTIME);
	make(d->vm, "child.vhd", &s, MTIME);
	img = open_in(d, "child.vhd", false);
	assert_int_equal(image_seen(img, CHAIN_PARENT_SIZE, ANYWHERE), 1);
	assert_clean(img);
	assert_filled(img, 8 * BLOCK, 4 * BLOCK, 0);
	assert_readable(img, 0, 12 * BLOCK);
	image_free(img);
}

static void a_raw_parent_of_xenserver(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = {.type = VHD_DIFFERENCING,
			     .creator = "tap",
			     .batmap = true,
			     .macx = "file://./raw.img",
			     .write = {{0, 4096, 9}}};
	struct image *raw = image_new(8 * BLOCK), *img;
	char path[128];

	memset(raw->buf, 0x44, raw->len);
	snprintf(path, sizeof(path), "%s/raw.img", d->vm);
	image_write(raw, path);
	image_free(raw);
	make(d->vm, "child.vhd", &s, MTIME);
	img = open_in(d, "child.vhd", false);
	assert_int_equal(img->err, 0);
	assert_clean(img);
	assert_filled(img, 0, 4096, 9);
	assert_filled(img, 4096, 8 * BLOCK - 4096, 0x44);
	image_free(img);
}

static void a_lost_bitmap_is_merged_by_content(void **state)
{
	struct dir *d = *state;
	struct vhd_spec s = diff;
	struct ranges bad = {0};
	struct image *img;
	char map[160], path[160];
	uint64_t at;
	FILE *f;

	make(d->vm, "base.vhd", &base, MTIME);
	s.w2ru = ".\\base.vhd";
	make(d->vm, "child.vhd", &s, MTIME);
	img = vhd_build(&s);
	at = vhd_block(img, 0);
	snprintf(map, sizeof(map), "%s/bad.map", d->path);
	f = fopen(map, "w");
	assert_non_null(f);
	fprintf(f, "0x0 ? 1\n0x0 0x%llx +\n0x%llx 0x200 -\n0x%llx 0x%llx +\n",
		(unsigned long long)at, (unsigned long long)at, (unsigned long long)at + 512,
		(unsigned long long)(img->len - at - 512));
	fclose(f);
	image_free(img);
	snprintf(path, sizeof(path), "%s/child.vhd", d->vm);
	img = image_stack_map(path, NULL, map);
	assert_int_equal(img->err, 0);
	assert_finding(img, VHD_BITMAP_LOST, at);
	assert_filled(img, 0, 4096, 9);
	assert_filled(img, 4096, BLOCK - 4096, 1);
	{
		uint8_t buf[BLOCK];

		assert_int_equal(layer_read(img->top, 0, buf, BLOCK, &bad), 0);
	}
	ranges_sort(&bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].len, BLOCK);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	ranges_free(&bad);
	image_free(img);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(parent_by_each_locator_and_by_name),
		T(parent_below_the_folder),
		T(parent_by_uuid_beside_the_child),
		T(parent_by_uuid_in_a_chain_folder),
		T(the_right_one_is_preferred_to_the_named_one),
		T(an_absolute_name_outside_is_refused),
		T(a_chain_of_three),
		T(a_cycle_is_cut),
		T(a_chain_without_end_is_cut),
		T(a_parent_that_is_no_vhd_any_more),
		T(a_parent_made_anew_is_newer),
		T(a_parent_written_to_after_the_child_is_newer),
		T(a_copied_chain_is_no_damage),
		T(a_larger_child_reads_zeros_behind_its_parent),
		T(a_raw_parent_of_xenserver),
		T(a_lost_bitmap_is_merged_by_content),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
