/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and scrubbing in parts, by many machines: a plan, in JSON Lines, says which shard does
 * which leaves of which image. Shards are whole nodes of the tree (16 MiB), so what they make can
 * be put together into what one run would have made.
 */
#ifndef VDISKCK_PLAN_H
#define VDISKCK_PLAN_H

#include "vdiskck/run.h"
#include "vdiskck/seal.h"

enum { PLAN_NAME = 17, PLAN_SHARDS_MAX = 10000 };

/* Leaves [first, end) of one layer. */
struct plan_part {
	char *image, *layer, *seal; /* @seal: to make, or to compare with */
	uint64_t size;		    /* of the layer */
	uint64_t first, end;
	uint64_t data; /* bytes that are stored there: what the part costs */
	uint64_t shard;
};

struct plan {
	bool scrub;   /* else: seal */
	int64_t time; /* of the generation to be made */
	uint64_t shards;
	struct plan_part *v; /* by shard when read from a file */
	size_t n, cap;
	char name[PLAN_NAME]; /* hash of the file: results of another plan have other names */
};

/*
 * plan_cut() - @part, a whole layer, in parts of about @target bytes of data, at bucket borders
 * @bucket: the bytes of data in each @bucket_leaves leaves, @n of them. 0 or -ENOMEM
 */
int plan_cut(struct plan *p, const struct plan_part *part, const uint64_t *bucket, size_t n,
	     uint64_t bucket_leaves, uint64_t target);
/* plan_make() - what `seal` and `scrub --plan N IMAGE...` print; returns the exit status */
int plan_make(const struct args *a);
/* plan_shard() - do shard a->shard of the plan a->plan; returns the exit status */
int plan_shard(const struct args *a);
/* plan_assign() - the largest part first, to the shard that has least to do */
int plan_assign(struct plan *p);
/* plan_print() - to standard output */
void plan_print(const struct plan *p);
/* plan_load() - 0, or -errno after session_err(); every number in it is checked */
int plan_load(struct session *s, const char *path, struct plan *p);
void plan_free(struct plan *p);
/* plan_result() - where part @i puts its result: DIR/PLAN-SHARD-I; to be freed; NULL: no memory */
char *plan_result(const struct plan *p, size_t i, const char *dir);
/* plan_add() - one more part; its strings are copied. 0 or -ENOMEM */
int plan_add(struct plan *p, const struct plan_part *part);

#endif
