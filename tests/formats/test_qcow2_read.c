/* SPDX-License-Identifier: Apache-2.0 */
/* Reading qcow2: each entry of its tables that can be wrong, and what is still read. */
#include <errno.h>

#include "formats/container/qcow2_parts.h"
#include "formats/drivers.h"
#include "tests/lib/qcow2_case.h"

enum { C = QCOW2_CASE_CLUSTER };

static void a_good_image_reads_and_says_nothing(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint8_t buf[3];

	(void)state;
	qcow2_open(&b);
	assert_int_equal(b.img->err, 0);
	assert_int_equal(b.img->n_seen, 0);
	qcow2_assert_bytes(&b, 0, C, 'A');
	qcow2_assert_bytes(&b, C, C, 'B');
	qcow2_assert_bytes(&b, 2 * C, C, 0);
	qcow2_assert_bytes(&b, 3 * C + 100, C - 100, 'C');
	qcow2_assert_bytes(&b, 4 * C, (1 << 20) - 4 * C, 0);
	assert_int_equal(layer_read(b.img->top, 3 * C + 98, buf, 3, NULL), 0);
	assert_memory_equal(buf, "ccC", 3);
	image_free(b.img);
}

static void map_gives_long_runs_and_packed_clusters(void **state)
{
	struct qcow2_build b = qcow2_good();
	struct extent run;

	(void)state;
	qcow2_open(&b);
	assert_int_equal(layer_map(b.img->top, 5, &run), 0);
	assert_int_equal(run.kind, EXTENT_DATA);
	assert_int_equal(run.len, 2 * C - 5); /* both clusters: they lie together */
	assert_ptr_equal(run.in, b.img->source);
	assert_int_equal(run.at, 5 * C + 5);
	assert_int_equal(layer_map(b.img->top, 2 * C, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, C);
	assert_int_equal(layer_map(b.img->top, 3 * C + 7, &run), 0);
	assert_int_equal(run.off, 3 * C);
	assert_int_equal(run.len, C);
	assert_int_equal(run.packed, 512);
	assert_int_equal(layer_map(b.img->top, 4 * C, &run), 0);
	assert_int_equal(run.kind, EXTENT_ZERO);
	assert_int_equal(run.len, (1 << 20) - 4 * C);
	image_free(b.img);
}

/* ---- L1 ---- */

static void an_l1_table_outside_the_file_loses_the_disk(void **state)
{
	static const uint64_t where[] = {UINT64_C(1) << 40, UINT64_C(1) << 63, UINT64_MAX - 7,
					 3 * C + 8, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(where) / sizeof(*where); i++) {
		struct qcow2_build b = qcow2_good();

		image_be64(b.img, 40, where[i]);
		qcow2_open(&b);
		assert_int_equal(b.img->err, 0);
		assert_finding(b.img, QCOW2_L1_OUTSIDE, 36);
		assert_lost(b.img, 0, b.img->top->size, QCOW2_L1_OUTSIDE);
		image_free(b.img);
	}
}

static void a_huge_l1_size_costs_nothing(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be32(b.img, 36, UINT32_MAX);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_L1_SIZE, 36);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void a_short_l1_table_loses_the_end(void **state)
{
	struct qcow2_build b = {.size = 5 << 20}; /* three L1 entries */

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	image_be32(b.img, 36, 1);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_L1_SHORT, 36);
	assert_readable(b.img, 0, 2 << 20);
	assert_lost(b.img, 2 << 20, 3 << 20, QCOW2_L1_SHORT);
	image_free(b.img);
}

static void an_l1_entry_that_points_nowhere_loses_its_range(void **state)
{
	static const uint64_t entry[] = {UINT64_C(1) << 40 | QCOW2_COPIED, 4 * C + 512, 0x80};

	(void)state;
	for (size_t i = 0; i < sizeof(entry) / sizeof(*entry); i++) {
		struct qcow2_build b = {.size = 4 << 20};

		qcow2_build(&b);
		qcow2_build_data(&b, 0, 'A');
		qcow2_build_data(&b, 2 << 20, 'B');
		image_be64(b.img, qcow2_build_l1(&b, 0), entry[i]);
		qcow2_open(&b);
		assert_lost(b.img, 0, 2 << 20, QCOW2_L1_ENTRY);
		qcow2_assert_bytes(&b, 2 << 20, C, 'B');
		image_free(b.img);
	}
}

static void reserved_bits_in_l1_make_doubtful(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	b.img->buf[qcow2_build_l1(&b, 0)] |= 0x40;
	qcow2_open(&b);
	qcow2_assert_doubtful(&b, C, C, 'B', QCOW2_L1_RESERVED);
	qcow2_assert_doubtful(&b, 3 * C + 200, C - 200, 'C', QCOW2_L1_RESERVED);
	image_free(b.img);
}

