/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded cache of things of one size that are costly to get: pieces of tables, decoded
 * clusters. Safe from many threads; a thing is filled once even if several threads want it, and
 * no lock is held meanwhile. Memory is taken as it is used, up to @count items.
 */
#ifndef VDISKCK_CORE_CACHE_H
#define VDISKCK_CORE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/ranges.h"

struct cache;

/* What cache_get() gives: not to be written to, good until cache_put(). */
struct cache_item {
	uint64_t key, key2;
	uint8_t *buf;
	struct ranges bad; /* what is lost or doubtful in @buf: offsets are what fill() chose */
};

/*
 * fill() - make @it->buf for it->key and it->key2; @it->bad is empty
 * Returns 0, or -errno: then nothing is kept and cache_get() returns it.
 */
typedef int cache_fill(void *arg, struct cache_item *it);

/* cache_new() - NULL: no memory */
struct cache *cache_new(size_t item_size, size_t count, cache_fill *fill, void *arg);
/* cache_get() - 0 and the item, or what fill() returned, or -ENOMEM */
int cache_get(struct cache *c, uint64_t key, uint64_t key2, const struct cache_item **it);
void cache_put(struct cache *c, const struct cache_item *it);
/* cache_free() - nobody holds an item any more; @c may be NULL */
void cache_free(struct cache *c);

#endif
