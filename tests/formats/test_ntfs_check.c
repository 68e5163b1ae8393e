/* SPDX-License-Identifier: Apache-2.0 */
/* What the check of NTFS finds in records, clusters and indexes: one thing damaged in each test. */
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs_check.h"
#include "tests/lib/ntfs_volume.h"

static struct ntfs_volume *volume;

enum { CLUSTER = 4096 };

static void a_volume_of_ntfs_3g_is_clean(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);

	(void)state;
	image_check(img, &ntfs_ops);
	assert_clean(img);
	assert_int_equal(img->n_seen, 0);
	image_free(img);
}

static void every_cluster_size_is_clean(void **state)
{
	static const char *const options[] = {"-c 512", "-c 1024", "-c 65536", "-s 4096 -c 4096"};

	(void)state;
	for (size_t i = 0; volume && i < 4; i++) {
		struct ntfs_volume *v = ntfs_volume_make(options[i], "40M");
		struct image *img = image_new(v->len);

		memcpy(img->buf, v->bytes, v->len);
		image_check(img, &ntfs_ops);
		assert_clean(img);
		image_free(img);
		ntfs_volume_free(v);
	}
}

/* ---- records ---- */

static void attributes_out_of_order(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t id = ntfs_id_of(img, "/small/s3.txt");
	uint64_t name = ntfs_at_attr(img, id, NTFS_FILE_NAME, "", &a);
	uint64_t info = ntfs_at_attr(img, id, NTFS_STANDARD_INFORMATION, "", &a);

	(void)state;
	image_le32(img, info, 0x40);
	ntfs_expect(img, NTFS_RECORD_RULE, name);
	image_free(img);
}

static void a_record_without_an_end(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, ntfs_id_of(img, "/small/s3.txt"), NTFS_DATA, "", &a);

	(void)state;
	image_le32(img, at + 4, 0x12345678);
	ntfs_expect(img, NTFS_RECORD_RULE, at);
	image_free(img);
}

static void sizes_that_contradict_one_another(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, ntfs_id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x38, a.size + 1);
	ntfs_expect(img, NTFS_SIZES, at + 0x30);
	image_free(img);
}

static void runs_that_end_too_early(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, ntfs_id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x18, a.highest_vcn + 1);
	ntfs_expect(img, NTFS_PAIRS, at + 0x18);
	image_free(img);
}

/* Give /big/b5.bin (49 clusters) one run at another place. Returns where the runs are. */
static uint64_t move_b5(struct image *img, uint32_t lcn)
{
	struct ntfs_attr a;
	uint64_t at;

	ntfs_at_attr(img, ntfs_id_of(img, "/big/b5.bin"), NTFS_DATA, "", &a);
	assert_int_equal(a.highest_vcn, 48);
	at = ntfs_at_record(img, ntfs_id_of(img, "/big/b5.bin")) + a.value.addr;
	image_poke(
		img, at,
		(uint8_t[]){0x31, 49, (uint8_t)lcn, (uint8_t)(lcn >> 8), (uint8_t)(lcn >> 16), 0},
		6);
	return at;
}

static void a_run_outside_the_volume(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);

	(void)state;
	ntfs_expect(img, NTFS_RUN_OUTSIDE, move_b5(img, 0x7fffff));
	image_free(img);
}

static void a_list_that_leads_nowhere(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t id = ntfs_id_of(img, "/small/s9.txt"), at;
	struct ntfs_attr a;

	(void)state;
	/* No file of the fixture needs one. It names a record that is not there. */
	at = ntfs_at_attr(img, id, NTFS_SECURITY_DESCRIPTOR, "", &a);
	image_le32(img, at, NTFS_ATTRIBUTE_LIST);
	at = ntfs_at_record(img, id) + a.value.addr;
	image_poke(img, at, "\x80\0\0\0\x20\0\0\x1a\0\0\0\0\0\0\0\0\xe7\x03\0\0\0\0\1\0\0\0", 26);
	ntfs_expect(img, NTFS_LIST, ntfs_at_record(img, id));
	image_free(img);
}

/* ---- clusters ---- */

