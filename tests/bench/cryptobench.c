/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cryptobench - what pread() and a library can do by themselves, for tests/bench/crypto.sh
 *
 *	cryptobench xts FILE OFFSET SECTOR	decrypt to nowhere with AES-256-XTS of libgcrypt
 *	cryptobench hash NAME FILE BLOCK	hash each block: crc32c, or a hash of libgcrypt
 *	cryptobench tags NAME PLAIN FILE	a dm-integrity device that holds @PLAIN, a tag for each 4096
 *	cryptobench encrypt KEY-FILE SECTOR PLAIN DEVICE OFFSET
 *						the data of a LUKS2 device whose header is there
 *
 * The first two use all processors. They measure a bound, so they know nothing of vdiskck but its
 * CRC-32C (of which there is none in libgcrypt).
 */
#include <err.h>
#include <fcntl.h>
#include <gcrypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/integrity_build.h"
#include "vdiskck/core/sum.h"

enum { PIECE = 1 << 20, KEY = 64 };

struct job {
	int fd;
	uint64_t off, end;
	size_t unit;
	int md; /* -1: CRC-32C; 0: decrypt */
	atomic_uint_fast64_t next;
};

static volatile uint8_t sink;

static gcry_cipher_hd_t xts_open(const uint8_t key[KEY])
{
	gcry_cipher_hd_t h;

	if (gcry_cipher_open(&h, GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_XTS, 0) ||
	    gcry_cipher_setkey(h, key, KEY))
		errx(3, "no AES-XTS in this libgcrypt");
	return h;
}

/* The tweak counts up by itself from sector to sector, in sectors of @unit bytes. */
static void xts_iv(gcry_cipher_hd_t h, uint64_t number)
{
	uint8_t iv[16] = {0};

	for (int i = 0; i < 8; i++)
		iv[i] = (uint8_t)(number >> 8 * i);
	gcry_cipher_setiv(h, iv, sizeof(iv));
}

static void piece(const struct job *j, gcry_cipher_hd_t h, uint64_t off, uint8_t *buf, size_t n)
{
	uint8_t sum[64] = {0};

	if (h)
		xts_iv(h, off / j->unit);
	for (size_t i = 0; i + j->unit <= n; i += j->unit) {
		if (h)
			gcry_cipher_decrypt(h, buf + i, j->unit, NULL, 0);
		else if (j->md < 0)
			sum[0] = (uint8_t)sum_crc32c(~0u, buf + i, j->unit);
		else
			gcry_md_hash_buffer(j->md, sum, buf + i, j->unit);
	}
	sink = h ? buf[0] : sum[0];
}

static void *work(void *arg)
{
	static const uint8_t key[KEY] = {1, 2, 3};
	struct job *j = arg;
	gcry_cipher_hd_t h = j->md ? NULL : xts_open(key);
	uint8_t *buf = aligned_alloc(4096, PIECE);
	ssize_t n;

	for (;;) {
		uint64_t off = atomic_fetch_add(&j->next, PIECE);

		if (off >= j->end)
			break;
		n = pread(j->fd, buf, PIECE, (off_t)off);
		if (n <= 0)
			break;
		piece(j, h, off, buf, (size_t)n);
	}
	free(buf);
	if (h)
		gcry_cipher_close(h);
	return NULL;
}

static int run(struct job *j)
{
	enum { MAX = 64 };
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t t[MAX];

	if (n > MAX)
		n = MAX;
	for (long i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, work, j))
			errx(3, "no threads");
	for (long i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	return 0;
}

static int measure(const char *file, uint64_t off, size_t unit, int md)
{
	struct job j = {.fd = open(file, O_RDONLY), .off = off, .unit = unit, .md = md};

	if (j.fd < 0)
		err(3, "%s", file);
	j.end = (uint64_t)lseek(j.fd, 0, SEEK_END);
	atomic_init(&j.next, off);
	return run(&j);
}

/* LUKS2 counts tweaks in 512-byte units, whatever the size of its sectors. */
static int encrypt(const char *keyfile, size_t sector, const char *plain, const char *device,
		   uint64_t off)
{
	static uint8_t buf[PIECE];
	uint8_t key[KEY];
	FILE *k = fopen(keyfile, "rb"), *in = fopen(plain, "rb");
	int out = open(device, O_WRONLY);
	gcry_cipher_hd_t h;
	size_t n;

	if (!k || fread(key, KEY, 1, k) != 1 || !in || out < 0)
		err(3, "%s, %s, %s", keyfile, plain, device);
	h = xts_open(key);
	for (uint64_t at = 0; (n = fread(buf, 1, PIECE, in)); at += n) {
		for (size_t i = 0; i + sector <= n; i += sector) {
			xts_iv(h, (at + i) / 512);
			gcry_cipher_encrypt(h, buf + i, sector, NULL, 0);
		}
		if (pwrite(out, buf, n, (off_t)(off + at)) != (ssize_t)n)
			err(3, "%s", device);
	}
	gcry_cipher_close(h);
	return 0;
}

/* What is measured is the tags, so the volume is one that discovery knows at a glance. */
static int tags(const char *name, const char *plain, const char *file)
{
	struct integrity_spec s = {.log2_block = 3,
				   .log2_interleave = 15,
				   .sections = 8,
				   .hash = strcmp(name, "crc32c") ? 3 : 0,
				   .tag = strcmp(name, "crc32c") ? 32 : 4};
	int in = open(plain, O_RDONLY);
	struct integrity_image b;
	uint8_t block[4096];

	if (in < 0)
		err(3, "%s", plain);
	s.sectors = (uint64_t)lseek(in, 0, SEEK_END) / sizeof(block) * 8;
	b = integrity_build(&s);
	for (uint64_t n = 0; n < s.sectors / 8; n++) {
		if (pread(in, block, sizeof(block), (off_t)(n * sizeof(block))) != sizeof(block))
			err(3, "%s", plain);
		image_poke(b.img, integrity_build_data(&b, n), block, sizeof(block));
		integrity_build_retag(&b, n);
	}
	close(in);
	image_write(b.img, file);
	integrity_build_free(&b);
	return 0;
}

int main(int argc, char **argv)
{
	gcry_check_version(NULL);
	gcry_control(GCRYCTL_DISABLE_SECMEM);
	gcry_control(GCRYCTL_INITIALIZATION_FINISHED);
	if (argc == 5 && !strcmp(argv[1], "xts"))
		return measure(argv[2], strtoull(argv[3], NULL, 0), strtoul(argv[4], NULL, 0), 0);
	if (argc == 5 && !strcmp(argv[1], "hash"))
		return measure(argv[3], 0, strtoul(argv[4], NULL, 0),
			       strcmp(argv[2], "crc32c") ? gcry_md_map_name(argv[2]) : -1);
	if (argc == 5 && !strcmp(argv[1], "tags"))
		return tags(argv[2], argv[3], argv[4]);
	if (argc == 7 && !strcmp(argv[1], "encrypt"))
		return encrypt(argv[2], strtoul(argv[3], NULL, 0), argv[4], argv[5],
			       strtoull(argv[6], NULL, 0));
	errx(3, "usage: see tests/bench/cryptobench.c");
}
