/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_SCRUB_WITNESS_H
#define VDISKCK_SCRUB_WITNESS_H

#include "formats/fs/fs.h"
#include "vdiskck/scrub_usn.h"

/* A file of a volume, and what it says of when it was written to. */
struct witness {
	uint64_t id, generation;
	char *path;
	int64_t when;  /* last written to, by its times */
	bool timeless; /* it is deleted, the file system's own, or has no times */
	bool touched;  /* its metadata lies in sectors that changed */
	bool is_log;   /* EVTX */
	struct usn_file usn;
};

/*
 * witness() - the file of an entry in *@all, made when it is first met; NULL: no memory
 * witness_find() - by number and generation; NULL: it was not met
 */
struct witness *witness(void **all, const struct fs_entry *e);
struct witness *witness_find(void *all, uint64_t id, uint64_t generation);
void witnesses_free(void *all);

#endif
