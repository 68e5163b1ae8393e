/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapfiles of GNU ddrescue: which bytes of a disk were rescued, and which of a layer can be had.
 * Source: `info ddrescue`, "Mapfile structure".
 */
#ifndef VDISKCK_CORE_DDMAP_H
#define VDISKCK_CORE_DDMAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vdiskck/core/ranges.h"

struct session;

/* '+' rescued. '?' not tried, '*' not trimmed, '/' not scraped, '-' bad: nobody read them. */
struct ddmap_block {
	uint64_t off, len;
	char status;
};

struct ddmap {
	struct ddmap_block *v; /* as they stand in the file; none is empty or ends past 2^63 */
	size_t n, cap;
	size_t bad_lines;      /* lines that make no sense, left out */
	size_t first_bad_line; /* number of the first, from 1 */
};

/*
 * ddmap_parse() - parse the text of a mapfile, whoever wrote it
 * Numbers are decimal, 0x or octal; the status line may lack its pass (ddrescue before 1.20) or
 * be missing; CR LF is taken. Lines that make no sense are counted and left out.
 * Returns 0; -EBADMSG: no line of it names a block; -ENOMEM. ddmap_free() whatever it returns.
 */
int ddmap_parse(struct ddmap *m, const char *text, size_t len);
/* ddmap_load() - parse the file at @path; what is wrong with it is said. Returns as above. */
int ddmap_load(struct session *s, const char *path, struct ddmap *m);
void ddmap_free(struct ddmap *m);
/* ddmap_end() - where the last block ends */
uint64_t ddmap_end(const struct ddmap *m);
/*
 * ddmap_lost() - what of [0, size) was not rescued, sorted, with SOURCE_BAD_MAP
 * What no block mentions was not tried, as ddrescue has it. But a map without a single rescued
 * block is a list of bad areas that somebody made: *@list is set, and the rest is good.
 */
int ddmap_lost(const struct ddmap *m, uint64_t size, struct ranges *lost, bool *list);

/*
 * ddmap_write() - a mapfile that covers [0, size): '-' where @lost says lost, else '+'
 * @lost: sorted; what is only doubtful is there, so it is '+'. Returns 0 or -errno of the stream.
 */
int ddmap_write(FILE *f, const struct ranges *lost, uint64_t size);

#endif
