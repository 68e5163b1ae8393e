/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's bytes: reading the runs that qcow2_map.c finds. */
#include <errno.h>
#include <string.h>

#include "crypto/unit.h"
#include "formats/container/chain.h"
#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/cache.h"
#include "vdiskck/core/inflate.h"

enum {
	CLUSTERS_MEMORY = 8 << 20,
	CLUSTERS_MIN = 4,
	PACKED_WINDOW = 4 << 20, /* compressed clusters that lie together are read at once */
	PACKED_MAX = 64,	 /* clusters inflated after one read */
};

static int give_lost(uint64_t off, void *buf, size_t len, enum finding_id why, struct ranges *bad)
{
	memset(buf, 0, len);
	return ranges_add(bad, off, len, GRADE_LOST, why);
}

/*
 * One compressed cluster from its packed bytes at @in; @lost: the first of these bytes that the
 * source could not give, or NULL. Raw deflate carries no checksum, so a cluster is all or nothing.
 */
static int unpack(const struct qcow2 *q, const void *in, size_t len, const struct range *lost,
		  uint64_t off, void *out, struct ranges *bad)
{
	int r;

	if (q->compression > 1)
		return give_lost(off, out, q->cluster_size, QCOW2_COMPRESSION, bad);
	r = inflate_exactly(q->compression ? INFLATE_ZSTD : INFLATE_RAW, in, len, out,
			    q->cluster_size);
	if (r == -ENOMEM)
		return r;
	if (r)
		return give_lost(off, out, q->cluster_size, lost ? lost->why : QCOW2_INFLATE, bad);
	return lost ? ranges_add(bad, off, q->cluster_size, GRADE_DOUBTFUL, lost->why) : 0;
}

static const struct range *first_bad(const struct ranges *bad, uint64_t at, uint64_t len)
{
	for (size_t i = 0; i < bad->n; i++)
		if (bad->v[i].off < at + len && at < bad->v[i].off + bad->v[i].len)
			return &bad->v[i];
	return NULL;
}

static int cluster_fill(void *arg, struct cache_item *it)
{
	struct qcow2 *q = arg;
	size_t len = (size_t)it->key2;
	struct ranges bad = {0};
	void *in = scratch_take(len);
	int r = in ? layer_read(q->l->below, it->key, in, len, &bad) : -ENOMEM;

	if (!r)
		r = unpack(q, in, len, first_bad(&bad, it->key, len), 0, it->buf, &it->bad);
	scratch_give(in);
	ranges_free(&bad);
	return r;
}

/* Bytes of a compressed cluster that is not wanted as a whole: it stays for the next reader. */
static int part_read(const struct qcow2_view *v, const struct qcow2_run *run, uint64_t off,
		     void *buf, size_t len, struct ranges *bad)
{
	const struct cache_item *it;
	int r = cache_get(v->q->clusters, run->host, run->packed, &it);

	if (r)
		return r;
	memcpy(buf, it->buf + (off - run->off), len);
	if (it->bad.n) /* all of the cluster or nothing */
		r = ranges_add(bad, off, len, it->bad.v[0].grade, it->bad.v[0].why);
	cache_put(v->q->clusters, it);
	return r;
}

/* Whole compressed clusters whose packed bytes lie together. */
struct batch {
	uint64_t start, end; /* of the packed bytes, in the image file */
	uint64_t packed;     /* sum */
	size_t n;
	struct qcow2_run run[PACKED_MAX];
};

/* Room for gaps of as much as is wanted: several writers at once leave clusters out of order. */
static bool batch_add(struct batch *b, const struct qcow2_run *r)
{
	uint64_t start = r->host, end = r->host + r->packed;

	if (b->n) {
		start = start < b->start ? start : b->start;
		end = end > b->end ? end : b->end;
	}
	if (b->n && (b->n == PACKED_MAX || end - start > PACKED_WINDOW ||
		     end - start > 2 * (b->packed + r->packed)))
		return false;
	b->start = start;
	b->end = end;
	b->packed += r->packed;
	b->run[b->n++] = *r;
	return true;
}

static int batch_read(const struct qcow2_view *v, const struct batch *b, uint8_t *buf,
		      struct ranges *bad)
{
	struct qcow2 *q = v->q;
	size_t len = (size_t)(b->end - b->start);
	struct ranges packed_bad = {0};
	uint8_t *in = scratch_take(len);
	int r = in ? layer_read(q->l->below, b->start, in, len, &packed_bad) : -ENOMEM;

