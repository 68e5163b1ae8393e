/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/folder.h"
#include "vdiskck/image_id.h"
#include "vdiskck/job.h"
#include "vdiskck/lock.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/parts.h"
#include "vdiskck/plan.h"
#include "vdiskck/prom.h"
#include "vdiskck/scrub_image.h"
#include "vdiskck/scrub_layer.h"
#include "vdiskck/scrub_state.h"

enum { SEALS_MAX = 64 }; /* one for each link of a chain */

static struct layer *sealed_layer(struct run *r, const struct seal *to, const char *path)
{
	const struct seal_head *h = seal_head(to);
	bool other;
	struct layer *l = scrub_layer(r->source, to, &other);
	const struct layer *place = l ? NULL : stack_find(r->source, h->layer);

	if (place && !other && place->size != h->size)
		run_fail(r, 0,
			 "%s: the seal of %s with %" PRIu64 " bytes, which has %" PRIu64
			 " here: a disk that was resized needs a new seal",
			 path, h->layer, h->size, place->size);
	else if (!l)
		run_fail(r, 0, "%s: the seal of %s%s%s with %" PRIu64 " bytes: %s", path, h->layer,
			 *h->id ? ", " : "", h->id, h->size,
			 other ? "this is another image" : "nothing like that is in this image");
	return l;
}

/*
 * A seal is for one at a time, but for a parent's: its children share that. Without a chance to
 * lock it (a file system that has no locks) the scrub goes on.
 */
static int lock_seal(struct run *r, const struct scrub *s, const char *path, int *lock)
{
	bool shared = s->l->chain_child && !r->a->reseal;

	*lock = lock_take(path, O_RDONLY, shared);
	if (*lock == -EWOULDBLOCK)
		return run_fail(r, 0, "%s: another run uses this seal", path), -EBUSY;
	return 0;
}

/* All that is opened before the sandbox closes. */
static int prepare(struct run *r, struct scrub *s, const char *path, int *lock)
{
	const struct args *a = r->a;
	struct seal *to;
	struct layer *l;
	int err = seal_open(&r->s, path, &to);

	if (err) {
		r->failed = true;
		return err;
	}
	s->to = to;
	l = sealed_layer(r, to, path);
	if (!l)
		return -ENOENT;
	scrub_init(s, r, l, to);
	s->path = path;
	s->accept = a->accept;
	s->still = scrub_still(s);
	err = lock_seal(r, s, path, lock);
	/* An account is of the disk that was written to, not of its parents. */
	if (err || s->l->chain_child)
		return err;
	if (a->changed)
		err = scrub_track_map(s, a->changed);
	else if (a->bitmap)
		err = scrub_track_bitmap(s, a->bitmap);
	else if (a->cbt)
		err = scrub_track_cbt(s, a->cbt);
	if (!err && a->reseal) {
		err = seal_append(&r->s, path, s->to, &s->renew);
		r->failed |= err != 0;
	}
	return err;
}

static struct json *json_scrub(const struct scrub *s)
{
	struct json *j = js_object();
	char time[TIME_TEXT];
	size_t n;

	js_str(j, "record", "scrub");
	js_str(j, "layer", s->l->path);
	js_u64(j, "generation", s->gen + 1);
	js_str(j, "sealed", time_text(seal_generations(s->to, &n)[s->gen].made, 0, time));
	js_str(j, "account", s->track.by ? s->track.by : s->still ? s->still : "none");
	js_u64(j, "intact", s->intact);
	js_u64(j, "rot", s->rot);
	js_u64(j, "misplaced", s->misplaced);
	js_u64(j, "changed", s->changed);
	js_u64(j, "suspect", s->suspect);
	js_u64(j, "explained", s->explained);
	js_u64(j, "written", s->dirty);
	js_u64(j, "unreadable", s->unreadable);
	js_u64(j, "transient", s->transient);
	js_u64(j, "unsealed", s->unsealed);
	return j;
}

static void put_count(uint64_t leaves, const char *what)
{
	char size[SIZE_TEXT];

	if (leaves)
		printf(", %s %s", size_text(leaves * SEAL_LEAF, size), what);
}

