/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records, attribute lists, runs, indexes and boot sectors of NTFS, each without what a whole volume
 * asks for first. The first byte says which; records get the fixups and numbers that let them in.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/ntfs.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

enum { RECORD = 1024, RECORDS = 16, USA = 48, READ_MAX = 1 << 20 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void boot(const uint8_t *data, size_t size)
{
	static uint8_t sector[512];
	struct ntfs_geometry g;

	memset(sector, 0, sizeof(sector));
	memcpy(sector, data, size < sizeof(sector) ? size : sizeof(sector));
	if (!ntfs_boot_parse(sector, &g))
		return;
	must(g.cluster >= g.sector && g.sector && g.record && g.record <= NTFS_RECORD_MAX);
	must(g.clusters && g.clusters <= UINT64_MAX / g.cluster);
}

/* Runs are in the order of the file, apart from one another, and inside the volume. */
static void pairs(const uint8_t *data, size_t size)
{
	const struct ntfs_geometry g = {.sector = 512,
					.cluster = 4096,
					.record = RECORD,
					.sectors = 8 << 20,
					.clusters = 1 << 20};
	struct fs_runs runs = {0};
	uint64_t next = 0, stored = 0, end = 0;

	if (size < 2)
		return;
	ntfs_pairs_decode(&g, (struct span){data + 2, size - 2, 0},
			  (uint64_t)(data[0] | data[1] << 8) << (data[1] % 48), &runs, &next,
			  &stored);
	for (size_t i = 0; i < runs.n; i++) {
		const struct fs_run *r = &runs.v[i];

		must(r->len && r->off >= end && r->off + r->len > r->off);
		must(r->kind != EXTENT_DATA || r->at + r->len <= g.clusters * g.cluster);
		end = r->off + r->len;
	}
	fs_runs_free(&runs);
}

/* Records as they would have to be for anyone to look into them. */
static void let_in(uint8_t *records)
{
	for (size_t i = 0; i < RECORDS; i++) {
		uint8_t *p = records + i * RECORD;
		struct ntfs_record_header *h = (void *)p;

		memcpy(h->magic, "FILE", 4);
		h->usa_off = to_le16(USA);
		h->usa_count = to_le16(RECORD / NTFS_BLOCK + 1);
		h->number = to_le32((uint32_t)i);
		for (size_t b = 1; b <= RECORD / NTFS_BLOCK; b++)
			memcpy(p + b * NTFS_BLOCK - 2, p + USA, 2);
	}
}

static int entry(void *arg, uint64_t ref, const struct ntfs_file_name *key)
{
	unsigned *n = arg;

	(void)ref;
	must(key->name_len);
	return ++*n == 10000;
}

static void stream(struct layer *l, const struct ntfs_inode *ino, const struct ntfs_attr *a)
{
	static uint8_t buf[65536];
	struct layer *file;

	if (ntfs_stream_open(l, ino, a->type, a->name, "/f", &file))
		return;
	for (uint64_t off = 0; off < file->size && off < READ_MAX; off += sizeof(buf)) {
		uint64_t left = file->size - off;
		struct ranges bad = {0};

		must(!layer_read(file, off, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf),
				 &bad));
		for (size_t i = 0; i < bad.n; i++)
			must(range_inside(bad.v[i].off, bad.v[i].len, file->size));
		ranges_free(&bad);
	}
	layer_free(file);
}

static void inode(struct layer *l, uint64_t number)
{
	static struct ntfs_inode ino;
	static struct ntfs_reparse rp;
	unsigned entries = 0;
	bool damaged = false;
	uint64_t ref;

	if (!ntfs_inode_load(l, number, &ino)) {
		for (size_t i = 0; i < ino.n_attrs && i < 64; i++) {
			ntfs_file_name(ino.attrs[i].a.value);
			stream(l, &ino, &ino.attrs[i].a);
		}
		ntfs_index_each(l, &ino, entry, &entries, &damaged);
		ntfs_index_find(l, &ino, (struct span){(const uint8_t *)"f\0i\0", 4, 0}, &ref);
		ntfs_reparse_get(l, &ino, &rp);
	}
	ntfs_inode_free(&ino);
}

/* @data: RECORDS records of $MFT; all of it is the volume, too */
static void records(struct session *s, const uint8_t *data, size_t size)
{
	static uint8_t mft[RECORDS * RECORD];
	struct layer *volume = memory_source(s, "volume", data, size);
	struct layer *l = layer_new(s, &ntfs_ops, volume, "ntfs");
	struct ntfs *n = calloc(1, sizeof(*n));

	must(l && n);
	memset(mft, 0, sizeof(mft));
	memcpy(mft, data, size < sizeof(mft) ? size : sizeof(mft));
	let_in(mft);
	n->g = (struct ntfs_geometry){.sector = 512,
				      .cluster = 1024,
				      .record = RECORD,
				      .index_block = 4096,
				      .sectors = 8192,
				      .clusters = 4096};
	n->records = RECORDS;
	n->mft = memory_source(s, "mft", mft, sizeof(mft));
	n->upcase = malloc(65536 * 2);
	must(n->mft && n->upcase && !pthread_mutex_init(&n->lock, NULL));
	ntfs_upcase_builtin(n->upcase);
	l->priv = n;
	l->size = n->g.sectors * 512;
	for (uint64_t i = 0; i < RECORDS; i++)
		inode(l, i);
	layer_free(l);
	layer_free(volume);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session s;

	if (!size)
		return 0;
	session_init(&s);
	switch (data[0] % 3) {
	case 0: boot(data + 1, size - 1); break;
	case 1: pairs(data + 1, size - 1); break;
	default: records(&s, data + 1, size - 1);
	}
	session_fini(&s);
	return 0;
}
