/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qcow2. The driver as a whole; its parts:
 *   qcow2_header.c    the header and its extensions
 *   qcow2_backing.c   backing file, external data file
 *   qcow2_snapshot.c  internal snapshots
 *   qcow2_bitmap.c    persistent bitmaps
 *   qcow2_crypt.c     encryption
 *   qcow2_entry.c     what an entry says; qcow2_map.c: L1 and L2 tables, runs
 *   qcow2_read.c      reading these
 *   qcow2_info.c      what info and locate show
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "formats/drivers.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/session.h"

/* Without its magic, an image is believed if all else in the header agrees with the file. */
static bool plausible(const struct qcow2_header *h, uint64_t file_size)
{
	uint32_t bits = be32(h->cluster_bits), version = be32(h->version);
	uint64_t l1 = be64(h->l1_table_offset), refcounts = be64(h->refcount_table_offset), mask;

	if (version < 2 || version > 3 || bits < QCOW2_CLUSTER_BITS_MIN ||
	    bits > QCOW2_CLUSTER_BITS_MAX)
		return false;
	mask = (UINT64_C(1) << bits) - 1;
	return be32(h->crypt_method) <= 2 && be32(h->l1_size) && l1 && !(l1 & mask) &&
	       l1 < file_size && refcounts && !(refcounts & mask) && refcounts < file_size &&
	       l1 != refcounts;
}

static int qcow2_probe(struct layer *below)
{
	struct qcow2_header h;
	bool good;

	if (below->size < QCOW2_V2_HEADER || layer_read(below, 0, &h, sizeof(h), NULL))
		return 0;
	good = plausible(&h, below->size);
	if (be32(h.magic) != QCOW2_MAGIC)
		return good ? 50 : 0;
	/* Version 1 is another format; higher ones are said to be unknown by open(). */
	return be32(h.version) < 2 ? 0 : good ? 95 : 70;
}

static int open_parts(struct qcow2 *q)
{
	int r = qcow2_header_read(q);

	if (!r)
		r = qcow2_extensions_read(q);
	if (!r)
		r = qcow2_caches_make(q);
	if (r)
		return r;
	qcow2_view_init(q->l, &q->active, q->l1_off, q->l1_size,
			offsetof(struct qcow2_header, l1_size), 12);
	r = qcow2_data_file_open(q);
	if (!r)
		r = qcow2_backing_open(q);
	if (!r)
		r = qcow2_snapshots_read(q);
	if (!r)
		r = qcow2_bitmaps_read(q);
	if (!r && q->l->s->opt.rebuild)
		r = qcow2_rebuild(q->l);
	/* Last: a key of the old AES is proven by what the disk holds. */
	if (!r)
		r = qcow2_crypt_open(q);
	return r;
}

static int qcow2_open(struct layer *l)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	l->priv = q;
	q->l = l;
	q->active.q = q;
	q->file_size = l->below->size;
	return open_parts(q);
}

static int check_all(struct layer *l)
{
	int r = qcow2_check(l);

	return r ? r : qcow2_crypt_check(qcow2_of(l));
}

static void qcow2_close(struct layer *l)
{
	struct qcow2 *q = l->priv;

	if (!q)
		return;
	qcow2_snapshots_free(q);
	qcow2_bitmaps_free(q);
	qcow2_crypt_close(q);
	cache_free(q->tables);
	cache_free(q->clusters);
	layer_free(q->data_file);
	free(q->active.adopted);
	free(q->backing);
	free(q->backing_format);
	free(q->data_name);
	free(q->features);
	free(q);
}

const struct layer_ops qcow2_ops = {
	.name = "qcow2",
	.kind = LAYER_CONTAINER,
	.probe = qcow2_probe,
	.open = qcow2_open,
	.unlock = qcow2_unlock,
	.read = qcow2_read,
	.map = qcow2_map,
	.check = check_all,
	.info = qcow2_info,
	.structure = qcow2_structure,
	.ciphertext = qcow2_ciphertext,
	.close = qcow2_close,
};
