/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/pool.h"

#include <pthread.h>
#include <stdatomic.h>

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

int pool_run(unsigned threads, size_t n, int (*fn)(void *arg, size_t i), void *arg)
{
	struct pool p = {.n = n, .fn = fn, .arg = arg};
	pthread_t id[THREADS_MAX];
	unsigned started = 0;

	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (threads > n)
		threads = (unsigned)n;
	while (started + 1 < threads && !pthread_create(&id[started], NULL, pool_work, &p))
		started++; /* a thread that can't be made leaves its work to the others */
	pool_work(&p);
	while (started)
		pthread_join(id[--started], NULL);
	return atomic_load(&p.err);
}
