/* SPDX-License-Identifier: Apache-2.0 */
/* One run of the program: what the user asked for, and where findings, errors and progress go. */
#ifndef VDISKCK_CORE_SESSION_H
#define VDISKCK_CORE_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vdiskck/core/findings.h"
#include "vdiskck/core/layer.h"

/* What a finding rests on and what it costs. Unused fields stay zero. */
struct fact {
	struct layer *in;    /* where @at counts; NULL: in the layer below the one that speaks */
	uint64_t at, at_len; /* the bytes that show it: the structure, the field */
	uint64_t off, len;   /* the bytes of the speaking layer that it is about; len 0: none */
	bool lost;	     /* [off, off + len) can't be had */
	bool doubtful;	     /* [off, off + len) is there, but may be wrong */
	const char *path;    /* the file that is hit: its path in the file system that speaks */
	uint64_t path_off;   /* where in it */
	const char *stored;  /* what is on disk, as text; NULL: does not apply */
	const char *expected;
};

struct finding {
	enum finding_id id;
	struct layer *layer;
	struct fact fact; /* @in is set */
	const char *message;
};

struct options {
	const char *const *chain;  /* folders where parents may lie; NULL-terminated, may be NULL */
	const char *const *header; /* --header [LAYER=]FILE, NULL-terminated; may be NULL */
	const char *bitmap;	   /* NBD: a dirty bitmap to ask the server for, or NULL */
	const char *bad_map;	   /* ddrescue map of the image, or NULL */
	const char *format;	   /* driver to use for or on the container, or NULL: probe */
	bool data;		   /* check: everything that carries a checksum or tag, too */
	bool rebuild;		   /* use tables that only content proves */
	bool disk_only; /* what stands on the disk is not asked for: discover none of it */
	unsigned jobs;	/* worker threads; 0: as many as there are processors */
};

struct keyring;
struct pace;
struct reads;

struct session {
	struct options opt;
	struct keyring *keys; /* what the user gave (crypto/keys.h), or NULL; not ours to free */
	struct pace *pace;    /* how fast the engine may read; NULL: as fast as can be */
	struct reads *reads;  /* what engines have read (reads.h); NULL: nobody wants to know */
	/* Called for each finding, one at a time. Strings live until it returns. */
	void (*on_finding)(void *arg, const struct finding *f);
	/* Called with one line of text, no newline. */
	void (*on_error)(void *arg, const char *line);
	/* Called now and then while work goes on; @total 0: not known. */
	void (*on_progress)(void *arg, const char *what, uint64_t done, uint64_t total);
	/*
	 * @l is locked and no key in @keys opens it: get one (a prompt) and add it. True: one was
	 * added, try again. NULL: nobody to ask. Not called with @lock held.
	 */
	bool (*on_locked)(void *arg, struct layer *l);
	void *arg;
	atomic_bool stop; /* set by a signal handler: finish soon, say what was not done */
	atomic_uint_fast64_t checked;  /* bytes whose structure, checksum or tag was verified */
	atomic_uint_fast64_t count[4]; /* findings by severity */
	pthread_mutex_t lock;	       /* serialises the calls above */
};

/* session_init() - a session that keeps nothing and says nothing until callbacks are set */
void session_init(struct session *s);
void session_fini(struct session *s);
unsigned session_jobs(const struct session *s);
static inline bool session_stopped(struct session *s)
{
	return atomic_load_explicit(&s->stop, memory_order_relaxed);
}
static inline void session_checked(struct session *s, uint64_t bytes)
{
	atomic_fetch_add_explicit(&s->checked, bytes, memory_order_relaxed);
}
void session_progress(struct session *s, const char *what, uint64_t done, uint64_t total);

/*
 * finding() - report one fact about the structure at [at, at + at_len) of l->below
 * finding_fact() - the same with all there is to say
 */
void finding(struct layer *l, enum finding_id id, uint64_t at, uint64_t at_len, const char *fmt,
	     ...) __attribute__((format(printf, 5, 6)));
void finding_fact(struct layer *l, enum finding_id id, const struct fact *f, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * session_mute() - until it is called with false, findings of this thread are dropped: structures are
 * looked at again that somebody else reports on. Calls nest.
 */
void session_mute(bool on);

/*
 * layer_err() - say what stopped us, led by image and layer path; @r is -errno or 0
 * Returns @r.
 */
int layer_err(struct layer *l, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int session_err(struct session *s, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * strf() - printf into one of 16 small buffers of this thread, for .stored and .expected
 * The text (at most 127 characters) is good until 16 more calls in the same thread.
 */
const char *strf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
