/* SPDX-License-Identifier: Apache-2.0 */
/* qcow2 cut short at any place, and with any byte flipped: no crash, no read that does not end. */
#include "tests/lib/qcow2_case.h"

static struct qcow2_build all_kinds(unsigned version, bool extended)
{
	struct qcow2_build b = {.version = version, .bits = extended ? 14 : 9};
	uint8_t packed[1 << 14];

	b.extended_l2 = extended;
	memset(packed, 'P', sizeof(packed));
	b.size = 40 << b.bits;
	qcow2_build(&b);
	qcow2_build_data(&b, 0, 'A');
	qcow2_build_packed(&b, b.cluster, packed);
	if (version > 2)
		qcow2_build_bitmap(&b, 0);
	qcow2_build_snapshot(&b, "1", "s");
	return b;
}

static void exercise(const struct qcow2_build *b)
{
	qcow2_open(b);
	if (b->img->err)
		return;
	image_exercise(b->img->top);
	for (struct layer *s = b->img->top->child; s; s = s->next)
		image_exercise(s);
}

static void any_truncation_is_survived(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		struct qcow2_build b = all_kinds(kind ? 3 : 2, kind == 2);
		size_t step = kind == 2 ? 1021 : 61;

		while (b.img->len > step) {
			image_resize(b.img, b.img->len - step);
			exercise(&b);
		}
		image_free(b.img);
	}
}

static void any_flip_is_survived(void **state)
{
	(void)state;
	for (unsigned kind = 0; kind < 3; kind++) {
		struct qcow2_build b = all_kinds(kind ? 3 : 2, kind == 2);
		size_t step = 1;

		for (size_t i = 0; i < b.img->len; i += step) {
			for (int bit = 0; bit < 3; bit++) {
				static const uint8_t flip[] = {0x01, 0x80, 0xff};

				b.img->buf[i] ^= flip[bit];
				exercise(&b);
				b.img->buf[i] ^= flip[bit];
			}
			/* Data, and the zeros of half empty clusters, seldom: they are alike. */
			step = i < 256 || b.img->buf[i] || i % 512 < 16 ? 1 : 13;
			if (kind == 2)
				step = i % (1 << 14) < 128 ? 1 : 509;
		}
		image_free(b.img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_truncation_is_survived),
		cmocka_unit_test(any_flip_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
