/* SPDX-License-Identifier: Apache-2.0 */
/* Logs that are lines of text, most of which begin with a time. Inside of textlog*.c. */
#ifndef VDISKCK_FORMATS_LOG_TEXTLOG_H
#define VDISKCK_FORMATS_LOG_TEXTLOG_H

#include "formats/log/buf.h"
#include "formats/log/log.h"
#include "vdiskck/core/ranges.h"

enum {
	TEXT_LINE_MAX = 64 << 10, /* bytes of the file: a longer line comes in pieces */
};

/* A time as a line has it. What the line leaves out is found out elsewhere, or stays unknown. */
struct text_stamp {
	unsigned year; /* 0: not said */
	unsigned month, day, hour, minute, second;
	uint32_t nsec;
	int zone;    /* minutes east of UTC */
	bool zoned;  /* UTC, or a zone is said; else it is the machine's local time */
	bool epoch;  /* @since is seconds since 1970 */
	bool uptime; /* @since is seconds since the kernel started */
	uint64_t since;
};

/*
 * text_stamp() - a time at the start of a line
 * @pattern: as strptime(3) has it, of %Y %m %d %e %H %M %S %b %a, and
 *	%f  a fraction, if there is one	      %z  a zone, if there is one
 *	%s  seconds since 1970		      %u  seconds since the start, with a fraction
 *	%*  anything up to the next character of the pattern
 * A blank stands for one or more blanks and tabs.
 * Returns the length that was matched, or 0.
 */
size_t text_stamp(const char *pattern, const char *p, size_t len, struct text_stamp *t);

/* What there is in the rest of the line. */
enum text_split {
	SPLIT_NONE,
	SPLIT_SYSLOG, /* host program[pid]: message, or LEVEL message */
	SPLIT_COMMA,  /* level    component   message, as Windows' servicing logs have it */
	SPLIT_AUDIT,  /* :serial): */
	SPLIT_PYTHON, /* - module[LEVEL]: */
};

struct text_kind {
	const char *name, *pattern;
	enum text_split split;
	bool whole; /* the message is all of the line, the time included */
};

/* A line taken apart. Texts point into the line. */
struct text_parts {
	const struct text_kind *kind; /* NULL: no time at its start: it continues what is before */
	struct text_stamp t;
	struct log_text host, program, level, message;
	uint64_t pid, id;
	bool has_pid, has_id;
};

void text_parse(const char *p, size_t len, struct text_parts *out);
/* text_leads() - does this line begin an event whose time is in the next line? setupapi.dev.log */
bool text_leads(const char *p, size_t len);

enum text_coding { TEXT_UTF8 /* or whatever has ASCII in it */, TEXT_UTF16 };

struct text_line {
	const char *p; /* UTF-8, without the line's end; good until the next one is asked for */
	size_t len;
	uint64_t off, raw; /* in the layer */
	bool hole;	   /* no line: NUL bytes, that nobody writes into a log */
	bool lost;	   /* some of its bytes can't be read */
	bool ended;	   /* there is a line end behind it */
	bool noise;	   /* it is no text, by its bytes: what took the place of lines */
};

struct text_lines {
	struct layer *in;
	const uint8_t *mem; /* instead of @in */
	size_t mem_len;
	/* In hand: */
	uint8_t *buf;
	size_t at, have;
	uint64_t next; /* what was not read yet */
	struct ranges bad;
	enum text_coding coding;
	struct buf utf8;
	bool begun;
};

enum {
	TEXT_HOLE_MIN = 16, /* fewer zeros beside noise are of it */
	TEXT_TELLING = 8,   /* bytes by which a line can be told from noise */
};

/* text_next() - 1: a line; 0: there is no more; -errno. text_end() whatever it returned. */
int text_next(struct text_lines *x, struct text_line *line);
void text_end(struct text_lines *x);

/* The years of a log whose lines have none, and when its kernels started: textlog_when.c */
enum { TEXT_BOOTS = 64 };
struct text_when {
	unsigned base;	  /* year of the first line; 0: not known */
	const char *from; /* how it is known */
	unsigned rolled;  /* new years since */
	unsigned month;	  /* of the line before */
	unsigned month_day;
	unsigned boots; /* starts since */
	uint64_t uptime;
	struct {
		int64_t sec;
		uint32_t nsec;
		bool known;
	} boot[TEXT_BOOTS];
};

/* text_when_note() - a line of the first pass; text_when_done() - after the last of them */
void text_when_note(struct text_when *w, const struct text_parts *line);
void text_when_done(struct text_when *w, const struct log_time *written);
/* text_when() - the time of a line, of the second pass; lines in the same order as before */
struct log_time text_when(struct text_when *w, const struct text_stamp *t);

/* An open log. */
struct textlog {
	uint8_t *text; /* unpacked; NULL: the file is no archive */
	bool broken;   /* the archive is damaged: nothing vouches for its text */
};

extern const char *const textlog_where[];
int textlog_probe(struct layer *below);
int textlog_open(struct layer *l);
int textlog_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
int textlog_map(struct layer *l, uint64_t off, struct extent *run);
int textlog_records(struct layer *l, const struct log_sink *sink);

#endif