static void text_scrub(const struct scrub *s)
{
	char size[SIZE_TEXT], time[TIME_TEXT];
	size_t n;

	text_put(stdout, s->l->path);
	printf(": %s as sealed at %s", size_text(s->intact * SEAL_LEAF, size),
	       time_text(seal_generations(s->to, &n)[s->gen].made, 0, time));
	put_count(s->dirty, "written to since");
	put_count(s->explained, "written to, as the volume itself says");
	put_count(s->rot, "ROTTEN");
	put_count(s->misplaced, "WRITTEN TO THE WRONG PLACE");
	put_count(s->unreadable, "NOT READABLE");
	put_count(s->changed, "changed, nobody knows by whom");
	put_count(s->suspect, "changed in files that say nobody wrote to them");
	put_count(s->transient, "read wrong once");
	put_count(s->unsealed, "not sealed");
	putchar('\n');
}

struct scrubbing {
	struct run *r;
	struct scrub v[SEALS_MAX];
	int lock[SEALS_MAX];
	size_t n;
	struct state state;
	bool skipped;
	int (*compare)(void *arg, struct scrub *s); /* NULL: scrub_compare() */
	void *arg;
};

/* Verified lately: is there nothing to do? */
static bool recent(struct run *r, struct scrubbing *g)
{
	uint64_t days = r->a->older_than;
	struct json *j = js_object();
	int64_t when = 0, first = INT64_MAX;
	char text[TIME_TEXT];
	bool all = days && g->n;

	for (size_t i = 0; i < g->n && all; i++) {
		all = state_recent(&g->state, &g->v[i], days, &when);
		first = when < first ? when : first;
	}
	if (!all) {
		js_free(j);
		return false;
	}
	time_text(first, 0, text);
	js_str(j, "record", "skipped");
	js_str(j, "verified", text);
	js_u64(j, "older_than_days", days);
	if (!r->a->json && !r->a->quiet)
		printf("%s: verified at %s, which is less than %" PRIu64 " days ago: skipped\n",
		       r->a->image, text, days);
	run_record(r, j);
	return true;
}

static int compare(struct run *r, struct scrubbing *g)
{
	int err = 0;

	for (size_t i = 0; i < g->n && !err; i++)
		err = g->compare ? g->compare(g->arg, &g->v[i]) : scrub_compare(&g->v[i]);
	for (size_t i = 0; i < g->n && !err; i++)
		if (g->v[i].l == disk_layer(r->source) && !r->a->quick)
			r->was_read = &g->v[i].bad;
	if (err && err != -EINTR && !r->failed)
		run_fail(r, err, "%s: scrub", r->a->image);
	return err;
}

/*
 * What was compared means something, be it not all. Once the layers were verified, for a checksum may
 * speak for a write; before all that is bad is given names. It is said by each run that goes on, and so
 * not kept as a part is.
 */
static void judge(void *arg)
{
	struct scrubbing *g = arg;
	struct run *r = g->r;
	bool (*on_fact)(void *arg, const struct finding *f) = r->on_fact;

	r->on_fact = NULL;
	for (size_t i = 0; i < g->n; i++) {
		int err = scrub_evidence(&g->v[i]);

		if (!err || err == -EINTR)
			err = scrub_judge(&g->v[i]);
		if (err && !r->failed)
			run_fail(r, err, "%s: scrub", r->a->image);
	}
	r->on_fact = on_fact;
}

static void conclude(struct run *r, struct scrubbing *g)
{
	for (size_t i = 0; i < g->n; i++) {
		int err = scrub_renew(&g->v[i]);

		if (err && !r->failed)
			run_fail(r, err, "%s: scrub", r->a->image);
		if (r->a->json)
			run_record(r, json_scrub(&g->v[i]));
		else if (!r->a->quiet)
			text_scrub(&g->v[i]);
	}
}

/* New generations go into files that are open by then; state and metrics are made beside. */
static void confine(struct run *r)
{
	const char *file[] = {r->a->state, r->a->prom};
	const char *folder[3] = {NULL}, *results[] = {r->a->out, NULL}; /* merge: of shards */
	char *made[2] = {NULL};
	size_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		made[i] = file[i] ? folder_of(file[i]) : NULL;
		if (made[i])
			folder[n++] = made[i];
	}
	run_confine(r, r->a->out ? results : NULL, n ? folder : NULL);
	free(made[0]);
	free(made[1]);
}

static int scrub(struct run *r, struct scrubbing *g)
{
	const char *const *path = r->a->seal;
	int err = state_open(&g->state, r, r->a->state);

	for (; path && path[g->n] && g->n < SEALS_MAX && !err; g->n++) {
		g->lock[g->n] = -1;
		err = prepare(r, &g->v[g->n], path[g->n], &g->lock[g->n]);
	}
	if (err)
		return err;
	g->skipped = recent(r, g);
	if (g->skipped)
		return 0;
	confine(r);
	err = state_begin(&g->state, g->v, g->n, r->a->resume);
	if (!err)
		err = compare(r, g);
	if (err)
		parts_close(g->state.parts);
	r->on_verified = judge;
	r->verified_arg = g;
	if (!err) {
		err = checkup(r, NULL);
	} else if (err == -EINTR) {
		judge(g);
		run_interrupted(r, "what was compared is right", "the rest was not done");
	}
	if (!err || err == -EINTR)
		conclude(r, g);
	return err;
}

