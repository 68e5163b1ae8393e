/* SPDX-License-Identifier: Apache-2.0 */
/* The hash tree of dm-verity against itself, and the data against it. */
#include "crypto/verity.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "crypto/verify.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum { SAID_MAX = 1000 };

/* Hash blocks of one level that follow one another and do not fit are one finding. */
static void tree_report(struct layer *l, unsigned level, uint64_t first, uint64_t n,
			enum verity_fit fit)
{
	struct verity *v = l->priv;
	unsigned shift = v->bits * (level + 1);
	uint64_t from = (first << shift) * v->dbs, to = ((first + n) << shift) * v->dbs;
	struct fact f = {.in = l->below,
			 .at = v->at[level] + first * v->hbs,
			 .at_len = n * v->hbs,
			 .off = from,
			 .doubtful = !v->bare};

	if (to > v->data_len)
		to = v->data_len;
	f.len = v->bare ? 0 : to - from;
	f.off = v->bare ? 0 : from;
	finding_fact(l, VERITY_TREE, &f,
		     "hash tree, level %u, blocks %" PRIu64 "..%" PRIu64 ": %s; 0x%" PRIx64
		     "..0x%" PRIx64 " of the data can't be proved",
		     level, first, first + n - 1,
		     fit == WRONG ? "not what the level above says" : "can't be read", from, to);
}

static int check_level(struct layer *l, unsigned level, size_t *said)
{
	struct verity *v = l->priv;
	uint8_t node[VERITY_BLOCK_MAX], up[VERITY_BLOCK_MAX], sum[PRIM_HASH_MAX];
	uint64_t run = 0, have = UINT64_MAX;
	enum verity_fit last = FIT, fit, above = FIT;
	int r = 0;

	for (uint64_t n = 0; !r && n <= v->n[level] && *said < SAID_MAX; n++) {
		/* What lies behind the device's end is one run: no need to go through it. */
		uint64_t at = v->at[level] + n * v->hbs;

		fit = FIT;
		if (session_stopped(l->s))
			return -EINTR;
		if (n < v->n[level] && at >= l->below->size) {
			if (last == WRONG)
				tree_report(l, level, run, n - run, last);
			if (last != UNREADABLE)
				run = n;
			tree_report(l, level, run, v->n[level] - run, UNREADABLE);
			++*said;
			return 0;
		}
		if (n < v->n[level]) {
			r = verity_node(l, level, n, node, &fit);
			if (!r && n >> v->bits != have) {
				have = n >> v->bits;
				r = verity_node(l, level + 1, have, up, &above);
			}
			if (!r && fit == FIT && above == FIT) {
				verity_hash(v, node, v->hbs, sum);
				fit = memcmp(sum, verity_slot(v, up, n), v->digest) ? WRONG : FIT;
			}
			session_checked(l->s, v->hbs);
		}
		if (fit == last)
			continue;
		if (last != FIT) {
			tree_report(l, level, run, n - run, last);
			++*said;
		}
		run = n;
		last = fit;
	}
	return r;
}

static int check_data(struct layer *l)
{
	struct verity *v = l->priv;
	static const enum finding_id why[] = {VERITY_DATA, FINDING_COUNT};
	struct ranges bad = {0};
	int r = verify_bytes(l, 0, l->size, "verifying hashes", why, &bad);
	uint64_t rest = 0;
	char size[SIZE_TEXT];

	for (size_t i = 0; i < bad.n; i++) {
		const struct range *b = &bad.v[i];
		uint64_t first = b->off / v->dbs, n = b->len / v->dbs;

		if (i < SAID_MAX)
			finding_fact(l, VERITY_DATA,
				     &(struct fact){.in = l->below,
						    .at = b->off,
						    .at_len = b->len,
						    .off = b->off,
						    .len = b->len,
						    .doubtful = true},
				     "data blocks %" PRIu64 "..%" PRIu64
				     " do not have the hashes in the tree",
				     first, first + n - 1);
		else
			rest += b->len;
	}
	if (rest)
		finding(l, VERITY_DATA, 0, 0, "%zu more runs of blocks, %s altogether",
			bad.n - SAID_MAX, size_text(rest, size));
	ranges_free(&bad);
	return r;
}

int verity_check(struct layer *l)
{
	struct verity *v = l->priv;
	size_t said = 0;
	int r = 0;

	for (unsigned i = v->levels ? v->levels - 1 : 0; !r && i--;)
		r = check_level(l, i, &said);
	if (!r && l->s->opt.data && !v->bare)
		r = check_data(l);
	return r;
}
