/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto/prim.h"
#include "vdiskck/core/json.h"
#include "vdiskck/folder.h"
#include "vdiskck/lock.h"
#include "vdiskck/parts.h"
#include "vdiskck/scrub_label.h"
#include "vdiskck/version.h"

enum { SCHEMA = 1, EVERY_NS = 1000000000, STATE_MAX = 256 << 20 };
#define EVERY_BYTES (4ull << 30)

static void now_config(const struct scrub *s, struct prim_digest *d)
{
	const struct seal_head *h = seal_head(s->to);
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n);
	uint64_t number[] = {h->size, (uint64_t)h->made, g[s->gen].number, s->first,
			     s->end,  s->accept};

	prim_digest_add(d, s->l->path, strlen(s->l->path) + 1);
	prim_digest_add(d, h->id, sizeof(h->id));
	prim_digest_add(d, number, sizeof(number));
	prim_digest_add(d, g[s->gen].root, SEAL_ROOT);
	if (s->track.by)
		prim_digest_add(d, s->track.by, strlen(s->track.by) + 1);
}

void state_config(const struct scrub *v, size_t n, char out[STATE_HASH])
{
	struct prim_digest *d = prim_digest_open(PRIM_SHA256);
	uint8_t digest[SEAL_ROOT] = {0};

	for (size_t i = 0; d && i < n; i++)
		now_config(&v[i], d);
	if (d)
		prim_digest_end(d, digest);
	prim_digest_close(d);
	for (int i = 0; i < SEAL_ROOT; i++)
		sprintf(out + 2 * i, "%02x", digest[i]);
}

struct json *state_load(const char *path)
{
	FILE *f = fopen(path, "re");
	struct json *j = NULL;
	char *text = NULL;
	struct stat st;

	if (f && !fstat(fileno(f), &st) && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    st.st_size <= STATE_MAX)
		text = malloc((size_t)st.st_size);
	if (text && fread(text, 1, (size_t)st.st_size, f) == (size_t)st.st_size)
		j = js_parse(text, (size_t)st.st_size);
	free(text);
	if (f)
		fclose(f);
	return j;
}

int state_write(const char *path, struct json *j, int *lock)
{
	char *text;
	int len = asprintf(&text, "%s\n", js_line(j)), r;

	js_free(j);
	if (len < 0)
		return -ENOMEM;
	r = file_replace(path, text, (size_t)len, 0644, lock);
	free(text);
	return r;
}

bool state_is(const struct json *j)
{
	const char *record = js_text(js_get(j, "record"));
	uint64_t schema;

	return record && !strcmp(record, "scrub_state") &&
	       js_to_u64(js_get(j, "schema"), &schema) && schema == SCHEMA &&
	       js_kind(js_get(j, "passes")) == JSON_ARRAY;
}

int state_open(struct state *st, struct run *r, const char *path)
{
	struct stat s;

	*st = (struct state){.r = r, .path = path, .lock = -1};
	if (!path)
		return 0;
	st->lock = lock_take(path, O_RDWR | O_CREAT | O_NOFOLLOW, false);
	if (st->lock == -EWOULDBLOCK)
		return run_fail(r, 0, "%s: another run has this state", path), -EBUSY;
	if (st->lock < 0)
		return run_fail(r, st->lock, "%s", path);
	if (fstat(st->lock, &s) || !s.st_size)
		return 0;
	st->before = state_load(path);
	if (!state_is(st->before))
		return run_fail(r, -EBADMSG, "%s: no state of a scrub; remove it to begin anew",
				path);
	return 0;
}

/* The pass over the same seal in the file as it was found, be it over an older generation. */
static const struct json *same_seal(const struct state *st, const struct scrub *s)
{
	const struct json *passes = js_get(st->before, "passes");
	const struct seal_head *h = seal_head(s->to);

	for (size_t i = 0; i < js_len(passes); i++) {
		const struct json *p = js_at(passes, i);
		const char *layer = js_text(js_get(p, "layer")), *id = js_text(js_get(p, "id"));
		uint64_t size, made;

		if (layer && !strcmp(layer, s->l->path) && id && !strcmp(id, h->id) &&
		    js_to_u64(js_get(p, "size"), &size) && size == h->size &&
		    js_to_u64(js_get(p, "sealed"), &made) && made == (uint64_t)h->made)
			return p;
	}
	return NULL;
}

