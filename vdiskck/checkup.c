/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/checkup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "formats/drivers.h"
#include "formats/signature.h"
#include "formats/stack.h"
#include "recover/content.h"
#include "recover/impact.h"
#include "recover/keyless.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/reads.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/parts.h"

enum {

	SAID_MAX = 64, /* findings that say one reason, before the rest goes into one */
};

static int check_layer(void *arg, struct layer *l)
{
	struct run *r = arg;
	const char *how = r->s.opt.data ? "structure and tags" : "structure";
	int err = 0;

	if (session_stopped(&r->s))
		return -EINTR;
	if (!layer_within(l, r->volume))
		return 0;
	if (l->state) {
		r->found.undecided = true; /* locked or unsupported: the driver said why */
		return 0;
	}
	if (!l->ops->check || parts_begin(r->parts, how, l, NULL))
		return 0;
	err = l->ops->check(l);
	if (!err && !session_stopped(&r->s))
		parts_end(r->parts, how, l, NULL);
	if (err && err != -EINTR) {
		r->failed = true;
		layer_err(l, err, "check");
		return err == -ENOMEM ? err : 0; /* the other layers can still be checked */
	}
	return err;
}

/* What ciphertext shows, locked or not. */
static int check_ciphertext(void *arg, struct layer *l)
{
	struct run *r = arg;
	int err;

	if (!l->ops->ciphertext || !layer_within(l, r->volume) ||
	    parts_begin(r->parts, "ciphertext", l, NULL))
		return 0;
	err = keyless_check(l);
	if (!err && !session_stopped(&r->s))
		parts_end(r->parts, "ciphertext", l, NULL);
	if (err && err != -EINTR) {
		r->failed = true;
		layer_err(l, err, "check of the ciphertext");
		return err == -ENOMEM ? err : 0;
	}
	return err;
}

static int check_source(void *arg, struct layer *l)
{
	(void)arg;
	if (l->ops->kind == LAYER_SOURCE)
		source_changed(l);
	return 0;
}

/* Raw bytes in which no driver found anything: there was nothing to check. */
static void check_known(struct run *r)
{
	struct layer *disk = disk_layer(r->source);
	struct signature sig;
	char size[SIZE_TEXT], like[CONTENT_TEXT] = "";

	if (disk->ops != &raw_ops || disk->child || r->s.opt.format)
		return;
	content_look(disk, like); /* what can't be read has a finding of its own */
	if (signature_at(disk, 0, &sig))
		finding_fact(disk, LAYER_UNKNOWN, &(struct fact){.off = 0, .len = disk->size},
			     "%s of %s: this version can't check that", size_text(disk->size, size),
			     sig.name);
	else
		finding_fact(
			disk, LAYER_UNKNOWN, &(struct fact){.off = 0, .len = disk->size},
			"%s of raw bytes: no container, no partition table, nothing to check%s%s",
			size_text(disk->size, size), *like ? "; " : "", like);
}

/* Can a packed run not be had, because some of its stored bytes can't? */
static int packed_lost(struct extent *run)
{
	uint64_t at = run->at, end = run->at + run->packed;

	while (at < end) {
		struct extent deep;
		int err = layer_resolve(run->in, at, &deep);

		if (err)
			return err;
		if (deep.kind == EXTENT_LOST) {
			run->kind = EXTENT_LOST;
			run->why = deep.why;
			break;
		}
		at = deep.off + deep.len > at ? deep.off + deep.len : end;
	}
	return 0;
}

/* What map() says can't be had, all the way down: parents, the source's own bad map. */
static int walk_lost(struct layer *disk, struct ranges *bad)
{
	uint64_t off = 0;

	while (off < disk->size) {
		struct extent run;
		int err = session_stopped(disk->s) ? -EINTR : layer_resolve(disk, off, &run);
		uint64_t end = run.off + run.len;

		if (!err && run.kind == EXTENT_DATA && run.packed)
			err = packed_lost(&run);
		if (err)
			return err;
		if (run.kind == EXTENT_LOST)
			err = ranges_add(bad, off, end - off, GRADE_LOST, run.why);
		if (err)
			return err;
		off = end > off ? end : off + 1;
	}
	return 0;
}

struct reading {
	struct run *r;
	struct layer *l;
	struct ranges *bad;
};

static int deliver(void *arg, struct piece *p)
{
	struct reading *rd = arg;
	int err;

	if (p->kind == EXTENT_LOST && !p->bad.n)
		err = ranges_add(rd->bad, p->off, p->len, GRADE_LOST, LAYER_UNREADABLE);
	else
		err = ranges_append(rd->bad, &p->bad);
	if (!err && rd->r->on_piece)
		err = rd->r->on_piece(rd->r->piece_arg, rd->l, p);
	return err;
}

