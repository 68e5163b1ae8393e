/* SPDX-License-Identifier: Apache-2.0 */
/*
 * case.sqlite: the findings of a case, and what they rest on, as tables. The schema is described
 * in vdiskck-case(5); what it says is a promise.
 *
 * Each part is one transaction, so that a run that is killed leaves whole parts, and run.complete
 * says 0 until the end. Memory does not grow with what is put in. After an error, which is said
 * once, the rest does nothing.
 */
#ifndef VDISKCK_CASE_DB_H
#define VDISKCK_CASE_DB_H

#include "vdiskck/boot.h"
#include "vdiskck/case.h"
#include "vdiskck/causes.h"
#include "vdiskck/diskmap.h"
#include "vdiskck/event_sort.h"
#include "vdiskck/run.h"

struct case_db;

/* case_db_create() - an empty database in the case; NULL after session_err() */
struct case_db *case_db_create(struct case_dir *c, struct session *s);
/* case_db_run() - a fact of the run: "program", "started" ...; @value replaces an earlier one */
void case_db_run(struct case_db *d, const char *name, const char *value);
/* case_db_layers() - every layer of the stack on @source */
void case_db_layers(struct case_db *d, struct layer *source);
/* case_db_findings() - what was kept of them, sorted, with places and files */
void case_db_findings(struct case_db *d, const struct collect *c);
/* case_db_damage() - the files and structures that were hit */
void case_db_damage(struct case_db *d, const struct files_hit *h);
/* case_db_extents() - what is lost and doubtful in each layer, and the map of the disk */
void case_db_extents(struct case_db *d, const struct diskmap *m, struct layer *disk,
		     const struct impact *hit);
void case_db_boot(struct case_db *d, const struct boot *b);
/* case_db_causes() - @found: sorted as for case_db_findings() */
void case_db_causes(struct case_db *d, const struct causes *c, const struct collect *found);
/*
 * case_db_events() - the events follow, one by one, up to case_db_events_end()
 * case_db_event() may be passed as timeline.on_event. It returns 0 or -errno of the database.
 */
void case_db_events(struct case_db *d);
void case_db_events_end(struct case_db *d);
int case_db_event(void *d, const struct event_key *k, const char *line);
/* case_db_files() - every entry of every open file system within r->volume; 0, -EINTR, -errno */
int case_db_files(struct case_db *d, struct run *r);
/* case_db_recovered() - a file that was written into the case; @output: below it */
void case_db_recovered(struct case_db *d, const char *output, uint64_t size, const char *sha256);
/*
 * case_db_close() - the last transaction, on the disk before this returns
 * @complete: the run got to its end. Returns 0 or -errno, said. @d may be NULL.
 */
int case_db_close(struct case_db *d, bool complete);

#endif
