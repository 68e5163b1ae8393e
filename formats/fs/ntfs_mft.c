/* SPDX-License-Identifier: Apache-2.0 */
/* Records of $MFT: one at a time, or all of them in large pieces. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"

enum {
	PIECE = 1 << 18, /* bytes of $MFT that a worker reads at once */
};

uint64_t ntfs_fixup(uint8_t *p, size_t len)
{
	const struct ntfs_record_header *h = (const void *)p;
	size_t off = le16(h->usa_off), blocks = len / NTFS_BLOCK;
	uint64_t failed = 0;

	if (le16(h->usa_count) != blocks + 1 || off % 2 || off < 8 ||
	    off + 2 * (blocks + 1) > NTFS_BLOCK - 2)
		return UINT64_MAX;
	for (size_t i = 0; i < blocks; i++) {
		uint8_t *tail = p + (i + 1) * NTFS_BLOCK - 2;

		if (memcmp(tail, p + off, 2))
			failed |= 1ull << (i < 63 ? i : 63);
		else
			memcpy(tail, p + off + 2 * (i + 1), 2);
	}
	return failed;
}

/* Lost or doubtful blocks of [off, off + len), a bit for each. */
static uint64_t lost_blocks(const struct ranges *bad, uint64_t off, uint32_t len)
{
	uint64_t mask = 0;

	for (size_t i = ranges_find(bad, off); i < bad->n && bad->v[i].off < off + len; i++) {
		uint64_t from = bad->v[i].off > off ? bad->v[i].off - off : 0;
		uint64_t to = bad->v[i].off + bad->v[i].len - off;

		for (uint64_t b = from / NTFS_BLOCK; b * NTFS_BLOCK < to && b * NTFS_BLOCK < len;
		     b++)
			mask |= 1ull << (b < 63 ? b : 63);
	}
	return mask;
}

static bool zeros(const uint8_t *p, size_t len)
{
	return !*p && !memcmp(p, p + 1, len - 1);
}

void ntfs_record_init(const struct ntfs *n, uint64_t number, uint8_t *p, const struct ranges *bad,
		      struct ntfs_record *r)
{
	const struct ntfs_record_header *h = (const void *)p;
	uint32_t len = n->g.record;

	*r = (struct ntfs_record){.number = number, .p = p, .state = NTFS_BAD};
	if (bad && bad->n)
		r->lost = lost_blocks(bad, number * len, len);
	if (r->lost & 1)
		return;
	if (memcmp(h->magic, "FILE", 4)) {
		if (!r->lost && zeros(p, len))
			r->state = NTFS_EMPTY;
		/* chkdsk writes BAAD over the magic of a record that was torn; the rest may do. */
		if (memcmp(h->magic, "BAAD", 4))
			return;
	}
	r->torn = ntfs_fixup(p, len);
	if (r->torn == UINT64_MAX || le16(h->attrs_off) < 42 || le16(h->attrs_off) > len - 8 ||
	    (le16(h->usa_off) >= 48 && le32(h->number) != (uint32_t)number))
		return;
	r->state = r->torn || r->lost || *h->magic == 'B' ? NTFS_TORN : NTFS_GOOD;
}

int ntfs_record_read(struct layer *l, uint64_t number, uint8_t *buf, struct ntfs_record *r)
{
	struct ntfs *n = l->priv;
	struct ranges bad = {0};
	int err = -EBADMSG;

	*r = (struct ntfs_record){.number = number, .p = buf, .state = NTFS_BAD};
	if (number < n->records) {
		err = layer_read(n->mft, number * n->g.record, buf, n->g.record, &bad);
		ranges_sort(&bad);
		if (!err)
			ntfs_record_init(n, number, buf, &bad, r);
	}
	ranges_free(&bad);
	return err;
}

uint64_t ntfs_record_at(struct ntfs *n, uint64_t number, uint32_t off)
{
	struct extent run;

	if (number >= n->records || layer_map(n->mft, number * n->g.record + off, &run) ||
	    run.kind != EXTENT_DATA)
		return UINT64_MAX;
	return run.at;
}