static int read_all(struct run *r, struct layer *l, struct ranges *bad)
{
	struct reading rd = {r, l, bad};
	struct ranges was_read = {0};
	struct engine e = {.l = l,
			   .len = l->size,
			   .order = ENGINE_PHYSICAL,
			   .skip = &was_read,
			   .what = "reading",
			   .deliver = deliver,
			   .arg = &rd};
	int err;

	if (parts_begin(r->parts, "data", l, bad))
		return 0;
	err = r->s.reads ? reads_of(r->s.reads, l, &was_read) : 0;
	if (!err)
		err = engine_run(&e);
	if (!err)
		parts_end(r->parts, "data", l, bad);
	ranges_free(&was_read);
	return err;
}

/* What findings already say is bad, in any layer, as ranges of @disk. */
static int said_already(struct run *r, struct layer *disk, struct ranges *said)
{
	struct impact im = {0};
	const struct ranges *up;
	int err = 0;

	for (size_t i = 0; i < r->found.n_lost && !err; i++) {
		struct layer *l = stack_find(r->source, r->found.lost[i].layer);

		if (l && !l->state)
			err = impact_seed(&im, l, &r->found.lost[i].r);
	}
	if (!err)
		err = impact_run(&im, r->source);
	up = impact_of(&im, disk);
	if (!err && up)
		err = ranges_append(said, up);
	impact_free(&im);
	return err;
}

struct saying {
	uint64_t n[FINDING_COUNT], rest[FINDING_COUNT];
};

static void say(struct layer *l, struct saying *y, const struct range *bad, uint64_t off,
		uint64_t len)
{
	char size[SIZE_TEXT];
	bool lost = bad->grade == GRADE_LOST;

	if (++y->n[bad->why] > SAID_MAX) {
		y->rest[bad->why] += len;
		return;
	}
	finding_fact(l, bad->why,
		     &(struct fact){.off = off, .len = len, .lost = lost, .doubtful = !lost},
		     "%s at 0x%" PRIx64 " %s", size_text(len, size), off,
		     lost ? "can't be read" : "may be wrong");
}

/* Report the parts of @bad that no finding has claimed. @said is flat. */
static void say_unsaid(struct layer *l, const struct ranges *bad, const struct ranges *said)
{
	struct saying y = {0};
	char size[SIZE_TEXT];

	for (size_t i = 0; i < bad->n; i++) {
		const struct range *b = &bad->v[i];
		uint64_t off = b->off, end = b->off + b->len;

		for (size_t k = ranges_find(said, off); off < end; k++) {
			uint64_t gap = k < said->n && said->v[k].off < end ? said->v[k].off : end;

			if (gap > off)
				say(l, &y, b, off, gap - off);
			off = gap < end ? said->v[k].off + said->v[k].len : end;
		}
	}
	for (size_t id = 0; id < FINDING_COUNT; id++)
		if (y.rest[id])
			finding(l, (enum finding_id)id, 0, 0,
				"%" PRIu64 " more ranges, %s altogether", y.n[id] - SAID_MAX,
				size_text(y.rest[id], size));
}

/* Add up what is lost of the disk: by its own map, by reading it, and by what was found. */
static int add_up(struct run *r, struct layer *disk, struct ranges *bad)
{
	struct ranges said = {0}, *own;
	int err = 0;

	/* A lost range has a finding that explains it: without damage there is nothing to add up. */
	if (r->was_read)
		err = ranges_append(bad, r->was_read);
	else if (r->s.opt.data && !disk->locked)
		err = read_all(r, disk, bad);
	else if (r->s.count[DAMAGE])
		err = walk_lost(disk, bad);
	if (err || !(bad->n || r->found.n_lost))
		goto out;
	ranges_sort(bad);
	err = said_already(r, disk, &said);
	if (!err)
		say_unsaid(disk, bad, &said);
	own = collect_lost(&r->found, disk->path);
	if (!err && own)
		err = ranges_append(bad, own);
	ranges_sort(bad);
	r->lost = ranges_bytes(bad, GRADE_LOST);
out:
	ranges_free(&said);
	return err;
}

int checkup(struct run *r, struct ranges *lost)
{
	struct layer *disk = disk_layer(r->source);
	struct ranges bad = {0};
	struct reads reads = {0};
	int err;

	r->s.reads = r->s.opt.data ? &reads : NULL;
	err = stack_walk(r->source, check_layer, r);
	if (!err && r->s.opt.data)
		err = stack_walk(r->source, check_ciphertext, r);
	if (r->on_verified && (!err || err == -EINTR))
		r->on_verified(r->verified_arg);
	if (!err && !disk->state)
		err = add_up(r, disk, &bad);
	parts_close(r->parts);
	r->s.reads = NULL;
	reads_free(&reads);
	if (!err)
		check_known(r);
	stack_walk(r->source, check_source, r);
	if (!err && (bad.n || r->s.count[DAMAGE] || r->found.n_lost))
		err = damage_by_name(r, &bad);
	run_release(r);
	damage_records(r);
	if (lost) {
		*lost = bad;
		bad = (struct ranges){0};
	}
	ranges_free(&bad);
	if (err && err != -EINTR && !r->failed)
		run_fail(r, err, "%s: check", r->a->image);
	if (err && err != -EINTR)
		return err;
	run_interrupted(r, "findings so far stand", "the rest of the check was not done");
	return 0;
}
