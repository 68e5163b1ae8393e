/* SPDX-License-Identifier: Apache-2.0 */
/* Which record ids there were, are, and must have been. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "formats/log/log.h"

/* [first, last], both included: an id of UINT64_MAX is possible. */
struct ids {
	uint64_t first, last;
};

struct ids_set {
	struct ids *v; /* sorted, apart by more than one */
	size_t n, cap;
};

struct channel {
	struct ledger_channel c;
	char *name;
	struct ids_set seen, known; /* known: that must have existed; holds all that was seen */
};

struct log_ledger {
	pthread_mutex_t lock;
	struct channel *v;
	size_t n, cap, last;
};

struct log_ledger *ledger_new(void)
{
	struct log_ledger *g = calloc(1, sizeof(*g));

	if (g)
		pthread_mutex_init(&g->lock, NULL);
	return g;
}

void ledger_free(struct log_ledger *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n; i++) {
		free(g->v[i].name);
		free(g->v[i].seen.v);
		free(g->v[i].known.v);
	}
	free(g->v);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static int cmp_channel(const void *a, const void *b)
{
	return strcmp(((const struct channel *)a)->name, ((const struct channel *)b)->name);
}

static struct channel *channel_of(struct log_ledger *g, struct log_text name)
{
	struct channel *c;

	for (size_t i = 0; i < g->n; i++) {
		/* Records come in runs of one channel. */
		size_t at = (g->last + i) % g->n;

		c = &g->v[at];
		if (!strncmp(c->name, name.p, name.len) && !c->name[name.len]) {
			g->last = at;
			return c;
		}
	}
	if (g->n == g->cap) {
		size_t cap = g->cap ? 2 * g->cap : 8;

		c = realloc(g->v, cap * sizeof(*c));
		if (!c)
			return NULL;
		g->v = c;
		g->cap = cap;
	}
	c = &g->v[g->n];
	*c = (struct channel){.c = {.first = UINT64_MAX}};
	c->name = strndup(name.p, name.len);
	if (!c->name)
		return NULL;
	g->last = g->n++;
	return c;
}

/* Index of the first range that ends at @id or behind it. */
static size_t find(const struct ids_set *s, uint64_t id)
{
	size_t lo = 0, hi = s->n;

	/* Nearly always the last one: records come in order. */
	if (hi && s->v[hi - 1].first <= id)
		return s->v[hi - 1].last >= id ? hi - 1 : hi;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->v[mid].last < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int ids_add(struct ids_set *s, uint64_t first, uint64_t last)
{
	size_t i = find(s, first), k;
	struct ids *v;

	if (i < s->n && s->v[i].first <= first && last <= s->v[i].last)
		return 0;
	/* A range that ends just before @first is continued by it. */
	if (i && first && s->v[i - 1].last == first - 1)
		i--;
	for (k = i; k < s->n && (last == UINT64_MAX || s->v[k].first <= last + 1); k++) {
		first = s->v[k].first < first ? s->v[k].first : first;
		last = s->v[k].last > last ? s->v[k].last : last;
	}
	if (k == i) {
		if (s->n == s->cap) {
			size_t cap = s->cap ? 2 * s->cap : 4;

			v = realloc(s->v, cap * sizeof(*v));
			if (!v)
				return -ENOMEM;
			s->v = v;
			s->cap = cap;
		}
		memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof(*s->v));
		s->n++;
		k++;
	} else if (k > i + 1) {
		memmove(s->v + i + 1, s->v + k, (s->n - k) * sizeof(*s->v));
		s->n -= k - i - 1;
	}
	s->v[i] = (struct ids){first, last};
	return 0;
}

int ledger_claim(struct log_ledger *g, struct log_text channel, uint64_t first, uint64_t last)
{
	struct channel *c;
	int r = -ENOMEM;

	if (!g || last < first)
		return 0;
	pthread_mutex_lock(&g->lock);
	c = channel_of(g, channel);
	if (c)
		r = ids_add(&c->known, first, last);
	pthread_mutex_unlock(&g->lock);
	return r;
}

int ledger_seen(struct log_ledger *g, struct log_text channel, uint64_t id, enum log_state s)
{
	return ledger_seen_run(g, channel, id, id, s);
}

int ledger_seen_run(struct log_ledger *g, struct log_text channel, uint64_t first, uint64_t last,
		    enum log_state s)
{
	struct channel *c;
	int r = -ENOMEM;

	if (!g || last < first)
		return 0;
	pthread_mutex_lock(&g->lock);
	c = channel_of(g, channel);
	if (c) {
		c->c.n[s] += last - first + 1;
		r = ids_add(&c->seen, first, last);
		/* Logs go round: between a carved record and the live ones, none need be missing. */
		if (!r && s != LOG_CARVED)
			r = ids_add(&c->known, first, last);
	}
	pthread_mutex_unlock(&g->lock);
	return r;
}

/* The parts of [first, last] that were not seen. */
static int gaps(struct channel *c, uint64_t first, uint64_t last,
		int (*gap)(void *arg, const struct ledger_channel *c, uint64_t first,
			   uint64_t last),
		void *arg)
{
	int r = 0;

	for (size_t i = find(&c->seen, first); !r; i++) {
		uint64_t from = i < c->seen.n ? c->seen.v[i].first : 0;

		if (i == c->seen.n || from > last)
			return gap(arg, &c->c, first, last);
		if (from > first)
			r = gap(arg, &c->c, first, from - 1);
		if (c->seen.v[i].last >= last)
			break;
		first = c->seen.v[i].last + 1;
	}
	return r;
}

static int count_gap(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last)
{
	uint64_t *n = arg, more = last - first;

	(void)c;
	/* At most 2^64 - 1, which would be one less than there are. */
	if (__builtin_add_overflow(*n, more, n) || __builtin_add_overflow(*n, 1, n))
		*n = UINT64_MAX;
	return 0;
}

/*
 * Between what is known to have been, everything has been: ids are given one by one. So it is one
 * range from the first to the last.
 */
static int
walk_channel(struct channel *c, int (*channel)(void *arg, const struct ledger_channel *c),
	     int (*gap)(void *arg, const struct ledger_channel *c, uint64_t first, uint64_t last),
	     void *arg)
{
	int r = 0;

	c->c.name = c->name;
	c->c.missing = 0;
	if (c->known.n) {
		c->c.first = c->known.v[0].first;
		c->c.last = c->known.v[c->known.n - 1].last;
		gaps(c, c->c.first, c->c.last, count_gap, &c->c.missing);
	}
	if (channel)
		r = channel(arg, &c->c);
	if (!r && gap && c->c.missing)
		r = gaps(c, c->c.first, c->c.last, gap, arg);
	return r;
}

int ledger_walk(struct log_ledger *g, int (*channel)(void *arg, const struct ledger_channel *c),
		int (*gap)(void *arg, const struct ledger_channel *c, uint64_t first,
			   uint64_t last),
		void *arg)
{
	int r = 0;

	pthread_mutex_lock(&g->lock);
	if (g->n)
		qsort(g->v, g->n, sizeof(*g->v), cmp_channel);
	g->last = 0;
	for (size_t i = 0; i < g->n && !r; i++)
		r = walk_channel(&g->v[i], channel, gap, arg);
	pthread_mutex_unlock(&g->lock);
	return r;
}
