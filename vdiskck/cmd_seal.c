/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/folder.h"
#include "vdiskck/job.h"
#include "vdiskck/lock.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/plan.h"
#include "vdiskck/sealing.h"

enum { ROOT_TEXT = 2 * SEAL_ROOT + 1 };

static const char *root_text(const uint8_t root[SEAL_ROOT], char out[ROOT_TEXT])
{
	for (int i = 0; i < SEAL_ROOT; i++)
		sprintf(out + 2 * i, "%02x", root[i]);
	return out;
}

static struct json *json_generation(const struct seal_head *h, const struct seal_generation *g)
{
	struct json *j = js_object();
	char text[ROOT_TEXT];

	js_str(j, "record", "seal");
	js_str(j, "layer", h->layer);
	js_str(j, "file", h->file);
	js_u64(j, "size", h->size);
	if (*h->id)
		js_str(j, "image_id", h->id);
	js_u64(j, "generation", g->number);
	js_str(j, "time", time_text(g->made, 0, text));
	js_str(j, "version", g->version);
	js_str(j, "root", root_text(g->root, text));
	js_u64(j, "data_leaves", g->data);
	js_u64(j, "zero_leaves", g->zero);
	js_u64(j, "lost_leaves", g->lost);
	js_u64(j, "changed_leaves", g->changed);
	return j;
}

static void text_generation(const struct seal_generation *g)
{
	char time[TIME_TEXT], data[SIZE_TEXT], lost[SIZE_TEXT], root[ROOT_TEXT];

	printf("generation %" PRIu64 "  %s  %s of data sealed", g->number,
	       time_text(g->made, 0, time), size_text(g->data * SEAL_LEAF, data));
	if (g->number > 1)
		printf(", %" PRIu64 " leaves changed", g->changed);
	if (g->lost)
		printf(", %s NOT sealed: it can't be read", size_text(g->lost * SEAL_LEAF, lost));
	printf("\n  root %s\n", root_text(g->root, root));
}

/* Is @to a seal of this layer of this image? If not, say why. */
static int fits(struct run *r, const struct seal *to, const struct seal_head *now)
{
	const struct seal_head *h = seal_head(to);
	const char *path = r->a->output;

	if (h->size != now->size)
		return run_fail(r, -EINVAL,
				"%s: the seal of a layer of %" PRIu64 " bytes, %s has %" PRIu64,
				path, h->size, now->layer, now->size);
	if (*h->id && *now->id && strcmp(h->id, now->id))
		return run_fail(r, -EINVAL, "%s: the seal of another image, %s; this is %s", path,
				h->id, now->id);
	return 0;
}

/* A writer: that of an earlier run, if there is one to go on with, or a new one. */
static int begin(struct run *r, struct seal *old, struct sealing *to)
{
	const char *path = r->a->output;
	int err = -ENOENT;

	if (r->a->resume)
		err = seal_resume(&r->s, path, old, to);
	if (err == -ESTALE)
		return run_fail(r, 0,
				"--resume: %s.part is of another layer, of another generation, or "
				"the image was written to since; without --resume it begins anew",
				path),
		       err;
	if (err && err != -ENOENT && err != -EALREADY)
		return run_fail(r, err, "--resume: %s.part", path);
	if (err != -ENOENT)
		return err;
	seal_forget(path);
	return old ? seal_append(&r->s, path, old, &to->w)
		   : seal_create(&r->s, path, r->a->force, &to->head, &to->w);
}

static int write_seal(struct run *r, struct sealing *to)
{
	int err = sealing_run(to);

	if (err == -EINTR)
		run_interrupted(r, "what was sealed is kept", "--resume does the rest");
	else if (err && !r->failed)
		run_fail(r, err, "%s: not written", r->a->output);
	return err;
}

