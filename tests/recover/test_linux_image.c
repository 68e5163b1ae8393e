/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of kernels and initramfs, of our making and of this machine. */
#include <glob.h>
#include <lz4.h>
#include <stdio.h>
#include <zlib.h>

#include "recover/linux_image.h"
#include "tests/lib/corpus.h"
#include "vdiskck/core/sum.h"

typedef int check_fn(struct layer *, struct linux_image *);

static struct linux_image look(check_fn *check, const uint8_t *p, size_t len)
{
	struct linux_image im;
	struct session s;
	struct layer *l;

	session_init(&s);
	l = memory_source(&s, "image", p, len);
	assert_int_equal(check(l, &im), 0);
	layer_free(l);
	session_fini(&s);
	return im;
}

/* boot.rst: four sectors of setup, then 16-byte paragraphs, and a CRC-32 that ends it all. */
static size_t kernel(uint8_t p[8192])
{
	uint32_t crc;

	for (size_t i = 0; i < 8192; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
	p[0x1f1] = 3;
	memcpy(p + 0x1f4, "\x80\x01\0\0", 4); /* 384 paragraphs: 6144 bytes */
	memcpy(p + 0x202, "HdrS", 4);
	memset(p, 0, 64);
	crc = sum_crc32_raw(~0u, p, 8188);
	memcpy(p + 8188, &crc, 4);
	return 8192;
}

static void each_bit_of_a_kernel_counts(void **state)
{
	static uint8_t p[8192];
	size_t len = kernel(p);

	(void)state;
	assert_int_equal(look(linux_kernel_check, p, len).state, LINUX_IMAGE_FITS);
	for (size_t i = 600; i < len; i += 13) {
		p[i] ^= 4;
		assert_int_equal(look(linux_kernel_check, p, len).state, LINUX_IMAGE_DIFFERS);
		p[i] ^= 4;
	}
	for (size_t cut = 0; cut < len; cut += 311)
		assert_int_not_equal(look(linux_kernel_check, p, cut).state, LINUX_IMAGE_FITS);
	memset(p + 0x202, 0, 4);
	assert_int_equal(look(linux_kernel_check, p, len).state, LINUX_IMAGE_NONE);
}

static void put_hex(char *p, unsigned v)
{
	char text[9];

	snprintf(text, sizeof(text), "%08x", v);
	memcpy(p, text, 8);
}

static size_t member(uint8_t *p, const char *name, size_t size)
{
	size_t at = 110 + strlen(name) + 1;

	memset(p, 0, at + 3);
	memset(p, '0', 110);
	memcpy(p, "070701", 6);
	put_hex((char *)p + 54, (unsigned)size);
	put_hex((char *)p + 94, (unsigned)strlen(name) + 1);
	strcpy((char *)p + 110, name);
	at = (at + 3) & ~3ull;
	for (size_t i = 0; i < size; i++) /* nothing repeats: another match would give the same */
		p[at + i] = (uint8_t)(i * i * 31 + i * 7 + (i >> 3));
	return (at + size + 3) & ~3ull;
}

/* A plain archive of one file, zeros, and a packed one of the same. */
static size_t initramfs(uint8_t out[4096])
{
	static uint8_t cpio[2048];
	size_t len = member(cpio, "init", 300);
	z_stream z = {0};

	len += member(cpio + len, "TRAILER!!!", 0);
	memset(out, 0, 4096);
	memcpy(out, cpio, len);
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_FIXED), Z_OK);
	z.next_in = cpio;
	z.avail_in = (unsigned)len;
	z.next_out = out + 1024;
	z.avail_out = 2048;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	len = 1024 + z.total_out;
	deflateEnd(&z);
	return len;
}

static void an_initramfs_is_unpacked_to_its_end(void **state)
{
	static uint8_t p[4096];
	size_t len = initramfs(p), seen = 0;
	struct linux_image im = look(linux_initramfs_check, p, len);

	(void)state;
	assert_int_equal(im.state, LINUX_IMAGE_FITS);
	assert_int_equal(im.at, 1024);
	/* A match in a run of equal bytes may come from elsewhere and be the same. */
	for (size_t i = 1034; i < len - 4; i++) {
		p[i] ^= 1;
		im = look(linux_initramfs_check, p, len);
		if (i >= len - 8)
			assert_int_equal(im.state, LINUX_IMAGE_DIFFERS);
		seen += im.state == LINUX_IMAGE_DIFFERS;
		p[i] ^= 1;
	}
	assert_true(seen > (len - 1038) * 9 / 10);
	for (size_t cut = 1030; cut < len; cut++)
		assert_int_not_equal(look(linux_initramfs_check, p, cut).state, LINUX_IMAGE_FITS);
	/* The plain archive: its end is lost. */
	im = look(linux_initramfs_check, p, 200);
	assert_int_equal(im.state, LINUX_IMAGE_DIFFERS);
	memcpy(p, "what", 4);
	assert_int_equal(look(linux_initramfs_check, p, len).state, LINUX_IMAGE_NONE);
	assert_int_equal(look(linux_initramfs_check, p, 0).state, LINUX_IMAGE_NONE);
}