bool ntfs_record_in_use(const struct ntfs *n, uint64_t number)
{
	return n->mft_bitmap && number < n->records &&
	       (n->mft_bitmap[number / 8] >> (number % 8) & 1);
}

/* ---- all of them ---- */

struct scan_buf {
	uint8_t *p, *out;
	struct ntfs_record *records;
	bool taken;
};

struct scan {
	const struct ntfs_scan *s;
	struct ntfs *n;
	size_t per_piece; /* records */
	pthread_mutex_t lock;
	pthread_cond_t turn;
	size_t next; /* the piece that is delivered next */
	int err;
	struct scan_buf bufs[NTFS_SLOTS];
};

static struct scan_buf *take(struct scan *c)
{
	size_t len = c->per_piece * c->n->g.record;
	struct scan_buf *b = c->bufs;

	pthread_mutex_lock(&c->lock);
	while (b->taken)
		b++;
	b->taken = true;
	pthread_mutex_unlock(&c->lock);
	if (!b->p)
		b->p = malloc(len);
	if (!b->records)
		b->records = malloc(c->per_piece * sizeof(*b->records));
	if (!b->out)
		b->out = malloc(c->per_piece * c->s->per_record + 1);
	return b;
}

static int fill(struct scan *c, struct scan_buf *b, uint64_t first, size_t count)
{
	uint32_t len = c->n->g.record;
	struct ranges bad = {0};
	int r = -ENOMEM;

	if (!b->p || !b->records || !b->out)
		goto out;
	r = layer_read(c->n->mft, first * len, b->p, count * len, &bad);
	ranges_sort(&bad);
	memset(b->out, 0, count * c->s->per_record);
	for (size_t i = 0; i < count && !r; i++) {
		ntfs_record_init(c->n, first + i, b->p + i * len, &bad, &b->records[i]);
		b->records[i].slot = (unsigned)(b - c->bufs);
		r = c->s->work(c->s->arg, &b->records[i], b->out + i * c->s->per_record);
	}
out:
	ranges_free(&bad);
	return r;
}

static int scan_piece(void *arg, size_t i)
{
	struct scan *c = arg;
	struct scan_buf *b = take(c);
	uint64_t first = (uint64_t)i * c->per_piece, left = c->n->records - first;
	size_t count = left < c->per_piece ? (size_t)left : c->per_piece;
	int r = session_stopped(c->s->l->s) ? -EINTR : fill(c, b, first, count);

	pthread_mutex_lock(&c->lock);
	while (c->next != i && !c->err)
		pthread_cond_wait(&c->turn, &c->lock);
	if (c->err)
		r = c->err;
	if (!r) {
		/* Only the one whose turn it is gets here: the lock needn't be held meanwhile. */
		pthread_mutex_unlock(&c->lock);
		r = c->s->deliver(c->s->arg, b->records, count, b->out);
		if (c->s->what)
			session_progress(c->s->l->s, c->s->what, first + count, c->n->records);
		pthread_mutex_lock(&c->lock);
	}
	c->next++;
	if (r && !c->err)
		c->err = r;
	b->taken = false;
	pthread_cond_broadcast(&c->turn);
	pthread_mutex_unlock(&c->lock);
	return r;
}

int ntfs_scan(const struct ntfs_scan *scan)
{
	struct scan c = {.s = scan, .n = scan->l->priv};
	unsigned jobs = session_jobs(scan->l->s);
	int r;

	c.per_piece = PIECE / c.n->g.record;
	pthread_mutex_init(&c.lock, NULL);
	pthread_cond_init(&c.turn, NULL);
	r = pool_run(jobs < NTFS_SLOTS ? jobs : NTFS_SLOTS,
		     (c.n->records + c.per_piece - 1) / c.per_piece, scan_piece, &c);
	for (size_t i = 0; i < NTFS_SLOTS; i++) {
		free(c.bufs[i].p);
		free(c.bufs[i].records);
		free(c.bufs[i].out);
	}
	pthread_cond_destroy(&c.turn);
	pthread_mutex_destroy(&c.lock);
	return r;
}
