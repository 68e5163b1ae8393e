/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/event_sort.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/core/sum.h"

enum {
	ARENA = 48 << 20, /* of lines, in memory */
	EVENTS = 1 << 18, /* of keys: no more at once */
	READ = 256 << 10, /* buffer of a run while merging */
	RUNS_MAX = 1024,  /* 48 GiB of events: above that, -EFBIG */
};

struct item {
	struct event_key k;
	size_t at; /* of its line in the arena */
};

/* One sorted run in the temporary file, being read. */
struct run {
	uint64_t at, end; /* what was not read yet */
	char *buf;
	size_t have, used, cap;
	struct event_key k; /* of the event in hand */
	const char *line;
};

struct event_sort {
	int dir, fd;
	char *arena;
	size_t arena_len;
	struct item *item;
	size_t n;
	uint64_t order, file_end;
	uint64_t run_at[RUNS_MAX + 1]; /* where runs begin in the file */
	size_t runs;
};

struct event_sort *event_sort_new(int dir)
{
	struct event_sort *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->dir = dir;
	s->fd = -1;
	s->arena = malloc(ARENA);
	s->item = malloc(EVENTS * sizeof(*s->item));
	if (!s->arena || !s->item) {
		event_sort_free(s);
		return NULL;
	}
	return s;
}

void event_sort_free(struct event_sort *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->arena);
	free(s->item);
	free(s);
}

uint64_t event_sort_count(const struct event_sort *s)
{
	return s->order;
}

struct event_key event_sort_key(const struct log_event *e)
{
	struct event_key k = {.sec = e->time.sec,
			      .nsec = e->time.nsec,
			      .known = e->time.known,
			      .state = (uint8_t)e->state,
			      .has_id = e->has_record_id,
			      .id = e->record_id};

	k.channel = sum_xxh64(e->source, strlen(e->source), e->channel.p, e->channel.len);
	return k;
}

/* Time, then what it is, then how sure it is. */
static int compare(const struct event_key *a, const struct event_key *b)
{
	if (a->known != b->known)
		return a->known ? -1 : 1;
	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	if (a->nsec != b->nsec)
		return a->nsec < b->nsec ? -1 : 1;
	if (a->has_id != b->has_id)
		return a->has_id ? -1 : 1;
	if (a->has_id && a->channel != b->channel)
		return a->channel < b->channel ? -1 : 1;
	if (a->has_id && a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->has_id && a->state != b->state)
		return a->state < b->state ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static int compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return compare(&x->k, &y->k);
}

static bool same(const struct event_key *a, const struct event_key *b)
{
	return a->has_id && b->has_id && a->known == b->known && a->sec == b->sec &&
	       a->nsec == b->nsec && a->channel == b->channel && a->id == b->id;
}

