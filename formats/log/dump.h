/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps of Windows: inside of dump.c (kernel's) and dump_program.c (minidumps). */
#ifndef VDISKCK_FORMATS_LOG_DUMP_H
#define VDISKCK_FORMATS_LOG_DUMP_H

#include "formats/log/buf.h"
#include "formats/log/log.h"
#include "vdiskck/core/endian.h"

/* MINIDUMP_HEADER, minidumpapiset.h */
struct mdmp_header {
	char signature[4]; /* "MDMP" */
	le32_t version;	   /* its low half: 0xa793 */
	le32_t streams;
	le32_t directory; /* offset in the file, as are all RVAs */
	le32_t sum;	  /* nobody computes it */
	le32_t time;	  /* since 1970 */
	le64_t flags;
};
_Static_assert(sizeof(struct mdmp_header) == 32, "minidumpapiset.h");

struct dump_event {
	struct log_event e;
	struct buf data, message;
};

void dump_hex(struct buf *d, const char *key, uint64_t v);
/* mdmp_event() - fill in what a program's dump says */
int mdmp_event(struct layer *l, struct dump_event *x);

#endif
