/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS volumes of which pieces are lost or wrong: what is read all the same, and what is said. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/lib/ntfs_full.h"

enum damage { BOOT, BACKUP, MFT0, MIRROR, ROOT, ROOT_INDEX, BITMAP, TORN, CUT, DAMAGES };

static void damage(struct image *img, enum damage what)
{
	size_t cut = ntfs_full.good->len / 10 * 9;

	switch (what) {
	case BOOT: ntfs_full_wipe(img, 0, 512); break;
	case BACKUP: ntfs_full_wipe(img, ntfs_full.g.sectors * ntfs_full.g.sector, 512); break;
	case MFT0: ntfs_full_wipe(img, ntfs_full_record_at(0), ntfs_full.g.record); break;
	case MIRROR:
		ntfs_full_wipe(img, ntfs_full.g.mirr_lcn * ntfs_full.g.cluster,
			       4 * ntfs_full.g.record);
		break;
	case ROOT: ntfs_full_wipe(img, ntfs_full_record_at(NTFS_ROOT), ntfs_full.g.record); break;
	case ROOT_INDEX: /* behind the names: the attributes from $SECURITY_DESCRIPTOR on */
		ntfs_full_wipe(img, ntfs_full_record_at(NTFS_ROOT) + 0x140, 128);
		break;
	case BITMAP:
		ntfs_full_wipe(img, ntfs_full_record_at(NTFS_BITMAP_FILE), ntfs_full.g.record);
		break;
	case TORN: ntfs_full_wipe(img, ntfs_full_record_at(NTFS_ATTRDEF) + 1022, 2); break;
	case CUT: image_resize(img, cut); break;
	case DAMAGES: break;
	}
}

/* What lies behind the cut can't be had; it is the same in all cells. */
static size_t lost_by_cut(void)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	size_t lost;

	damage(img, CUT);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	lost = ntfs_full.sums.n - fs_intact(&list, &ntfs_full.sums);
	fs_list_free(&list);
	image_free(img);
	return lost;
}

static void all_files_survive_the_loss_of_any_two_structures(void **state)
{
	size_t cut;

	(void)state;
	if (!ntfs_full.good)
		skip();
	cut = lost_by_cut();
	assert_true(cut < ntfs_full.sums.n / 4);
	for (int a = 0; a < DAMAGES; a++)
		for (int b = a; b < DAMAGES; b++) {
			struct image *img = ntfs_full_fresh();

			damage(img, (enum damage)b);
			if (a == CUT || b != CUT ||
			    a != BACKUP) /* the backup lies behind the cut */
				damage(img, a == b ? DAMAGES : (enum damage)a);
			image_open(img, &ntfs_ops);
			ntfs_full_assert_files(img, a == CUT || b == CUT ? cut : 0);
			image_free(img);
		}
}

static void what_was_used_instead_is_told(void **state)
{
	static const struct {
		enum damage what;
		enum finding_id id;
		int number; /* of the record that it points at; -1: the boot sector */
	} cases[] = {
		{BOOT, NTFS_BOOT_FROM_BACKUP, -1},
		{MFT0, NTFS_MIRROR_USED, 0},
		{ROOT, NTFS_ROOT_LOST, NTFS_ROOT},
		{CUT, NTFS_TRUNCATED, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct image *img = ntfs_full_fresh();

		damage(img, cases[i].what);
		image_open(img, &ntfs_ops);
		assert_int_equal(img->err, 0);
		assert_finding(
			img, cases[i].id,
			cases[i].number < 0 ? 0 : ntfs_full_record_at((uint64_t)cases[i].number));
		image_free(img);
	}
}

static void the_geometry_is_concluded_from_records(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct ntfs *n;

	(void)state;
	damage(img, BOOT);
	damage(img, BACKUP);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_BOOT_REBUILT, 0);
	n = img->top->priv;
	assert_int_equal(n->g.cluster, ntfs_full.g.cluster);
	assert_int_equal(n->g.clusters, ntfs_full.g.clusters);
	assert_int_equal(n->g.record, ntfs_full.g.record);
	assert_int_equal(n->g.index_block, ntfs_full.g.index_block);
	assert_int_equal(n->g.mft_lcn, ntfs_full.g.mft_lcn);
	assert_int_equal(n->g.mirr_lcn, ntfs_full.g.mirr_lcn);
	assert_true(ntfs_ops.search(img->source) >= 60);
	assert_int_equal(ntfs_ops.probe(img->source), 0);
	ntfs_full_assert_files(img, 0);
	image_free(img);
}

