/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of a qcow2 image, and its dirty bitmaps: whole, broken, stale. */
#include <errno.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/qcow2_case.h"
#include "vdiskck/core/json.h"

enum { C = QCOW2_CASE_CLUSTER };

static void snapshots_keep_what_was(void **state)
{
	struct qcow2_build b = qcow2_good();
	struct layer *snap;
	uint8_t c;

	(void)state;
	qcow2_build_snapshot(&b, "1", "before");
	image_be64(b.img, qcow2_build_l1(&b, 0), 0); /* the disk starts afresh, with 'X' */
	qcow2_build_data(&b, 0, 'X');
	qcow2_open(&b);
	assert_int_equal(b.img->n_seen, 0);
	qcow2_assert_bytes(&b, 0, C, 'X');
	qcow2_assert_bytes(&b, C, C, 0);
	snap = b.img->top->child;
	assert_non_null(snap);
	assert_string_equal(snap->name, "qcow2@before");
	assert_true(snap->lazy);
	for (uint64_t off = 0; off < 3 * C; off += C) {
		assert_int_equal(layer_read(snap, off + 7, &c, 1, NULL), 0);
		assert_int_equal(c, "AB"[off / C]);
	}
	image_free(b.img);
}

static void snapshot_names_are_made_safe_and_told_apart(void **state)
{
	struct qcow2_build b = qcow2_good();
	struct layer *s;

	(void)state;
	qcow2_build_snapshot(&b, "1", "a/../b\n");
	qcow2_build_snapshot(&b, "2", "a/../b\n");
	qcow2_build_snapshot(&b, "3", "");
	qcow2_open(&b);
	s = b.img->top->child;
	assert_string_equal(s->name, "qcow2@a_.._b\\x0a");
	assert_string_equal(s->next->name, "qcow2@a_.._b\\x0a#2");
	assert_string_equal(s->next->next->name, "qcow2@3");
	image_free(b.img);
}

static void a_broken_snapshot_table_keeps_the_first_ones(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t second;

	(void)state;
	qcow2_build_snapshot(&b, "1", "one");
	second = qcow2_build_snapshot(&b, "2", "two");
	image_be32(b.img, second + 36, UINT32_MAX); /* extra data */
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_SNAPSHOT_TABLE, second);
	assert_non_null(b.img->top->child);
	assert_null(b.img->top->child->next);
	assert_readable(b.img, 0, b.img->top->size);
	image_be64(b.img, 64, UINT64_MAX - 100);
	image_be32(b.img, 60, UINT32_MAX);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_SNAPSHOT_TABLE, UINT64_MAX - 100);
	image_free(b.img);
}

static void more_snapshots_than_layers_are_said(void **state)
{
	struct qcow2_build b = {.bits = 16};
	uint64_t table;

	(void)state;
	qcow2_build(&b);
	table = qcow2_build_cluster(&b);
	image_be32(b.img, 60, 1025);
	image_be64(b.img, 64, table);
	for (int i = 0; i < 1025; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%04d", i);
		image_be32(b.img, table + (uint64_t)i * 48 + 12, 4 << 16);
		image_be64(b.img, table + (uint64_t)i * 48, b.l1_off);
		image_be32(b.img, table + (uint64_t)i * 48 + 8, 1);
		image_poke(b.img, table + (uint64_t)i * 48 + 40, id, 4);
	}
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_SNAPSHOTS_MANY, table + 1024 * 48);
	image_free(b.img);
}

static void bitmaps_are_listed(void **state)
{
	struct qcow2_build b = qcow2_good();
	struct json *j = js_object();

	(void)state;
	qcow2_build_bitmap(&b, QCOW2_BITMAP_AUTO);
	qcow2_open(&b);
	assert_int_equal(b.img->n_seen, 0);
	qcow2_ops.info(b.img->top, j);
	assert_non_null(strstr(js_line(j), "\"bitmaps\":[{\"name\":\"b\",\"granularity\":65536,"
					   "\"enabled\":true,\"in_use\":false}]"));
	js_free(j);
	image_free(b.img);
}

static void bitmaps_that_are_not_up_to_date_are_said(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t dir = qcow2_build_bitmap(&b, QCOW2_BITMAP_IN_USE);

	(void)state;
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_BITMAP_IN_USE, dir + 12);
	image_be64(b.img, 88, 0);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_BITMAPS_STALE, 88);
	image_be32(b.img, dir + 20, UINT32_MAX);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, dir);
	assert_readable(b.img, 0, b.img->top->size);
	image_free(b.img);
}