static void two_files_in_one_place(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t b4 = ntfs_at_stream(img, ntfs_id_of(img, "/big/b4.bin"), NTFS_DATA, "", 0);
	uint64_t b5 = ntfs_at_stream(img, ntfs_id_of(img, "/big/b5.bin"), NTFS_DATA, "", 0);
	const struct seen *f;

	(void)state;
	move_b5(img, (uint32_t)(b4 / CLUSTER));
	ntfs_expect(img, NTFS_CROSS_LINKED, b4);
	f = image_first(img, NTFS_CROSS_LINKED);
	assert_non_null(strstr(f->message, "/big/b4.bin"));
	assert_non_null(strstr(f->message, "/big/b5.bin"));
	assert_finding(img, NTFS_BITMAP_LEAK, b5 + 9 * CLUSTER); /* 9 of its own it has kept */
	image_free(img);
}

static uint64_t bitmap_byte(struct image *img, uint64_t at)
{
	return ntfs_at_stream(img, NTFS_BITMAP_FILE, NTFS_DATA, "", at / CLUSTER / 8);
}

static void a_used_cluster_that_is_called_free(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t b5 =
		ntfs_at_stream(img, ntfs_id_of(img, "/big/b5.bin"), NTFS_DATA, "", 2 * CLUSTER);

	(void)state;
	ntfs_flip(img, bitmap_byte(img, b5), (uint8_t)(1u << (b5 / CLUSTER % 8)));
	ntfs_expect(img, NTFS_BITMAP_FREE, b5);
	assert_non_null(
		strstr(image_first(img, NTFS_BITMAP_FREE)->message, "\"/big/b5.bin\" at 8192"));
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void a_cluster_that_nobody_owns(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t last = volume->len / CLUSTER * CLUSTER - 3 * CLUSTER;

	(void)state;
	ntfs_flip(img, bitmap_byte(img, last), (uint8_t)(1u << (last / CLUSTER % 8)));
	ntfs_expect(img, NTFS_BITMAP_LEAK, last);
	assert_int_equal(img->n_seen, 1);
	image_free(img);
}

static void a_bitmap_too_short(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, NTFS_BITMAP_FILE, NTFS_DATA, "", &a);

	(void)state;
	image_le64(img, at + 0x30, 64);
	image_le64(img, at + 0x38, 64);
	ntfs_expect(img, NTFS_BITMAP_SHORT, ntfs_at_record(img, NTFS_BITMAP_FILE));
	image_free(img);
}

static void a_record_that_the_bitmap_denies(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t id = ntfs_id_of(img, "/small/s5.txt");

	(void)state;
	ntfs_flip(img, ntfs_at_stream(img, NTFS_MFT, NTFS_BITMAP, "", id / 8),
		  (uint8_t)(1u << (id % 8)));
	ntfs_expect(img, NTFS_MFT_BITMAP, ntfs_at_record(img, id));
	image_free(img);
}

static void a_bitmap_of_records_that_is_garbage_is_told_in_few_words(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at = ntfs_at_stream(img, NTFS_MFT, NTFS_BITMAP, "", 0);

	(void)state;
	for (unsigned i = 3; i < 11; i++)
		ntfs_flip(img, at + i, 0x55);
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_MFT_BITMAP, ntfs_at_record(img, NTFS_MFT));
	assert_int_equal(image_seen(img, NTFS_MFT_BITMAP, ANYWHERE), 17);
	image_free(img);
}

/* ---- indexes ---- */