static void mft_is_found_by_the_numbers_of_its_records(void **state)
{
	struct image *img = ntfs_full_fresh();
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = ntfs_full_id_of(img->top, "/many/entry number 50");
	damage(img, MFT0);
	damage(img, MIRROR);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_REBUILT, ntfs_full_record_at(0));
	ntfs_full_assert_files(img, 0);

	/* In two pieces, and the place of some records is anybody's guess. */
	ntfs_full_wipe(img, ntfs_full_record_at(id), 2 * ntfs_full.g.record);
	memmove(img->buf + img->len - 65536 * 2, img->buf + ntfs_full_record_at(id + 2),
		8 * ntfs_full.g.record);
	ntfs_full_wipe(img, ntfs_full_record_at(id + 2), 8 * ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_LOST, ntfs_full_record_at(0));
	assert_int_equal(ntfs_full_id_of(img->top, "/many/entry number 52"), id + 2);

	/* Only the boot sector is left. */
	ntfs_full_wipe(img, 4096, img->len - 4096);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_LOST, ntfs_full_record_at(0));
	assert_false(image_seen(img, NTFS_MFT_REBUILT, ANYWHERE));
	image_free(img);
}

static void a_lost_record_is_known_by_the_index(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = ntfs_full_id_of(img->top, "/Users/Anna Müller/file3.txt");
	ntfs_full_wipe(img, ntfs_full_record_at(id), ntfs_full.g.record);
	ntfs_full_wipe(img, ntfs_full_record_at(ntfs_full_id_of(img->top, "/many")),
		       ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RECORD_LOST, ntfs_full_record_at(id));
	assert_int_equal(ntfs_full_find(&list, "/Users/Anna Müller/file3.txt")->e->data_sure,
			 FS_GONE);
	assert_int_equal(ntfs_full_find(&list, "/Users/Anna Müller/file3.txt")->e->path_sure,
			 FS_REBUILT);
	assert_int_equal(ntfs_full_find(&list, "/Users/Anna Müller/file3.txt")->e->size, 1688);
	assert_int_equal(ntfs_full_find(&list, "/Users/Anna Müller/file3.txt")->lost, 1688);
	/* A folder whose record is lost still holds its files. */
	assert_int_equal(ntfs_full_find(&list, "/many/entry number 7")->e->path_sure, FS_REBUILT);
	assert_int_equal(ntfs_full_find(&list, "/many/entry number 7")->e->data_sure, FS_SURE);
	fs_list_free(&list);
	assert_int_equal(ntfs_full_count_many(img, "/many"), 90);
	image_free(img);
}

static void a_torn_record_is_used_and_doubtful(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	uint64_t id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = ntfs_full_id_of(img->top, "/resident");
	ntfs_full_wipe(img, ntfs_full_record_at(id) + 1022, 2);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RECORD_TORN, ntfs_full_record_at(id) + 512);
	assert_int_equal(ntfs_full_find(&list, "/resident")->e->data_sure, FS_GUESSED);
	assert_int_equal(ntfs_full_find(&list, "/resident")->doubtful, 400);
	fs_list_free(&list);
	image_free(img);
}

