/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/*
 * Sets of a few slots, each set with its own lock, so that threads seldom meet; in a set the
 * slot that was used longest ago makes room.
 */
enum { WAYS = 8 };

struct slot {
	struct cache_item it; /* must be first: cache_put() gets a pointer to it */
	unsigned pins;
	uint32_t used;
	bool valid, filling;
	bool extra; /* made because all slots of the set were held; freed by the last cache_put() */
};

struct set {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	uint32_t clock;
	struct slot slot[WAYS];
};

struct cache {
	size_t item_size, n_sets;
	cache_fill *fill;
	void *arg;
	struct set *set;
};

struct cache *cache_new(size_t item_size, size_t count, cache_fill *fill, void *arg)
{
	struct cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->item_size = item_size;
	c->fill = fill;
	c->arg = arg;
	c->n_sets = count > WAYS ? count / WAYS : 1;
	c->set = calloc(c->n_sets, sizeof(*c->set));
	if (!c->set) {
		free(c);
		return NULL;
	}
	for (size_t i = 0; i < c->n_sets; i++) {
		pthread_mutex_init(&c->set[i].lock, NULL);
		pthread_cond_init(&c->set[i].filled, NULL);
	}
	return c;
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_sets; i++) {
		for (int k = 0; k < WAYS; k++) {
			ranges_free(&c->set[i].slot[k].it.bad);
			free(c->set[i].slot[k].it.buf);
		}
		pthread_mutex_destroy(&c->set[i].lock);
		pthread_cond_destroy(&c->set[i].filled);
	}
	free(c->set);
	free(c);
}

/* Keys are offsets: multiply to spread what lies at equal distances. */
static struct set *set_of(const struct cache *c, uint64_t key, uint64_t key2)
{
	uint64_t h = (key ^ (key2 << 7)) * UINT64_C(0x9e3779b97f4a7c15);

	return &c->set[(h >> 32) % c->n_sets];
}

static struct slot *find(struct set *s, uint64_t key, uint64_t key2)
{
	for (int i = 0; i < WAYS; i++) {
		struct slot *t = &s->slot[i];

		if ((t->valid || t->filling) && t->it.key == key && t->it.key2 == key2)
			return t;
	}
	return NULL;
}

static struct slot *victim(struct set *s)
{
	struct slot *best = NULL;

	for (int i = 0; i < WAYS; i++) {
		struct slot *t = &s->slot[i];

		if (t->pins)
			continue;
		if (!t->valid)
			return t;
		if (!best || s->clock - t->used > s->clock - best->used)
			best = t;
	}
	if (!best) {
		best = calloc(1, sizeof(*best));
		if (best)
			best->extra = true;
	}
	return best;
}

static void slot_free(struct slot *t)
{
	ranges_free(&t->it.bad);
	free(t->it.buf);
	free(t);
}

/* Fill @t, which is pinned and marked: the set's lock is not held. */
static int fill(struct cache *c, struct slot *t)
{
	ranges_free(&t->it.bad);
	if (!t->it.buf)
		t->it.buf = malloc(c->item_size);
	return t->it.buf ? c->fill(c->arg, &t->it) : -ENOMEM;
}

int cache_get(struct cache *c, uint64_t key, uint64_t key2, const struct cache_item **it)
{
	struct set *s = set_of(c, key, key2);
	struct slot *t;
	int r;

	pthread_mutex_lock(&s->lock);
	while ((t = find(s, key, key2)) && t->filling)
		pthread_cond_wait(&s->filled, &s->lock);
	if (t) {
		t->pins++;
		t->used = ++s->clock;
		pthread_mutex_unlock(&s->lock);
		*it = &t->it;
		return 0;
	}
	t = victim(s);
	if (!t) {
		pthread_mutex_unlock(&s->lock);
		return -ENOMEM;
	}
	t->it.key = key;
	t->it.key2 = key2;
	t->pins = 1;
	t->used = ++s->clock;
	t->valid = false;
	t->filling = true;
	pthread_mutex_unlock(&s->lock);

	r = fill(c, t);

	pthread_mutex_lock(&s->lock);
	t->filling = false;
	t->valid = !r;
	if (r)
		t->pins = 0;
	pthread_cond_broadcast(&s->filled);
	pthread_mutex_unlock(&s->lock);
	if (r && t->extra)
		slot_free(t);
	*it = r ? NULL : &t->it;
	return r;
}

void cache_put(struct cache *c, const struct cache_item *it)
{
	struct set *s = set_of(c, it->key, it->key2);
	struct slot *t = (struct slot *)(uintptr_t)it;

	if (t->extra) {
		slot_free(t);
		return;
	}
	pthread_mutex_lock(&s->lock);
	t->pins--;
	pthread_mutex_unlock(&s->lock);
}
