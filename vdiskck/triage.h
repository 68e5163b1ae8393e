/* SPDX-License-Identifier: Apache-2.0 */
/* One run of triage, as its parts see it: cmd_triage.c leads, the others say what was found. */
#ifndef VDISKCK_TRIAGE_H
#define VDISKCK_TRIAGE_H

#include "recover/impact.h"
#include "vdiskck/boot.h"
#include "vdiskck/case_db.h"
#include "vdiskck/causes.h"
#include "vdiskck/core/json.h"
#include "vdiskck/diskmap.h"
#include "vdiskck/report_html.h"
#include "vdiskck/run.h"
#include "vdiskck/systems.h"
#include "vdiskck/timeline.h"

enum { HEADLINE = 4096 };

struct triage {
	struct run r; /* first: the session's callbacks get it as their argument */
	void (*say_error)(void *arg, const char *line);
	struct case_dir *c;
	struct case_file *records; /* report.json */
	struct case_db *db;	   /* case.sqlite; NULL: without */
	struct json *layers, *facts;
	struct diskmap map;
	struct impact hit;	/* what the lost bytes of the disk cost the layers on it */
	struct boot boot;	/* what the machine needs to start */
	struct systems systems; /* and what they say about themselves */
	struct causes causes;	/* what the shape of the damage tells of where it came from */
	struct timeline logs;
	struct recovered saved;
	char headline[HEADLINE];
	unsigned parts; /* enum triage_part */
	bool unwritten; /* part of the case could not be written */
	bool blocks;	/* the terminal takes more than ASCII */
};

/* triage_headline() - what broke, in a sentence or two, into t->headline */
void triage_headline(struct triage *t, int status);
/* triage_text() - all of it as people read it on a terminal */
void triage_text(struct triage *t, int status);
/* triage_terminal() - can standard output take more than ASCII? Asked before files are out of reach. */
bool triage_terminal(void);

/* triage_fact() - a fact of the run, for run.log, the report and the database */
void triage_fact(struct triage *t, const char *key, const char *value);
/* triage_hash() - SHA-256 of every file of the image; @when: "before", "after" */
void triage_hash(struct triage *t, const char *when);
/* triage_extract() - --files: into CASE/files, with manifest.jsonl */
void triage_extract(struct triage *t);
/* triage_end() - everything into the case, and the case closed. Returns the exit status. */
int triage_end(struct triage *t);

#endif
