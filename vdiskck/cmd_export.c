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
#include "vdiskck/core/text.h"
#include "vdiskck/out_file.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"

struct export
{
	struct run r;
	struct layer *l;
	struct out_file out, map;
	char *map_name; /* NULL: no map is written */
	struct ranges bad;
	uint64_t lost, doubtful;
};

static int deliver(void *arg, struct piece *p)
{
	struct export *x = arg;
	int r = ranges_append(&x->bad, &p->bad);

	if (!r && p->kind == EXTENT_LOST && !p->bad.n)
		r = ranges_add(&x->bad, p->off, p->len, GRADE_LOST, LAYER_UNREADABLE);
	if (!r)
		r = p->kind == EXTENT_DATA ? out_file_write(&x->out, p->buf, p->len)
					   : out_file_zeros(&x->out, p->len);
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

static int export_layer(struct export *x)
{
	struct engine e = {.l = x->l,
			   .len = x->l->size,
			   .order = ENGINE_IN_ORDER,
			   .what = "exporting",
			   .deliver = deliver,
			   .arg = x};
	int r = engine_run(&e), closed;

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
	if (x->l->state || x->l->locked)
		return run_fail(&x->r, 0, "%s is %s", x->l->path, layer_state_name(x->l));
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
	if (!run_begin(&x.r, a) && !prepare(&x)) {
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
