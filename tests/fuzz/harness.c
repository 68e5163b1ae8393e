/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/harness.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>

#include "formats/stack.h"
#include "tests/lib/fs_list.h"
#include "tests/lib/image.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/span.h"

enum {
	PROBED = 4096, /* bytes of a run that are compared with what read() gives */
	RUNS = 400,    /* runs looked at: a sparse disk of exabytes is legal */
	NAMES = 64,    /* addresses that structure() is asked about */
	PER_BYTE = 2,  /* findings: more than this per byte of input is a flood */
	FLOOR = 10000, /* ... for inputs of a few bytes */
};

/* For the message: where in the stack the promise was broken. */
static const struct layer *subject;
static uint64_t subject_off;

#define MUST(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: broken promise: %s; %s at 0x%llx\n", __FILE__,     \
				__LINE__, #what, subject ? subject->path : "-",                    \
				(unsigned long long)subject_off);                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct keyring *fuzz_keys;

static _Thread_local int in_target;
static size_t findings, findings_max;

static void refuse(void)
{
	MUST(!in_target);
}

/* The linker sends the library's calls here (--wrap); libFuzzer's own come with in_target 0. */
#define GUARD(name)                                                                                \
	int __real_##name(const char *path, int flags, ...);                                       \
	int __wrap_##name(const char *path, int flags, ...);                                       \
	int __wrap_##name(const char *path, int flags, ...)                                        \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(ap, flags);                                                               \
		mode = va_arg(ap, mode_t);                                                         \
		va_end(ap);                                                                        \
		refuse();                                                                          \
		return __real_##name(path, flags, mode);                                           \
	}
#define GUARD_AT(name)                                                                             \
	int __real_##name(int dir, const char *path, int flags, ...);                              \
	int __wrap_##name(int dir, const char *path, int flags, ...);                              \
	int __wrap_##name(int dir, const char *path, int flags, ...)                               \
	{                                                                                          \
		va_list ap;                                                                        \
		mode_t mode;                                                                       \
                                                                                                   \
		va_start(ap, flags);                                                               \
		mode = va_arg(ap, mode_t);                                                         \
		va_end(ap);                                                                        \
		refuse();                                                                          \
		return __real_##name(dir, path, flags, mode);                                      \
	}
GUARD(open)
GUARD(open64)
GUARD_AT(openat)
GUARD_AT(openat64)

void *__real_opendir(const char *path);
void *__wrap_opendir(const char *path);
void *__wrap_opendir(const char *path)
{
	refuse();
	return __real_opendir(path);
}

static void on_finding(void *arg, const struct finding *f)
{
	size_t len = strlen(f->message);

	(void)arg;
	MUST(len && len < 4096 && f->message[len - 1] != '.' && !strchr(f->message, '\n'));
	MUST(f->fact.in);
	/* What is on disk may be any bytes; the sanitizer sees a string that is not one. */
	MUST(!f->fact.stored || strlen(f->fact.stored) < 4096);
	MUST(!f->fact.expected || strlen(f->fact.expected) < 4096);
	MUST(++findings <= findings_max);
}

static void on_error(void *arg, const char *line)
{
	(void)arg;
	MUST(strlen(line) > 0);
}

static struct layer *start(struct session *s, const uint8_t *data, size_t size)
{
	session_init(s);
	s->keys = fuzz_keys;
	s->opt.jobs = 1; /* so that a run can be repeated */
	s->opt.data = size & 1;
	s->on_finding = on_finding;
	s->on_error = on_error;
	findings = 0;
	findings_max = FLOOR + PER_BYTE * size;
	return memory_source(s, "fuzz.img", data, size);
}

/* What map() said about [run->off, +n) against what read() gives: @buf, @bad. */
static void compare(const struct extent *run, const uint8_t *buf, size_t n,
		    const struct ranges *bad)
{
	static uint8_t stored[PROBED];
	struct ranges below = {0};

	if (run->kind == EXTENT_ZERO) {
		MUST(!ranges_bytes(bad, GRADE_LOST)); /* doubtful: its table entry may be wrong */
		for (size_t i = 0; i < n; i++)
			MUST(!buf[i]);
	} else if (run->kind == EXTENT_LOST) {
		MUST(ranges_bytes(bad, GRADE_LOST) == n);
	} else {
		MUST(run->in && run->at < run->in->size);
		MUST(run->len <= run->in->size - run->at);
		layer_read(run->in, run->at, stored, n, &below);
		if (!below.n && !bad->n)
			MUST(!memcmp(stored, buf, n));
	}
	ranges_free(&below);
}

