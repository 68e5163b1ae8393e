/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a triage: what was found goes into the case, and the case is closed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "formats/stack.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/triage.h"
#include "vdiskck/triage_parts.h"
#include "vdiskck/version.h"

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
	struct damage_map damage = {0};
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
		.causes = &t->causes,
		.systems = &t->systems,
		.logs = &t->logs,
		.damage = &damage,
		.saved = &t->saved,
		.parts = t->parts,
		.keys = r->a->keys || getenv("VDISKCK_KEYS"),
		.checked = r->s.checked,
	};
	int err = 0;

	if (!f)
		return -EIO;
	if (r->source && !session_stopped(&r->s))
		err = damage_map(&damage, disk_layer(r->source), &t->map.bad, &t->hit, &r->found);
	if (err && err != -EINTR)
		run_fail(r, err, "what is damaged where");
	report_html(case_stream(f), &page);
	damage_map_free(&damage);
	return case_commit(f);
}

static void on_recovered(void *arg, const char *path, uint64_t size, const char *sha256)
{
	struct triage *t = arg;
	struct recovered *s = &t->saved;

	s->files++;
	s->bytes += size;
	if (t->db)
		case_db_recovered(t->db, path, size, sha256);
	if (s->n == RECOVERED_KEPT)
		return;
	s->v[s->n] = (struct recovered_file){.path = strdup(path), .size = size};
	memcpy(s->v[s->n].sha256, sha256, sizeof(s->v[0].sha256));
	s->n += s->v[s->n].path != NULL;
}

/* Hashed once: for the manifest, the database and the report. */
static int hash_trees(struct triage *t)
{
	int err = case_manifest_tree(t->c, "files", on_recovered, t);

	return err ? err : case_manifest_tree(t->c, "logs", on_recovered, t);
}

static void fact_row(void *arg, const char *key, struct json *v)
{
	case_db_run(arg, key, js_text(v));
}

static int write_database(struct triage *t, int status, bool complete)
{
	struct run *r = &t->r;
	int err;

	if (!t->db)
		return 0;
	case_db_findings(t->db, &r->found);
	case_db_damage(t->db, &r->hit);
	case_db_extents(t->db, &t->map, disk_layer(r->source), &t->hit);
	case_db_boot(t->db, &t->boot);
	case_db_causes(t->db, &t->causes, &r->found);
	case_db_run(t->db, "image", r->a->image);
	case_db_run(t->db, "verdict", verdict_name((enum verdict)status));
	case_db_run(t->db, "headline", t->headline);
	js_each(t->facts, fact_row, t->db);
	err = case_db_close(t->db, complete);
	t->db = NULL;
	return err;
}

static int see_change(void *arg, struct layer *l)
{
	(void)arg;
	if (l->ops->kind == LAYER_SOURCE)
		source_changed(l);
	return 0;
}

/* What the report says of the run. */
static void last_facts(struct triage *t, int status)
{
	char text[160], when[TIME_TEXT];

	triage_fact(t, "ended", time_text((int64_t)time(NULL), 0, when));
	snprintf(text, sizeof(text), "%.1f s", (double)(clock_ns() - t->r.began) / 1e9);
	triage_fact(t, "took", text);
	snprintf(text, sizeof(text), "%d (%s)", status, verdict_name((enum verdict)status));
	triage_fact(t, "exit status", text);
}

int triage_end(struct triage *t)
{
	struct run *r = &t->r;
	bool stopped;
	int status, err;

	if (r->source)
		stack_walk(r->source, see_change, NULL);
	stopped = session_stopped(&r->s);
	if (stopped && !collect_has(&r->found, RUN_INTERRUPTED))
		run_interrupted(r, "what the case holds stands", "the rest was not done");
	collect_sort(&r->found);
	run_release(r);
	err = hash_trees(t);
	status = run_status(r);
	triage_headline(t, status);
	last_facts(t, status);
	if (r->source && write_map(t))
		err = -EIO;
	if (t->parts & PART_REPORT && write_html(t))
		err = -EIO;
	if (t->parts & PART_DATABASE && r->source &&
	    (!t->db || write_database(t, status, !stopped && !err)))
		err = -EIO;
	r->failed |= err != 0;
	status = run_status(r);
	run_record(r, json_summary(r, status));
	r->on_record = NULL;
	if (case_commit(t->records))
		err = -EIO;
	t->records = NULL;
	case_log(t->c, "%s: %s", verdict_name((enum verdict)status), t->headline);
	if (case_manifest(t->c))
		err = -EIO;
	/* Behind a run that was stopped, or that found no room, the same command may start over. */
	if (!err && !stopped && !t->unwritten && case_done(t->c))
		err = -EIO;
	r->failed |= err != 0;
	return run_status(r);
}