static void an_adopted_table_takes_the_place_of_a_lost_one(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t l1 = qcow2_build_l1(&b, 0), table = 4 * C;

	(void)state;
	image_be64(b.img, l1, 0);
	qcow2_open(&b);
	qcow2_assert_bytes(&b, 0, C, 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table + 8, true), -EINVAL);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, UINT64_C(1) << 40, true), -EINVAL);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 1, table, true), -EINVAL); /* behind the disk */
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table, true), 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table, true), 0);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, table + C, true), -EEXIST);
	qcow2_assert_bytes(&b, 0, C, 'A');
	qcow2_assert_bytes(&b, 3 * C + 100, C - 100, 'C');
	image_free(b.img);
}

static void through_a_table_that_is_only_likely_all_is_doubtful(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, qcow2_build_l1(&b, 0), 0);
	qcow2_open(&b);
	assert_int_equal(qcow2_adopt_l2(b.img->top, 0, 4 * C, false), 0);
	qcow2_assert_doubtful(&b, 0, C, 'A', QCOW2_L2_ADOPTED);
	qcow2_assert_doubtful(&b, 3 * C + 100, C - 100, 'C', QCOW2_L2_ADOPTED); /* compressed */
	image_free(b.img);
}

/* ---- L2 ---- */

static void l2_entries_that_cannot_be_lose_their_cluster(void **state)
{
	static const struct {
		uint64_t entry;
		enum finding_id why;
	} bad[] = {
		{UINT64_C(1) << 40, QCOW2_L2_PAST_END},
		{5 * C + 512, QCOW2_L2_UNALIGNED},
		{QCOW2_COMPRESSED | UINT64_C(1) << 40, QCOW2_L2_PAST_END},
		{QCOW2_COMPRESSED | 0x30, QCOW2_INFLATE}, /* the header is no deflate stream */
		{0x80, QCOW2_L2_RESERVED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct qcow2_build b = qcow2_good();

		image_be64(b.img, qcow2_build_l2(&b, C), bad[i].entry);
		qcow2_open(&b);
		assert_lost(b.img, C, C, bad[i].why);
		qcow2_assert_bytes(&b, 0, C, 'A');
		qcow2_assert_bytes(&b, 2 * C, C, 0);
		image_free(b.img);
	}
}

static void reserved_bits_in_l2_make_doubtful(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	b.img->buf[qcow2_build_l2(&b, C)] |= 0x20;
	qcow2_open(&b);
	qcow2_assert_doubtful(&b, C, C, 'B', QCOW2_L2_RESERVED);
	qcow2_assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void version_2_knows_no_zero_bit(void **state)
{
	struct qcow2_build b = {.version = 2};

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	qcow2_open(&b);
	qcow2_assert_bytes(&b, 0, C, 'A');
	b.img->buf[qcow2_build_l2(&b, 0) + 7] |= QCOW2_ZERO;
	qcow2_open(&b);
	qcow2_assert_doubtful(&b, 0, C, 'A', QCOW2_L2_RESERVED);
	image_free(b.img);
}

static void a_zero_cluster_keeps_its_old_contents_to_itself(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	b.img->buf[qcow2_build_l2(&b, C) + 7] |= QCOW2_ZERO;
	qcow2_open(&b);
	qcow2_assert_bytes(&b, C, C, 0);
	image_free(b.img);
}

static void a_cluster_that_the_end_of_file_cuts_is_lost_from_there(void **state)
{
	struct qcow2_build b = {0};
	uint64_t at;

	(void)state;
	qcow2_build(&b);
	at = qcow2_build_data(&b, 0, 'A');
	image_resize(b.img, at + 1000);
	qcow2_open(&b);
	qcow2_assert_bytes(&b, 0, 1000, 'A');
	assert_lost(b.img, 1000, C - 1000, QCOW2_L2_PAST_END);
	qcow2_assert_bytes(&b, C, C, 0);
	image_free(b.img);
}

static void subclusters_are_told_apart(void **state)
{
	struct qcow2_build b = {.bits = 14, .extended_l2 = true};
	uint64_t l2;

	(void)state;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	l2 = qcow2_build_l2(&b, 0);
	/* 512 bytes each: 0 data, 1 zero, 2 neither, 3 both, which can't be, the rest data */
	image_be64(b.img, l2 + 8, UINT64_C(0x0000000afffffff9));
	qcow2_open(&b);
	qcow2_assert_bytes(&b, 0, 512, 'A');
	qcow2_assert_bytes(&b, 512, 1024, 0);
	assert_lost(b.img, 1536, 512, QCOW2_SUBCLUSTERS);
	qcow2_assert_bytes(&b, 2048, (1 << 14) - 2048, 'A');
	/* allocated subclusters, but no cluster */
	image_be64(b.img, l2, 0);
	qcow2_open(&b);
	assert_lost(b.img, 0, 512, QCOW2_SUBCLUSTERS);
	qcow2_assert_bytes(&b, 512, 1024, 0);
	image_free(b.img);
}

/* ---- Compressed clusters ---- */

static void a_broken_stream_loses_its_cluster(bool zstd)
{
	struct qcow2_build b = {.zstd = zstd};
	uint8_t text[2 * C];
	uint64_t at;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * i / 999);
	qcow2_build(&b);
	at = qcow2_build_packed(&b, 0, text);
	qcow2_build_packed(&b, C, text + C);
	qcow2_open(&b);
	assert_readable(b.img, 0, 2 * C);
	memset(b.img->buf + at, 0xff, 64);
	qcow2_open(&b);
	assert_lost(b.img, 0, C, QCOW2_INFLATE);     /* read as a whole */
	assert_lost(b.img, 100, 200, QCOW2_INFLATE); /* and in part */
	assert_readable(b.img, C, C);
	image_free(b.img);
}

static void broken_streams_lose_their_cluster(void **state)
{
	(void)state;
	a_broken_stream_loses_its_cluster(false);
	a_broken_stream_loses_its_cluster(true);
}

static void a_stream_may_end_with_the_file(void **state)
{
	struct qcow2_build b = {0};
	uint8_t text[C];
	uint64_t at;
	size_t end;

	(void)state;
	for (size_t i = 0; i < C; i++)
		text[i] = (uint8_t)(i * i / 999);
	qcow2_build(&b);
	at = qcow2_build_packed(&b, 0, text);
	for (end = b.img->len; !b.img->buf[end - 1]; end--)
		;
	image_resize(b.img, end); /* not padded to a sector: QEMU does not either */
	qcow2_open(&b);
	assert_readable(b.img, 0, C);
	image_resize(b.img, (size_t)at + (end - (size_t)at) / 2);
	qcow2_open(&b);
	assert_lost(b.img, 0, C, QCOW2_INFLATE);
	image_free(b.img);
}

static void there_are_no_compressed_clusters_in_a_data_file(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DATA_FILE);
	qcow2_open(&b);
	assert_lost(b.img, 3 * C, C, QCOW2_PACKED_IN_DATA_FILE);
	image_free(b.img);
}

