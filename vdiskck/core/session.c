/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 2048 }; /* longer messages are cut: names from disk can be long */

void session_init(struct session *s)
{
	pthread_mutexattr_t a;

	memset(s, 0, sizeof(*s));
	/* Who gets a finding may ask layers where its bytes lie, and that may find something. */
	pthread_mutexattr_init(&a);
	pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&s->lock, &a);
	pthread_mutexattr_destroy(&a);
}

void session_fini(struct session *s)
{
	pthread_mutex_destroy(&s->lock);
}

unsigned session_jobs(const struct session *s)
{
	long n = s->opt.jobs ? (long)s->opt.jobs : sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

void session_progress(struct session *s, const char *what, uint64_t done, uint64_t total)
{
	if (!s->on_progress)
		return;
	pthread_mutex_lock(&s->lock);
	s->on_progress(s->arg, what, done, total);
	pthread_mutex_unlock(&s->lock);
}

static _Thread_local unsigned muted;

void session_mute(bool on)
{
	muted += on ? 1 : -1u;
}

static void __attribute__((format(printf, 4, 0)))
finding_emit(struct layer *l, enum finding_id id, const struct fact *fact, const char *fmt,
	     va_list ap)
{
	struct session *s = l->s;
	char message[LINE];
	struct finding f = {.id = id, .layer = l, .fact = *fact, .message = message};

	if (muted)
		return;
	if (!f.fact.in)
		f.fact.in = l->below ? l->below : l;
	vsnprintf(message, sizeof(message), fmt, ap);
	pthread_mutex_lock(&s->lock);
	s->count[finding_severity(id)]++;
	if (s->on_finding)
		s->on_finding(s->arg, &f);
	pthread_mutex_unlock(&s->lock);
}

void finding(struct layer *l, enum finding_id id, uint64_t at, uint64_t at_len, const char *fmt,
	     ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_emit(l, id, &(struct fact){.at = at, .at_len = at_len}, fmt, ap);
	va_end(ap);
}

void finding_fact(struct layer *l, enum finding_id id, const struct fact *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	finding_emit(l, id, f, fmt, ap);
	va_end(ap);
}

static int __attribute__((format(printf, 4, 0)))
error_emit(struct session *s, int r, const char *where, const char *fmt, va_list ap)
{
	char text[LINE], line[2 * LINE];

	vsnprintf(text, sizeof(text), fmt, ap);
	snprintf(line, sizeof(line), "%s%s%s%s", where, text, r ? ": " : "", r ? strerror(-r) : "");
	pthread_mutex_lock(&s->lock);
	if (s->on_error)
		s->on_error(s->arg, line);
	pthread_mutex_unlock(&s->lock);
	return r;
}

int layer_err(struct layer *l, int r, const char *fmt, ...)
{
	char where[LINE];
	va_list ap;

	if (l->below)
		snprintf(where, sizeof(where), "%s: %s: ", layer_source(l)->path, l->path);
	else
		snprintf(where, sizeof(where), "%s: ", l->path);
	va_start(ap, fmt);
	error_emit(l->s, r, where, fmt, ap);
	va_end(ap);
	return r;
}

int session_err(struct session *s, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_emit(s, r, "", fmt, ap);
	va_end(ap);
	return r;
}

const char *strf(const char *fmt, ...)
{
	static _Thread_local char buf[16][128];
	static _Thread_local unsigned next;
	char *b = buf[next++ % 16];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b, sizeof(buf[0]), fmt, ap);
	va_end(ap);
	return b;
}
