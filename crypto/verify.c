/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/verify.h"

#include "vdiskck/core/engine.h"
#include "vdiskck/core/session.h"

struct verifying {
	const enum finding_id *why;
	struct ranges *bad;
	uint64_t done;
};

static int deliver(void *arg, struct piece *p)
{
	struct verifying *v = arg;
	int r = 0;

	for (size_t i = 0; !r && i < p->bad.n; i++) {
		const struct range *b = &p->bad.v[i];
		const enum finding_id *w = v->why;

		while (*w != FINDING_COUNT && *w != b->why)
			w++;
		if (*w != FINDING_COUNT)
			r = ranges_add(v->bad, b->off, b->len, b->grade, b->why);
	}
	v->done += p->kind == EXTENT_DATA ? p->len : 0;
	return r;
}

int verify_bytes(struct layer *l, uint64_t off, uint64_t len, const char *what,
		 const enum finding_id *why, struct ranges *bad)
{
	struct verifying v = {.why = why, .bad = bad};
	struct engine e = {.l = l,
			   .off = off,
			   .len = len,
			   .written = true,
			   .what = what,
			   .deliver = deliver,
			   .arg = &v};
	int r = engine_run(&e);

	session_checked(l->s, v.done);
	return r;
}
