/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of case.sqlite that have many rows. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/case_db_internal.h"
#include "vdiskck/core/text.h"
#include "vdiskck/filespec.h"
#include "vdiskck/out_entry.h"

static void finding_row(struct db_put *p, uint64_t id, const struct entry *e)
{
	db_u64(p, 1, id);
	db_text(p, 2, finding_name(e->id));
	db_text(p, 3, severity_name(finding_severity(e->id)));
	db_text(p, 4, e->layer);
	if (e->len || e->at.len) {
		db_u64(p, 5, e->len ? e->off : e->at.off);
		db_u64(p, 6, e->len ? e->len : e->at.len);
	}
	db_text(p, 7, e->message);
	db_text(p, 8, e->stored);
	db_text(p, 9, e->expected);
	db_text(p, 10, e->path);
	if (e->path)
		db_u64(p, 11, e->path_off);
	db_text(p, 12, e->lost ? "lost" : e->doubtful ? "doubtful" : NULL);
	db_row(p);
}

void case_db_findings(struct case_db *d, const struct collect *c)
{
	struct db_put *finding =
		db_prepare(d->db, "INSERT INTO findings VALUES(?,?,?,?,?,?,?,?,?,?,?,?)");
	struct db_put *place = db_prepare(d->db, "INSERT INTO finding_places VALUES(?,?,?,?,?)");
	struct db_put *file = db_prepare(d->db, "INSERT OR IGNORE INTO finding_files VALUES(?,?)");

	case_db_part(d);
	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = &c->v[i];

		finding_row(finding, i + 1, e);
		for (size_t k = 0; k < e->n_where; k++) {
			db_u64(place, 1, i + 1);
			db_u64(place, 2, k + 1);
			db_text(place, 3, e->where[k].layer);
			db_u64(place, 4, e->where[k].off);
			db_u64(place, 5, e->where[k].len);
			db_row(place);
		}
		for (size_t k = 0; k < e->n_paths; k++) {
			db_u64(file, 1, i + 1);
			db_text(file, 2, e->paths[k]);
			db_row(file);
		}
	}
	db_done(finding);
	db_done(place);
	db_done(file);
}

void case_db_damage(struct case_db *d, const struct files_hit *h)
{
	struct db_put *p =
		db_prepare(d->db, "INSERT INTO damage VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?)");

	case_db_part(d);
	for (size_t i = 0; i < h->n; i++) {
		const struct file_hit *f = &h->v[i];
		char why[256] = "";

		for (unsigned k = 0; k < f->n_why; k++)
			snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s%s", k ? " " : "",
				 finding_name(f->why[k]));
		db_text(p, 1, rank_name(f->rank));
		db_text(p, 2, f->fs->path);
		db_text(p, 3, f->path);
		db_text(p, 4, f->structure);
		if (f->path) {
			db_u64(p, 5, f->id);
			db_u64(p, 6, f->size);
			db_u64(p, 7, f->deleted);
		}
		db_u64(p, 8, f->lost);
		db_u64(p, 9, f->doubtful);
		db_u64(p, 10, f->structure_lost);
		if (f->first != UINT64_MAX)
			db_u64(p, 11, f->first);
		db_text(p, 12, why);
		db_row(p);
	}
	db_done(p);
}

static void extent_row(struct db_put *p, const char *layer, uint64_t off, uint64_t len,
		       const char *state, const char *why)
{
	db_text(p, 1, layer);
	db_u64(p, 2, off);
	db_u64(p, 3, len);
	db_text(p, 4, state);
	db_text(p, 5, why);
	db_row(p);
}

static void bad_rows(struct db_put *p, const char *layer, const struct ranges *bad)
{
	for (size_t i = 0; i < bad->n; i++)
		extent_row(p, layer, bad->v[i].off, bad->v[i].len,
			   bad->v[i].grade == GRADE_LOST ? "lost" : "doubtful",
			   finding_name(bad->v[i].why));
}

/* The map of the disk: cells that look alike are one row. What is bad has rows of its own. */
static void map_rows(struct db_put *p, const struct diskmap *m, const char *layer)
{
	for (size_t i = 0, next; i < m->n; i = next) {
		struct cell c = diskmap_part(m, i, m->n);
		enum cell_kind k = cell_shown(&c);
		uint64_t from, off, len;

		diskmap_bounds(m, i, m->n, &from, &len);
		off = from;
		for (next = i + 1; next < m->n; next++) {
			struct cell more = diskmap_part(m, next, m->n);

			if (cell_shown(&more) != k)
				break;
			diskmap_bounds(m, next, m->n, &off, &len);
		}
		if (k <= CELL_UNKNOWN)
			extent_row(p, layer, from, off + len - from, cell_name(k), NULL);
	}
}

void case_db_extents(struct case_db *d, const struct diskmap *m, struct layer *disk,
		     const struct impact *hit)
{
	struct db_put *p = db_prepare(d->db, "INSERT INTO extents VALUES(?,?,?,?,?)");

	case_db_part(d);
	map_rows(p, m, disk->path);
	bad_rows(p, disk->path, &m->bad);
	for (size_t i = 0; i < hit->n; i++)
		if (hit->v[i].l != disk)
			bad_rows(p, hit->v[i].l->path, &hit->v[i].hit);
	db_done(p);
}

