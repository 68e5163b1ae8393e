/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One shard of a plan. What is done is not done again; what was stopped goes on where it was. A
 * shard that finds damage did its work: it ends with 0, for the verdict is that of the merge.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/folder.h"
#include "vdiskck/job.h"
#include "vdiskck/lock.h"
#include "vdiskck/plan.h"
#include "vdiskck/scrub_layer.h"
#include "vdiskck/scrub_state.h"
#include "vdiskck/sealing.h"

#define EVERY_NS 1000000000ull

struct shard {
	struct run r;
	const struct plan *plan;
	const struct plan_part *part;
	const char *name; /* of the result */
	int lock;
	uint64_t saved_ns;
};

/* Has an earlier run of this shard sealed all of it, of the same file at the same time? */
static bool done(struct shard *sh, const struct sealing *to)
{
	const struct seal_generation *g;
	struct seal *old = NULL;
	bool all = false;
	size_t n;

	if (access(sh->name, F_OK) || seal_open(&sh->r.s, sh->name, &old))
		return false;
	g = seal_generations(old, &n);
	if (seal_head(old)->size == sh->part->size && g->image_size == to->g.image_size &&
	    g->image_mtime == to->g.image_mtime) {
		uint64_t at = sh->part->first;
		enum seal_kind kind;

		for (all = true; at < sh->part->end && all; at += seal_run(old, n - 1, at, &kind))
			all = seal_run(old, n - 1, at, &kind) && kind != SEAL_SAME;
	}
	seal_close(old);
	return all;
}

static int seal_shard(struct shard *sh)
{
	struct run *r = &sh->r;
	struct layer *l = stack_find(r->source, sh->part->layer);
	struct sealing to;
	int err;

	if (!l || l->state || l->size != sh->part->size)
		return run_fail(r, -ESTALE, "%s: %s is not as it was planned", r->a->image,
				sh->part->layer);
	sealing_init(&to, l, sh->plan->time);
	if (done(sh, &to))
		return 0;
	to.next = sh->part->first;
	to.end = sh->part->end;
	/* What is left of another time, or damaged, is made anew. */
	err = seal_resume(&r->s, sh->name, NULL, &to);
	if (err) {
		err = seal_create(&r->s, sh->name, true, &to.head, &to.w);
		if (!err)
			seal_begin_at(to.w, sh->part->first);
		else
			seal_drop(to.w);
	}
	if (!err)
		err = sealing_run(&to);
	return err && err != -EINTR ? run_fail(r, err, "%s", sh->name) : err;
}

static int save(struct scrub *s)
{
	struct shard *sh = s->arg;
	int r;

	if (s->next < s->end && clock_ns() - sh->saved_ns < EVERY_NS)
		return 0;
	r = state_write(sh->name, state_put_pass(s), &sh->lock);
	sh->saved_ns = clock_ns();
	return r ? run_fail(&sh->r, r, "%s", sh->name) : 0;
}

static void begin(struct shard *sh, struct layer *l, struct seal *to, struct scrub *s)
{
	scrub_init(s, &sh->r, l, to);
	s->path = sh->part->seal;
	s->first = s->next = sh->part->first;
	s->end = sh->part->end;
	s->on_leaf = save;
	s->arg = sh;
}

static int compare(struct shard *sh, struct layer *l, struct seal *to)
{
	struct json *before = state_load(sh->name);
	struct scrub s;
	int err;

	begin(sh, l, to, &s);
	/* A result that is not of this seal as it is now, or is damaged, is made anew. */
	if (before && (!state_is_of(before, &s) || !state_get_pass(before, &s))) {
		scrub_free(&s);
		begin(sh, l, to, &s);
	}
	js_free(before);
	err = scrub_compare(&s);
	sh->saved_ns = 0;
	if (!err || err == -EINTR) {
		int e = save(&s);

		err = e ? e : err;
	}
	scrub_free(&s);
	return err;
}

static int scrub_shard(struct shard *sh)
{
	struct run *r = &sh->r;
	struct layer *l;
	struct seal *to;
	bool other;
	int err, lock;

	if (seal_open(&r->s, sh->part->seal, &to))
		return r->failed = true, -EBADMSG;
	lock = lock_take(sh->part->seal, O_RDONLY, true);
	sh->lock = lock_take(sh->name, O_RDWR | O_CREAT | O_NOFOLLOW, false);
	l = scrub_layer(r->source, to, &other);
	if (lock == -EWOULDBLOCK || sh->lock < 0)
		err = run_fail(r, sh->lock == -EWOULDBLOCK ? -EBUSY : sh->lock, "%s: in use",
			       lock == -EWOULDBLOCK ? sh->part->seal : sh->name);
	else if (!l || l->size != sh->part->size)
		err = run_fail(r, -ESTALE, "%s: %s is not as it was planned", r->a->image,
			       sh->part->layer);
	else
		err = compare(sh, l, to);
	if (err && err != -EINTR && !r->failed)
		run_fail(r, err, "%s", r->a->image);
	if (lock >= 0)
		close(lock);
	if (sh->lock >= 0)
		close(sh->lock);
	seal_close(to);
	return err;
}

/* In a process of its own, which the sandbox closes once the image is open. */
static int do_part(const struct args *all, const struct plan *p, const struct plan_part *part,
		   const char *name)
{
	struct shard sh = {.plan = p, .part = part, .name = name, .lock = -1};
	struct args a = *all;
	char *folder = folder_of(name);
	struct job job;
	int err;

	a.image = part->image;
	run_init(&sh.r, &a);
	err = job_begin(&job, &sh.r);
	if (!err)
		err = run_open(&sh.r);
	if (!err) {
		const char *read[] = {part->seal, NULL}, *write[] = {folder, NULL};

		run_confine(&sh.r, p->scrub ? read : NULL, folder ? write : NULL);
		err = p->scrub ? scrub_shard(&sh) : seal_shard(&sh);
	}
	free(folder);
	err = run_end(&sh.r, err ? UNDECIDABLE : INTACT);
	job_end(&job);
	return err;
}

static void say_error(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "vdiskck: %s\n", line);
}

static volatile pid_t child;

static void pass_on(int sig)
{
	if (child > 0)
		kill(child, sig);
}

static int in_child(const struct args *a, const struct plan *p, const struct plan_part *part,
		    const char *name)
{
	int status = 0;

	child = fork();
	if (!child) {
		status = do_part(a, p, part, name);
		fflush(stdout);
		_exit(status);
	}
	if (child < 0)
		return UNDECIDABLE;
	signal(SIGTERM, pass_on);
	signal(SIGINT, pass_on);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : UNDECIDABLE;
}

int plan_shard(const struct args *a)
{
	char *folder = a->out ? strdup(a->out) : folder_of(a->plan);
	int status = INTACT;
	struct session s;
	struct plan p;
	uint64_t k;

	session_init(&s);
	s.on_error = say_error;
	if (!folder || number_parse(a->shard, &k, NULL) || plan_load(&s, a->plan, &p)) {
		free(folder);
		return usage_hint(a, "--shard %s --plan %s", a->shard, a->plan);
	}
	if (k >= p.shards)
		status = usage_hint(a, "--shard %s: the plan has 0 to %" PRIu64, a->shard,
				    p.shards - 1);
	for (size_t i = 0; i < p.n && status == INTACT; i++) {
		char *name;

		if (p.v[i].shard != k)
			continue;
		name = plan_result(&p, i, folder);
		status = name ? in_child(a, &p, &p.v[i], name) : UNDECIDABLE;
		free(name);
	}
	plan_free(&p);
	free(folder);
	session_fini(&s);
	return status;
}
