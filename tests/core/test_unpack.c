/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed files as the tools make them, whole, cut and damaged. */
#include <errno.h>
#include <stdio.h>

#include "tests/lib/image.h"
#include "vdiskck/core/inflate.h"

enum { LEN = 300000 };

static uint8_t plain[LEN], packed[LEN * 2];
static size_t packed_len;

/* What @tool makes of @plain, which lies in a file. */
static void pack(const char *tool)
{
	char path[] = "/tmp/vdiskck-unpack-XXXXXX", cmd[200];
	int fd = mkstemp(path);
	FILE *f = fdopen(fd, "w");

	for (size_t i = 0; i < LEN; i++)
		plain[i] = (uint8_t)(i % 97 + i / 1000);
	assert_int_equal(fwrite(plain, 1, LEN, f), LEN);
	fclose(f);
	snprintf(cmd, sizeof(cmd), "f=%s; %s", path, tool);
	f = popen(cmd, "r");
	packed_len = fread(packed, 1, sizeof(packed), f);
	assert_int_equal(pclose(f), 0);
	remove(path);
}

static const struct {
	enum unpack_method method;
	const char *tool;
} tools[] = {{UNPACK_XZ, "xz -c $f"},
	     {UNPACK_ZSTD, "zstd -qc $f"},
	     {UNPACK_GZIP, "gzip -c $f"},
	     {UNPACK_GZIP, "(head -c 1000 $f | gzip; tail -c +1001 $f | gzip)"},
	     {UNPACK_XZ, "(head -c 1000 $f | xz; tail -c +1001 $f | xz)"}};

static void what_tools_pack_comes_out_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++) {
		uint8_t *out;
		size_t len;

		pack(tools[i].tool);
		assert_int_equal(unpack_all(tools[i].method, packed, packed_len, LEN, &out, &len),
				 0);
		assert_int_equal(len, LEN);
		assert_memory_equal(out, plain, LEN);
		free(out);
		/* A bound ends it, with what came out until then. */
		assert_int_equal(unpack_all(tools[i].method, packed, packed_len, 5000, &out, &len),
				 -EBADMSG);
		assert_int_equal(len, 5000);
		assert_memory_equal(out, plain, len);
		free(out);
	}
}

static void a_cut_file_gives_its_start(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(tools) / sizeof(*tools); i++) {
		pack(tools[i].tool);
		for (size_t cut = 0; cut < packed_len; cut += packed_len / 7 + 1) {
			uint8_t *out;
			size_t len;

			assert_int_equal(unpack_all(tools[i].method, packed, cut, LEN, &out, &len),
					 -EBADMSG);
			assert_true(len < LEN);
			if (len)
				assert_memory_equal(out, plain, len);
			free(out);
		}
	}
}

static void flipped_bytes_never_trap(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		pack(tools[i].tool);
		for (size_t k = 0; k < 60; k++) {
			uint8_t *out;
			size_t len;

			packed[k * packed_len / 60] ^= 0x55;
			unpack_all(tools[i].method, packed, packed_len, LEN, &out, &len);
			assert_true(len <= LEN && !out == !len);
			free(out);
			packed[k * packed_len / 60] ^= 0x55;
		}
	}
}

static void an_lz4_block_says_its_length(void **state)
{
	/* 20 literals: token 0xf0, 15 + 5. */
	static const uint8_t good[] = {20,  0,	 0,   0,   0,	0,   0,	  0,   0xf0, 5,
				       'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i',  'j',
				       'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's',  't'};
	uint8_t bad[sizeof(good)], *out;
	size_t len;

	(void)state;
	assert_int_equal(unpack_all(UNPACK_LZ4_SIZED, good, sizeof(good), 100, &out, &len), 0);
	assert_int_equal(len, 20);
	assert_memory_equal(out, "abcdefghijklmnopqrst", 20);
	free(out);
	memcpy(bad, good, sizeof(good));
	bad[0] = 21;
	assert_int_equal(unpack_all(UNPACK_LZ4_SIZED, bad, sizeof(bad), 100, &out, &len), -EBADMSG);
	free(out);
	bad[4] = 1; /* 4 GiB */
	assert_int_equal(unpack_all(UNPACK_LZ4_SIZED, bad, sizeof(bad), SIZE_MAX, &out, &len),
			 -EBADMSG);
	assert_null(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_tools_pack_comes_out_again),
		cmocka_unit_test(a_cut_file_gives_its_start),
		cmocka_unit_test(flipped_bytes_never_trap),
		cmocka_unit_test(an_lz4_block_says_its_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