static void scrub_end(struct scrubbing *g)
{
	state_close(&g->state);
	for (size_t i = 0; i < g->n; i++) {
		scrub_free(&g->v[i]);
		seal_close(g->v[i].to);
		if (g->lock[i] >= 0)
			close(g->lock[i]);
	}
	free(g);
}

/* Stops at a layer that could not be opened for another reason than that no key was given. */
static int other_than_locked(void *arg, struct layer *l)
{
	(void)arg;
	return (l->state && l->state != -ENOKEY) || (l->locked && l->locked != -ENOKEY);
}

/*
 * A scrub needs no key: where all that the disk holds was compared with its seal, what no key opens
 * was examined as well as anything. The finding that it is locked stands.
 */
static int verdict_of(const struct run *r, const struct scrubbing *g)
{
	const struct layer *disk = r->source ? disk_layer(r->source) : NULL;
	bool sealed = false;
	int status = run_status(r);

	for (size_t i = 0; i < g->n; i++)
		sealed |= g->v[i].l == disk && !g->v[i].unsealed && g->v[i].next == g->v[i].end;
	if (status != UNDECIDABLE || r->failed || atomic_load(&r->s.stop) || !sealed)
		return status;
	for (size_t i = 0; i < r->found.n_tally; i++)
		if (finding_severity(r->found.tally[i].id) == UNDECIDED &&
		    r->found.tally[i].id != LAYER_LOCKED)
			return status;
	if (stack_walk(r->source, other_than_locked, NULL))
		return status;
	return r->s.count[BLEMISH] ? BLEMISHED : INTACT;
}

/* What later runs, `status` and the metrics are told. */
static int keep(struct run *r, struct scrubbing *g, int status)
{
	bool complete = !session_stopped(&r->s) && !r->failed;
	int err = 0;

	if (!g->state.v)
		return status;
	state_save(&g->state, complete ? status : -1);
	if (r->a->prom)
		err = prom_write(r->a->prom, state_json(&g->state, complete ? status : -1));
	if (err)
		run_fail(r, err, "--prom %s", r->a->prom);
	return verdict_of(r, g);
}

static int scrub_command(struct run *r, struct scrubbing *g)
{
	int status;

	g->state.lock = -1;
	r->s.opt.data = !r->a->quick;
	r->hold = true;
	r->own_verdict = true;
	scrub(r, g);
	status = g->skipped ? INTACT : keep(r, g, verdict_of(r, g));
	if (!r->a->json && !g->skipped) {
		progress_wipe(&r->progress);
		collect_sort(&r->found);
		if (!r->a->quiet)
			text_findings(stdout, r);
		if (!r->a->quiet)
			damage_text(stdout, r);
		text_verdict(stdout, r, status);
	}
	return status;
}

int scrub_image(const struct args *a, int (*compare_by)(void *arg, struct scrub *s), void *arg)
{
	struct scrubbing *g = calloc(1, sizeof(*g));
	int status;
	struct job job;
	struct run r;

	if (!g)
		return UNDECIDABLE;
	g->r = &r;
	g->compare = compare_by;
	g->arg = arg;
	run_init(&r, a);
	if (!job_begin(&job, &r) && !run_open(&r))
		status = scrub_command(&r, g);
	else
		status = run_status(&r);
	scrub_end(g);
	status = run_end(&r, status);
	job_end(&job);
	return status;
}

int cmd_scrub(const struct args *a)
{
	if (a->shard)
		return a->plan && !a->image ? plan_shard(a)
					    : usage_hint(a, "--shard K --plan FILE, and no IMAGE");
	if (!!a->changed + !!a->bitmap + !!a->cbt > 1)
		return usage_hint(a, "one of --changed, --bitmap and --cbt");
	if (!a->seal && (a->reseal || a->accept || a->changed || a->bitmap || a->cbt || a->state ||
			 a->older_than || a->plan))
		return usage_hint(a, "--seal is needed: nothing to compare with");
	if (a->resume && !a->state)
		return usage_hint(a, "--resume needs --state FILE");
	if (a->plan)
		return plan_make(a);
	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	return scrub_image(a, NULL, NULL);
}
