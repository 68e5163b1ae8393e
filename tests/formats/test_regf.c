/* SPDX-License-Identifier: Apache-2.0 */
/* Registry hives: keys and values, what survives damage, what proves it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/log/regf.h"
#include "tests/lib/regf_build.h"
#include "vdiskck/core/session.h"

static struct hive_build build;
static uint8_t large[20000];

/* /Control/disk with Start, Name and a large value; /Control/empty; /Select. */
static struct image *small(bool dirty)
{
	uint32_t control, disk;
	static const char name[] = "d\0i\0s\0k\0\0";

	hive_begin(&build);
	control = hive_key(&build, 0, "Control");
	disk = hive_key(&build, control, "disk");
	hive_key(&build, control, "empty");
	hive_key(&build, 0, "Select");
	hive_value(&build, disk, "Start", 4, "\3\0\0\0", 4);
	hive_value(&build, disk, "Name", 1, name, 10);
	hive_value(&build, disk, "", 3, "\1\2\3\4\5", 5);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + i / 251);
	hive_value(&build, disk, "Large", 3, large, sizeof(large));
	return hive_finish(&build, dirty);
}

static uint64_t key_at(uint32_t i)
{
	return REGF_BASE + build.key[i].off + 4;
}

struct listing {
	uint64_t keys, sure, values, orphans, deleted, sum;
	char all[4096];
};

static int list_entry(void *arg, const struct fs_entry *e)
{
	struct listing *t = arg;

	t->keys += e->kind == FS_DIR;
	t->sure += e->kind == FS_DIR && e->path_sure == FS_SURE;
	t->values += e->stream != NULL;
	t->orphans += !strncmp(e->path, "/$orphans/", 10);
	t->deleted += e->deleted;
	if (strlen(t->all) + strlen(e->path) + 2 < sizeof(t->all))
		strcat(strcat(t->all, e->path), "\n");
	return 0;
}

static struct listing list(struct layer *l, bool deleted)
{
	struct fs_query q = {.recursive = true, .deleted = deleted};
	struct listing t = {0};

	assert_int_equal(l->ops->fs->walk(l, &q, list_entry, &t), 0);
	return t;
}

static void keys_and_values_are_files(void **state)
{
	struct image *img = small(false);
	struct fs_entry *e;
	struct layer *f;
	struct listing t;
	uint8_t buf[sizeof(large)];
	struct ranges bad = {0};

	(void)state;
	image_check(img, &regf_ops);
	assert_clean(img);
	t = list(img->top, false);
	assert_string_equal(t.all, "/Control\n/Control/disk\n/Control/disk:Start\n"
				   "/Control/disk:Name\n/Control/disk:(default)\n"
				   "/Control/disk:Large\n/Control/empty\n/Select\n");
	assert_int_equal(regf_ops.fs->lookup(img->top, "/control\\DISK:large", &e), 0);
	assert_int_equal(e->size, sizeof(large));
	assert_int_equal(regf_ops.fs->open_file(img->top, e, &f), 0);
	assert_int_equal(layer_read(f, 0, buf, sizeof(buf), &bad), 0);
	assert_int_equal(bad.n, 0);
	assert_memory_equal(buf, large, sizeof(large));
	layer_free(f);
	fs_entry_free(e);

	assert_int_equal(regf_ops.fs->lookup(img->top, "/Control/disk", &e), 0);
	assert_int_equal(e->kind, FS_DIR);
	assert_int_equal(regf_ops.fs->open_file(img->top, e, &f), 0);
	assert_true(f->size < sizeof(buf));
	assert_int_equal(layer_read(f, 0, buf, f->size, NULL), 0);
	buf[f->size] = '\0';
	assert_non_null(strstr((char *)buf, "Start = REG_DWORD: 3\nName = REG_SZ: disk\n"
					    "(default) = REG_BINARY: 01 02 03 04 05\n"));
	layer_free(f);
	fs_entry_free(e);
	assert_int_equal(regf_ops.fs->lookup(img->top, "/Control/none", &e), -ENOENT);
	assert_int_equal(regf_ops.fs->lookup(img->top, "/Control/disk:none", &e), -ENOENT);
	image_free(img);
}