	for (size_t i = 0; !r && i < b->n; i++) {
		const struct qcow2_run *c = &b->run[i];

		r = unpack(q, in + (c->host - b->start), (size_t)c->packed,
			   first_bad(&packed_bad, c->host, c->packed), c->off,
			   buf + (c->off - b->run[0].off), bad);
		if (!r && c->doubt != QCOW2_NO_DOUBT)
			r = ranges_add(bad, c->off, c->len, GRADE_DOUBTFUL, c->doubt);
	}
	scratch_give(in);
	ranges_free(&packed_bad);
	return r;
}

/* @run is compressed and holds @off. *@done: the bytes given, of this cluster or several. */
static int packed_read(const struct qcow2_view *v, struct qcow2_run *run, uint64_t off, void *buf,
		       size_t len, struct ranges *bad, size_t *done)
{
	uint64_t end = off + len, size = v->q->cluster_size;
	struct batch b = {0};
	int r = 0;

	if (run->off != off || len < size) {
		uint64_t n = run->off + size - off;

		*done = n < len ? (size_t)n : len;
		r = part_read(v, run, off, buf, *done, bad);
		if (!r && run->doubt != QCOW2_NO_DOUBT)
			r = ranges_add(bad, off, *done, GRADE_DOUBTFUL, run->doubt);
		return r;
	}
	while (batch_add(&b, run) && end - run->off >= 2 * size) {
		r = qcow2_run_find(v, run->off + size, end, run);
		if (r)
			return r;
		if (run->kind != QCOW2_KIND_COMPRESSED)
			break;
	}
	*done = b.n * size;
	return batch_read(v, &b, buf, bad);
}

static int run_read(const struct qcow2_view *v, const struct qcow2_run *r, void *buf, size_t len,
		    struct ranges *bad)
{
	struct qcow2 *q = v->q;
	size_t from = bad ? bad->n : 0;
	int err;

	switch (r->kind) {
	case QCOW2_KIND_UNALLOCATED:
		if (q->backing) {
			err = chain_read(q->l, r->off, buf, len, q->backing_why, bad);
			break;
		}
		/* fall through */
	case QCOW2_KIND_ZERO:
		memset(buf, 0, len);
		err = 0;
		break;
	case QCOW2_KIND_NORMAL:
		if (q->crypt_method && !q->cipher)
			return give_lost(r->off, buf, len, q->crypt_why, bad);
		err = layer_read_as(q->data, r->host, buf, len, r->off, bad);
		if (!err && q->cipher)
			err = qcow2_decrypt(q, r->off, r->host, buf, len, bad, from);
		break;
	default: return give_lost(r->off, buf, len, r->why, bad);
	}
	if (!err && r->doubt != QCOW2_NO_DOUBT)
		err = ranges_add(bad, r->off, len, GRADE_DOUBTFUL, r->doubt);
	return err;
}

static int read_runs(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct qcow2_view *v = l->priv;
	uint8_t *p = buf;
	int r = 0;

	while (!r && len) {
		struct qcow2_run run;
		size_t n;

		r = qcow2_run_find(v, off, off + len, &run);
		if (r)
			break;
		n = run.len < len ? (size_t)run.len : len;
		if (run.kind == QCOW2_KIND_COMPRESSED) {
			r = packed_read(v, &run, off, p, len, bad, &n);
		} else {
			r = run_read(v, &run, p, n, bad);
		}
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

int qcow2_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	/* Encrypted data is read by whole sectors. */
	if (qcow2_of(l)->cipher)
		return unit_read(l, 512, off, buf, len, bad, read_runs);
	return read_runs(l, off, buf, len, bad);
}

int qcow2_caches_make(struct qcow2 *q)
{
	size_t clusters = (size_t)(CLUSTERS_MEMORY / q->cluster_size);

	if (clusters < CLUSTERS_MIN)
		clusters = CLUSTERS_MIN;
	if (clusters > 64)
		clusters = 64;
	q->tables = qcow2_tables_cache(q);
	q->clusters = cache_new((size_t)q->cluster_size, clusters, cluster_fill, q);
	return q->tables && q->clusters ? 0 : -ENOMEM;
}