static void an_index_block_that_is_none(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at =
		ntfs_at_stream(img, ntfs_id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	ntfs_flip(img, at, 1);
	ntfs_expect(img, NTFS_INDEX_BLOCK, at);
	image_free(img);
}

static void a_torn_index_block(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at =
		ntfs_at_stream(img, ntfs_id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	ntfs_flip(img, at + 3 * 512 + 511, 0x80);
	ntfs_expect(img, NTFS_INDEX_BLOCK, at + 3 * 512);
	image_free(img);
}

static void an_index_block_that_lies_elsewhere(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t at =
		ntfs_at_stream(img, ntfs_id_of(img, "/many"), NTFS_INDEX_ALLOCATION, "$I30", 0);

	(void)state;
	image_le64(img, at + 0x10, 77);
	ntfs_expect(img, NTFS_INDEX_BLOCK, at);
	image_free(img);
}

/* The first name of a block, with another first letter: no longer in order, and nobody's. */
static void a_name_that_changed(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t many = ntfs_id_of(img, "/many");
	uint64_t at = ntfs_at_stream(img, many, NTFS_INDEX_ALLOCATION, "$I30", 0);
	uint64_t entry = at + 0x18 + img->buf[at + 0x18], name = entry + 16 + 66;
	uint64_t next = entry + (img->buf[entry + 8] | img->buf[entry + 9] << 8) + 16;
	uint64_t child = img->buf[entry] | (uint64_t)img->buf[entry + 1] << 8;

	(void)state;
	assert_int_equal(img->buf[name], 'e');
	img->buf[name] = 'z';
	ntfs_expect(img, NTFS_INDEX_ORDER, next);
	assert_finding(img, NTFS_INDEX_DANGLING, ntfs_at_record(img, many));
	assert_finding(img, NTFS_INDEX_MISSING, ntfs_at_record(img, child));
	assert_non_null(strstr(image_first(img, NTFS_INDEX_MISSING)->message, "/many/entry-with-"));
	image_free(img);
}

/* A bit of the size that no other rule sees. */
static void a_size_that_the_folder_denies(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, ntfs_id_of(img, "/big/b1.bin"), NTFS_DATA, "", &a);

	(void)state;
	assert_int_equal(a.size % 2, 1);
	img->buf[at + 0x30] ^= 2;
	img->buf[at + 0x38] ^= 2;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_INDEX_SIZE, ANYWHERE);
	assert_clean(img);
	image_free(img);
}

/* 0x80 became 0x81, the value does not begin where one can. */
static void attributes_that_no_driver_writes(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	struct ntfs_attr a;
	uint64_t number = ntfs_id_of(img, "/small/s1.txt");
	uint64_t at = ntfs_at_attr(img, number, NTFS_DATA, "", &a);

	(void)state;
	img->buf[at] ^= 1;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_RECORD_RULE, at);
	img->buf[at] ^= 1;
	img->buf[at + 0x14] ^= 1;
	image_check(img, &ntfs_ops);
	assert_finding(img, NTFS_RECORD_RULE, at + 8);
	image_free(img);
}

static void an_index_bitmap_that_is_wrong(void **state)
{
	struct image *img = ntfs_volume_fresh(volume);
	uint64_t many = ntfs_id_of(img, "/many");
	struct ntfs_attr a;
	uint64_t at = ntfs_at_attr(img, many, NTFS_BITMAP, "$I30", &a);

	(void)state;
	assert_true(a.resident);
	ntfs_flip(img, ntfs_at_record(img, many) + a.value.addr, 1);
	ntfs_expect(img, NTFS_INDEX_BITMAP, at);
	image_free(img);
}

static int setup(void **state)
{
	(void)state;
	volume = ntfs_volume_make("-c 4096", "24M");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ntfs_volume_free(volume);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_volume_of_ntfs_3g_is_clean),
		cmocka_unit_test(every_cluster_size_is_clean),
		cmocka_unit_test(attributes_out_of_order),
		cmocka_unit_test(a_record_without_an_end),
		cmocka_unit_test(sizes_that_contradict_one_another),
		cmocka_unit_test(runs_that_end_too_early),
		cmocka_unit_test(a_run_outside_the_volume),
		cmocka_unit_test(a_list_that_leads_nowhere),
		cmocka_unit_test(two_files_in_one_place),
		cmocka_unit_test(a_used_cluster_that_is_called_free),
		cmocka_unit_test(a_cluster_that_nobody_owns),
		cmocka_unit_test(a_bitmap_too_short),
		cmocka_unit_test(a_record_that_the_bitmap_denies),
		cmocka_unit_test(a_bitmap_of_records_that_is_garbage_is_told_in_few_words),
		cmocka_unit_test(an_index_block_that_is_none),
		cmocka_unit_test(a_torn_index_block),
		cmocka_unit_test(an_index_block_that_lies_elsewhere),
		cmocka_unit_test(a_name_that_changed),
		cmocka_unit_test(a_size_that_the_folder_denies),
		cmocka_unit_test(attributes_that_no_driver_writes),
		cmocka_unit_test(an_index_bitmap_that_is_wrong),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
