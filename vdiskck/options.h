/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: which command takes what. */
#ifndef VDISKCK_OPTIONS_H
#define VDISKCK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/session.h"

enum command_bit {
	CMD_INFO = 1 << 0,
	CMD_CHECK = 1 << 1,
	CMD_LOCATE = 1 << 2,
	CMD_EXPORT = 1 << 3,
	CMD_EXPLAIN = 1 << 4,
	CMD_TRIAGE = 1 << 5,
	CMD_LS = 1 << 6,
	CMD_CAT = 1 << 7,
	CMD_EXTRACT = 1 << 8,
	CMD_SEAL = 1 << 9,
	CMD_SCRUB = 1 << 10,
	CMD_LOGS = 1 << 11,
	CMD_STATUS = 1 << 12,
	CMD_MERGE = 1 << 13,
};

enum when { WHEN_AUTO, WHEN_YES, WHEN_NO };

struct args;

struct command {
	const char *name;
	enum command_bit bit;
	int (*run)(const struct args *a); /* returns the exit status */
	const char *synopsis;		  /* behind "vdiskck NAME" */
	const char *help;
	bool no_image; /* explain: its arguments are no image */
};

/* One command line. Strings are argv's. */
struct args {
	const struct command *cmd;
	const char *image;
	char **rest; /* further arguments */
	size_t n_rest;
	struct options opt;
	const char **chain, **header; /* opt.chain, opt.header; freed by options_free() */
	const char *keys, *volume, *output, *at, *file, *map;
	bool have_offset;
	uint64_t offset, len; /* --offset N+LEN */
	bool json, quiet, verbose, quick, force, mdoc;
	bool full, recursive, deleted, all; /* ls -l -R -d -a */
	enum when guest;		    /* file systems through libguestfs */
	bool show, root, verify;	    /* seal */
	const char **seal;		    /* scrub: NULL-terminated; freed by options_free() */
	const char *changed, *bitmap, *cbt;
	bool reseal, accept;
	const char *since, *until, *channel, *source; /* logs */
	const char *state, *lock, *prom;	      /* seal, scrub: on a schedule */
	bool resume, background;
	unsigned max_runtime; /* seconds; 0: no end */
	uint64_t rate, older_than;
	int64_t time;			/* of the new generation; 0: now */
	const char *plan, *shard, *out; /* seal, scrub, merge: in parts */
	unsigned parts;			/* triage: enum triage_part */
	const char **files; /* ditto: NULL-terminated, or NULL; freed by options_free() */
	bool hash;
	const char *symptoms; /* ditto: file of rules, or NULL */
	enum when progress;
	int argc; /* as given, for maps and logs that quote the command */
	char **argv;
};

/*
 * options_parse() - read the arguments of @cmd, argv[0] being its name
 * Returns 0; 1 when --help or --version was asked for and printed; -EINVAL after a hint.
 */
int options_parse(const struct command *cmd, int argc, char **argv, struct args *a);
void options_free(struct args *a);
/* usage_hint() - one line about what is wrong, and where to read more; returns exit status 3 */
int usage_hint(const struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/*
 * address_parse() - N or N+LEN
 * @len: 1 if not given; never 0. Returns 0, -EINVAL, or -ERANGE (also when N+LEN overflows).
 */
int address_parse(const char *text, uint64_t *off, uint64_t *len);
/* nearest_word() - the word of @words (NULL-terminated) most like @typed, or NULL: too far off */
const char *nearest_word(const char *typed, const char *const *words);

#endif