static void probe_run(struct layer *l, const struct extent *run, uint64_t off)
{
	static uint8_t buf[PROBED];
	uint64_t left = run->len - (off - run->off);
	size_t n = left < PROBED ? (size_t)left : PROBED;
	struct ranges bad = {0};

	subject_off = off;
	if (layer_read(l, off, buf, n, &bad))
		goto out;
	for (size_t i = 0; i < bad.n; i++)
		MUST(bad.v[i].len && bad.v[i].off >= off &&
		     range_inside(bad.v[i].off - off, bad.v[i].len, n));
	ranges_sort(&bad);
	/* Ciphers and packed runs change the bytes; their size is all that can be compared. */
	if (!run->packed && l->ops->kind != LAYER_CIPHER)
		compare(run, buf, n, &bad);
out:
	ranges_free(&bad);
}

static void walk_runs(struct layer *l)
{
	struct where w[WHERE_MAX];
	uint64_t off = 0;

	for (int i = 0; i < RUNS && off < l->size; i++) {
		struct extent run = {0};

		if (layer_map(l, off, &run))
			break;
		MUST(run.len && run.off <= off && off - run.off < run.len);
		MUST(range_inside(run.off, run.len, l->size));
		MUST(run.packed || run.off == off);
		MUST(layer_where(l, off, 1, w, WHERE_MAX) <= WHERE_MAX);
		probe_run(l, &run, run.off);
		if (run.len > PROBED && !run.packed) {
			/* The far end is the same run, seen from there. */
			struct extent end = {0};
			uint64_t at = run.off + run.len - 512;

			if (!layer_map(l, at, &end) && end.off <= at)
				probe_run(l, &end, at);
		}
		off = run.off + run.len;
		/* Sparse disks: get to the end as well. */
		if (i == RUNS / 2 && l->size > 65536 && off < l->size - 65536)
			off = l->size - 65536;
	}
}

static void describe(struct layer *l)
{
	struct json *to = js_object();
	uint64_t step = l->below->size / NAMES + 1;
	char name[128];

	if (l->ops->info)
		l->ops->info(l, to);
	js_line(to);
	js_free(to);
	if (!l->ops->structure)
		return;
	for (uint64_t at = 0; at < l->below->size; at += step) {
		uint64_t from = 0, len = 0;

		if (!l->ops->structure(l, at, name, sizeof(name), &from, &len))
			continue;
		MUST(memchr(name, 0, sizeof(name)));
		MUST(from <= at && at - from < len);
	}
}

static void exercise(struct layer *l)
{
	uint8_t byte;

	subject = l;
	if (l->ops->read) {
		walk_runs(l);
		/* Past the end is asked for by others' structures; it is lost, not a crash. */
		layer_read(l, l->size, &byte, 1, NULL);
		layer_read(l, UINT64_MAX, &byte, 1, NULL);
	}
	if (l->below)
		describe(l);
	if (l->ops->check)
		l->ops->check(l);
	if (l->ops->fs)
		fs_exercise(l);
}

void fuzz_driver(const struct layer_ops *ops, const uint8_t *data, size_t size)
{
	struct session s;
	struct layer *source = start(&s, data, size), *l = layer_new(&s, ops, source, ops->name);

	if (!l)
		abort();
	in_target = 1;
	if (ops->probe) {
		int score = ops->probe(source);

		MUST(score >= 0 && score <= 100 && !findings);
	}
	layer_attach(source, l);
	l->state = ops->open(l);
	MUST(l->state <= 0);
	if (!l->state) {
		exercise(l);
		for (struct layer *c = l->child; c; c = c->next)
			if (!c->state)
				exercise(c);
	}
	in_target = 0;
	subject = NULL;
	layer_free(source);
	session_fini(&s);
}

static int exercise_one(void *arg, struct layer *l)
{
	(void)arg;
	if (!l->state && l->below)
		exercise(l);
	return 0;
}

void fuzz_stack(const uint8_t *data, size_t size)
{
	struct session s;
	struct layer *source = start(&s, data, size);

	in_target = 1;
	stack_discover(source);
	stack_walk(source, exercise_one, NULL);
	in_target = 0;
	subject = NULL;
	layer_free(source);
	session_fini(&s);
}
