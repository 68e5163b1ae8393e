/* SPDX-License-Identifier: Apache-2.0 */
/* A qcow2 header that can't be, features that are not known, and what is read all the same. */
#include <errno.h>

#include "tests/lib/qcow2_case.h"

enum { C = QCOW2_CASE_CLUSTER };

static void a_lost_magic_does_not_stop_us(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be32(b.img, 0, 0);
	image_discover(b.img);
	assert_string_equal(b.img->top->ops->name, "qcow2");
	assert_finding(b.img, QCOW2_MAGIC_LOST, 0);
	qcow2_assert_bytes(&b, C, C, 'B');
	image_free(b.img);
}

static void header_field_refused(uint64_t at, uint32_t value, enum finding_id id, int err)
{
	struct qcow2_build b = qcow2_good();

	image_be32(b.img, at, value);
	qcow2_open(&b);
	assert_finding(b.img, id, at);
	assert_int_equal(b.img->err, err);
	image_free(b.img);
}

static void impossible_headers_are_refused(void **state)
{
	(void)state;
	header_field_refused(4, 4, QCOW2_VERSION, -EOPNOTSUPP);
	header_field_refused(20, 30, QCOW2_CLUSTER_SIZE, -EBADMSG); /* 1 GiB */
	header_field_refused(20, 8, QCOW2_CLUSTER_SIZE, -EBADMSG);
	header_field_refused(20, UINT32_MAX, QCOW2_CLUSTER_SIZE, -EBADMSG);
}

static void a_disk_too_large_to_be_addressed_is_cut(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, 24, UINT64_C(1) << 63);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_SIZE, 24);
	assert_int_equal(b.img->err, 0);
	assert_int_equal(b.img->top->size, 2 << 20); /* one L1 entry: one L2 table's worth */
	qcow2_assert_bytes(&b, C, C, 'B');
	image_be32(b.img, 36, UINT32_MAX);
	qcow2_open(&b);
	assert_int_equal(b.img->err, -EBADMSG);
	image_free(b.img);
}

static void a_wrong_header_length_is_reported_and_ignored(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be32(b.img, 100, 103);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_HEADER_LENGTH, 100);
	qcow2_assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void reading_needs_no_refcounts(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be32(b.img, 96, 7);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_REFCOUNT_ORDER, 96);
	qcow2_assert_bytes(&b, 0, C, 'A');
	image_free(b.img);
}

static void an_unknown_feature_is_named(void **state)
{
	struct qcow2_build b = qcow2_good();
	struct qcow2_feature_name f = {0, 33, "holographic clusters"};

	(void)state;
	image_be64(b.img, 72, UINT64_C(1) << 33);
	qcow2_build_extension(&b, QCOW2_EXT_FEATURES, &f, sizeof(f));
	qcow2_open(&b);
	assert_int_equal(b.img->err, -EOPNOTSUPP);
	assert_finding(b.img, QCOW2_FEATURE_UNKNOWN, 72);
	assert_non_null(
		strstr(image_first(b.img, QCOW2_FEATURE_UNKNOWN)->message, "holographic clusters"));
	image_free(b.img);
}

static void dirty_and_corrupt_are_said(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_DIRTY, 72);
	assert_finding(b.img, QCOW2_CORRUPT, 72);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void an_extension_longer_than_its_space_ends_the_walk(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t at = qcow2_build_extension(&b, 0x12345678, "unknown", 7);

	(void)state;
	qcow2_open(&b);
	assert_int_equal(b.img->n_seen, 0); /* unknown ones are ignored */
	image_be32(b.img, at + 4, C);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_EXTENSION, at);
	assert_readable(b.img, 0, b.img->top->size);
	image_be32(b.img, at, QCOW2_EXT_BITMAPS);
	image_be32(b.img, at + 4, 7);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_EXTENSION, at + 8);
	image_free(b.img);
}

static void unknown_compression_loses_compressed_clusters_only(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be64(b.img, 72, QCOW2_INCOMPAT_COMPRESSION);
	image_poke(b.img, 104, "\x02", 1);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_COMPRESSION, 104);
	assert_readable(b.img, 0, 3 * C);
	assert_lost(b.img, 3 * C, C, QCOW2_COMPRESSION);
	image_free(b.img);
}

static void ciphertext_is_not_given_as_data(void **state)
{
	struct qcow2_build b = qcow2_good();

	(void)state;
	image_be32(b.img, 32, 1);
	qcow2_open(&b);
	assert_int_equal(b.img->top->locked, -ENOKEY);
	assert_lost(b.img, 0, 2 * C, LAYER_LOCKED);
	assert_readable(b.img, 2 * C, 2 * C); /* a hole; a compressed cluster, never encrypted */
	image_be32(b.img, 32, 3);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_ENCRYPTED, 32);
	assert_lost(b.img, 0, 2 * C, QCOW2_ENCRYPTED);
	image_free(b.img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_magic_does_not_stop_us),
		cmocka_unit_test(impossible_headers_are_refused),
		cmocka_unit_test(a_disk_too_large_to_be_addressed_is_cut),
		cmocka_unit_test(a_wrong_header_length_is_reported_and_ignored),
		cmocka_unit_test(reading_needs_no_refcounts),
		cmocka_unit_test(an_unknown_feature_is_named),
		cmocka_unit_test(dirty_and_corrupt_are_said),
		cmocka_unit_test(an_extension_longer_than_its_space_ends_the_walk),
		cmocka_unit_test(unknown_compression_loses_compressed_clusters_only),
		cmocka_unit_test(ciphertext_is_not_given_as_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
