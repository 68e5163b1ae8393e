/* SPDX-License-Identifier: Apache-2.0 */
/* What every command does around its own work: open, stream records, say how it ended. */
#ifndef VDISKCK_RUN_H
#define VDISKCK_RUN_H

#include "recover/files_hit.h"
#include "vdiskck/collect.h"
#include "vdiskck/options.h"
#include "vdiskck/progress.h"

struct json;
struct parts;
struct piece;

struct run {
	struct session s;
	const struct args *a;
	struct collect found;
	struct progress progress;
	struct layer *source; /* NULL until opened */
	struct layer *volume; /* --volume: work on this and what stands on it; NULL: on all */
	uint64_t began;	      /* clock_ns() */
	bool own_verdict;     /* the exit status is the verdict, whatever was found */
	bool failed;	      /* an error stopped the command: no verdict but for damage seen */
	char error[512];      /* the first line that said so */
	uint64_t lost;	      /* bytes of the disk that can't be had */
	struct files_hit hit; /* damage_by_name() */
	/*
	 * Records of findings with lost bytes wait for the names of the files that they hit, as far
	 * as they are kept in @found: run_release().
	 */
	bool hold;
	struct layer *asked; /* the locked layer that the user was asked about last */
	int tries;	     /* answers that did not open it */
	/* Gets every JSON record; run_init() sets it to standard output if --json was given. */
	void (*on_record)(void *arg, const char *line);
	void *record_arg;
	/* Parts of checkup() that an earlier run of the same scrub did (parts.h). May be NULL. */
	struct parts *parts;
	/* Sees each finding before it counts; true: it was said before. May be NULL. */
	bool (*on_fact)(void *arg, const struct finding *f);
	void *fact_arg;
	/* The disk was read by somebody else: what is bad of it. checkup() need not. May be NULL. */
	const struct ranges *was_read;
	/* Called by checkup() when every layer was verified, before what is lost is added up. */
	void (*on_verified)(void *arg);
	void *verified_arg;
	/* Sees every piece of the disk that checkup() reads; 0, or -errno to stop. May be NULL. */
	int (*on_piece)(void *arg, struct layer *disk, const struct piece *p);
	void *piece_arg;
};

/*
 * run_begin() - session, signals, header record; then the image and all that stands on it
 * Findings go to r->found, and as records to r->on_record. Returns 0 when there is a stack to
 * work on; otherwise the error has been said, and run_end() gives the exit status.
 */
int run_begin(struct run *r, const struct args *a);
/* run_init(), run_open() - its two halves, for a command that hooks in between; in that order */
void run_init(struct run *r, const struct args *a);
int run_open(struct run *r);
/* run_layer() - the layer that the user named by @path; NULL after an error with a hint */
struct layer *run_layer(struct run *r, const char *path);
/*
 * run_confine() - all that the command needs is open: give up what the process could do else
 * @read: further files that will be read; @write: folders to make files in; NULL-terminated, or NULL
 */
void run_confine(struct run *r, const char *const *read, const char *const *write);
/* run_fail() - this stopped the command; always returns @err */
int run_fail(struct run *r, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* run_record() - one JSON record; @j is freed */
void run_record(struct run *r, struct json *j);
/* run_release() - the records that were held back, in the order they came; once */
void run_release(struct run *r);
/* run_status() - exit status by what was found: the verdict, and 3 for a command that failed */
int run_status(const struct run *r);
/* run_end() - summary record, close everything; @status: of the program. Returns @status. */
int run_end(struct run *r, int status);

/* run_interrupted() - a signal asked to stop: report what was not @done. True if so. */
bool run_interrupted(struct run *r, const char *done, const char *not_done);

/* disk_layer() - the container of the image itself: what the guest saw as its disk */
struct layer *disk_layer(struct layer *source);
/* layer_within() - is @l the layer @volume, below it, or on it? True when @volume is NULL. */
bool layer_within(struct layer *l, struct layer *volume);

#endif
