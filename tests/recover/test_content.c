/* SPDX-License-Identifier: Apache-2.0 */
/* What bytes look like that no driver knows. */
#include "recover/content.h"

#include <stdio.h>

#include "formats/drivers.h"
#include "tests/lib/image.h"

enum { SIZE = 256 << 10 };

/* Nothing of the C library's: the same bytes everywhere. */
static void noise(uint8_t *p, size_t n)
{
	uint64_t x = 88172645463325252u;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 24);
	}
}

static void expect(struct image *img, const char *want)
{
	char text[CONTENT_TEXT];

	image_open(img, &raw_ops);
	assert_int_equal(img->err, 0);
	assert_int_equal(content_look(img->top, text), 0);
	if (!strstr(text, want) || (!*want && *text))
		fail_msg("\"%s\", not \"%s\"", text, want);
	image_free(img);
}

static void zeros_and_single_values_are_told(void **state)
{
	struct image *img = image_new(SIZE);

	(void)state;
	expect(img, "zeros throughout");
	img = image_new(SIZE);
	memset(img->buf, 0x5a, SIZE);
	expect(img, "bytes 0x5a throughout");
	img = image_new(SIZE);
	memset(img->buf, 0x5a, SIZE / 2);
	memset(img->buf + SIZE / 2, 0x5b, SIZE / 2);
	expect(img, "0 % of it is zeros, 0 % looks encrypted");
}

static void noise_is_called_random(void **state)
{
	struct image *img = image_new(SIZE);

	(void)state;
	noise(img->buf, SIZE);
	expect(img, "it looks random throughout");
}

static void a_mixture_is_told_in_percent(void **state)
{
	struct image *img = image_new(SIZE);

	(void)state;
	noise(img->buf + SIZE / 2, SIZE / 4);
	memset(img->buf + SIZE / 4 * 3, 'x', SIZE / 4);
	expect(img, "50 % of it is zeros, 25 % looks encrypted or packed");
}

static void text_is_text(void **state)
{
	struct image *img = image_new(SIZE);

	(void)state;
	for (size_t i = 0; i + 32 <= SIZE; i += 32)
		memcpy(img->buf + i, "Nov 27 node17 kernel: all fine.\n", 32);
	expect(img, "text throughout");
}

static void less_than_a_page_says_nothing(void **state)
{
	(void)state;
	expect(image_new(512), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeros_and_single_values_are_told),
		cmocka_unit_test(noise_is_called_random),
		cmocka_unit_test(a_mixture_is_told_in_percent),
		cmocka_unit_test(text_is_text),
		cmocka_unit_test(less_than_a_page_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
