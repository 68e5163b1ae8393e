/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/corpus.h"

#include <gcrypt.h>
#include <stdio.h>
#include <unistd.h>

static char unpacked[64];

/* The file's place in the corpus; false: it is not there. */
static bool find(const char *path, char *full, size_t cap)
{
	const char *corpus = getenv("CORPUS");

	return corpus && *corpus && (size_t)snprintf(full, cap, "%s/%s", corpus, path) < cap &&
	       !access(full, R_OK);
}

const char *corpus_file(const char *path)
{
	return corpus_file_head(path, INT64_MAX);
}

const char *corpus_file_head(const char *path, uint64_t limit)
{
	const char *dot = path ? strrchr(path, '.') : NULL, *tool = "cat";
	char full[512], command[1200];
	int fd;

	if (*unpacked)
		unlink(unpacked);
	*unpacked = '\0';
	if (!path || !find(path, full, sizeof(full)))
		return NULL;
	if (dot && !strcmp(dot, ".xz"))
		tool = "xz -dc";
	else if (dot && !strcmp(dot, ".gz"))
		tool = "gzip -dc";
	else if (dot && !strcmp(dot, ".bz2"))
		tool = "bzip2 -dc";
	else if (dot && !strcmp(dot, ".zst"))
		tool = "zstd -qdc";
	snprintf(unpacked, sizeof(unpacked), "/tmp/vdiskck-corpus-XXXXXX");
	fd = mkstemp(unpacked);
	if (fd < 0)
		fail_msg("no temporary file");
	close(fd);
	snprintf(command, sizeof(command),
		 "%s '%s' | head -c %llu | cp --sparse=always /dev/stdin %s", tool, full,
		 (unsigned long long)limit, unpacked);
	if (system(command))
		fail_msg("%s", command);
	return unpacked;
}

uint8_t *corpus_bytes(const char *path, size_t *len)
{
	struct image *img;
	uint8_t *buf;
	char full[512];

	if (!find(path, full, sizeof(full)))
		return NULL;
	img = image_file(full);
	buf = img->buf;
	*len = img->len;
	img->buf = NULL;
	image_free(img);
	return buf;
}

void layer_sha256(struct layer *l, uint64_t len, char hex[65])
{
	enum { PIECE = 1 << 20 };
	struct ranges bad = {0};
	uint8_t *buf = malloc(PIECE);
	const uint8_t *sum;
	gcry_md_hd_t md;

	if (!buf || gcry_md_open(&md, GCRY_MD_SHA256, 0))
		abort();
	for (uint64_t off = 0; off < len; off += PIECE) {
		size_t n = len - off < PIECE ? (size_t)(len - off) : PIECE;

		assert_int_equal(layer_read(l, off, buf, n, &bad), 0);
		gcry_md_write(md, buf, n);
	}
	assert_int_equal(bad.n, 0);
	sum = gcry_md_read(md, GCRY_MD_SHA256);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	gcry_md_close(md);
	free(buf);
}
