/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/engine.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_file.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

enum { PIECE = 1 << 20 };

struct export
{
	struct run r;
	struct layer *l;
	struct out_file out, map;
	struct out_file *lane; /* to nowhere: one for each thread */
	unsigned lanes;
	char *map_name; /* NULL: no map is written */
	struct ranges bad;
	uint64_t lost, doubtful;
};

/* Bytes that nobody read: they go from the source to the output, and what can't is read here. */
static int pass(struct export *x, struct out_file *out, struct piece *p)
{
	uint64_t done = 0;
	uint8_t *buf = NULL;
	int r = 0;

	while (!r && done < p->len) {
		uint64_t at = 0, len = 0, n = 0;
		int fd = source_fd(p->in, p->at + done, &at, &len);

		if (len > p->len - done)
			len = p->len - done;
		if (fd >= 0 && out->passes)
			r = out_file_pass(out, fd, at, len, &n);
		done += n;
		if (r || (n && n == len))
			continue;
		/* An unreadable sector: read() goes round it. */
		n = p->len - done < PIECE ? p->len - done : PIECE;
		if (!buf)
			buf = malloc(PIECE);
		r = buf ? layer_read(x->l, p->off + done, buf, n, &p->bad) : -ENOMEM;
		if (!r)
			r = out_file_write(out, buf, n);
		done += n;
	}
	free(buf);
	return r;
}

/* To nowhere, all threads pass; to a pipe goes one after the other. */
static int work(void *arg, struct piece *p)
{
	struct export *x = arg;

	return p->buf ? 0 : pass(x, &x->lane[p->worker], p);
}

static int put(struct export *x, struct piece *p)
{
	if (p->kind != EXTENT_DATA)
		return out_file_zeros(&x->out, p->len);
	if (!p->buf && !x->out.nowhere)
		return pass(x, &x->out, p);
	return out_file_write(&x->out, p->buf, p->len);
}

static int deliver(void *arg, struct piece *p)
{
	struct export *x = arg;
	int r = put(x, p);

	if (!r)
		r = ranges_append(&x->bad, &p->bad);
	if (!r && p->kind == EXTENT_LOST && !p->bad.n)
		r = ranges_add(&x->bad, p->off, p->len, GRADE_LOST, LAYER_UNREADABLE);
	/* What the engine itself returns is about reading. */
	if (r && r != -EINTR && r != -ENOMEM)
		run_fail(&x->r, r, "%s, after %" PRIu64 " of %" PRIu64 " bytes", x->out.name,
			 x->out.at, x->l->size);
	return r;
}

/* FILE.map beside a file, even when nothing is lost: it says that. A pipe has no beside. */
static int open_map(struct export *x)
{
	const struct args *a = x->r.a;

	if (a->map)
		x->map_name = strdup(a->map);
	else if (!x->out.sparse)
		return 0;
	else if (asprintf(&x->map_name, "%s.map", a->output) < 0)
		x->map_name = NULL;
	if (!x->map_name)
		return run_fail(&x->r, -ENOMEM, "%s", a->output);
	return out_file_open(&x->map, &x->r.s, x->map_name, a->force);
}

/* The map covers what was written: ddrescue takes the rest as not tried. */
static int write_map(struct export *x)
{
	FILE *f;
	int r;

	if (x->map.fd < 0)
		return 0;
	f = fdopen(x->map.fd, "w");
	if (!f)
		return run_fail(&x->r, -errno, "%s", x->map_name);
	x->map.fd = -1;
	r = ddmap_write(f, &x->bad, x->out.at);
	if (fclose(f) && !r)
		r = -errno;
	return r ? run_fail(&x->r, r, "%s", x->map_name) : 0;
}

static int lanes_open(struct export *x)
{
	unsigned n = session_jobs(&x->r.s);
	int r = 0;

	if (!x->out.nowhere || !x->out.passes)
		return 0;
	x->lane = calloc(n, sizeof(*x->lane));
	if (!x->lane)
		return -ENOMEM;
	while (!r && x->lanes < n) {
		r = out_file_lane(&x->out, &x->lane[x->lanes]);
		x->lanes += !r;
	}
	return r;
}

static void lanes_close(struct export *x)
{
	while (x->lanes)
		out_file_close(&x->lane[--x->lanes]);
	free(x->lane);
	x->lane = NULL;
}

