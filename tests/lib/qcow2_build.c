/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/qcow2_build.h"

#include <zlib.h>
#include <zstd.h>

/* Cluster 0 the header, 1 the refcount table, 2 the refcount block, 3 the L1 table. */
enum { REFCOUNT_TABLE = 1, REFCOUNT_BLOCK = 2, L1_TABLE = 3, FIRST_FREE = 4 };

static uint64_t get64(const struct qcow2_build *b, uint64_t at)
{
	return be64(*(const be64_t *)(b->img->buf + at));
}

static void put32(struct qcow2_build *b, uint64_t at, uint32_t v)
{
	image_be32(b->img, at, v);
}

static void put64(struct qcow2_build *b, uint64_t at, uint64_t v)
{
	image_be64(b->img, at, v);
}

static void count(struct qcow2_build *b, uint64_t cluster)
{
	be16_t *c = (be16_t *)(b->img->buf + b->refcounts_off) + cluster;

	assert_true(cluster < b->cluster / 2); /* one refcount block */
	*c = to_be16((uint16_t)(be16(*c) + 1));
}

static void header(struct qcow2_build *b)
{
	uint64_t covers = b->cluster << b->l2_bits;

	put32(b, 0, QCOW2_MAGIC);
	put32(b, 4, b->version);
	put32(b, 20, b->bits);
	put64(b, 24, b->size);
	put32(b, 36, (uint32_t)((b->size + covers - 1) / covers));
	put64(b, 40, b->l1_off);
	put64(b, 48, REFCOUNT_TABLE * b->cluster);
	put32(b, 56, 1);
	b->extensions = QCOW2_V2_HEADER;
	if (b->version < 3)
		return;
	put64(b, 72,
	      (b->extended_l2 ? QCOW2_INCOMPAT_EXTENDED_L2 : 0) |
		      (b->zstd ? QCOW2_INCOMPAT_COMPRESSION : 0));
	put32(b, 96, 4);
	put32(b, 100, sizeof(struct qcow2_header));
	b->img->buf[104] = b->zstd;
	b->extensions = sizeof(struct qcow2_header);
}

void qcow2_build(struct qcow2_build *b)
{
	b->size = b->size ? b->size : 1 << 20;
	b->version = b->version ? b->version : 3;
	b->bits = b->bits ? b->bits : 12;
	b->cluster = UINT64_C(1) << b->bits;
	b->l2_entry = b->extended_l2 ? 16 : 8;
	b->l2_bits = b->bits - (b->extended_l2 ? 4 : 3);
	b->refcounts_off = REFCOUNT_BLOCK * b->cluster;
	b->l1_off = L1_TABLE * b->cluster;
	b->img = image_new(FIRST_FREE * b->cluster);
	header(b);
	put64(b, REFCOUNT_TABLE * b->cluster, b->refcounts_off);
	for (uint64_t i = 0; i < FIRST_FREE; i++)
		count(b, i);
}

uint64_t qcow2_build_cluster(struct qcow2_build *b)
{
	uint64_t at = (b->img->len + b->cluster - 1) & ~(b->cluster - 1);

	image_resize(b->img, at + b->cluster);
	count(b, at >> b->bits);
	return at;
}

uint64_t qcow2_build_l1(const struct qcow2_build *b, uint64_t off)
{
	return b->l1_off + (off >> (b->bits + b->l2_bits)) * 8;
}

uint64_t qcow2_build_l2(struct qcow2_build *b, uint64_t off)
{
	uint64_t l1 = qcow2_build_l1(b, off), table = get64(b, l1) & QCOW2_OFFSET_MASK;

	if (!table) {
		table = qcow2_build_cluster(b);
		put64(b, l1, table | QCOW2_COPIED);
	}
	return table + (off >> b->bits & ((UINT64_C(1) << b->l2_bits) - 1)) * b->l2_entry;
}

uint64_t qcow2_build_data(struct qcow2_build *b, uint64_t off, int fill)
{
	uint64_t l2 = qcow2_build_l2(b, off), at = qcow2_build_cluster(b);

	memset(b->img->buf + at, fill, b->cluster);
	put64(b, l2, at | QCOW2_COPIED);
	if (b->extended_l2)
		put64(b, l2 + 8, UINT32_MAX); /* all subclusters allocated */
	return at;
}