/* A first seal, or one more generation of the one that is there. */
static int seal(struct run *r, struct layer *l)
{
	struct seal *old = NULL;
	struct sealing to;
	int err = 0, lock;
	size_t n;

	sealing_init(&to, l, r->a->time ? r->a->time : (int64_t)time(NULL));
	lock = lock_take(r->a->output, O_RDONLY, false);
	if (lock == -EWOULDBLOCK)
		return run_fail(r, 0, "%s: another run uses this seal", r->a->output), -EBUSY;
	if (lock >= 0 && !r->a->force) {
		err = seal_open(&r->s, r->a->output, &old);
		if (!err)
			err = fits(r, old, &to.head);
	}
	if (!err)
		err = begin(r, old, &to);
	if (err == -EALREADY) {
		/* Complete, but for the end of the run that made it. */
		const struct seal_generation *g = seal_generations(old, &n);

		to.g = g[n - 1];
		seal_forget(r->a->output);
		err = 0;
	} else if (err) {
		r->failed = true;
		seal_drop(to.w);
	} else {
		err = write_seal(r, &to);
	}
	seal_close(old);
	if (lock >= 0)
		close(lock);
	if (err)
		return err;
	r->lost = to.g.lost * SEAL_LEAF;
	if (r->a->json)
		run_record(r, json_generation(&to.head, &to.g));
	else if (!r->a->quiet)
		text_generation(&to.g);
	return 0;
}

static void bad_page(void *arg, const char *what, uint64_t page)
{
	struct run *r = arg;
	struct json *j = js_object();

	js_str(j, "record", "seal_damage");
	js_u64(j, "page", page);
	js_str(j, "message", what);
	if (!r->a->json)
		printf("%s: page %" PRIu64 ": %s\n", r->a->image, page, what);
	run_record(r, j);
}

static void list(struct run *r, const struct seal *to)
{
	const struct seal_head *h = seal_head(to);
	char size[SIZE_TEXT];
	size_t n;
	const struct seal_generation *g = seal_generations(to, &n);

	if (!r->a->json)
		printf("%s: layer %s, %s%s%s\n", r->a->image, h->layer, size_text(h->size, size),
		       *h->id ? ", of " : "", h->id);
	for (size_t i = 0; i < n; i++)
		if (r->a->json)
			run_record(r, json_generation(h, &g[i]));
		else
			text_generation(&g[i]);
}

/* --show, --root, --verify: of a seal, which is given in the place of the image. */
static int about(const struct args *a)
{
	int status = UNDECIDABLE;
	char root[ROOT_TEXT];
	uint64_t bad = 0;
	struct seal *to;
	struct run r;
	size_t n;

	run_init(&r, a);
	run_record(&r, json_header(a));
	if (!seal_open(&r.s, a->image, &to)) {
		const struct seal_generation *g = seal_generations(to, &n);

		status = INTACT;
		if (a->root)
			puts(root_text(g[n - 1].root, root));
		else
			list(&r, to);
		if (a->verify && seal_verify(to, bad_page, &r, &bad))
			status = UNDECIDABLE;
		else if (a->verify && !a->json)
			puts(bad ? "the seal is damaged: what these pages say is not known"
				 : "the seal is whole: every page, every root");
		seal_close(to);
	}
	return run_end(&r, bad ? DAMAGED : status);
}

static int seal_command(struct run *r)
{
	char *folder = folder_of(r->a->output);
	struct layer *l;
	int status = UNDECIDABLE;

	if (!folder)
		return status;
	run_confine(r, NULL, (const char *[]){folder, NULL});
	free(folder);
	l = r->a->at ? run_layer(r, r->a->at) : disk_layer(r->source);
	if (l && l->state)
		run_fail(r, 0, "%s is %s", l->path, layer_state_name(l));
	else if (l && !seal(r, l))
		status = r->lost ? DAMAGED : INTACT;
	return status;
}

int cmd_seal(const struct args *a)
{
	int status = UNDECIDABLE;
	struct job job;
	struct run r;

	if (a->shard)
		return a->plan && !a->image ? plan_shard(a)
					    : usage_hint(a, "--shard K --plan FILE, and no IMAGE");
	if (a->show || a->root || a->verify)
		return about(a);
	if (!a->output)
		return usage_hint(a, "-o SEAL is needed: the file for the checksums");
	if (a->plan)
		return plan_make(a);
	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	run_init(&r, a);
	if (!job_begin(&job, &r) && !run_open(&r))
		status = seal_command(&r);
	status = run_end(&r, status);
	job_end(&job);
	return status;
}
