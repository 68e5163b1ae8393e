/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_SCRUB_USN_H
#define VDISKCK_SCRUB_USN_H

#include <stdbool.h>
#include <stdint.h>

#include "vdiskck/core/layer.h"

/* What the journal says of one file. */
struct usn_file {
	int64_t data; /* when it last recorded a write to the file's data; 0: it did not */
	int64_t last; /* when it last recorded anything of it; 0: never */
	bool open; /* the last record is not the file's closing: writes to come are not recorded */
};

struct usn_journal {
	/*
	 * Its first record, if it goes on from there to the end without a gap: what it does not say
	 * since then did not happen through Windows. INT64_MAX: there is no journal, or it has holes.
	 */
	int64_t since;
};

/*
 * scrub_usn() - read the USN journal of the NTFS volume @fs
 * @find: the file of that record number and sequence, to be filled; NULL: of no interest
 * 0, -EINTR or -ENOMEM. A volume without a journal is no error.
 */
int scrub_usn(struct layer *fs, struct usn_file *(*find)(void *arg, uint64_t id, uint64_t sequence),
	      void *arg, struct usn_journal *j);

#endif