static int write_all(int fd, const void *p, size_t len)
{
	const char *c = p;

	while (len) {
		ssize_t n = write(fd, c, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		c += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The file has no name: nobody finds it, and it is gone with us. */
static int temporary(struct event_sort *s)
{
	if (s->fd >= 0)
		return 0;
	s->fd = openat(s->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (s->fd < 0) {
		s->fd = openat(s->dir, ".events.tmp", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (s->fd >= 0)
			unlinkat(s->dir, ".events.tmp", 0);
	}
	return s->fd < 0 ? -errno : 0;
}

/* What is in memory becomes a run in the file. */
static int spill(struct event_sort *s)
{
	static const size_t buffer = 4 << 20;
	char *out;
	size_t used = 0;
	int r = temporary(s);

	if (r || !s->n)
		return r;
	if (s->runs == RUNS_MAX)
		return -EFBIG;
	out = malloc(buffer);
	if (!out)
		return -ENOMEM;
	qsort(s->item, s->n, sizeof(*s->item), compare_items);
	if (lseek(s->fd, (off_t)s->file_end, SEEK_SET) < 0)
		r = -errno;
	for (size_t i = 0; i < s->n && !r; i++) {
		const struct item *it = &s->item[i];
		size_t len = sizeof(it->k) + it->k.len;

		if (used + len > buffer) {
			r = write_all(s->fd, out, used);
			used = 0;
		}
		if (!r && len > buffer) {
			r = write_all(s->fd, &it->k, sizeof(it->k));
			if (!r)
				r = write_all(s->fd, s->arena + it->at, it->k.len);
		} else if (!r) {
			memcpy(out + used, &it->k, sizeof(it->k));
			memcpy(out + used + sizeof(it->k), s->arena + it->at, it->k.len);
			used += len;
		}
		s->file_end += len;
	}
	if (!r)
		r = write_all(s->fd, out, used);
	free(out);
	s->run_at[++s->runs] = s->file_end;
	s->n = s->arena_len = 0;
	return r;
}

int event_sort_add(struct event_sort *s, const struct event_key *k, const char *line)
{
	int r = 0;

	if (k->len > ARENA)
		return -EFBIG;
	if (s->n == EVENTS || k->len > ARENA - s->arena_len)
		r = spill(s);
	if (r)
		return r;
	s->item[s->n] = (struct item){*k, s->arena_len};
	s->item[s->n++].k.order = s->order++;
	memcpy(s->arena + s->arena_len, line, k->len);
	s->arena_len += k->len;
	return 0;
}

/* At least @n bytes of the run in its buffer, from the one in hand on; -ENODATA at its end. */
static int need(struct event_sort *s, struct run *r, size_t n)
{
	if (r->have - r->used >= n)
		return 0;
	memmove(r->buf, r->buf + r->used, r->have - r->used);
	r->have -= r->used;
	r->used = 0;
	if (n > r->cap) {
		char *more = realloc(r->buf, n);

		if (!more)
			return -ENOMEM;
		r->buf = more;
		r->cap = n;
	}
	while (r->have < n) {
		uint64_t left = r->end - r->at;
		size_t want = r->cap - r->have < left ? r->cap - r->have : (size_t)left;
		ssize_t got = want ? pread(s->fd, r->buf + r->have, want, (off_t)r->at) : 0;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			return -ENODATA;
		r->have += (size_t)got;
		r->at += (uint64_t)got;
	}
	return 0;
}

static int advance(struct event_sort *s, struct run *r)
{
	int e = need(s, r, sizeof(r->k));

	if (e)
		return e;
	memcpy(&r->k, r->buf + r->used, sizeof(r->k));
	e = need(s, r, sizeof(r->k) + r->k.len);
	if (e)
		return e == -ENODATA ? -EIO : e;
	r->line = r->buf + r->used + sizeof(r->k);
	r->used += sizeof(r->k) + r->k.len;
	return 0;
}

static void sift(struct run **heap, size_t n, size_t i)
{
	for (;;) {
		size_t c = 2 * i + 1;
		struct run *t;

		if (c + 1 < n && compare(&heap[c + 1]->k, &heap[c]->k) < 0)
			c++;
		if (c >= n || compare(&heap[i]->k, &heap[c]->k) <= 0)
			return;
		t = heap[i];
		heap[i] = heap[c];
		heap[c] = t;
		i = c;
	}
}

static int merge(struct event_sort *s, struct run **heap, size_t n,
		 int (*fn)(void *arg, const struct event_key *k, const char *line), void *arg,
		 uint64_t *copies)
{
	struct event_key last = {.known = 2};
	int r = 0;

	for (size_t i = n / 2; i-- > 0;)
		sift(heap, n, i);
	while (n && !r) {
		struct run *top = heap[0];

		if (same(&last, &top->k))
			++*copies;
		else
			r = fn(arg, &top->k, top->line);
		last = top->k;
		if (r)
			break;
		r = advance(s, top);
		if (r == -ENODATA) {
			r = 0;
			heap[0] = heap[--n];
		}
		sift(heap, n, 0);
	}
	return r;
}

/* All of them fit into memory: no file was needed. */
static int from_memory(struct event_sort *s,
		       int (*fn)(void *arg, const struct event_key *k, const char *line), void *arg,
		       uint64_t *copies)
{
	int r = 0;

	qsort(s->item, s->n, sizeof(*s->item), compare_items);
	for (size_t i = 0; i < s->n && !r; i++) {
		if (i && same(&s->item[i - 1].k, &s->item[i].k))
			++*copies;
		else
			r = fn(arg, &s->item[i].k, s->arena + s->item[i].at);
	}
	return r;
}

int event_sort_each(struct event_sort *s,
		    int (*fn)(void *arg, const struct event_key *k, const char *line), void *arg,
		    uint64_t *copies)
{
	struct run *runs = NULL, **heap = NULL;
	size_t n = 0;
	int r;

	*copies = 0;
	if (!s->runs)
		return from_memory(s, fn, arg, copies);
	r = spill(s);
	if (r)
		return r;
	runs = calloc(s->runs, sizeof(*runs));
	heap = calloc(s->runs, sizeof(*heap));
	r = runs && heap ? 0 : -ENOMEM;
	for (size_t i = 0; i < s->runs && !r; i++) {
		runs[i] = (struct run){.at = s->run_at[i],
				       .end = s->run_at[i + 1],
				       .buf = malloc(READ),
				       .cap = READ};
		r = runs[i].buf ? advance(s, &runs[i]) : -ENOMEM;
		if (!r)
			heap[n++] = &runs[i];
	}
	if (!r)
		r = merge(s, heap, n, fn, arg, copies);
	for (size_t i = 0; runs && i < s->runs; i++)
		free(runs[i].buf);
	free(runs);
	free(heap);
	return r;
}
