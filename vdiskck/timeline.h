/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The logs' part of a case: logs/ as `vdiskck logs` writes it, timeline.jsonl for Timesketch, and
 * what the last events say about why the machine died.
 */
#ifndef VDISKCK_TIMELINE_H
#define VDISKCK_TIMELINE_H

#include <stdio.h>

#include "vdiskck/case.h"
#include "vdiskck/logs.h"

enum { SYMPTOMS_KEPT = 40 };

/* An event that a rule of recover/symptoms.def fits. */
struct symptom_seen {
	struct log_time time;
	unsigned rule;
	uint64_t times; /* that this and the ones just before it are the same */
	char *line;	/* its record */
};

struct timeline {
	/* Each event in the order of time, with its line of JSON; 0, or -errno to stop. May be NULL. */
	int (*on_event)(void *arg, const struct event_key *k, const char *line);
	void *arg;
	uint64_t events, doubtful, carved, missing, copies;
	struct log_time first, last;		 /* of all events with a time */
	struct symptom_seen seen[SYMPTOMS_KEPT]; /* the last ones, oldest first */
	size_t n_seen;
	uint64_t symptoms; /* all of them */
	uint64_t logs;
};

/*
 * timeline_make() - read all logs into the case
 * Emits "log" and "missing" records. Returns 0, -EINTR, or -errno, said; timeline_free().
 */
int timeline_make(struct timeline *t, struct run *r, struct case_dir *c);
void timeline_free(struct timeline *t);
/* timeline_text() - as people read it */
void timeline_text(FILE *f, const struct timeline *t);

#endif
