/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of real programs of Windows, whole and damaged. */
#include <stdio.h>

#include "recover/pe.h"
#include "tests/lib/corpus.h"

static enum pe_state state_of(const uint8_t *p, size_t len)
{
	struct session s;
	struct layer *l;
	enum pe_state state;
	uint32_t stored, sum;

	session_init(&s);
	l = memory_source(&s, "x.sys", p, len);
	assert_int_equal(pe_check(l, &state, &stored, &sum), 0);
	layer_free(l);
	session_fini(&s);
	return state;
}

/* The smallest file that pe_check() takes for one; the sum is set by hand. */
static size_t tiny(uint8_t p[512])
{
	uint32_t sum = 0;

	memset(p, 0, 512);
	memcpy(p, "MZ", 2);
	p[0x3c] = 64;
	memcpy(p + 64, "PE\0\0", 4);
	p[400] = 0xff;
	p[511] = 0x7f;
	for (size_t i = 0; i < 512; i += 2) {
		sum += (uint32_t)p[i] | (uint32_t)p[i + 1] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	sum += 512;
	memcpy(p + 64 + 88, &sum, 4);
	return 512;
}

static void every_flipped_bit_is_seen(void **state)
{
	uint8_t p[512];
	size_t len = tiny(p);

	(void)state;
	assert_int_equal(state_of(p, len), PE_FITS);
	for (size_t i = 68; i < len; i++) {
		if (i >= 152 && i < 156)
			continue; /* the checksum itself */
		p[i] ^= 0x10;
		assert_int_equal(state_of(p, len), PE_DIFFERS);
		p[i] ^= 0x10;
	}
	memset(p + 152, 0, 4);
	assert_int_equal(state_of(p, len), PE_NO_SUM);
}

static void hostile_headers_are_no_image(void **state)
{
	uint8_t p[512];
	size_t len = tiny(p);

	(void)state;
	for (size_t cut = 0; cut < len; cut += 7)
		state_of(p, cut);
	assert_int_equal(state_of(p, 155), PE_NO_IMAGE);
	memset(p + 0x3c, 0xff, 4);
	assert_int_equal(state_of(p, len), PE_NO_IMAGE);
	tiny(p);
	p[64] = 'X';
	assert_int_equal(state_of(p, len), PE_NO_IMAGE);
	assert_int_equal(state_of(p, 0), PE_NO_IMAGE);
}

/* Drivers of virtio-win and FTDI, as they were built. */
static void real_drivers_fit(void **state)
{
	const char *corpus = getenv("CORPUS");
	char path[1024];
	unsigned n = 0;
	FILE *f;

	(void)state;
	if (!corpus || !*corpus)
		skip();
	snprintf(path, sizeof(path), "ls %s/pe/vw-*/*.sys %s/pe/ftdi-*/*.sys 2>/dev/null", corpus,
		 corpus);
	f = popen(path, "r");
	assert_non_null(f);
	while (fgets(path, sizeof(path), f)) {
		struct image *img;

		path[strcspn(path, "\n")] = '\0';
		img = image_file(path);
		if (state_of(img->buf, img->len) != PE_FITS)
			fail_msg("%s does not fit", path);
		/* A sector that is lost shows. */
		memset(img->buf + img->len / 2 / 512 * 512, 0, 512);
		n += state_of(img->buf, img->len) == PE_DIFFERS;
		image_free(img);
	}
	if (pclose(f))
		skip();
	assert_true(n >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_flipped_bit_is_seen),
		cmocka_unit_test(hostile_headers_are_no_image),
		cmocka_unit_test(real_drivers_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
