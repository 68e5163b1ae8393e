/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/case_db.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stack.h"
#include "vdiskck/case_db_internal.h"
#include "vdiskck/core/json.h"
#include "vdiskck/out_json.h"

/* vdiskck-case(5) explains each column. A change of meaning needs another user_version. */
static const char schema[] =
	"PRAGMA user_version=1;"
	"CREATE TABLE run(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE layers(id INTEGER PRIMARY KEY, layer TEXT UNIQUE, kind TEXT, size INTEGER,"
	" below INTEGER REFERENCES layers, parent INTEGER REFERENCES layers, number INTEGER,"
	" state TEXT, facts TEXT);"
	"CREATE TABLE findings(id INTEGER PRIMARY KEY, name TEXT, severity TEXT, layer TEXT,"
	" offset INTEGER, length INTEGER, message TEXT, stored TEXT, expected TEXT, path TEXT,"
	" file_offset INTEGER, state TEXT);"
	"CREATE TABLE finding_places(finding INTEGER REFERENCES findings, position INTEGER,"
	" layer TEXT, offset INTEGER, length INTEGER, PRIMARY KEY(finding, position))"
	" WITHOUT ROWID;"
	"CREATE TABLE finding_files(finding INTEGER REFERENCES findings, file TEXT,"
	" PRIMARY KEY(finding, file)) WITHOUT ROWID;"
	"CREATE TABLE damage(id INTEGER PRIMARY KEY, rank TEXT, layer TEXT, path TEXT,"
	" structure TEXT, file_id INTEGER, size INTEGER, deleted INTEGER, lost INTEGER,"
	" doubtful INTEGER, structure_lost INTEGER, first INTEGER, why TEXT);"
	"CREATE TABLE extents(layer TEXT, offset INTEGER, length INTEGER, state TEXT, why TEXT);"
	"CREATE TABLE boot(position INTEGER PRIMARY KEY, link TEXT, state TEXT, place TEXT,"
	" evidence TEXT, system TEXT);"
	"CREATE TABLE causes(id INTEGER PRIMARY KEY, finding INTEGER REFERENCES findings, kind TEXT,"
	" side TEXT, confidence TEXT, evidence TEXT, layer TEXT, offset INTEGER, length INTEGER,"
	" stored_layer TEXT, stored_offset INTEGER, unit INTEGER, path TEXT, written TEXT,"
	" beside TEXT, beside_written TEXT);"
	"CREATE TABLE events(id INTEGER PRIMARY KEY, time TEXT, source TEXT, channel TEXT,"
	" provider TEXT, event_id INTEGER, record_id INTEGER, level TEXT, computer TEXT,"
	" message TEXT, data TEXT, path TEXT, offset INTEGER, state TEXT, symptom TEXT);"
	"CREATE TABLE files(layer TEXT, path TEXT, file_id INTEGER, kind TEXT, deleted INTEGER,"
	" size INTEGER, modified TEXT, changed TEXT, born TEXT, accessed TEXT, data TEXT);"
	"CREATE TABLE recovered(output TEXT PRIMARY KEY, size INTEGER, sha256 TEXT) WITHOUT ROWID;"
	"INSERT INTO run VALUES('complete', 0);";

struct case_db *case_db_create(struct case_dir *c, struct session *s)
{
	struct case_db *d = calloc(1, sizeof(*d));
	char *path = case_path(c, "case.sqlite");

	case_made(c, "case.sqlite");
	case_made(c, "case.sqlite-journal");
	if (d && path)
		d->db = db_create(s, path);
	free(path);
	if (!d || !d->db) {
		free(d);
		return NULL;
	}
	case_db_part(d);
	db_exec(d->db, schema);
	case_db_part(d);
	d->run = db_prepare(d->db, "INSERT OR REPLACE INTO run VALUES(?,?)");
	return d;
}

void case_db_part(struct case_db *d)
{
	if (d->open)
		db_exec(d->db, "COMMIT");
	db_exec(d->db, "BEGIN");
	d->open = true;
}

void case_db_run(struct case_db *d, const char *name, const char *value)
{
	db_text(d->run, 1, name);
	db_text(d->run, 2, value);
	db_row(d->run);
}

struct layer_rows {
	struct db_put *put;
	struct layer **seen;
	size_t n, cap;
	bool no_memory;
};

/* The number of @l among the layers so far, from 1; 0: none of them. */
static uint64_t layer_id(const struct layer_rows *rows, const struct layer *l)
{
	for (size_t i = rows->n; i > 0; i--)
		if (rows->seen[i - 1] == l)
			return i;
	return 0;
}

static int layer_row(void *arg, struct layer *l)
{
	struct layer_rows *rows = arg;
	struct json *facts = js_object();

	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 32;
		struct layer **more = realloc(rows->seen, cap * sizeof(*more));

		if (!more) {
			js_free(facts);
			return -ENOMEM;
		}
		rows->seen = more;
		rows->cap = cap;
	}
	layer_info(l, facts);
	db_u64(rows->put, 1, rows->n + 1);
	db_text(rows->put, 2, l->path);
	db_text(rows->put, 3, layer_kind_name(l->ops->kind));
	db_u64(rows->put, 4, l->size);
	if (layer_id(rows, l->below))
		db_u64(rows->put, 5, layer_id(rows, l->below));
	if (layer_id(rows, l->parent))
		db_u64(rows->put, 6, layer_id(rows, l->parent));
	if (layer_number(l))
		db_u64(rows->put, 7, layer_number(l));
	db_text(rows->put, 8, layer_state_name(l));
	db_text(rows->put, 9, js_line(facts));
	db_row(rows->put);
	rows->seen[rows->n++] = l;
	js_free(facts);
	return 0;
}

void case_db_layers(struct case_db *d, struct layer *source)
{
	/* A layer's path names it; should two have one name, the first stays. */
	struct layer_rows rows = {
		.put = db_prepare(d->db, "INSERT OR IGNORE INTO layers VALUES(?,?,?,?,?,?,?,?,?)")};

	case_db_part(d);
	stack_walk(source, layer_row, &rows);
	db_done(rows.put);
	free(rows.seen);
}

int case_db_close(struct case_db *d, bool complete)
{
	int err;

	if (!d)
		return 0;
	if (d->event)
		case_db_events_end(d);
	db_done(d->recovered);
	db_exec(d->db, "COMMIT");
	/* What was written before has only been given to the kernel: now it goes to the disk. */
	db_exec(d->db, "PRAGMA synchronous=FULL");
	if (complete)
		db_exec(d->db, "UPDATE run SET value=1 WHERE name='complete'");
	db_done(d->run);
	err = db_close(d->db);
	free(d);
	return err;
}
