/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/fs/claim.h"

int claim(struct claims *c, const struct fs_owner *o)
{
	uint64_t end = o->off + o->len;
	int r = 0;

	for (size_t i = ranges_find(c->wanted, o->off); i < c->wanted->n && !r; i++) {
		const struct range *w = &c->wanted->v[i];
		struct fs_owner part = *o;

		if (w->off >= end)
			break;
		part.off = w->off > o->off ? w->off : o->off;
		part.len = (w->off + w->len < end ? w->off + w->len : end) - part.off;
		if (!o->packed)
			part.file_off += part.off - o->off;
		if (o->kind == OWNER_STRUCTURE && !o->size) {
			part.start = o->off;
			part.size = o->len;
		}
		r = ranges_add(&c->done, part.off, part.len, GRADE_LOST, LAYER_UNKNOWN);
		if (!r)
			r = c->fn(c->arg, &part);
	}
	return r;
}

int claim_structure(struct claims *c, uint64_t off, uint64_t len, const char *name,
		    const struct fs_entry *file)
{
	return claim(c, &(struct fs_owner){.off = off,
					   .len = len,
					   .kind = OWNER_STRUCTURE,
					   .structure = name,
					   .file = file});
}

int claim_runs(struct claims *c, const struct fs_entry *e, const struct fs_runs *runs,
	       const char *name)
{
	int r = 0;

	for (size_t i = 0; i < runs->n && !r; i++) {
		const struct fs_run *run = &runs->v[i];
		uint64_t data = run->len;
		struct fs_owner o = {.off = run->at,
				     .kind = name ? OWNER_STRUCTURE : OWNER_FILE,
				     .file = e,
				     .structure = name,
				     .file_off = run->off};

		if (run->kind != EXTENT_DATA)
			continue;
		if (!name && (run->off >= e->size || e->size - run->off < data))
			data = run->off < e->size ? e->size - run->off : 0;
		o.len = data;
		if (data)
			r = claim(c, &o);
		if (!r && data < run->len)
			r = claim(c, &(struct fs_owner){.off = run->at + data,
							.len = run->len - data,
							.kind = OWNER_FREE});
	}
	return r;
}

int claim_rest(struct claims *c, void (*what)(void *arg, struct fs_owner *o), void *arg)
{
	struct ranges done = c->done;
	int r = 0;

	c->done = (struct ranges){0};
	ranges_sort(&done);
	for (size_t i = 0; i < c->wanted->n && !r; i++) {
		uint64_t off = c->wanted->v[i].off, end = off + c->wanted->v[i].len;

		while (off < end && !r) {
			size_t k = ranges_find(&done, off);
			struct fs_owner o = {.off = off, .len = end - off, .kind = OWNER_UNKNOWN};

			if (k < done.n && done.v[k].off <= off) {
				off = done.v[k].off + done.v[k].len;
				continue;
			}
			if (k < done.n && done.v[k].off < end)
				o.len = done.v[k].off - off;
			what(arg, &o);
			r = c->fn(c->arg, &o);
			off += o.len;
		}
	}
	ranges_free(&done);
	return r;
}

void claims_free(struct claims *c)
{
	ranges_free(&c->done);
}