void case_db_boot(struct case_db *d, const struct boot *b)
{
	struct db_put *p = db_prepare(d->db, "INSERT INTO boot VALUES(?,?,?,?,?,?)");
	char name[BOOT_NAME];

	case_db_part(d);
	for (size_t i = 0; i < b->n; i++) {
		db_u64(p, 1, i + 1);
		db_text(p, 2, b->v[i].what);
		db_text(p, 3, boot_state_name(b->v[i].state));
		db_text(p, 4, b->v[i].place);
		db_text(p, 5, b->v[i].evidence);
		if (b->v[i].system)
			db_text(p, 6,
				boot_name(&b->system[b->v[i].system - 1], name, sizeof(name)));
		db_row(p);
	}
	db_done(p);
}

/* The number that case_db_findings() gave to what a cause is of. */
static uint64_t finding_of(const struct collect *found, const struct cause *c)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->v[i].number == c->number)
			return i + 1;
	return 0;
}

void case_db_causes(struct case_db *d, const struct causes *c, const struct collect *found)
{
	struct db_put *p = db_prepare(d->db, "INSERT INTO causes "
					     "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	char when[2][TIME_TEXT];

	case_db_part(d);
	for (size_t i = 0; i < c->n; i++) {
		const struct cause *k = &c->v[i];

		db_u64(p, 1, i + 1);
		db_u64(p, 2, finding_of(found, k));
		db_text(p, 3, cause_kind_name(k->kind));
		db_text(p, 4, cause_side_name(k->side));
		db_text(p, 5, cause_sure_name(k->sure));
		db_text(p, 6, k->text);
		db_text(p, 7, k->at.layer);
		db_u64(p, 8, k->at.off);
		db_u64(p, 9, k->at.len);
		if (k->stored.len) {
			db_text(p, 10, k->stored.layer);
			db_u64(p, 11, k->stored.off);
		}
		if (k->unit)
			db_u64(p, 12, k->unit);
		db_text(p, 13, k->path);
		if (k->dated)
			db_text(p, 14, time_text(k->written, 0, when[0]));
		if (k->beside) {
			db_text(p, 15, k->beside);
			db_text(p, 16, time_text(k->beside_written, 0, when[1]));
		}
		db_row(p);
	}
	db_done(p);
}

struct file_rows {
	struct run *r;
	struct case_db *d;
	struct db_put *put;
	const char *layer;
};

static void time_column(struct db_put *p, int i, const struct fs_time *t, char buf[TIME_TEXT])
{
	if (t->set)
		db_text(p, i, time_text(t->sec, t->nsec, buf));
}

static int file_row(void *arg, const struct fs_entry *e)
{
	struct file_rows *rows = arg;
	struct db_put *p = rows->put;
	char time[4][TIME_TEXT];

	db_text(p, 1, rows->layer);
	db_text(p, 2, e->path);
	db_u64(p, 3, e->id);
	db_text(p, 4, fs_kind_name(e->kind));
	db_u64(p, 5, e->deleted);
	db_u64(p, 6, e->size);
	time_column(p, 7, &e->modified, time[0]);
	time_column(p, 8, &e->changed, time[1]);
	time_column(p, 9, &e->born, time[2]);
	time_column(p, 10, &e->accessed, time[3]);
	db_text(p, 11, fs_sure_name(e->data_sure));
	db_row(p);
	return session_stopped(&rows->r->s) ? -EINTR : db_error(rows->d->db);
}

int case_db_files(struct case_db *d, struct run *r)
{
	struct file_rows rows = {
		r, d, db_prepare(d->db, "INSERT INTO files VALUES(?,?,?,?,?,?,?,?,?,?,?)"), NULL};
	const struct fs_query all = {.recursive = true, .deleted = true};
	struct volumes vs = {0};
	int err = volumes_find(r, &vs);

	case_db_part(d);
	for (size_t i = 0; i < vs.n && !err; i++) {
		rows.layer = vs.v[i].l->path;
		err = vs.v[i].l->ops->fs->walk(vs.v[i].l, &all, file_row, &rows);
		/* What can't be walked has a finding; the others still can. */
		if (err != -EINTR && err != -ENOMEM)
			err = db_error(d->db);
	}
	db_done(rows.put);
	volumes_free(&vs);
	return db_error(d->db) ? 0 : err; /* the former was said */
}

void case_db_recovered(struct case_db *d, const char *output, uint64_t size, const char *sha256)
{
	if (!d->recovered) {
		case_db_part(d);
		d->recovered = db_prepare(d->db, "INSERT INTO recovered VALUES(?,?,?)");
	}
	db_text(d->recovered, 1, output);
	db_u64(d->recovered, 2, size);
	db_text(d->recovered, 3, sha256);
	db_row(d->recovered);
}
