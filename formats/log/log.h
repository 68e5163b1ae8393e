/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kind of log gives, and how it is asked. A log is a layer: a bare file, a file of some
 * file system, a piece of free space. Its driver knows no file system, and does three things:
 *
 *	records	 the log's own records in file order, each with its identity, its place, and how
 *		 far it can be trusted; what can be told about records that are gone goes to a ledger
 *	carve	 records in arbitrary bytes, window by window
 *	check	 findings: its struct layer_ops, of kind LAYER_LOG, by the same name
 *
 * Memory is bounded, whatever the size of the log: an event and its texts live only until the
 * callback that gets them returns.
 */
#ifndef VDISKCK_FORMATS_LOG_LOG_H
#define VDISKCK_FORMATS_LOG_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/log/buf.h"
#include "vdiskck/core/layer.h"

/* UTF-8, not terminated. From disk: may hold anything, and is escaped where it is written. */
struct log_text {
	const char *p;
	size_t len;
};

#define LOG_TEXT(s) ((struct log_text){s, sizeof(s) - 1})

/* Since 1970, UTC. FILETIME's range is wider than nanoseconds in 64 bits can say. */
struct log_time {
	int64_t sec;
	uint32_t nsec;
	bool known;
};

enum log_state {
	LOG_INTACT,   /* where a live log has it, and every check on the way held */
	LOG_DOUBTFUL, /* there, but a check failed: @failed */
	LOG_CARVED, /* whole by its own frame, but no live structure leads to it: slack, free space */
};

/* Checks on the way to a record, for log_event.failed. */
enum {
	LOG_SUM = 1,	  /* the checksum over the structure that holds it */
	LOG_HEADER = 2,	  /* that structure's own header */
	LOG_ORDER = 4,	  /* its id does not follow the one before it */
	LOG_CONTENT = 8,  /* what it says could not be decoded to the end; @data has what could */
	LOG_LOST = 16,	  /* some of its bytes can't be read: zeros are in their place */
	LOG_FOREIGN = 32, /* rendered with a template of another structure, found by its name */
};

struct log_event {
	struct log_time time;	 /* when it happened, by the event itself; else @written */
	struct log_time written; /* when the log's writer stored it */
	const char *source;	 /* the driver: "evtx" */
	struct log_text channel, provider, computer, level, message;
	struct log_text data; /* one JSON value; empty: nothing more is known */
	uint64_t event_id, record_id;
	bool has_event_id, has_record_id;
	const char *path;  /* of the log's file, set by who knows it; NULL: not in a file */
	uint64_t off, len; /* in the layer that was asked */
	enum log_state state;
	unsigned failed; /* checks that failed: LOG_SUM ... */
};

struct log_ledger;
struct log_run;
struct log_words; /* words.h: what events of Windows say as text */

struct log_sink {
	void *arg;
	/* Each event; 0, or -errno to stop. One call at a time, in file order. */
	int (*event)(void *arg, const struct log_event *e);
	/*
	 * Or, where events are many: @render is called on worker threads, in any order, and appends
	 * what it makes of the event to @out; @text gets that in file order, many events at a time.
	 */
	int (*render)(void *arg, const struct log_event *e, struct buf *out);
	int (*text)(void *arg, const char *p, size_t len);
	unsigned jobs; /* threads, 0: session_jobs() */
	bool slack;    /* also records of the log's unused space that are not among the live ones */
	struct log_ledger *ledger; /* told about ids; may be NULL */
	struct log_run *run;	   /* what logs of one run share; may be NULL */
	struct log_words *words;   /* who knows messages; NULL: events have none */
	struct log_time modified;  /* of the log's file: no line of it is younger; or not known */
};

