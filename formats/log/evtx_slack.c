/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records behind the end of chunks. Windows reuses the place of a chunk without clearing it, and
 * writes a chunk many times while it grows: what is there is older records, copies of live ones,
 * or records that were never accounted for. Only those that are nowhere else are worth showing.
 */
#include <errno.h>
#include <stdlib.h>

#include "formats/log/evtx.h"

enum {
	FOUND_MAX = 1 << 20
}; /* records, 64 bytes each; a chunk's slack has place for 2000 at most */

struct found {
	uint64_t id, written, addr; /* addr: of the chunk */
	struct evtx_frame f;
	bool known; /* live, or found before */
};

struct live {
	uint64_t first, last, addr;
};

struct evtx_slack {
	struct found *v;
	size_t n, cap;
	struct live *live; /* chunks: 65535 at most in what Windows writes */
	size_t live_n, live_cap;
};

struct evtx_slack *evtx_slack_new(void)
{
	return calloc(1, sizeof(struct evtx_slack));
}

void evtx_slack_free(struct evtx_slack *k)
{
	if (!k)
		return;
	free(k->v);
	free(k->live);
	free(k);
}

static bool room(void **v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 64;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*v, more * size);
	if (!p)
		return false;
	*v = p;
	*cap = more;
	return true;
}

int evtx_slack_add(struct evtx_slack *k, const struct evtx_chunk *c)
{
	size_t off = (c->free_off + 7u) & ~7u;
	struct evtx_frame f;

	if (!c->header_ok)
		return 0;
	if (!room((void **)&k->live, k->live_n, &k->live_cap, sizeof(*k->live)))
		return -ENOMEM;
	k->live[k->live_n++] = (struct live){c->first_id, c->last_id, c->addr};
	for (; evtx_frame_next(c->p, c->len, off, &f); off = f.off + f.len) {
		if (!room((void **)&k->v, k->n, &k->cap, sizeof(*k->v)))
			return -ENOMEM;
		k->v[k->n++] = (struct found){f.id, f.written, c->addr, f, false};
	}
	return 0;
}

bool evtx_slack_full(const struct evtx_slack *k)
{
	return k->n >= FOUND_MAX;
}

static int by_identity(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	if (x->written != y->written)
		return x->written < y->written ? -1 : 1;
	return x->addr != y->addr ? x->addr < y->addr ? -1 : 1 : (int)x->f.off - (int)y->f.off;
}

static int by_place(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return (int)x->f.off - (int)y->f.off;
}

/* Index of the first with this id or a higher one. */
static size_t find(const struct evtx_slack *k, uint64_t id)
{
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (k->v[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Those among the found that are live records of chunk @c. */
static void strike_live(struct evtx_slack *k, const struct evtx_chunk *c)
{
	struct evtx_frame f;
	size_t off = 0;

	while (evtx_chunk_record(c, &off, &f))
		for (size_t i = find(k, f.id); i < k->n && k->v[i].id == f.id; i++)
			k->v[i].known |= k->v[i].written == f.written;
}

static int strike(struct evtx_slack *k, struct layer *l, uint8_t *buf)
{
	int r = 0;

	qsort(k->v, k->n, sizeof(*k->v), by_identity);
	for (size_t i = 1; i < k->n; i++)
		k->v[i].known =
			k->v[i].id == k->v[i - 1].id && k->v[i].written == k->v[i - 1].written;
	for (size_t i = 0; i < k->live_n && !r; i++) {
		size_t at = find(k, k->live[i].first);
		struct evtx_chunk c;

		/* Only chunks that could have one of them are read again. */
		if (at == k->n || k->v[at].id > k->live[i].last)
			continue;
		r = evtx_chunk_read(l, (k->live[i].addr - EVTX_FILE_HEADER) / EVTX_CHUNK, buf, NULL,
				    &c);
		if (!r)
			strike_live(k, &c);
	}
	return r;
}

int evtx_slack_walk(struct evtx_slack *k, struct layer *l,
		    int (*fn)(void *arg, const struct evtx_chunk *c, const struct evtx_frame *f),
		    void *arg)
{
	uint8_t *buf = malloc(EVTX_CHUNK);
	struct evtx_chunk c = {0};
	struct ranges bad = {0};
	int r = buf ? 0 : -ENOMEM;

	if (!r && k->n)
		r = strike(k, l, buf);
	if (!r && k->n)
		qsort(k->v, k->n, sizeof(*k->v), by_place);
	for (size_t i = 0; i < k->n && !r; i++) {
		if (k->v[i].known)
			continue;
		if (c.addr != k->v[i].addr) {
			ranges_free(&bad);
			r = evtx_chunk_read(l, (k->v[i].addr - EVTX_FILE_HEADER) / EVTX_CHUNK, buf,
					    &bad, &c);
		}
		if (!r)
			r = fn(arg, &c, &k->v[i].f);
	}
	k->n = 0;
	ranges_free(&bad);
	free(buf);
	return r;
}