/* "/:Name" is a value of the root, which is found again by that. */
static void values_of_the_root_have_paths(void **state)
{
	struct fs_entry *e;
	struct listing t;
	struct image *img;

	(void)state;
	hive_begin(&build);
	hive_value(&build, 0, "Name", 4, "\1\0\0\0", 4);
	img = hive_finish(&build, false);
	image_open(img, &regf_ops);
	t = list(img->top, false);
	assert_string_equal(t.all, "/:Name\n");
	assert_int_equal(regf_ops.fs->lookup(img->top, "/:Name", &e), 0);
	fs_entry_free(e);
	image_free(img);
}

/* Every byte of a value has its place in the hive: inline, in a cell, in the segments of big data. */
static void values_lie_where_map_says(void **state)
{
	static const char *const value[] = {"/Control/disk:Start", "/Control/disk:Name",
					    "/Control/disk:Large"};
	struct image *img = small(false);

	(void)state;
	image_open(img, &regf_ops);
	for (size_t i = 0; i < 3; i++) {
		const struct fs_ops *fs = img->top->ops->fs;
		struct fs_entry *e;
		struct layer *f;
		size_t runs = 0;

		assert_int_equal(fs->lookup(img->top, value[i], &e), 0);
		assert_int_equal(fs->open_file(img->top, e, &f), 0);
		for (uint64_t off = 0; off < f->size; runs++) {
			struct extent run;
			uint8_t *p = malloc(f->size);

			assert_int_equal(layer_map(f, off, &run), 0);
			assert_int_equal(run.kind, EXTENT_DATA);
			assert_int_equal(run.packed, 0);
			assert_int_equal(layer_read(f, off, p, run.len, NULL), 0);
			assert_memory_equal(p, img->buf + run.at, run.len);
			off += run.len;
			free(p);
		}
		assert_int_equal(runs, i == 2 ? 2 : 1);
		layer_free(f);
		fs_entry_free(e);
	}
	image_free(img);
}