static void get_known(struct scrub *s, const struct json *p)
{
	const struct json *list = js_get(p, "known");
	size_t n = js_len(list);
	uint64_t v;

	s->verified = js_to_u64(js_get(p, "verified"), &v) ? (int64_t)v : 0;
	s->known = calloc(n ? n : 1, sizeof(*s->known));
	for (size_t i = 0; s->known && i < n; i++) {
		uint64_t index, good;

		if (!js_to_u64(js_get(js_at(list, i), "leaf"), &index) ||
		    !js_to_u64(js_get(js_at(list, i), "good"), &good) ||
		    (s->n_known && index <= s->known[s->n_known - 1].index))
			continue;
		s->known[s->n_known++] = (struct scrub_known){index, (int64_t)good};
	}
}

static int resume(struct state *st)
{
	const struct json *passes = js_get(st->before, "passes");
	const char *config = js_text(js_get(st->before, "config"));
	uint64_t begun = 0;
	int r;

	if (!config || strcmp(config, st->config) || js_len(passes) != st->n)
		return run_fail(
			st->r, -ESTALE,
			"--resume: %s is of another scrub: of another image, seal or "
			"generation, or with other options; without --resume it begins anew",
			st->path);
	for (size_t i = 0; i < st->n; i++)
		if (!state_get_pass(js_at(passes, i), &st->v[i]))
			return run_fail(st->r, -EBADMSG, "--resume: %s is damaged", st->path);
	r = parts_get(st->parts, st->before);
	if (r == -ENOBUFS)
		return run_fail(
			       st->r, 0,
			       "--resume: so much is wrong with this image that %s did not keep all of "
			       "it; without --resume the scrub begins anew",
			       st->path),
		       r;
	if (r)
		return run_fail(st->r, r, "--resume: %s is damaged", st->path);
	if (js_to_u64(js_get(st->before, "begun"), &begun) && begun)
		st->begun = (int64_t)begun;
	js_to_u64(js_get(st->before, "seconds"), &st->seconds);
	st->resumed = true;
	return 0;
}

static void on_part(void *arg)
{
	state_save(arg, -1);
}

int state_begin(struct state *st, struct scrub *v, size_t n, bool go_on)
{
	uint64_t u;
	int r = 0;

	st->v = v;
	st->n = n;
	st->begun = (int64_t)time(NULL);
	state_config(v, n, st->config);
	if (js_to_u64(js_get(st->before, "verified"), &u))
		st->verified = (int64_t)u;
	js_to_u64(js_get(st->before, "verified_bytes"), &st->verified_bytes);
	for (size_t i = 0; i < n; i++) {
		const struct json *p = same_seal(st, &v[i]);

		if (p)
			get_known(&v[i], p);
		v[i].on_leaf = state_checkpoint;
		v[i].arg = st;
	}
	if (st->path) {
		st->parts = parts_new(st->r);
		if (!st->parts)
			return run_fail(st->r, -ENOMEM, "%s", st->path);
		parts_on_end(st->parts, on_part, st);
	}
	if (go_on && st->before && js_kind(js_get(st->before, "complete")) == JSON_NULL)
		r = resume(st);
	if (!r)
		state_save(st, -1);
	return r;
}

static uint64_t all_read(const struct state *st)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < st->n; i++)
		bytes += st->v[i].read;
	return bytes;
}

int state_checkpoint(struct scrub *s)
{
	struct state *st = s->arg;

	if (st->path &&
	    (clock_ns() - st->saved_ns >= EVERY_NS || all_read(st) - st->saved_read >= EVERY_BYTES))
		state_save(st, -1);
	return 0;
}

static void put_result(const struct state *st, struct json *j, int status)
{
	struct json *n = js_object(), *last = js_object();
	struct session *s = &st->r->s;
	uint64_t bad = 0;

	js_int(last, "exit", status);
	js_str(last, "verdict", verdict_name((enum verdict)status));
	for (size_t i = 0; i < st->n; i++)
		bad += st->v[i].rot + st->v[i].misplaced + st->v[i].unreadable;
	js_u64(last, "bad_leaves", bad);
	js_u64(n, "info", s->count[INFO] + s->count[UNDECIDED]);
	js_u64(n, "blemish", s->count[BLEMISH]);
	js_u64(n, "damage", s->count[DAMAGE]);
	js_put(last, "findings", n);
	js_int(j, "complete", (int64_t)time(NULL));
	js_put(j, "last", last);
}

