/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main job: everything that can be said about an image in one go, on the screen and in a
 * folder that can be attached to an incident.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/stack.h"
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/report_html.h"
#include "vdiskck/triage.h"
#include "vdiskck/version.h"

static void on_error(void *arg, const char *line)
{
	struct triage *t = arg;

	t->say_error(arg, line);
	if (t->c)
		case_log(t->c, "error: %s", line);
}

static void on_record(void *arg, const char *line)
{
	struct triage *t = arg;

	fprintf(case_stream(t->records), "%s\n", line);
	if (t->r.a->json)
		puts(line);
}

static int on_piece(void *arg, struct layer *disk, const struct piece *p)
{
	struct triage *t = arg;

	return diskmap_piece(&t->map, disk, p);
}

/* A fact for the log and for the report. */
static void fact(struct triage *t, const char *key, const char *value)
{
	case_log(t->c, "%s: %s", key, value);
	js_str(t->facts, key, value);
}

/* The words of the command line, quoted where a shell would split them. */
static void log_command(struct triage *t)
{
	const struct args *a = t->r.a;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	fputs("vdiskck", f);
	for (int i = 0; i < a->argc; i++)
		fprintf(f, strpbrk(a->argv[i], " \t\n'\"\\$&;<>()|*?[]") ? " \"%s\"" : " %s",
			a->argv[i]);
	if (!fclose(f))
		fact(t, "command", text);
	free(text);
}

static void log_start(struct triage *t)
{
	char when[TIME_TEXT];

	fact(t, "program", "vdiskck " VDISKCK_VERSION);
	log_command(t);
	fact(t, "started", time_text((int64_t)time(NULL), 0, when));
}

static int log_source(void *arg, struct layer *l)
{
	struct triage *t = arg;
	char key[256], value[256], size[SIZE_TEXT], when[TIME_TEXT];
	int64_t mtime;

	js_add(t->layers, json_layer(l));
	if (l->ops->kind != LAYER_SOURCE)
		return 0;
	snprintf(key, sizeof(key), "file %s", l->path);
	snprintf(value, sizeof(value), "%" PRIu64 " bytes (%s), modified %s", l->size,
		 size_text(l->size, size),
		 source_mtime(l, &mtime) ? time_text(mtime, 0, when) : "at a time not known");
	fact(t, key, value);
	return 0;
}

/* Verify, read, and add up. The map shows what was examined, however the run ended. */
static void examine(struct triage *t)
{
	struct run *r = &t->r;
	struct layer *disk = disk_layer(r->source);
	struct ranges bad = {0};
	int err = diskmap_init(&t->map, disk->size);

	if (err) {
		run_fail(r, err, "the map of the disk");
		return;
	}
	r->on_piece = on_piece;
	r->piece_arg = t;
	checkup(r, &bad);
	if (!r->s.opt.data && !disk->state) {
		err = diskmap_scan(&t->map, disk);
		if (err && err != -EINTR)
			run_fail(r, err, "the map of the disk");
	}
	err = diskmap_bad(&t->map, &bad);
	if (err)
		run_fail(r, err, "the map of the disk");
	r->lost = ranges_bytes(&t->map.bad, GRADE_LOST);
	if (!err && t->map.bad.n && !disk->state) {
		err = impact_seed(&t->hit, disk, &t->map.bad);
		if (!err)
			err = impact_run(&t->hit, r->source);
		if (err && err != -EINTR)
			run_fail(r, err, "what the lost bytes belong to");
	}
	ranges_free(&bad);
}

static int write_map(struct triage *t)
{
	struct case_file *f = case_file(t->c, "lost.map");

	if (!f)
		return -EIO;
	fputs("# Lost bytes of the disk in ", case_stream(f));
	text_put(case_stream(f), t->r.source->path);
	fputs(", by vdiskck " VDISKCK_VERSION "\n", case_stream(f));
	ddmap_write(case_stream(f), &t->map.bad, t->map.size);
	return case_commit(f);
}

static int write_html(struct triage *t)
{
	struct run *r = &t->r;
	struct case_file *f = case_file(t->c, "report.html");
	struct report page = {
		.image = r->a->image,
		.headline = t->headline,
		.complete = !session_stopped(&r->s) && !r->failed,
		.read_all = r->s.opt.data,
		.layers = t->layers,
		.findings = &r->found,
		.run = t->facts,
		.map = &t->map,
		.disk = r->source ? disk_layer(r->source)->path : "none",
		.hit = &t->hit,
		.files = &r->hit,
		.boot = &t->boot,
		.systems = &t->systems,
		.logs = &t->logs,
		.checked = r->s.checked,
	};

	if (!f)
		return -EIO;
	report_html(case_stream(f), &page);
	return case_commit(f);
}