struct log_driver {
	const struct layer_ops *ops; /* name, probe, check */
	/* Where it is found on a volume: patterns for paths, lower case, NULL-terminated. */
	const char *const *where;
	bool large;	/* a file of it is too large to be copied beside its events */
	bool rare;	/* most files at those places are something else, and nobody misses them */
	bool no_news;	/* every volume has one, mostly without records: then it is not mentioned */
	bool unordered; /* its records are in no order of time: a clock that goes back is no news */
	bool asked; /* files are read only where its name is asked for: there would be too many events */
	/*
	 * How many records it says it has, 0: it does not say. For logs whose ids have gaps though
	 * nothing is lost; those of others are all missing that are in none of its records.
	 */
	uint64_t (*stated)(struct layer *l);
	/* Every record of the log in @l. 0: to the end, whatever was lost; else -errno. */
	int (*records)(struct layer *l, const struct log_sink *sink);
	/*
	 * Report what begins in the first @len bytes at @p, which is byte @off of the layer; @more
	 * bytes follow that (CARVE_AHEAD of them, unless the layer ends) and belong to the next
	 * window. NULL: can't be carved. @state: from carve_begin(), of one scan.
	 */
	int (*carve)(void *state, const uint8_t *p, size_t len, size_t more, uint64_t off);
	void *(*carve_begin)(struct layer *l, const struct log_sink *sink); /* NULL: no memory */
	/* What had to wait for the rest is reported, unless @r (the scan's result) says stop. */
	int (*carve_end)(void *state, int r);
};

enum { CARVE_AHEAD = 128 << 10 };

/* Every log driver, in the order tried; NULL-terminated. logs.c */
extern const struct log_driver *const log_formats[];
/* log_format() - the driver whose layer @l is, or NULL */
const struct log_driver *log_format(const struct layer *l);

/*
 * log_carve() - every driver's carve() over parts of a layer
 * @where: the ranges to look at, sorted (free space, slack); NULL: all of it. Records that lie in two
 * ranges are not found: the ranges are not known to continue each other.
 */
int log_carve(struct layer *l, const struct ranges *where, const struct log_sink *sink);

/* What the logs of one run share: EVTX templates, so that a record without its own is still read. */
struct log_run *log_run_new(void);
void log_run_free(struct log_run *run);

/* log_json() - the JSON line of INTERFACE.md's "event", newline included */
void log_json(struct buf *b, const struct log_event *e);
/* log_json_time() - RFC 3339, UTC; fraction of 100 ns */
void log_json_time(struct buf *b, const struct log_time *t);
/* log_time_parse() - RFC 3339, UTC ("Z" or nothing behind it); false: it is not that */
bool log_time_parse(const char *p, size_t len, struct log_time *t);
/* log_filetime() - 100 ns since 1601, as Windows writes them */
struct log_time log_filetime(uint64_t ft);
const char *log_state_name(enum log_state s);

/*
 * The ledger: which record ids of a channel (or journal, ...) were seen, and which are missing
 * between those that are known to have been there. Ids are kept as ranges: memory grows with
 * the holes, not with the log.
 */
struct log_ledger *ledger_new(void);
void ledger_free(struct log_ledger *g);
/*
 * ledger_seen() - a record; may be called again for a copy of it. Thread-safe, as all of these.
 * A carved one fills gaps, and widens nothing: logs go round, and older records are overwritten.
 */
int ledger_seen(struct log_ledger *g, struct log_text channel, uint64_t id, enum log_state s);
/* ledger_seen_run() - records of all ids from @first to @last */
int ledger_seen_run(struct log_ledger *g, struct log_text channel, uint64_t first, uint64_t last,
		    enum log_state s);
/* ledger_claim() - a structure says that [first, last] existed; it widens what is known */
int ledger_claim(struct log_ledger *g, struct log_text channel, uint64_t first, uint64_t last);
struct ledger_channel {
	const char *name;
	uint64_t first, last;	    /* ids known to have existed */
	uint64_t n[LOG_CARVED + 1]; /* records by state, copies counted each time */
	uint64_t missing;
};
/*
 * ledger_walk() - each channel, and then each run of missing ids in it, in order
 * @channel may be NULL, as may @gap.
 */
int ledger_walk(struct log_ledger *g, int (*channel)(void *arg, const struct ledger_channel *c),
		int (*gap)(void *arg, const struct ledger_channel *c, uint64_t first,
			   uint64_t last),
		void *arg);

#endif