/* As the kernel's own Makefile packs it, `lz4 -l`: two frames in a row, zeros behind them. */
static void lz4_has_no_checksum_but_the_archive_must_be_whole(void **state)
{
	static uint8_t cpio[2048], p[4096];
	size_t len = member(cpio, "init", 900), half, at = 0;
	struct linux_image im;

	(void)state;
	len += member(cpio + len, "TRAILER!!!", 0);
	half = len / 2;
	for (int k = 0; k < 2; k++) {
		int n = LZ4_compress_default((char *)cpio + (k ? half : 0), (char *)p + at + 8,
					     (int)(k ? len - half : half), 2000);

		assert_true(n > 0);
		memcpy(p + at, "\x02\x21\x4c\x18", 4);
		memcpy(p + at + 4, &(uint32_t){(uint32_t)n}, 4);
		at += 8 + (size_t)n;
	}
	im = look(linux_initramfs_check, p, at + 64);
	assert_int_equal(im.state, LINUX_IMAGE_NO_SUM);
	assert_non_null(strstr(im.text, "whole archive"));
	for (size_t cut = 5; cut < at; cut++)
		assert_int_equal(look(linux_initramfs_check, p, cut).state, LINUX_IMAGE_DIFFERS);
	for (size_t i = 4; i < 8; i++) { /* the length of a block is a claim */
		p[i] ^= 0xff;
		assert_int_equal(look(linux_initramfs_check, p, at).state, LINUX_IMAGE_DIFFERS);
		p[i] ^= 0xff;
	}
	*(uint8_t *)memmem(p, at, "07070", 5) ^=
		0x10; /* the archive's magic stands there as it is */
	assert_int_equal(look(linux_initramfs_check, p, at).state, LINUX_IMAGE_DIFFERS);
}

/* Names and sizes of an archive are claims. */
static void hostile_archives_end(void **state)
{
	static uint8_t p[4096];

	(void)state;
	initramfs(p);
	for (size_t i = 0; i < 230; i++) {
		uint8_t old = p[i];

		for (int k = 0; k < 4; k++) {
			p[i] = "fF-\xff"[k];
			look(linux_initramfs_check, p, 4096);
		}
		p[i] = old;
	}
}

static void what_this_machine_starts_from_fits(void **state)
{
	static const struct {
		const char *glob;
		check_fn *check;
	} of[] = {{"/boot/vmlinuz-*", linux_kernel_check},
		  {"/boot/initrd.img-*", linux_initramfs_check}};
	unsigned n = 0;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		glob_t g;

		if (glob(of[k].glob, 0, NULL, &g))
			continue;
		for (size_t i = 0; i < g.gl_pathc; i++) {
			FILE *f = fopen(g.gl_pathv[i], "rb");
			uint8_t *p = malloc(200 << 20);
			size_t len = f && p ? fread(p, 1, 200 << 20, f) : 0;
			struct linux_image im;

			if (len) {
				im = look(of[k].check, p, len);
				if (im.state != LINUX_IMAGE_FITS && im.state != LINUX_IMAGE_NO_SUM)
					fail_msg("%s: %s", g.gl_pathv[i], im.text);
				if (im.state == LINUX_IMAGE_FITS) {
					p[len / 2] ^= 1;
					assert_int_equal(look(of[k].check, p, len).state,
							 LINUX_IMAGE_DIFFERS);
				}
				n++;
			}
			free(p);
			if (f)
				fclose(f);
		}
		globfree(&g);
	}
	if (!n)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_of_a_kernel_counts),
		cmocka_unit_test(an_initramfs_is_unpacked_to_its_end),
		cmocka_unit_test(lz4_has_no_checksum_but_the_archive_must_be_whole),
		cmocka_unit_test(hostile_archives_end),
		cmocka_unit_test(what_this_machine_starts_from_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