static size_t pack(const struct qcow2_build *b, const void *bytes, uint8_t *out, size_t cap)
{
	z_stream z = {.next_in = (uint8_t *)(uintptr_t)bytes,
		      .avail_in = (uInt)b->cluster,
		      .next_out = out,
		      .avail_out = (uInt)cap};

	if (b->zstd)
		return ZSTD_compress(out, cap, bytes, b->cluster, 3);
	/* As QEMU does it: raw deflate, a window of 4 KiB. */
	deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return z.total_out;
}

uint64_t qcow2_build_packed(struct qcow2_build *b, uint64_t off, const void *bytes)
{
	uint64_t l2 = qcow2_build_l2(b, off), at = qcow2_build_cluster(b), last;
	size_t cap = (size_t)b->cluster + 4096, n;
	uint8_t *packed = malloc(cap);

	assert_non_null(packed);
	n = pack(b, bytes, packed, cap);
	assert_true(n && n <= b->cluster); /* what does not pack is no test */
	image_poke(b->img, at, packed, n);
	free(packed);
	last = (at + n - 1) / 512;
	put64(b, l2, QCOW2_COMPRESSED | (last - at / 512) << (62 - (b->bits - 8)) | at);
	return at;
}

uint64_t qcow2_build_extension(struct qcow2_build *b, uint32_t type, const void *data, size_t len)
{
	uint64_t at = b->extensions;

	put32(b, at, type);
	put32(b, at + 4, (uint32_t)len);
	image_poke(b->img, at + 8, data, len);
	b->extensions = at + 8 + ((len + 7) & ~(size_t)7);
	return at;
}

/* The snapshot shares what the disk holds: nothing is COPIED any more. */
static void share(struct qcow2_build *b, uint64_t table, uint64_t entries, unsigned size, bool l1)
{
	for (uint64_t i = 0; i < entries; i++) {
		uint64_t at = table + i * size, e = get64(b, at), off = e & QCOW2_OFFSET_MASK;

		if (!off)
			continue;
		put64(b, at, e & ~QCOW2_COPIED);
		if (e & QCOW2_COMPRESSED) /* in this builder: all of it in one cluster */
			off = e & ((UINT64_C(1) << (62 - (b->bits - 8))) - 1);
		count(b, off >> b->bits);
		if (l1)
			share(b, off, b->cluster / b->l2_entry, b->l2_entry, false);
	}
}

uint64_t qcow2_build_snapshot(struct qcow2_build *b, const char *id, const char *name)
{
	uint32_t entries = be32(*(be32_t *)(b->img->buf + 36));
	uint32_t n = be32(*(be32_t *)(b->img->buf + 60));
	uint64_t l1 = qcow2_build_cluster(b), at;
	size_t id_len = strlen(id), name_len = strlen(name);

	if (!n) {
		b->snapshots = qcow2_build_cluster(b);
		put64(b, 64, b->snapshots);
	}
	put32(b, 60, n + 1);
	share(b, b->l1_off, entries, 8, true);
	memcpy(b->img->buf + l1, b->img->buf + b->l1_off, entries * 8);
	at = b->snapshots;
	put64(b, at, l1);
	put32(b, at + 8, entries);
	put32(b, at + 12, (uint32_t)(id_len << 16 | name_len));
	put32(b, at + 16, 1600000000);
	put32(b, at + 36, 16); /* extra data: size of the VM state, of the disk */
	put64(b, at + 48, b->size);
	image_poke(b->img, at + 56, id, id_len);
	image_poke(b->img, at + 56 + id_len, name, name_len);
	b->snapshots = (at + 56 + id_len + name_len + 7) & ~UINT64_C(7);
	return at;
}

uint64_t qcow2_build_bitmap(struct qcow2_build *b, uint32_t flags)
{
	uint64_t dir = qcow2_build_cluster(b), table = qcow2_build_cluster(b);
	be64_t ext[3] = {to_be64(UINT64_C(1) << 32), to_be64(32), to_be64(dir)};

	image_be64(b->img, dir, table);
	image_be32(b->img, dir + 8, 1);
	image_be32(b->img, dir + 12, flags);
	image_poke(b->img, dir + 16, "\x01\x10\x00\x01", 4);
	image_poke(b->img, dir + 24, "b", 1);
	image_be64(b->img, 88, QCOW2_AUTOCLEAR_BITMAPS);
	qcow2_build_extension(b, QCOW2_EXT_BITMAPS, ext, sizeof(ext));
	return dir;
}
