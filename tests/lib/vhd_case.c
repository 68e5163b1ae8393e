/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/vhd_case.h"

#include "formats/drivers.h"

const struct vhd_spec vhd_plain = {
	.whole_bitmaps = true,
	.write = {{3 * VHD_CASE_BLOCK, VHD_CASE_BLOCK, 3},
		  {0, VHD_CASE_BLOCK, 1},
		  {5 * VHD_CASE_BLOCK, 1024, 5}},
};

const struct vhd_spec vhd_xen = {
	.creator = "tap",
	.batmap = true,
	.write = {{3 * VHD_CASE_BLOCK, VHD_CASE_BLOCK, 3},
		  {0, VHD_CASE_BLOCK, 1},
		  {5 * VHD_CASE_BLOCK, 1024, 5}},
};

const struct vhd_spec vhd_child = {
	.type = VHD_DIFFERENCING,
	.parent_id = 0x77,
	.parent_name = "base.vhd",
	.w2ru = ".\\base.vhd",
	.macx = "file:///vm/base.vhd",
	.write = {{3 * VHD_CASE_BLOCK, 4096, 3}, {0, VHD_CASE_BLOCK, 1}},
};

void vhd_checked(struct image *img)
{
	image_check(img, &vhd_ops);
	assert_int_equal(img->err, 0);
}

void vhd_assert_filled(struct image *img, uint64_t off, size_t len, uint8_t byte)
{
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	assert_int_equal(layer_read(img->top, off, buf, len, NULL), 0);
	for (size_t i = 0; i < len; i++)
		if (buf[i] != byte)
			fail_msg("byte %#zx is %#x, not %#x", (size_t)off + i, buf[i], byte);
	free(buf);
}

void vhd_assert_contents(struct image *img)
{
	vhd_assert_filled(img, 0, VHD_CASE_BLOCK, 1);
	vhd_assert_filled(img, 1 * VHD_CASE_BLOCK, 2 * VHD_CASE_BLOCK, 0);
	vhd_assert_filled(img, 3 * VHD_CASE_BLOCK, VHD_CASE_BLOCK, 3);
	vhd_assert_filled(img, 4 * VHD_CASE_BLOCK, VHD_CASE_BLOCK, 0);
	vhd_assert_filled(img, 5 * VHD_CASE_BLOCK, 1024, 5);
	vhd_assert_filled(img, 5 * VHD_CASE_BLOCK + 1024, 3 * VHD_CASE_BLOCK - 1024, 0);
	assert_readable(img, 0, img->top->size);
}

void vhd_assert_costs(struct image *img, enum finding_id id, uint64_t off, uint64_t len)
{
	const struct seen *s = image_first(img, id);

	if (!s || s->fact.off != off || s->fact.len != len) {
		image_print(img);
		fail_msg("%s does not cost %#llx+%#llx", finding_name(id), (unsigned long long)off,
			 (unsigned long long)len);
	}
}