/* All that does not depend on whether the rest could be written; then the summary. */
static int write_case(struct triage *t)
{
	struct run *r = &t->r;
	char text[160], when[TIME_TEXT];
	int status = run_status(r), err = 0;

	triage_headline(t, status);
	fact(t, "ended", time_text((int64_t)time(NULL), 0, when));
	snprintf(text, sizeof(text), "%.1f s", (double)(clock_ns() - r->began) / 1e9);
	fact(t, "took", text);
	snprintf(text, sizeof(text), "%d (%s)", status, verdict_name((enum verdict)status));
	fact(t, "exit status", text);
	if (r->source)
		err = write_map(t);
	if (write_html(t))
		err = -EIO;
	r->failed |= err != 0;
	status = run_status(r);
	run_record(r, json_summary(r, status));
	r->on_record = NULL;
	if (case_commit(t->records))
		r->failed = true;
	t->records = NULL;
	case_log(t->c, "%s: %s", verdict_name((enum verdict)status), t->headline);
	r->failed |= case_manifest(t->c) != 0;
	return run_status(r);
}

static void look_at_boot(struct triage *t)
{
	if (session_stopped(&t->r.s))
		return;
	boot_examine(&t->boot, &t->r);
	if (t->boot.err && t->boot.err != -EINTR)
		run_fail(&t->r, t->boot.err, "the boot chain");
	for (size_t i = 0; i < t->boot.n; i++)
		run_record(&t->r, json_boot(&t->boot.v[i]));
	systems_read(&t->r, true, &t->systems);
	systems_records(&t->r, &t->systems);
}

/* Hives, programs and logs were looked into since finding @before: files that this found damaged. */
static void look_inside(struct triage *t, uint64_t before)
{
	int err = damage_inside(&t->r, before);

	if (err)
		run_fail(&t->r, err, "which files are damaged");
	damage_records(&t->r);
}

/* From an empty case to its end; the exit status. */
static int triage(struct triage *t)
{
	uint64_t before;
	int status;

	log_start(t);
	if (!run_open(&t->r)) {
		run_confine(&t->r, NULL, (const char *[]){t->r.a->output, NULL});
		stack_walk(t->r.source, log_source, t);
		examine(t);
		before = t->r.found.seen;
		look_at_boot(t);
		if (!session_stopped(&t->r.s))
			timeline_make(&t->logs, &t->r, t->c);
		if (!session_stopped(&t->r.s))
			look_inside(t, before);
	}
	collect_sort(&t->r.found);
	if (!t->r.source && !t->r.found.n) {
		/* No such file, say: nothing was learnt, so there is no case. */
		t->r.on_record = NULL;
		case_drop(t->records);
		case_abandon(t->c);
		t->c = NULL;
		return run_status(&t->r);
	}
	run_release(&t->r);
	status = write_case(t);
	if (!t->r.a->json)
		triage_text(t, status);
	return status;
}

int cmd_triage(const struct args *a)
{
	struct triage t = {.layers = js_array(), .facts = js_object()};
	int status = UNDECIDABLE;

	if (a->n_rest || !a->output) {
		js_free(t.layers);
		js_free(t.facts);
		if (a->n_rest)
			return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
		return usage_hint(a, "-o CASE is needed: the folder for the report");
	}
	run_init(&t.r, a);
	t.r.s.opt.data = !a->quick;
	t.r.hold = true;
	t.blocks = triage_terminal();
	t.say_error = t.r.s.on_error;
	t.r.s.on_error = on_error;
	if (!case_create(&t.r.s, a->output, &t.c))
		t.records = case_file(t.c, "report.json");
	if (t.records) {
		t.r.on_record = on_record;
		t.r.record_arg = &t;
		status = triage(&t);
	}
	case_close(t.c);
	impact_free(&t.hit);
	boot_free(&t.boot);
	systems_free(&t.systems);
	timeline_free(&t.logs);
	diskmap_free(&t.map);
	js_free(t.layers);
	js_free(t.facts);
	t.r.s.on_error = t.say_error;
	return run_end(&t.r, status);
}
