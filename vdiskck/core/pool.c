/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

enum { THREADS_MAX = 256 };

struct pool {
	atomic_size_t next;
	atomic_int err;
	size_t n;
	int (*fn)(void *arg, size_t i);
	void *arg;
};

static void *pool_work(void *arg)
{
	struct pool *p = arg;
	size_t i;

	while (!atomic_load(&p->err) && (i = atomic_fetch_add(&p->next, 1)) < p->n) {
		int r = p->fn(p->arg, i), none = 0;

		if (r)
			atomic_compare_exchange_strong(&p->err, &none, r);
	}
	return NULL;
}

static void run_threads(unsigned threads, size_t n, void *(*work)(void *arg), void *arg)
{
	pthread_t id[THREADS_MAX];
	unsigned started = 0;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > n)
		threads = (unsigned)n;
	while (started + 1 < threads && !pthread_create(&id[started], NULL, work, arg))
		started++; /* a thread that can't be made leaves its work to the others */
	work(arg);
	while (started)
		pthread_join(id[--started], NULL);
}

int pool_run(unsigned threads, size_t n, int (*fn)(void *arg, size_t i), void *arg)
{
	struct pool p = {.n = n, .fn = fn, .arg = arg};

	run_threads(threads, n, pool_work, &p);
	return atomic_load(&p.err);
}

/* Work that is begun is [delivered, next); of that, what is ready waits for its turn. */
struct ordered {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	size_t next, delivered, n, ahead;
	bool *ready; /* of work i at i % ahead */
	bool delivering;
	int err;
	int (*fn)(void *arg, size_t i);
	int (*done)(void *arg, size_t i);
	void *arg;
};

/* Whoever made the one ready that is next hands it on, and what waits behind it. Holds the lock. */
static void deliver(struct ordered *o)
{
	if (o->delivering)
		return;
	o->delivering = true;
	while (!o->err && o->delivered < o->n && o->ready[o->delivered % o->ahead]) {
		size_t i = o->delivered;
		int r;

		pthread_mutex_unlock(&o->lock);
		r = o->done(o->arg, i);
		pthread_mutex_lock(&o->lock);
		o->ready[i % o->ahead] = false;
		o->delivered++;
		if (r && !o->err)
			o->err = r;
		pthread_cond_broadcast(&o->moved);
	}
	o->delivering = false;
}

static void *ordered_work(void *arg)
{
	struct ordered *o = arg;

	pthread_mutex_lock(&o->lock);
	while (!o->err && o->next < o->n) {
		size_t i;
		int r;

		if (o->next >= o->delivered + o->ahead) {
			pthread_cond_wait(&o->moved, &o->lock);
			continue;
		}
		i = o->next++;
		pthread_mutex_unlock(&o->lock);
		r = o->fn(o->arg, i);
		pthread_mutex_lock(&o->lock);
		if (r) {
			o->err = o->err ? o->err : r;
			pthread_cond_broadcast(&o->moved);
			break;
		}
		o->ready[i % o->ahead] = true;
		deliver(o);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

int pool_run_in_order(unsigned threads, size_t n, size_t ahead, int (*fn)(void *arg, size_t i),
		      int (*done)(void *arg, size_t i), void *arg)
{
	struct ordered o = {.n = n, .ahead = ahead, .fn = fn, .done = done, .arg = arg};

	o.ready = calloc(ahead, sizeof(*o.ready));
	if (!o.ready)
		return -ENOMEM;
	pthread_mutex_init(&o.lock, NULL);
	pthread_cond_init(&o.moved, NULL);
	run_threads(threads, n, ordered_work, &o);
	pthread_cond_destroy(&o.moved);
	pthread_mutex_destroy(&o.lock);
	free(o.ready);
	return o.err;
}