/* While a scrub goes on, the result of the one before is the one that counts. */
static void carry_result(const struct state *st, struct json *j)
{
	struct json *last = js_get(st->before, "last"), *copy;
	const char *text = last ? js_line(last) : NULL;

	copy = text ? js_parse(text, strlen(text)) : NULL;
	if (copy)
		js_put(j, "last", copy);
}

static int by_leaf(const void *a, const void *b)
{
	const struct scrub_known *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* All was read: what this run leaves to the next one, so that it can say since when. */
static void set_known(struct state *st, struct scrub *s)
{
	size_t n = 0, cap = s->n + SCRUB_KEPT;
	struct scrub_known *known;

	if (s->beyond || s->lost.beyond)
		return;
	known = calloc(cap, sizeof(*known));
	for (size_t i = 0; known && i < s->n; i++)
		known[n++] = (struct scrub_known){s->v[i].index, s->v[i].good};
	for (size_t i = 0; known && i < s->lost.n; i++) {
		for (uint64_t k = 0; k < s->lost.v[i].n; k++) {
			uint64_t index = s->lost.v[i].first + k;
			struct seal_leaf leaf;
			enum seal_kind kind;
			size_t since;

			if (seal_get(s->to, s->gen, index, &kind, &leaf, &since))
				continue;
			if (n == cap) { /* too many to tell: the bounds of before stay */
				free(known);
				return;
			}
			known[n++] = (struct scrub_known){index, scrub_good(s, index, since)};
		}
	}
	if (!known)
		return;
	qsort(known, n, sizeof(*known), by_leaf);
	free(s->known);
	s->known = known;
	s->n_known = n;
	s->verified = st->begun;
}

struct json *state_json(struct state *st, int status)
{
	struct json *j = js_object(), *passes = js_array();

	js_str(j, "record", "scrub_state");
	js_int(j, "schema", SCHEMA);
	js_str(j, "version", VDISKCK_VERSION);
	label_put(st->r->source, st->r->a->image, j);
	js_str(j, "config", st->config);
	js_int(j, "begun", st->begun);
	js_int(j, "saved", (int64_t)time(NULL));
	js_u64(j, "seconds", st->seconds + (clock_ns() - st->r->began) / 1000000000);
	if (status >= 0)
		put_result(st, j, status);
	else
		carry_result(st, j);
	js_int(j, "verified", status >= 0 ? st->begun : st->verified);
	js_u64(j, "verified_bytes", st->verified_bytes + all_read(st));
	for (size_t i = 0; i < st->n; i++) {
		if (status >= 0)
			set_known(st, &st->v[i]);
		js_add(passes, state_put_pass(&st->v[i]));
	}
	js_put(j, "passes", passes);
	if (status < 0 && st->parts)
		parts_put(st->parts, j);
	return j;
}

void state_save(struct state *st, int status)
{
	int r;

	if (!st->path)
		return;
	r = state_write(st->path, state_json(st, status), &st->lock);
	if (r && !st->broken)
		run_fail(st->r, r, "%s: the state can't be saved", st->path);
	st->broken |= r != 0;
	st->saved_ns = clock_ns();
	st->saved_read = all_read(st);
}

void state_close(struct state *st)
{
	parts_free(st->parts);
	js_free(st->before);
	if (st->lock >= 0)
		close(st->lock);
}

bool state_recent(const struct state *st, const struct scrub *s, uint64_t days, int64_t *when)
{
	size_t n;
	const struct seal_generation *g = seal_generations(s->to, &n);
	int64_t now = (int64_t)time(NULL);
	uint64_t exit = 0, verified = 0;

	*when = g[n - 1].kept ? 0 : g[n - 1].made;
	if (st->before) {
		bool done = js_to_u64(js_get(st->before, "complete"), &verified);

		/* What was found bad is looked at again every time, and so is what is half done. */
		if (!done || !js_to_u64(js_get(js_get(st->before, "last"), "exit"), &exit) ||
		    exit > 1)
			return false;
		js_to_u64(js_get(st->before, "verified"), &verified);
		if ((int64_t)verified > *when)
			*when = (int64_t)verified;
	}
	/* A time to come says that a clock was wrong: nothing follows from it. */
	return *when && *when <= now && (uint64_t)(now - *when) < days * 86400;
}
