/* SPDX-License-Identifier: Apache-2.0 */
/* What the small parsers share: a log that presents its file's bytes as they are. */
#ifndef VDISKCK_FORMATS_LOG_SIMPLE_H
#define VDISKCK_FORMATS_LOG_SIMPLE_H

#include "formats/log/log.h"

/* log_send() - one event to whoever asked, and its id to the ledger */
int log_send(const struct log_sink *sink, const struct log_event *e);
/*
 * log_file_path() - the path inside its file system of the file that @below is; NULL: it is none
 * log_named() - is it a file whose path fits one of @where?
 */
const char *log_file_path(const struct layer *below);
bool log_named(const struct layer *below, const char *const *where);
/* log_pass_read(), log_pass_map() - the layer below, byte for byte */
int log_pass_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
int log_pass_map(struct layer *l, uint64_t off, struct extent *run);
/*
 * log_load() - the first @max bytes of the layer, at most
 * @bad: what of them is lost, sorted. @p: malloc'd. 0, -ENOMEM, -EINTR.
 */
int log_load(struct layer *l, size_t max, uint8_t **p, size_t *len, struct ranges *bad);
/* log_failed() - LOG_LOST if any of [off, off + len) is in @bad, which is sorted */
unsigned log_failed(const struct ranges *bad, uint64_t off, uint64_t len);
/* log_date() - seconds since 1970 of a date that is known to be one */
int64_t log_date(unsigned year, unsigned month, unsigned day);

/* Members of a JSON object: "key":value, with a comma before all but the first. */
void log_member(struct buf *b, const char *key, const char *p, size_t len);
void log_member_u64(struct buf *b, const char *key, uint64_t v);
/* log_object() - begins it (@b empties), log_object_end() - what an event's data takes */
void log_object(struct buf *b);
struct log_text log_object_end(struct buf *b);

#endif
