/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stack.h"
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/image_id.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/scrub.h"

enum { SEALS_MAX = 64 }; /* one for each link of a chain */

struct wanted {
	const struct seal_head *h;
	struct layer *by_id, *by_path;
	bool other; /* a layer of that path is there, but it is another image's */
};

/* Which layer of the stack was sealed? By what it says it is; else by its place and its size. */
static int match(void *arg, struct layer *l)
{
	struct wanted *w = arg;
	char id[SEAL_ID];

	if (l->state || l->size != w->h->size)
		return 0;
	image_id(l, id);
	if (*id && *w->h->id) {
		if (!strcmp(id, w->h->id) && !w->by_id)
			w->by_id = l;
		else if (!strcmp(l->path, w->h->layer))
			w->other = true;
		return 0;
	}
	if (!strcmp(l->path, w->h->layer))
		w->by_path = l;
	return 0;
}

static struct layer *sealed_layer(struct run *r, const struct seal *to, const char *path)
{
	struct wanted w = {.h = seal_head(to)};
	struct layer *l = stack_find(r->source, w.h->layer);

	/* The path says it best, unless another image lies there: a parent is "vhd" on its own. */
	if (l && !match(&w, l) && (w.by_id || w.by_path))
		return l;
	stack_walk(r->source, match, &w);
	if (w.by_id || w.by_path)
		return w.by_id ? w.by_id : w.by_path;
	run_fail(r, 0, "%s: the seal of %s%s%s with %" PRIu64 " bytes: %s", path, w.h->layer,
		 *w.h->id ? ", " : "", w.h->id, w.h->size,
		 w.other ? "this is another image" : "nothing like that is in this image");
	return NULL;
}

/* All that is opened before the sandbox closes. */
static int prepare(struct run *r, struct scrub *s, const char *path)
{
	const struct args *a = r->a;
	size_t n;
	int err = seal_open(&r->s, path, &s->to);

	s->r = r;
	if (err) {
		r->failed = true;
		return err;
	}
	seal_generations(s->to, &n);
	s->gen = n - 1;
	s->accept = a->accept;
	s->l = sealed_layer(r, s->to, path);
	if (!s->l)
		return -ENOENT;
	s->still = scrub_still(s);
	/* An account is of the disk that was written to, not of its parents. */
	if (s->l->chain_child)
		return 0;
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
	put_count(s->rot, "ROTTEN");
	put_count(s->misplaced, "WRITTEN TO THE WRONG PLACE");
	put_count(s->unreadable, "NOT READABLE");
	put_count(s->changed, "changed, nobody knows by whom");
	put_count(s->transient, "read wrong once");
	put_count(s->unsealed, "not sealed");
	putchar('\n');
}

static int compare(struct run *r, struct scrub *s, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = scrub_run(&s[i]);
		if (r->a->json)
			run_record(r, json_scrub(&s[i]));
		else if (!r->a->quiet)
			text_scrub(&s[i]);
	}
	if (err == -EINTR)
		run_interrupted(r, "what was compared is right", "the rest was not compared");
	else if (err && !r->failed)
		run_fail(r, err, "%s: scrub", r->a->image);
	return err;
}

/* New generations go into files that are open by then: no folder needs to be written to. */
static void scrub(struct run *r)
{
	const char *const *path = r->a->seal;
	struct scrub *s = calloc(SEALS_MAX, sizeof(*s));
	size_t n = 0;
	int err = s ? 0 : run_fail(r, -ENOMEM, "scrub");

	for (; path && path[n] && n < SEALS_MAX && !err; n++)
		err = prepare(r, &s[n], path[n]);
	if (!err) {
		run_confine(r, NULL, NULL);
		err = checkup(r, NULL);
	}
	if (!err && !session_stopped(&r->s))
		compare(r, s, n);
	for (size_t i = 0; i < n; i++) {
		seal_drop(s[i].renew);
		seal_close(s[i].to);
		ranges_free(&s[i].track.dirty);
	}
	free(s);
}

int cmd_scrub(const struct args *a)
{
	struct run r;
	int status;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	if (!!a->changed + !!a->bitmap + !!a->cbt > 1)
		return usage_hint(a, "one of --changed, --bitmap and --cbt");
	if (!a->seal && (a->reseal || a->accept || a->changed || a->bitmap || a->cbt))
		return usage_hint(a, "--seal is needed: nothing to compare with");
	if (!run_begin(&r, a)) {
		r.s.opt.data = !a->quick;
		scrub(&r);
	}
	status = run_status(&r);
	if (!a->json) {
		progress_wipe(&r.progress);
		collect_sort(&r.found);
		if (!a->quiet)
			text_findings(stdout, &r);
		text_verdict(stdout, &r, status);
	}
	return run_end(&r, status);
}
