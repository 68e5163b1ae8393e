/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of all logs, in the order of time, however many: runs are sorted in memory, written to a
 * temporary file, and merged. The same record from several places (a live log, its slack, free
 * space) comes out once, from where it is surest.
 */
#ifndef VDISKCK_EVENT_SORT_H
#define VDISKCK_EVENT_SORT_H

#include "formats/log/log.h"

/* What an event is sorted by; fixed size, and copied around before its line. */
struct event_key {
	int64_t sec;
	uint32_t nsec;
	uint8_t known;	/* has a time; those that have none come last */
	uint8_t state;	/* enum log_state: of equal records the lowest is kept */
	uint8_t has_id; /* only what has a record id can be the same record */
	uint8_t pad;
	uint64_t channel; /* hash of source and channel */
	uint64_t id;
	uint64_t order; /* as they came: keeps what is equal in order */
	uint32_t len;	/* of the line that follows */
	uint32_t mark;	/* the caller's */
};

struct event_sort;

/* event_sort_new() - @dir: an open folder for the temporary file, which has no name in it */
struct event_sort *event_sort_new(int dir);
/* event_sort_key() - the key of an event, all but @order and @len */
struct event_key event_sort_key(const struct log_event *e);
/* event_sort_add() - one event; @line: k->len bytes. 0, -ENOMEM or -errno of the file. */
int event_sort_add(struct event_sort *s, const struct event_key *k, const char *line);
/*
 * event_sort_each() - all of them in order, once; 0, what @fn returned, or -errno
 * *@copies: how many were the same record again
 */
int event_sort_each(struct event_sort *s,
		    int (*fn)(void *arg, const struct event_key *k, const char *line), void *arg,
		    uint64_t *copies);
/* event_sort_count() - how many were added */
uint64_t event_sort_count(const struct event_sort *s);
void event_sort_free(struct event_sort *s);

#endif
