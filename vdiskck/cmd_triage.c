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
#include "recover/symptoms.h"
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/out_json.h"
#include "vdiskck/triage.h"
#include "vdiskck/triage_parts.h"
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

void triage_fact(struct triage *t, const char *key, const char *value)
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
		triage_fact(t, "command", text);
	free(text);
}

static void log_start(struct triage *t)
{
	char when[TIME_TEXT], text[96];

	triage_fact(t, "program", "vdiskck " VDISKCK_VERSION);
	log_command(t);
	triage_fact(t, "started", time_text((int64_t)time(NULL), 0, when));
	triage_fact(t, "parts", parts_text(t->parts, text));
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
	triage_fact(t, key, value);
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
	if (t->parts & PART_STRUCTURES)
		checkup(r, &bad);
	else
		r->found.undecided = true; /* what was not verified is not intact */
	if (!(r->s.opt.data && t->parts & PART_STRUCTURES) && !disk->state) {
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

static void look_at_boot(struct triage *t)
{
	if (session_stopped(&t->r.s))
		return;
	boot_examine(&t->boot, &t->r);
	if (t->boot.err && t->boot.err != -EINTR)
		run_fail(&t->r, t->boot.err, "the boot chain");
	for (size_t i = 0; i < t->boot.n; i++)
		run_record(&t->r, json_boot(&t->boot, &t->boot.v[i]));
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
	if (!err)
		err = causes_find(&t->causes, &t->r);
	if (err && err != -EINTR)
		run_fail(&t->r, err, "the cause of the damage");
	causes_records(&t->r, &t->causes);
}

/* Every file with its times. */
static void list_files(struct triage *t)
{
	int err;

	if (!t->db || session_stopped(&t->r.s))
		return;
	err = case_db_files(t->db, &t->r);
	if (err && err != -EINTR)
		run_fail(&t->r, err, "the list of files");
}

/* The parts that look into the image, in an order in which each can rest on those before it. */
static void look(struct triage *t)
{
	struct run *r = &t->r;
	uint64_t before;
	int err;

	run_confine(r, NULL, (const char *[]){r->a->output, NULL});
	if (t->parts & PART_DATABASE) {
		t->db = case_db_create(t->c, &r->s);
		r->failed |= !t->db;
	}
	stack_walk(r->source, log_source, t);
	if (t->db)
		case_db_layers(t->db, r->source);
	if (r->a->hash)
		triage_hash(t, "before");
	examine(t);
	before = r->found.seen;
	if (t->parts & PART_BOOT)
		look_at_boot(t);
	if (t->parts & PART_LOGS && !session_stopped(&r->s)) {
		if (t->db) {
			case_db_events(t->db);
			t->logs.on_event = case_db_event;
			t->logs.arg = t->db;
		}
		err = timeline_make(&t->logs, r, t->c);
		t->unwritten |= err && err != -EINTR;
		if (t->db)
			case_db_events_end(t->db);
	}
	if (!session_stopped(&r->s))
		look_inside(t, before);
	if (t->parts & PART_LISTING)
		list_files(t);
	triage_extract(t);
	if (r->a->hash)
		triage_hash(t, "after");
}

/* From an empty case to its end; the exit status. */
static int triage(struct triage *t)
{
	int status;

	log_start(t);
	if (!run_open(&t->r))
		look(t);
	if (!t->r.source && !t->r.found.n) {
		/* No such file, say: nothing was learnt, so there is no case. */
		t->r.on_record = NULL;
		case_drop(t->records);
		case_abandon(t->c);
		t->c = NULL;
		return run_status(&t->r);
	}
	status = triage_end(t);
	if (!t->r.a->json)
		triage_text(t, status);
	return status;
}

int cmd_triage(const struct args *a)
{
	struct triage t = {.layers = js_array(), .facts = js_object()};
	int status = UNDECIDABLE;
	char bad[512];

	if (a->n_rest || !a->output || !a->parts) {
		js_free(t.layers);
		js_free(t.facts);
		if (a->n_rest)
			return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
		if (!a->parts)
			return usage_hint(a, "--only and --skip leave no part");
		return usage_hint(a, "-o CASE is needed: the folder for the report");
	}
	if (a->symptoms && symptoms_load(a->symptoms, bad, sizeof(bad))) {
		js_free(t.layers);
		js_free(t.facts);
		return usage_hint(a, "--symptoms: %s", bad);
	}
	run_init(&t.r, a);
	t.parts = a->quick ? a->parts & ~(unsigned)PART_DATA : a->parts;
	t.r.s.opt.data = t.parts & PART_DATA;
	t.r.hold = true;
	t.blocks = triage_terminal();
	t.say_error = t.r.s.on_error;
	t.r.s.on_error = on_error;
	if (!case_create(&t.r.s, a->output, a->image, &t.c))
		t.records = case_file(t.c, "report.json");
	if (t.records) {
		t.r.on_record = on_record;
		t.r.record_arg = &t;
		status = triage(&t);
	}
	case_db_close(t.db, false);
	case_close(t.c);
	impact_free(&t.hit);
	boot_free(&t.boot);
	systems_free(&t.systems);
	causes_free(&t.causes);
	timeline_free(&t.logs);
	symptoms_unload();
	diskmap_free(&t.map);
	for (size_t i = 0; i < t.saved.n; i++)
		free(t.saved.v[i].path);
	js_free(t.layers);
	js_free(t.facts);
	t.r.s.on_error = t.say_error;
	return run_end(&t.r, status);
}
