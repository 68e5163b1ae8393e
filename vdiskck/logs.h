/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every log of an image: found by its place in a file system (or being the image), copied as it is,
 * read, and carved from what no file owns. One stream of events, in the order of time.
 */
#ifndef VDISKCK_LOGS_H
#define VDISKCK_LOGS_H

#include "formats/log/log.h"
#include "vdiskck/event_sort.h"
#include "vdiskck/out_tree.h"
#include "vdiskck/run.h"

/* Where events came from: a log's file, or the free space of a layer. */
struct log_place {
	char *name;	    /* "LAYER:/path", or the layer that was carved */
	const char *source; /* "evtx"; carved: NULL, several */
	uint64_t n[LOG_CARVED + 1];
	struct log_time first, last;
	uint64_t jumps; /* times that went back by more than a minute from one record to the next */
	uint64_t lost;	/* bytes of the file that can't be read */
	bool unread;	/* no driver could open it */
	bool deleted;	/* its file was */
	bool no_news;	/* nothing in it, as mostly */
	/* Of a log whose ids have gaps by themselves: records that it says it has, and how many are not there. */
	uint64_t stated, missing;
};

/* Ids that a live log says existed, and does not have. A channel may have several logs. */
struct log_gap {
	char *channel;
	size_t place; /* index */
	uint64_t first, last;
};

struct logs_filter {
	struct log_time since, until; /* !known: no bound */
	const char *channel, *source; /* glob; NULL: all */
};

struct logs {
	struct run *r;
	struct logs_filter want;
	bool carve;
	bool check; /* report what is wrong with each log, too */
	/* -o: */
	struct out_tree *tree;			     /* raw/ is filled; NULL: nothing is written, */
	struct out_tree *(*make_tree)(void *arg);    /* unless this makes it for the first log */
	unsigned (*mark)(const struct log_event *e); /* of the key; from any thread. May be NULL. */
	/* Each event, as it is read, with its line of JSON. 0 or -errno. */
	int (*on_event)(void *arg, const struct event_key *k, const char *line);
	void *arg;
	/* Filled by logs_read(). */
	struct log_place *place;
	size_t n_places;
	/* In hand: */
	struct out_dirs dirs;
	struct log_run *run;
	struct log_words *words; /* of the volume */
	bool older;		 /* what is read is an older link of a chain */
	const char *path;	 /* of the file */
	struct log_time modified;
	struct log_time before;
	bool unordered;	     /* the log in hand */
	struct log_gap *gap; /* what each live log misses; carving gives some of it back */
	size_t n_gaps;
	struct log_ledger *regained; /* ids of gaps that carving found */
};

/* logs_read() - all of it; 0, -EINTR, or -errno, said. logs_free() whatever it returns. */
int logs_read(struct logs *g);
void logs_free(struct logs *g);
/* json_log() - the "log" record of a place */
struct json *json_log(const struct log_place *p);
/* logs_missing() - each run of ids that are still missing, gap by gap. 0, or what @fn returned. */
int logs_missing(struct logs *g,
		 int (*fn)(void *arg, const struct log_gap *in, uint64_t first, uint64_t last),
		 void *arg);

/* For logs_carve.c: a place that events come from; each event of it, as struct log_sink has them. */
struct log_place *logs_place(struct logs *g, const char *layer, const char *path);
int logs_render(void *arg, const struct log_event *e, struct buf *out);
int logs_text(void *arg, const char *p, size_t len);
void logs_close_words(struct logs *g);
/* logs_carve() - what every layer holds that nobody claims; 0 or -errno */
int logs_carve(struct logs *g);

/*
 * logs_copy() - write the file @f as it is below raw/, and a map beside it if part of it is lost
 * @root: folders above its path; @lost: bytes that are. 0 or -errno, said.
 */
int logs_copy(struct logs *g, struct layer *f, const char *root, const char *path, uint64_t *lost);

/* time_parse() - RFC 3339, or a part of it: 2018-05-14, 2018-05-14T11:52; UTC. 0 or -EINVAL. */
int time_parse(const char *text, struct log_time *t);

#endif
