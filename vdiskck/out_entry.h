/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of file systems as lines, for millions of them: no memory and no printf() for each.
 * Names come from disk: nothing of them reaches a terminal raw.
 */
#ifndef VDISKCK_OUT_ENTRY_H
#define VDISKCK_OUT_ENTRY_H

#include "formats/fs/fs.h"

/* A line that grows. All zeros is an empty one; free(l.p). */
struct line {
	char *p;
	size_t len, cap;
	bool failed; /* no memory: what is in it is cut */
};

void line_bytes(struct line *l, const char *p, size_t n);
void line_text(struct line *l, const char *text);
void line_u64(struct line *l, uint64_t v);
/* line_name() - as name_escape() */
void line_name(struct line *l, const char *name);
/* line_json() - a quoted JSON string; bytes that are not UTF-8 as in js_str() */
void line_json(struct line *l, const char *text);

/*
 * entry_text() - what `ls` prints of an entry, without newline
 * @volume: stands before the path, with a colon; or NULL
 * @base: print only the last part of the path; @full: the long form
 */
void entry_text(struct line *l, const struct fs_entry *e, const char *volume, bool base, bool full);
/*
 * entry_json() - the beginning of a "file" record: all that the entry says, no closing brace
 * @layer: the file system's path
 */
void entry_json(struct line *l, const char *layer, const struct fs_entry *e);

/* fs_kind_name() - "file"; fs_sure_name() - "sure" */
const char *fs_kind_name(enum fs_kind k);
const char *fs_sure_name(enum fs_sure s);
/* entry_doubtful() - its data is not as sure as an entry's that nothing happened to */
bool entry_doubtful(const struct fs_entry *e);

#endif
