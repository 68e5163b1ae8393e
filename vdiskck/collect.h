/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where findings go: copies that outlive the layers they speak of, counted, sorted, and summed
 * up in a verdict. Every view (text, JSON, report, exit status) is a view of this.
 *
 * Memory is bounded: of each kind of finding in each layer the first COLLECT_KEEP are kept, the
 * rest is counted; on_entry sees all of them.
 */
#ifndef VDISKCK_COLLECT_H
#define VDISKCK_COLLECT_H

#include <stddef.h>

#include "vdiskck/core/ranges.h"
#include "vdiskck/core/session.h"

enum { COLLECT_KEEP = 1000 };

/* The exit status of the program has the same numbers. */
enum verdict { INTACT, BLEMISHED, DAMAGED, UNDECIDABLE };

/* Some bytes of some layer, which may be gone by now. */
struct place {
	const char *layer; /* its path; a source's is its file name */
	uint64_t off, len;
};

struct entry {
	enum finding_id id;
	const char *layer; /* path of the layer that speaks */
	const char *message;
	const char *stored, *expected; /* or NULL */
	const char *path;	       /* the file that is hit, or NULL */
	char **paths;		       /* files that its lost bytes hit: "LAYER:/path" */
	size_t n_paths;
	uint64_t more_paths; /* pieces of files beyond these */
	uint64_t path_off;   /* where in it */
	struct place at;     /* the bytes that show it; len 0: none */
	uint64_t off, len;   /* bytes of @layer that it is about; len 0: none */
	bool lost, doubtful; /* [off, off + len) is */
	struct place *where; /* @at in every layer from the image file up, then @off */
	size_t n_where;
	uint64_t number; /* in the order they came, from 0 */
	bool kept;	 /* it is among those that stay in the collection */
};

enum { ENTRY_PATHS = 8 };
/* entry_hits() - the file at @path is one that @e hit; 0 or -ENOMEM */
int entry_hits(struct entry *e, const char *path);

/* All findings of one id in one layer. */
struct tally {
	enum finding_id id;
	const char *layer;
	uint64_t count, kept;
	uint64_t lost;	/* the sum of what each one costs; may count a byte twice */
	uint64_t first; /* number of its first entry */
};

/* What findings say is lost or doubtful in one layer. */
struct collect_lost {
	const char *layer;
	struct ranges r; /* in the order it came: ranges_sort() first */
};

struct collect {
	struct session *s;
	/* Called for each finding as it comes; its strings live until it returns. May be NULL. */
	void (*on_entry)(void *arg, const struct entry *e);
	void *arg;
	struct entry *v; /* what was kept; by importance after collect_sort() */
	size_t n, cap;
	struct tally *tally;
	size_t n_tally, tally_cap, tally_last;
	struct collect_lost *lost;
	size_t n_lost;
	char **name; /* layer paths: each is kept once */
	size_t n_names, names_cap;
	uint64_t seen;	/* findings so far */
	bool undecided; /* something could not be examined, for a reason that is no finding */
	bool no_memory; /* a finding could not be kept */
};

void collect_init(struct collect *c, struct session *s);
void collect_free(struct collect *c);
/* collect_finding() - the session's on_finding calls this, under the session's lock */
void collect_finding(struct collect *c, const struct finding *f);
/* collect_sort() - worst first, then what costs most; findings of one kind stay together */
void collect_sort(struct collect *c);
/* collect_tally() - how often @e's id was seen in its layer */
const struct tally *collect_tally(const struct collect *c, const struct entry *e);
/* collect_has() - was there a finding of that kind? */
bool collect_has(const struct collect *c, enum finding_id id);
/* collect_lost() - what findings of the layer @path say is lost or doubtful; NULL: nothing */
struct ranges *collect_lost(struct collect *c, const char *path);

enum verdict collect_verdict(const struct collect *c);
const char *verdict_name(enum verdict v);

#endif
