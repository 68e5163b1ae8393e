/* SPDX-License-Identifier: Apache-2.0 */
/* For owners(): who claims which of the bytes that were asked for, and what nobody did. */
#ifndef VDISKCK_FORMATS_FS_CLAIM_H
#define VDISKCK_FORMATS_FS_CLAIM_H

#include "formats/fs/fs.h"
#include "formats/fs/runs.h"

struct claims {
	const struct ranges *wanted; /* flat */
	int (*fn)(void *arg, const struct fs_owner *o);
	void *arg;
	struct ranges done; /* what was passed on */
};

/* claim() - [o->off, o->off + o->len) is @o's: what is wanted of it is passed on */
int claim(struct claims *c, const struct fs_owner *o);
/* claim_structure() - the same for metadata; @file: that it describes, or NULL */
int claim_structure(struct claims *c, uint64_t off, uint64_t len, const char *name,
		    const struct fs_entry *file);
/*
 * claim_runs() - the data of @e, or with @name a structure that is kept in runs
 * What lies behind e->size (the slack) is free.
 */
int claim_runs(struct claims *c, const struct fs_entry *e, const struct fs_runs *runs,
	       const char *name);
/*
 * claim_rest() - what nobody claimed: @what says whose the bytes from o->off on are, and lowers
 * o->len to where that ends
 */
int claim_rest(struct claims *c, void (*what)(void *arg, struct fs_owner *o), void *arg);
void claims_free(struct claims *c);

#endif