static int export_layer(struct export *x)
{
	struct engine e = {.l = x->l,
			   .len = x->l->size,
			   .order = ENGINE_IN_ORDER,
			   .direct = x->out.passes,
			   .what = "exporting",
			   .deliver = deliver,
			   .arg = x};
	int r = lanes_open(x), closed;

	if (x->lanes)
		e.work = work;
	if (!r)
		r = engine_run(&e);
	lanes_close(x);

	if (r && r != -EINTR && !x->r.failed)
		run_fail(&x->r, r, "%s: %s", x->r.a->image, x->l->path);
	run_interrupted(&x->r, "what was written is right", "the rest was not written");
	closed = out_file_close(&x->out);
	if (closed && !x->r.failed)
		run_fail(&x->r, closed, "%s", x->out.name);
	ranges_sort(&x->bad);
	x->lost = x->r.lost = ranges_bytes(&x->bad, GRADE_LOST);
	x->doubtful = ranges_bytes(&x->bad, GRADE_DOUBTFUL);
	return write_map(x);
}

static int prepare(struct export *x)
{
	const struct args *a = x->r.a;
	int err;

	x->l = a->at	     ? run_layer(&x->r, a->at)
	       : x->r.volume ? x->r.volume
			     : disk_layer(x->r.source);
	if (!x->l)
		return -ENOENT;
	if (x->l->state || x->l->locked) {
		run_fail(&x->r, 0, "%s is %s", x->l->path, layer_state_name(x->l));
		return -EACCES;
	}
	err = out_file_open(&x->out, &x->r.s, a->output, a->force);
	if (!err)
		err = open_map(x);
	x->r.failed |= err != 0;
	if (!err)
		run_confine(&x->r, NULL, NULL);
	return err;
}

static void record(struct export *x)
{
	enum { LISTED = 10000 }; /* the map has all */
	struct json *j = js_object(), *lost = js_array();

	js_str(j, "record", "export");
	js_str(j, "layer", x->l->path);
	js_u64(j, "size", x->l->size);
	js_u64(j, "written", x->out.at);
	js_str(j, "output", x->r.a->output);
	if (x->map_name)
		js_str(j, "map", x->map_name);
	js_u64(j, "lost_bytes", x->lost);
	js_u64(j, "doubtful_bytes", x->doubtful);
	for (size_t i = 0; i < x->bad.n && i < LISTED; i++) {
		const struct range *b = &x->bad.v[i];
		struct json *p = json_place(x->l->path, b->off, b->len);

		js_str(p, "state", b->grade == GRADE_LOST ? "lost" : "doubtful");
		js_str(p, "why", finding_name(b->why));
		js_add(lost, p);
	}
	js_put(j, "lost", lost);
	run_record(&x->r, j);
}

static void text_end(struct export *x)
{
	char size[SIZE_TEXT];

	progress_wipe(&x->r.progress);
	collect_sort(&x->r.found);
	if (x->r.a->quiet)
		return;
	text_findings(stderr, &x->r);
	if (!x->l || x->r.failed)
		return;
	fprintf(stderr, "vdiskck: %s (%s) went to ", x->l->path, size_text(x->out.at, size));
	text_put(stderr, x->out.name);
	if (x->lost)
		fprintf(stderr, "; %s is lost and reads as zeros", size_text(x->lost, size));
	if (x->doubtful)
		fprintf(stderr, "; %s is doubtful", size_text(x->doubtful, size));
	if (x->map_name && x->lost) {
		fputs("; see ", stderr);
		text_put(stderr, x->map_name);
	}
	fputc('\n', stderr);
}

static int status_of(struct export *x)
{
	if (x->lost || x->doubtful)
		return DAMAGED;
	return x->r.failed || session_stopped(&x->r.s) ? UNDECIDABLE : INTACT;
}

int cmd_export(const struct args *a)
{
	struct export x = {.out = {.fd = -1}, .map = {.fd = -1}};
	int status;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	if (!a->output)
		return usage_hint(a, "where to? -o FILE, or -o - for standard output");
	if (a->json && !strcmp(a->output, "-"))
		return usage_hint(a, "--json and -o - both want standard output");
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of write() */
	run_init(&x.r, a);
	x.r.s.opt.disk_only = !a->at && !a->volume;
	if (!run_open(&x.r) && !prepare(&x)) {
		export_layer(&x);
		if (a->json)
			record(&x);
	}
	status = status_of(&x);
	if (!a->json)
		text_end(&x);
	out_file_close(&x.out);
	out_file_close(&x.map);
	ranges_free(&x.bad);
	free(x.map_name);
	return run_end(&x.r, status);
}
