/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/qcow2_case.h"

#include "formats/drivers.h"

struct qcow2_build qcow2_good(void)
{
	struct qcow2_build b = {0};
	uint8_t packed[QCOW2_CASE_CLUSTER];

	memset(packed, 'C', sizeof(packed));
	memset(packed, 'c', 100);
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	qcow2_build_data(&b, QCOW2_CASE_CLUSTER, 'B');
	qcow2_build_packed(&b, 3 * QCOW2_CASE_CLUSTER, packed);
	return b;
}

void qcow2_open(const struct qcow2_build *b)
{
	image_open(b->img, &qcow2_ops);
}

void qcow2_assert_bytes(const struct qcow2_build *b, uint64_t off, size_t len, int fill)
{
	uint8_t *buf = malloc(len + 1);
	struct ranges bad = {0};

	assert_int_equal(layer_read(b->img->top, off, buf, len, &bad), 0);
	assert_int_equal(bad.n, 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(buf[i], fill);
	free(buf);
}

void qcow2_assert_doubtful(const struct qcow2_build *b, uint64_t off, size_t len, int fill,
			   enum finding_id why)
{
	uint8_t *buf = malloc(len + 1);
	struct ranges bad = {0};

	assert_int_equal(layer_read(b->img->top, off, buf, len, &bad), 0);
	ranges_sort(&bad);
	assert_int_equal(bad.n, 1);
	assert_int_equal(bad.v[0].grade, GRADE_DOUBTFUL);
	assert_int_equal(bad.v[0].why, why);
	assert_int_equal(bad.v[0].len, len);
	assert_int_equal(buf[len / 2], fill);
	ranges_free(&bad);
	free(buf);
}