/* ---- Other files ---- */

static void backing(struct qcow2_build *b, const char *name, uint32_t len, const char *format)
{
	*b = qcow2_good();
	if (format)
		qcow2_build_extension(b, QCOW2_EXT_BACKING_FORMAT, format, strlen(format));
	image_be64(b->img, 8, 1024);
	image_be32(b->img, 16, len);
	image_poke(b->img, 1024, name, strlen(name));
	qcow2_open(b);
	assert_int_equal(b->img->err, 0);
}

static void what_a_backing_file_would_hold_is_lost_without_it(void **state)
{
	static const struct {
		const char *name;
		uint32_t len;
		const char *format;
		enum finding_id why;
		uint64_t at;
	} c[] = {
		{"no-such-file", 12, "raw", CHAIN_PARENT_MISSING, 1024},
		{"nbd://host/disk", 15, "raw", QCOW2_BACKING_REMOTE, 1024},
		{"json:{\"driver\":\"nbd\"}", 21, "raw", QCOW2_BACKING_REMOTE, 1024},
		{"base", 4, "no-format", QCOW2_BACKING_FORMAT, 0},
		{"base", 1024, "raw", QCOW2_BACKING_NAME, 8},
		{"base", 0, "raw", QCOW2_BACKING_NAME, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(c) / sizeof(*c); i++) {
		struct qcow2_build b;

		backing(&b, c[i].name, c[i].len, c[i].format);
		assert_finding(b.img, c[i].why, c[i].at);
		assert_lost(b.img, 2 * C, C, c[i].why);
		qcow2_assert_bytes(&b, C, C, 'B');
		image_free(b.img);
	}
}

static void a_format_that_is_not_named_is_said(void **state)
{
	struct qcow2_build b;

	(void)state;
	backing(&b, "no-such-file", 12, NULL);
	assert_finding(b.img, QCOW2_BACKING_GUESSED, 0);
	image_free(b.img);
}

static void a_backing_file_is_newer_only_if_its_copy_is_not(void **state)
{
	enum { HOUR = 3600, DAY = 24 * HOUR };
	struct qcow2_times image = {.written = 100 * DAY, .made = 50 * DAY, .has_made = true};
	struct qcow2_times old = {.written = 10 * DAY, .made = 9 * DAY, .has_made = true};
	struct qcow2_times changed = {.written = 101 * DAY, .made = 9 * DAY, .has_made = true};
	struct qcow2_times copied = {
		.written = 101 * DAY, .made = 101 * DAY - HOUR, .has_made = true};
	struct qcow2_times kept = {.written = 10 * DAY, .made = 100 * DAY, .has_made = true};
	struct qcow2_times kept_newer = {.written = 11 * DAY, .made = 101 * DAY, .has_made = true};

	(void)state;
	assert_int_equal(qcow2_newer(&old, &image), QCOW2_NOT_NEWER);
	assert_int_equal(qcow2_newer(&changed, &image), QCOW2_NEWER);
	assert_int_equal(qcow2_newer(&copied, &image), QCOW2_NEWER_BY_COPYING);
	assert_int_equal(qcow2_newer(&kept_newer, &kept), QCOW2_NEWER);
	assert_int_equal(qcow2_newer(&kept, &kept_newer), QCOW2_NOT_NEWER);
	assert_int_equal(qcow2_newer(&kept_newer, &old), QCOW2_NEWER_BY_COPYING);
	changed.has_made = false;
	assert_int_equal(qcow2_newer(&changed, &image), QCOW2_NEWER_BY_COPYING);
	old.written = image.written + HOUR / 3; /* clocks differ */
	assert_int_equal(qcow2_newer(&old, &image), QCOW2_NOT_NEWER);
}

static void without_its_data_file_all_data_is_lost(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DATA_FILE);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_DATA_FILE, 0);
	assert_lost(b.img, 0, 2 * C, QCOW2_DATA_FILE);
	assert_readable(b.img, 2 * C, C);
	qcow2_build_extension(&b, QCOW2_EXT_DATA_FILE, "no-such-file", 12);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_DATA_FILE, 0);
	image_free(b.img);
}