static void each_damaged_field_is_named(void **state)
{
	static const struct {
		uint32_t key; /* of which key; 99: counts from the file's start */
		uint64_t off;
		enum finding_id id;
	} at[] = {
		{99, 0x1fc, REGF_BASE_BLOCK},	  {99, REGF_BASE, REGF_BIN},
		{99, REGF_BASE + 4, REGF_BIN},	  {99, REGF_BASE + 8, REGF_BIN},
		{99, REGF_BASE + 32, REGF_CELLS}, {2, 0, REGF_KEY},
		{2, 0x10, REGF_KEY_PARENT},	  {2, 0x14, REGF_KEY_COUNT},
		{2, 0x24, REGF_KEY_COUNT},	  {2, 0x2c, REGF_SECURITY},
		{2, 76, REGF_KEY_HASH},		  {2, 0x48, REGF_KEY},
		{0, 0, REGF_ROOT_LOST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		struct image *img = small(false);
		uint64_t off = at[i].key == 99 ? at[i].off : key_at(at[i].key) + at[i].off;

		img->buf[off] ^= 0x41;
		if (at[i].id == REGF_KEY && at[i].off == 0x48)
			img->buf[off + 1] = 0x7f;
		image_check(img, &regf_ops);
		assert_finding(img, at[i].id, ANYWHERE);
		image_exercise(img->top);
		list(img->top, true);
		image_free(img);
	}
}

static void a_value_without_its_data_is_lost_not_zero(void **state)
{
	struct image *img = small(false);
	struct regf_vk *vk = (void *)(img->buf + REGF_BASE + build.value[1].off + 4);
	struct ranges bad = {0};
	struct fs_entry *e;
	struct layer *f;
	uint8_t buf[16];

	(void)state;
	vk->data = to_le32(0x7ffff8);
	image_check(img, &regf_ops);
	assert_finding(img, REGF_VALUE_DATA, ANYWHERE);
	assert_int_equal(regf_ops.fs->lookup(img->top, "/Control/disk:Name", &e), 0);
	assert_int_equal(e->data_sure, FS_GONE);
	assert_int_equal(regf_ops.fs->open_file(img->top, e, &f), 0);
	assert_int_equal(layer_read(f, 0, buf, 10, &bad), 0);
	assert_int_equal(ranges_bytes(&bad, GRADE_LOST), 10);
	ranges_free(&bad);
	layer_free(f);
	fs_entry_free(e);
	image_poke(img, REGF_BASE + build.value[0].off + 4, "xx", 2);
	image_check(img, &regf_ops);
	assert_finding(img, REGF_VALUE, ANYWHERE);
	image_free(img);
}

static void keys_survive_the_list_that_named_them(void **state)
{
	struct image *img = small(false);
	struct regf_nk *control = (void *)(img->buf + key_at(1));
	struct listing t;

	(void)state;
	control->list = to_le32(REGF_NONE);
	image_check(img, &regf_ops);
	assert_finding(img, REGF_KEY_COUNT, ANYWHERE);
	t = list(img->top, false);
	assert_int_equal(t.keys, 4);
	assert_non_null(strstr(t.all, "/Control/disk:Start\n"));
	/* Without their parent, too, but not where they stood. */
	control->magic[0] = 0;
	image_check(img, &regf_ops);
	t = list(img->top, false);
	assert_int_equal(t.keys, 3);
	assert_true(t.orphans >= 2);
	image_free(img);
}

/*
 * Keys that no list names, each the parent of the one before it: as deep as Windows allows, they have
 * paths. The first one's parent is the root; or, in a circle, the last one is.
 */
static void chains_of_unlisted_keys_end_where_windows_does(void **state)
{
	enum { KEYS = 20000, CELL = 88, FIRST = 4096 };

	(void)state;
	for (int circle = 0; circle < 2; circle++) {
		struct image *img = small(false);
		uint32_t len = ((FIRST + KEYS * CELL) / 4096 + 1) * 4096;
		struct regf_base *base;
		struct listing t;
		uint64_t rooted;

		image_resize(img, REGF_BASE + len);
		base = (void *)img->buf;
		base->bins = to_le32(len);
		base->sum = to_le32(regf_sum(base));
		memset(img->buf + REGF_BASE + FIRST, 0, len - FIRST);
		for (uint32_t i = 0; i < KEYS; i++) {
			uint64_t at = REGF_BASE + FIRST + i * CELL;
			uint32_t parent = FIRST + (i + 1) % KEYS * CELL;
			struct regf_nk nk = {.magic = "nk", .flags = to_le16(REGF_NK_LATIN1)};

			if (i == KEYS - 1 && !circle)
				parent = le32(base->root);
			nk.parent = to_le32(parent);
			nk.list = nk.value_list = to_le32(REGF_NONE);
			nk.name_len = to_le16(1);
			image_le32(img, at, (uint32_t)-CELL);
			image_poke(img, at + 4, &nk, sizeof(nk));
			image_poke(img, at + 4 + sizeof(nk), "k", 1);
		}
		image_open(img, &regf_ops);
		t = list(img->top, false);
		rooted = t.keys - t.orphans;
		assert_true(t.keys >= KEYS);
		if (circle)
			assert_true(rooted < 10);
		else
			assert_in_range(rooted, REGF_DEPTH_MAX, REGF_DEPTH_MAX + 10);
		image_free(img);
	}
}

static void lists_that_lead_in_circles_end(void **state)
{
	struct image *img = small(false);
	struct regf_nk *control = (void *)(img->buf + key_at(1));
	struct regf_nk *disk = (void *)(img->buf + key_at(2));

	(void)state;
	disk->list = control->list;
	disk->subkeys = control->subkeys;
	image_check(img, &regf_ops);
	assert_finding(img, REGF_KEY, ANYWHERE);
	assert_int_equal(list(img->top, false).keys, 4);
	image_free(img);
}

static int count_subkey(void *arg, uint32_t off)
{
	(void)off;
	++*(uint64_t *)arg;
	return 0;
}

/* A list of 2000 lists that is one list of 2000, all of them one key: 4 million, to be cut short. */
static void lists_that_name_one_list_often_are_bounded(void **state)
{
	static uint8_t ri[4 + 4 * 2000], li[4 + 4 * 2000];
	uint32_t at[2], key, value;
	struct image *img;
	uint64_t n = 0;
	struct regf *h;

	(void)state;
	hive_begin(&build);
	hive_key(&build, 0, "Control");
	value = hive_value(&build, 0, "a", 3, ri, sizeof(ri));
	at[0] = le32(((struct regf_vk *)(build.bins + build.value[value].off + 4))->data);
	value = hive_value(&build, 0, "b", 3, li, sizeof(li));
	at[1] = le32(((struct regf_vk *)(build.bins + build.value[value].off + 4))->data);
	memcpy(ri, "ri\xd0\x07", 4);
	memcpy(li, "li\xd0\x07", 4);
	for (size_t i = 0; i < 2000; i++) {
		((le32_t *)(ri + 4))[i] = to_le32(at[1]);
		((le32_t *)(li + 4))[i] = to_le32(build.key[1].off);
	}
	memcpy(build.bins + at[0] + 4, ri, sizeof(ri));
	memcpy(build.bins + at[1] + 4, li, sizeof(li));
	key = build.key[1].off;
	img = hive_finish(&build, false);
	((struct regf_nk *)(img->buf + REGF_BASE + key + 4))->list = to_le32(at[0]);
	((struct regf_nk *)(img->buf + REGF_BASE + key + 4))->subkeys = to_le32(4000000);
	image_check(img, &regf_ops);
	assert_true(image_seen(img, REGF_KEY, ANYWHERE) <= HIVE_BINS / 4);
	h = regf_of(img->top);
	regf_each_subkey(h, key, count_subkey, &n);
	assert_true(n > 2000);
	assert_true(n <= 65536 + h->len);
	assert_int_equal(list(img->top, true).keys, 1);
	image_free(img);
}

static void a_cut_hive_says_what_is_lost(void **state)
{
	struct image *img = small(false);
	struct listing t;

	(void)state;
	for (size_t len = img->len; len > 12288; len -= 4096) {
		image_resize(img, len - 4096);
		image_check(img, &regf_ops);
		assert_finding(img, REGF_TRUNCATED, 40);
		t = list(img->top, true);
		assert_true(t.keys >= 1);
	}
	image_free(img);
}

static void flipped_bytes_never_trap(void **state)
{
	struct image *img = small(false);

	(void)state;
	for (size_t i = 0; i < 512 + 3200; i++) {
		size_t off = i < 512 ? i : REGF_BASE + i - 512;

		for (unsigned bit = 0; bit < 8; bit += 7) {
			img->buf[off] ^= (uint8_t)(1 << bit);
			image_check(img, &regf_ops);
			if (!img->err)
				list(img->top, true);
			img->buf[off] ^= (uint8_t)(1 << bit);
		}
	}
	image_free(img);
}

static void a_dirty_hive_without_logs_is_a_blemish(void **state)
{
	struct image *img = small(true);

	(void)state;
	image_check(img, &regf_ops);
	assert_finding(img, REGF_DIRTY, 0);
	assert_int_equal(image_worse(img, DAMAGE), 0);
	image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_values_are_files),
		cmocka_unit_test(values_of_the_root_have_paths),
		cmocka_unit_test(values_lie_where_map_says),
		cmocka_unit_test(each_damaged_field_is_named),
		cmocka_unit_test(a_value_without_its_data_is_lost_not_zero),
		cmocka_unit_test(keys_survive_the_list_that_named_them),
		cmocka_unit_test(chains_of_unlisted_keys_end_where_windows_does),
		cmocka_unit_test(lists_that_lead_in_circles_end),
		cmocka_unit_test(lists_that_name_one_list_often_are_bounded),
		cmocka_unit_test(a_cut_hive_says_what_is_lost),
		cmocka_unit_test(flipped_bytes_never_trap),
		cmocka_unit_test(a_dirty_hive_without_logs_is_a_blemish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
