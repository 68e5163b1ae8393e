/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/run.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/header.h"
#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/guest.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/sandbox.h"
#include "vdiskck/secrets.h"

/* The session that a signal stops; one command runs in a process. */
static struct session *stoppable;

static void on_signal(int sig)
{
	if (stoppable)
		atomic_store(&stoppable->stop, true);
	signal(sig, SIG_DFL); /* a second one ends it at once */
	alarm(1);
}

/*
 * The time that --max-runtime gives is over. Or a stop was asked for: a write to a full pipe may
 * have begun just behind the check for it, so interrupt it again.
 */
static void on_alarm(int sig)
{
	(void)sig;
	if (stoppable)
		atomic_store(&stoppable->stop, true);
	alarm(1);
}

static bool held(const struct run *r, const struct entry *e)
{
	return r->hold && e->kept && (e->lost || e->doubtful);
}

static void on_entry(void *arg, const struct entry *e)
{
	struct run *r = arg;

	if (r->on_record && !held(r, e))
		run_record(r, json_finding(e));
}

static void on_finding(void *arg, const struct finding *f)
{
	struct run *r = arg;

	if (r->on_fact && r->on_fact(r->fact_arg, f))
		atomic_fetch_sub(&r->s.count[finding_severity(f->id)], 1);
	else
		collect_finding(&r->found, f);
}

static void on_error(void *arg, const char *line)
{
	struct run *r = arg;

	progress_wipe(&r->progress);
	fputs("vdiskck: ", stderr);
	text_put(stderr, line);
	fputc('\n', stderr);
	if (!*r->error)
		snprintf(r->error, sizeof(r->error), "%s", line);
}

static void on_progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
	struct run *r = arg;

	progress_show(&r->progress, what, done, total);
	if (r->a->json)
		fflush(stdout); /* who reads along sees findings within a moment */
}

static void to_stdout(void *arg, const char *line)
{
	(void)arg;
	puts(line);
}

static int put_layer(void *arg, struct layer *l)
{
	struct run *r = arg;

	if (layer_within(l, r->volume))
		run_record(r, json_layer(l));
	return 0;
}

void run_init(struct run *r, const struct args *a)
{
	struct sigaction sa = {.sa_handler = on_signal}, again = {.sa_handler = on_alarm};

	memset(r, 0, sizeof(*r));
	r->a = a;
	r->began = clock_ns();
	session_init(&r->s);
	r->s.opt = a->opt;
	r->s.arg = r;
	r->s.on_finding = on_finding;
	r->s.on_error = on_error;
	r->s.on_progress = on_progress;
	collect_init(&r->found, &r->s);
	r->found.on_entry = on_entry;
	r->found.arg = r;
	progress_init(&r->progress, a->quiet && a->progress == WHEN_AUTO ? WHEN_NO : a->progress);
	stoppable = &r->s;
	sigaction(SIGALRM, &again, NULL);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to report */
	alarm(a->max_runtime);
	if (a->json)
		r->on_record = to_stdout;
}

int run_open(struct run *r)
{
	const struct args *a = r->a;
	int err;

	if (r->on_record)
		run_record(r, json_header(a));
	err = secrets_open(r);
	if (!err)
		err = stack_open(&r->s, a->image, &r->source);
	if (!err && !headers_used(r->source))
		err = -EINVAL;
	if (err) {
		r->failed = true;
		return err;
	}
	r->volume = a->volume ? run_layer(r, a->volume) : NULL;
	if (r->failed)
		return -ENOENT;
	if (a->cmd->bit & (CMD_LS | CMD_CAT | CMD_EXTRACT | CMD_LOGS | CMD_CHECK)) {
		err = guest_open(r);
		if (err == -EINTR)
			return err;
	}
	if (r->on_record)
		stack_walk(r->source, put_layer, r);
	return 0;
}

int run_begin(struct run *r, const struct args *a)
{
	run_init(r, a);
	return run_open(r);
}

struct layer *run_layer(struct run *r, const char *path)
{
	struct layer *l = stack_find(r->source, path);

	if (!l)
		run_fail(r, 0, "%s: no layer %s (vdiskck info shows them)", r->a->image, path);
	return l;
}

void run_confine(struct run *r, const char *const *read, const char *const *write)
{
	char report[SANDBOX_TEXT];

	sandbox_enter(r->source, read, write, report);
	if (r->a->verbose) {
		progress_wipe(&r->progress);
		fprintf(stderr, "vdiskck: %s\n", report);
	}
}

int run_fail(struct run *r, int err, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->failed = true;
	return session_err(&r->s, err, "%s", text);
}

void run_record(struct run *r, struct json *j)
{
	if (r->on_record)
		r->on_record(r->record_arg, js_line(j));
	js_free(j);
}

void run_release(struct run *r)
{
	const struct collect *c = &r->found;

	for (size_t i = 0; i < c->n && r->on_record; i++)
		if (held(r, &c->v[i]))
			run_record(r, json_finding(&c->v[i]));
	r->hold = false;
}

bool run_interrupted(struct run *r, const char *done, const char *not_done)
{
	struct layer *l = r->source;

	if (!session_stopped(&r->s) || !l)
		return session_stopped(&r->s);
	finding_fact(l, RUN_INTERRUPTED, &(struct fact){.in = l}, "stopped before its end; %s; %s",
		     done, not_done);
	return true;
}

int run_status(const struct run *r)
{
	enum verdict v = collect_verdict(&r->found);

	return v == DAMAGED ? DAMAGED : r->failed ? UNDECIDABLE : v;
}

int run_end(struct run *r, int status)
{
	progress_wipe(&r->progress);
	run_release(r);
	if (r->on_record)
		run_record(r, json_summary(r, status));
	if (fflush(stdout) || ferror(stdout)) {
		session_err(&r->s, -errno, "standard output");
		status = status == DAMAGED ? DAMAGED : UNDECIDABLE;
	}
	stoppable = NULL;
	files_hit_free(&r->hit);
	layer_free(r->source);
	secrets_close(r);
	collect_free(&r->found);
	session_fini(&r->s);
	return status;
}

struct layer *disk_layer(struct layer *source)
{
	struct layer *l = source->child;

	while (l && l->ops->kind != LAYER_CONTAINER)
		l = l->next;
	return l ? l : source;
}

static bool stands_on(const struct layer *l, const struct layer *ground)
{
	for (; l; l = l->below)
		if (l == ground)
			return true;
	return false;
}

bool layer_within(struct layer *l, struct layer *volume)
{
	const struct layer *first = l;

	if (!volume)
		return true;
	/* A parent of the chain holds bytes of everything that stands on its child. */
	if (l->ops->kind == LAYER_SOURCE && l->child == NULL)
		return true;
	while (first->chain_child)
		first = first->chain_child;
	return stands_on(l, volume) || stands_on(volume, first);
}