static void structures_are_named(void **state)
{
	struct qcow2_build b = qcow2_good();
	char name[100];
	uint64_t start, len;
	static const struct {
		uint64_t at;
		const char *name;
	} want[] = {
		{100, "qcow2 header"},
		{C, "refcount table"},
		{2 * C + 5, "refcount block of image bytes 0x0..0x800000"},
		{3 * C, "L1 table"},
		{4 * C + 100, "L2 table of 0x0..0x200000"},
	};

	(void)state;
	qcow2_open(&b);
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_true(qcow2_ops.structure(b.img->top, want[i].at, name, sizeof(name), &start,
						&len));
		assert_string_equal(name, want[i].name);
		assert_true(start <= want[i].at && want[i].at - start < len);
	}
	assert_false(qcow2_ops.structure(b.img->top, 5 * C, name, sizeof(name), &start, &len));
	image_free(b.img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_image_reads_and_says_nothing),
		cmocka_unit_test(map_gives_long_runs_and_packed_clusters),
		cmocka_unit_test(an_l1_table_outside_the_file_loses_the_disk),
		cmocka_unit_test(a_huge_l1_size_costs_nothing),
		cmocka_unit_test(a_short_l1_table_loses_the_end),
		cmocka_unit_test(an_l1_entry_that_points_nowhere_loses_its_range),
		cmocka_unit_test(reserved_bits_in_l1_make_doubtful),
		cmocka_unit_test(an_adopted_table_takes_the_place_of_a_lost_one),
		cmocka_unit_test(through_a_table_that_is_only_likely_all_is_doubtful),
		cmocka_unit_test(l2_entries_that_cannot_be_lose_their_cluster),
		cmocka_unit_test(reserved_bits_in_l2_make_doubtful),
		cmocka_unit_test(version_2_knows_no_zero_bit),
		cmocka_unit_test(a_zero_cluster_keeps_its_old_contents_to_itself),
		cmocka_unit_test(a_cluster_that_the_end_of_file_cuts_is_lost_from_there),
		cmocka_unit_test(subclusters_are_told_apart),
		cmocka_unit_test(broken_streams_lose_their_cluster),
		cmocka_unit_test(a_stream_may_end_with_the_file),
		cmocka_unit_test(there_are_no_compressed_clusters_in_a_data_file),
		cmocka_unit_test(what_a_backing_file_would_hold_is_lost_without_it),
		cmocka_unit_test(a_format_that_is_not_named_is_said),
		cmocka_unit_test(a_backing_file_is_newer_only_if_its_copy_is_not),
		cmocka_unit_test(without_its_data_file_all_data_is_lost),
		cmocka_unit_test(structures_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