static void a_bitmap_directory_that_cannot_be_is_said(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t ext = b.extensions + 8;

	(void)state;
	qcow2_build_bitmap(&b, 0);
	image_be64(b.img, ext + 16, UINT64_C(1) << 62);
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, UINT64_C(1) << 62);
	image_be32(b.img, ext - 8, 0); /* no extension, but the header says so */
	qcow2_open(&b);
	assert_finding(b.img, QCOW2_BITMAP_DIRECTORY, 88);
	image_free(b.img);
}

static void assert_dirty(const struct ranges *d, size_t i, uint64_t off, uint64_t len,
			 enum grade grade, enum finding_id why)
{
	assert_true(i < d->n);
	assert_int_equal(d->v[i].off, off);
	assert_int_equal(d->v[i].len, len);
	assert_int_equal(d->v[i].grade, grade);
	assert_int_equal(d->v[i].why, why);
}

/* Bits of 64 KiB each: 16 of them for the disk; those behind mean nothing. */
static void a_bitmap_says_what_is_dirty(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t dir = qcow2_build_bitmap(&b, QCOW2_BITMAP_AUTO), table = dir + C;
	uint64_t bits = qcow2_build_cluster(&b);
	struct ranges d = {0};

	(void)state;
	image_be64(b.img, table, bits);
	image_poke(b.img, bits, "\x0c\x81\xff", 3);
	qcow2_open(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "none", &d), -ENOENT);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 3);
	assert_dirty(&d, 0, 2 << 16, 2 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	assert_dirty(&d, 1, 8 << 16, 1 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	assert_dirty(&d, 2, 15 << 16, 1 << 16, GRADE_DOUBTFUL, FINDING_COUNT);
	ranges_free(&d);
	image_be64(b.img, table, 1); /* all ones, without a cluster */
	qcow2_open(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 1);
	assert_dirty(&d, 0, 0, 1 << 20, GRADE_DOUBTFUL, FINDING_COUNT);
	ranges_free(&d);
	image_be64(b.img, table, UINT64_C(1) << 40);
	qcow2_open(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 1);
	assert_dirty(&d, 0, 0, 1 << 20, GRADE_LOST, QCOW2_BITMAP_TABLE);
	ranges_free(&d);
	image_be64(b.img, table, 0);
	qcow2_open(&b);
	assert_int_equal(qcow2_bitmap_dirty(b.img->top, "b", &d), 0);
	assert_int_equal(d.n, 0);
	image_free(b.img);
}

static int dirty_refused(struct qcow2_build *b)
{
	struct ranges d = {0};
	int r;

	qcow2_open(b);
	r = qcow2_bitmap_dirty(b->img->top, "b", &d);
	assert_int_equal(d.n, 0);
	return r;
}

static void a_bitmap_that_may_be_wrong_is_not_used(void **state)
{
	struct qcow2_build b = qcow2_good();
	uint64_t dir = qcow2_build_bitmap(&b, QCOW2_BITMAP_AUTO | QCOW2_BITMAP_IN_USE);

	(void)state;
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be32(b.img, dir + 12, QCOW2_BITMAP_AUTO | 8); /* a flag that is not known */
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be32(b.img, dir + 12, QCOW2_BITMAP_AUTO);
	image_be64(b.img, 88, 0); /* written to by a program that does not know bitmaps */
	assert_int_equal(dirty_refused(&b), -ESTALE);
	image_be64(b.img, 88, QCOW2_AUTOCLEAR_BITMAPS);
	assert_int_equal(dirty_refused(&b), 0);
	image_poke(b.img, dir + 17, "\x08", 1); /* granularity */
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_poke(b.img, dir + 17, "\x10", 1);
	image_be32(b.img, dir + 8, 2); /* table entries */
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_be32(b.img, dir + 8, 1);
	image_be64(b.img, dir, UINT64_MAX - C + 1);
	assert_int_equal(dirty_refused(&b), -EBADMSG);
	image_free(b.img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshots_keep_what_was),
		cmocka_unit_test(snapshot_names_are_made_safe_and_told_apart),
		cmocka_unit_test(a_broken_snapshot_table_keeps_the_first_ones),
		cmocka_unit_test(more_snapshots_than_layers_are_said),
		cmocka_unit_test(bitmaps_are_listed),
		cmocka_unit_test(bitmaps_that_are_not_up_to_date_are_said),
		cmocka_unit_test(a_bitmap_directory_that_cannot_be_is_said),
		cmocka_unit_test(a_bitmap_says_what_is_dirty),
		cmocka_unit_test(a_bitmap_that_may_be_wrong_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
