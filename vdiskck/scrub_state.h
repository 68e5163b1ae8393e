/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a scrub, in a file: how far it came, so that another run goes on from there as
 * if nothing had happened; and, once it is complete, the result, for `status` and for the next one.
 *
 * One JSON object. It is written beside its place, synced and renamed, so it is always whole.
 */
#ifndef VDISKCK_SCRUB_STATE_H
#define VDISKCK_SCRUB_STATE_H

#include "vdiskck/scrub.h"

struct json;

enum { STATE_HASH = 65 };

struct state {
	struct run *r;
	const char *path; /* NULL: none is kept; all of this does nothing then */
	int lock;	  /* the file as it stands, locked; -1 */
	struct scrub *v;  /* what is compared; the caller's */
	size_t n;
	char config[STATE_HASH];       /* of all that must be the same to go on */
	int64_t begun;		       /* seconds since 1970: of the first of the runs that go on */
	uint64_t seconds;	       /* that the earlier ones of them took */
	uint64_t saved_ns, saved_read; /* the last checkpoint */
	bool resumed;		       /* some of it was done before */
	bool broken;		       /* it could not be saved: said once */
	struct json *before;	       /* the file as it was found, or NULL */
	struct parts *parts;	 /* of checkup(), and what they found; NULL: no file is kept */
	int64_t verified;	 /* when the last complete run began; 0: never */
	uint64_t verified_bytes; /* by all runs */
};

/*
 * state_open() - lock the file, and read what is there; before the seals are looked at
 * 0, or -errno after run_fail(): another run has it, or it is no state.
 */
int state_open(struct state *st, struct run *r, const char *path);
/*
 * state_begin() - @v is ready to be compared: take from the file what is known of it
 * @resume: go on with what was not complete; -ESTALE, said, when that was something else.
 * The new state is saved at once.
 */
int state_begin(struct state *st, struct scrub *v, size_t n, bool resume);
/* state_checkpoint() - save if it is time to: for scrub.on_leaf, with the state in scrub.arg */
int state_checkpoint(struct scrub *s);
/* state_save() - now. @status: of the complete run; -1: it is not complete. */
void state_save(struct state *st, int status);
/* state_json() - what would be saved */
struct json *state_json(struct state *st, int status);
void state_close(struct state *st);
/* state_recent() - was it, or its seal, verified within @days, and nothing bad found then? */
bool state_recent(const struct state *st, const struct scrub *s, uint64_t days, int64_t *when);

/* A pass alone, as shards hand it over. state_get_pass(): false when it is damaged. */
struct json *state_put_pass(const struct scrub *s);
bool state_get_pass(const struct json *j, struct scrub *s);
/* state_is_of() - is it a pass over this generation of this seal? */
bool state_is_of(const struct json *j, const struct scrub *s);
/* state_is() - is it a state, be @j NULL? */
bool state_is(const struct json *j);
/* state_config() - hash of what @v compares, as text */
void state_config(const struct scrub *v, size_t n, char out[STATE_HASH]);
/* state_write() - @j to a file, atomically: beside it, fsync, rename. Frees @j. 0 or -errno.
 * @lock: NULL, or a lock that moves to the new file. */
int state_write(const char *path, struct json *j, int *lock);
/* state_load() - the JSON object in a file of at most 256 MiB; NULL: none, or damaged */
struct json *state_load(const char *path);

#endif