static void upcase_is_not_needed(void **state)
{
	struct image *img = ntfs_full_fresh();

	(void)state;
	ntfs_full_wipe(img, ntfs_full_record_at(NTFS_UPCASE_FILE), ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	assert_finding(img, NTFS_UPCASE_LOST, ANYWHERE);
	assert_true(ntfs_full_id_of(img->top, "/ÜNÏ çode"));
	image_free(img);
}

static void runs_that_are_lost_cost_only_themselves(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	const struct fs_item *item;
	uint64_t record, id;

	(void)state;
	image_open(img, &ntfs_ops);
	id = ntfs_full_id_of(img->top, "/frag/holes");
	ntfs_full_attr_at(img, "/frag/holes", NTFS_DATA, &record);
	assert_int_not_equal(record, id); /* it has an attribute list */
	ntfs_full_wipe(img, ntfs_full_record_at(record), ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RUNS, ntfs_full_record_at(id));
	item = ntfs_full_find(&list, "/frag/holes");
	assert_int_equal(item->e->data_sure, FS_GUESSED);
	assert_true(item->lost > 0 && item->lost < item->e->size);
	fs_list_free(&list);
	image_free(img);
}

static int keep_orphan(void *arg, const struct fs_entry *e)
{
	struct {
		uint64_t id;
		struct fs_entry *e;
	} *want = arg;

	if (e->id != want->id || e->stream)
		return 0;
	want->e = fs_entry_copy(e);
	return 1;
}

static struct fs_entry *orphan(struct layer *l, uint64_t id)
{
	struct {
		uint64_t id;
		struct fs_entry *e;
	} want = {id, NULL};

	l->ops->fs->walk(l, &(struct fs_query){.recursive = true}, keep_orphan, &want);
	return want.e;
}

/* The record that a file begins with is lost, but not those that continue it. */
static void records_that_continue_a_lost_one_keep_their_part(void **state)
{
	struct image *img = ntfs_full_fresh();
	uint8_t *whole, *left;
	uint64_t record, id, size, lost = 0;
	struct ranges bad = {0};
	struct layer *file;
	struct fs_entry *e;

	(void)state;
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/frag/holes", &e), 0);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	id = e->id;
	size = e->size;
	whole = malloc(size);
	left = malloc(size);
	assert_int_equal(layer_read(file, 0, whole, size, NULL), 0);
	layer_free(file);
	fs_entry_free(e);
	ntfs_full_attr_at(img, "/frag/holes", NTFS_DATA, &record);
	assert_int_not_equal(record, id);

	ntfs_full_wipe(img, ntfs_full_record_at(id), ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	assert_int_equal(img->top->ops->fs->lookup(img->top, "/frag/holes", &e), 0);
	assert_int_equal(e->id, id);
	assert_int_equal(e->size, size); /* as its folder has it */
	assert_int_equal(e->path_sure, FS_REBUILT);
	assert_int_equal(e->data_sure, FS_GUESSED);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(file->size, size);
	assert_int_equal(layer_read(file, 0, left, size, &bad), 0);
	ranges_sort(&bad);
	lost = ranges_bytes(&bad, GRADE_LOST);
	assert_true(lost < size);
	for (uint64_t i = 0; i < size; i++)
		if (left[i] != whole[i] && !ranges_overlap(&bad, i, 1))
			fail_msg("byte %" PRIu64 " is wrong, and nobody says so", i);
	layer_free(file);
	fs_entry_free(e);
	ranges_free(&bad);

	/* Not even its folder knows it. */
	ntfs_full_wipe(img, ntfs_full_record_at(ntfs_full_id_of(img->top, "/frag")),
		       ntfs_full.g.record);
	image_open(img, &ntfs_ops);
	e = orphan(img->top, id);
	assert_non_null(e);
	assert_int_equal(img->top->ops->fs->open_file(img->top, e, &file), 0);
	assert_int_equal(layer_read(file, 0, left, e->size < size ? e->size : size, &bad), 0);
	for (uint64_t i = 0; i < size && i < e->size; i++)
		if (left[i] != whole[i] && !ranges_overlap(&bad, i, 1))
			fail_msg("byte %" PRIu64 " of the orphan is wrong", i);
	layer_free(file);
	fs_entry_free(e);
	ranges_free(&bad);
	free(whole);
	free(left);
	image_free(img);
}

static void a_run_outside_the_volume_is_lost(void **state)
{
	struct image *img = ntfs_full_fresh();
	struct fs_list list;
	uint64_t record, at;

	(void)state;
	image_open(img, &ntfs_ops);
	at = ntfs_full_attr_at(img, "/Users/Anna Müller/file20.txt", NTFS_DATA, &record);
	at += img->buf[at + 0x20];
	assert_int_equal(img->buf[at], 0x21); /* a byte of length, two of LCN */
	img->buf[at + 3] = 0x7f;
	image_open(img, &ntfs_ops);
	fs_list(img->top, false, &list);
	assert_finding(img, NTFS_RUN_OUTSIDE, ntfs_full_record_at(record));
	assert_int_equal(ntfs_full_find(&list, "/Users/Anna Müller/file20.txt")->lost,
			 ntfs_full_find(&list, "/Users/Anna Müller/file20.txt")->e->size);
	fs_list_free(&list);
	image_free(img);
}

/* Whatever one byte of the boot sector says, all files are there: the copy, or the records, know. */
static void no_byte_of_the_boot_sector_is_needed(void **state)
{
	struct image *img = ntfs_full_fresh();

	(void)state;
	for (int copy = 0; copy < 2; copy++) {
		for (size_t at = 3; at < 0x48; at++) {
			uint8_t was = img->buf[at];

			img->buf[at] = (uint8_t)~was;
			image_open(img, &ntfs_ops);
			assert_int_equal(img->err, 0);
			if (copy && at == 0x28)
				assert_finding(img, NTFS_BOOT_SIZE, 0x28);
			if (at % 4 == 0 || (at >= 0x0b && at <= 0x0d) || at == 0x40)
				ntfs_full_assert_files(img, 0);
			img->buf[at] = was;
		}
		damage(img, BACKUP);
	}
	image_free(img);
}

/* No crash, no hang: whatever one byte of the metadata says. */
static void any_byte_may_be_wrong(void **state)
{
	struct image *img = ntfs_full_fresh();
	uint64_t ids[6], record;
	const char *const paths[] = {"/", "/many", "/frag/holes", "/comp/seq", "/dedup"};

	(void)state;
	image_open(img, &ntfs_ops);
	for (size_t i = 0; i < 5; i++)
		ids[i] = ntfs_full_record_at(ntfs_full_id_of(img->top, paths[i]));
	ids[5] = ntfs_full_record_at(0);
	ntfs_full_attr_at(img, "/frag/holes", NTFS_DATA, &record);
	for (size_t i = 0; i < 6; i++)
		for (uint64_t at = ids[i]; at < ids[i] + 512; at += 3) {
			img->buf[at] ^= (uint8_t)(1 << at % 8);
			image_open(img, &ntfs_ops);
			if (!img->err && at % 2)
				fs_exercise(img->top);
			img->buf[at] ^= (uint8_t)(1 << at % 8);
		}
	image_free(img);
}

static void every_prefix_of_a_volume_opens_or_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; ntfs_full.good && len < ntfs_full.good->len;
	     len += ntfs_full.good->len / 40) {
		struct image *img = ntfs_full_fresh();

		image_resize(img, len);
		image_open(img, &ntfs_ops);
		if (!img->err)
			fs_exercise(img->top);
		image_free(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_files_survive_the_loss_of_any_two_structures),
		cmocka_unit_test(what_was_used_instead_is_told),
		cmocka_unit_test(the_geometry_is_concluded_from_records),
		cmocka_unit_test(mft_is_found_by_the_numbers_of_its_records),
		cmocka_unit_test(a_lost_record_is_known_by_the_index),
		cmocka_unit_test(a_torn_record_is_used_and_doubtful),
		cmocka_unit_test(upcase_is_not_needed),
		cmocka_unit_test(runs_that_are_lost_cost_only_themselves),
		cmocka_unit_test(records_that_continue_a_lost_one_keep_their_part),
		cmocka_unit_test(a_run_outside_the_volume_is_lost),
		cmocka_unit_test(no_byte_of_the_boot_sector_is_needed),
		cmocka_unit_test(any_byte_may_be_wrong),
		cmocka_unit_test(every_prefix_of_a_volume_opens_or_is_refused),
	};

	return cmocka_run_group_tests(tests, ntfs_full_make, ntfs_full_unmake);
}
