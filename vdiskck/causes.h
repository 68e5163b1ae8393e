/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the shape of each damage says about how it came to be. Evidence with a confidence, never a
 * certainty; a damage that says nothing has no cause here.
 */
#ifndef VDISKCK_CAUSES_H
#define VDISKCK_CAUSES_H

#include <stdio.h>

#include "vdiskck/run.h"

enum cause_kind {
	CAUSE_BIT,	 /* one bit is wrong */
	CAUSE_NOISE,	 /* a cipher's block or sector of noise: what lies below it changed */
	CAUSE_ZEROED,	 /* zeros, or never written */
	CAUSE_CONSTANT,	 /* one value */
	CAUSE_FOREIGN,	 /* other data */
	CAUSE_STALE,	 /* what stood there before */
	CAUSE_TORN,	 /* parts of two writes */
	CAUSE_MISPLACED, /* written for another place */
	CAUSE_TRUNCATED, /* the end is cut off */
	CAUSE_POINTER,	 /* an entry of a table was overwritten; what it named is still there */
};

/* Where it arose, as seen from the encryption. */
enum cause_side {
	CAUSE_ANYWHERE, /* nothing tells */
	CAUSE_ABOVE,	/* in the guest: its memory, its drivers, its programs */
	CAUSE_BELOW,	/* host, network, storage */
};

enum cause_sure { CAUSE_POSSIBLE, CAUSE_LIKELY, CAUSE_STRONG };

struct cause {
	enum finding_id id;
	uint64_t number;   /* of the finding: entry.number */
	const char *layer; /* of the finding; as collect has it */
	struct place at;   /* what was looked at; its layer is ours to free */
	/* In the image file, len 0 if not known: of the finding, as its where[] has it; ... */
	struct place image;
	struct place stored; /* ... of the byte that is wrong; its layer is ours to free, too */
	enum cause_kind kind;
	enum cause_side side;
	enum cause_sure sure;
	uint64_t
		unit; /* the largest of 512, 4 KiB, 64 KiB, 2 MiB that its place and size fit; or 0 */
	char *path;   /* the file that is hit, or NULL */
	bool dated;   /* @written is known: when the file was written last, seconds since 1970 */
	int64_t written;
	/* Within 64 KiB of it: the file that was written last, and when; NULL: none is dated */
	char *beside;
	int64_t beside_written;
	char *text; /* the evidence, a sentence without its end */
};

struct causes {
	struct cause *v;
	size_t n;
	/* The most that lie together in one image file: so many, within so many bytes from @near. */
	size_t together;
	struct place near; /* layer: as where[] of the findings has it */
};

/* causes_find() - for every finding that was kept, of damage or of a damaged copy. 0 or -errno, said. */
int causes_find(struct causes *c, struct run *r);
void causes_free(struct causes *c);
/* causes_near() - what lies beside each, and when it was written; causes_find() calls it. 0 or -errno */
int causes_near(struct causes *c, struct run *r);
/* causes_put() - the evidence, and all that belongs to it, as one sentence; @put writes a text */
void causes_put(FILE *f, const struct cause *k, void (*put)(FILE *f, const char *text));
const char *cause_kind_name(enum cause_kind k); /* "bit" */
const char *cause_side_name(enum cause_side s); /* "below" */
const char *cause_sure_name(enum cause_sure s); /* "strong" */
/* causes_text() - as people read them; causes_records() - as "cause" records */
void causes_text(FILE *f, const struct causes *c);
void causes_records(struct run *r, const struct causes *c);

#endif
