/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vdiskck/core/text.h"
#include "vdiskck/triage_parts.h"
#include "vdiskck/version.h"

enum { JOBS_MAX = 256 };

/* What getopt_long() returns for options without a letter. */
enum {
	O_KEYS = 256,
	O_CHAIN,
	O_HEADER,
	O_BAD_MAP,
	O_FORMAT,
	O_VOLUME,
	O_JSON,
	O_JOBS,
	O_PROGRESS,
	O_VERSION,
	O_HELP,
	O_DATA,
	O_QUICK,
	O_SYMPTOMS,
	O_REBUILD,
	O_OFFSET,
	O_AT,
	O_FILE,
	O_MAP,
	O_FORCE,
	O_MDOC,
	O_SHOW,
	O_ROOT,
	O_VERIFY,
	O_SEAL,
	O_CHANGED,
	O_BITMAP,
	O_CBT,
	O_RESEAL,
	O_ACCEPT,
	O_SINCE,
	O_UNTIL,
	O_CHANNEL,
	O_SOURCE,
	O_STATE,
	O_RESUME,
	O_MAX_RUNTIME,
	O_RATE,
	O_BACKGROUND,
	O_LOCK,
	O_OLDER_THAN,
	O_PROM,
	O_PLAN,
	O_SHARD,
	O_OUT,
	O_TIME,
	O_ONLY,
	O_SKIP,
	O_FILES,
	O_HASH,
	O_GUEST,
};

enum {
	ON_FILES = CMD_LS | CMD_CAT | CMD_EXTRACT | CMD_LOGS,
	ON_IMAGE = CMD_INFO | CMD_CHECK | CMD_LOCATE | CMD_EXPORT | CMD_TRIAGE | ON_FILES |
		   CMD_SEAL | CMD_SCRUB | CMD_MERGE,
	SEALING = CMD_SEAL | CMD_SCRUB,
	ALL = ~0
};

static const struct row {
	const char *name;
	int c;
	const char *arg;  /* NULL: takes none */
	int commands;	  /* that take it */
	const char *help; /* NULL: not shown */
} rows[] = {
	{"data", O_DATA, NULL, CMD_CHECK, "read everything that carries a checksum, too"},
	{"quick", O_QUICK, NULL, CMD_TRIAGE, "verify the structures, don't read all data"},
	{"offset", O_OFFSET, "N[+LEN]", CMD_LOCATE, "bytes of the image file"},
	{"at", O_AT, "LAYER:N[+LEN]", CMD_LOCATE, "bytes of a layer"},
	{"at", O_AT, "LAYER", CMD_EXPORT, "the layer to export; default: the disk"},
	{"file", O_FILE, "FILE[:N[+LEN]]", CMD_LOCATE, "bytes of a file in a file system"},
	{"map", O_MAP, "MAPFILE", CMD_LOCATE, "the bad areas of a ddrescue map of the image"},
	{"map", O_MAP, "MAPFILE", CMD_EXPORT,
	 "where the map of what is lost goes; default: FILE.map"},
	{"output", 'o', "FILE", CMD_EXPORT, "where the bytes go; -: standard output"},
	{"output", 'o', "CASE", CMD_TRIAGE, "the case folder"},
	{"files", O_FILES, "GLOB", CMD_TRIAGE,
	 "extract these, too: /PATH, LAYER:/PATH, '**/*.dmp'; repeatable"},
	{"only", O_ONLY, "PARTS", CMD_TRIAGE,
	 "of structures,data,boot,logs,listing,database,report"},
	{"skip", O_SKIP, "PARTS", CMD_TRIAGE, "all but these parts"},
	{"hash", O_HASH, NULL, CMD_TRIAGE, "SHA-256 of the image files, before and after"},
	{"max-time", O_MAX_RUNTIME, "TIME", CMD_TRIAGE, "end then: 90s, 30m, 6h"},
	{"force", O_FORCE, NULL, CMD_EXPORT, "overwrite what is there (never the image)"},
	{"long", 'l', NULL, CMD_LS, "mode, owner, size, time, and how sure it is"},
	{"recursive", 'R', NULL, CMD_LS, "what is below, too: one path a line"},
	{"symptoms", O_SYMPTOMS, "FILE", CMD_TRIAGE, "more rules for events that tell of trouble"},
	{"deleted", 'd', NULL, CMD_LS | CMD_EXTRACT, "deleted files only"},
	{"all", 'a', NULL, CMD_LS | CMD_EXTRACT, "deleted files and the file system's own as well"},
	{"output", 'o', "DIR", CMD_EXTRACT, "the folder to write to: new or empty"},
	{"output", 'o', "SEAL", CMD_SEAL,
	 "the file of checksums; one that is there gets a generation"},
	{"at", O_AT, "LAYER", CMD_SEAL, "the layer to seal; default: the disk, encrypted or not"},
	{"force", O_FORCE, NULL, CMD_SEAL, "make it anew, without what was there"},
	{"show", O_SHOW, NULL, CMD_SEAL, "IMAGE is a seal: list its generations"},
	{"root", O_ROOT, NULL, CMD_SEAL, "IMAGE is a seal: print its newest root, to be signed"},
	{"verify", O_VERIFY, NULL, CMD_SEAL, "IMAGE is a seal: read and check every page of it"},
	{"seal", O_SEAL, "SEAL", CMD_SCRUB, "compare with it; repeatable: parents have their own"},
	{"changed", O_CHANGED, "MAPFILE", CMD_SCRUB | CMD_MERGE,
	 "what was written to since: '+' in a ddrescue map, or what xe lists"},
	{"bitmap", O_BITMAP, "NAME", CMD_SCRUB | CMD_MERGE,
	 "the same, by a dirty bitmap of the qcow2 or of the NBD export"},
	{"cbt", O_CBT, "FILE", CMD_SCRUB | CMD_MERGE,
	 "the same, by a change block log of XenServer"},
	{"reseal", O_RESEAL, NULL, CMD_SCRUB | CMD_MERGE,
	 "add a generation: what was written to is sealed anew"},
	{"accept", O_ACCEPT, NULL, CMD_SCRUB | CMD_MERGE,
	 "what changed without an account was written by you"},
	{"output", 'o', "DIR", CMD_LOGS, "the folder to write to: new or empty"},
	{"since", O_SINCE, "TIME", CMD_LOGS,
	 "events from then on: 2018-05-14T11:52:08Z, or a part of it"},
	{"until", O_UNTIL, "TIME", CMD_LOGS, "events up to then"},
	{"channel", O_CHANNEL, "GLOB", CMD_LOGS, "events of these channels: System, *PowerShell*"},
	{"source", O_SOURCE, "GLOB", CMD_LOGS, "events of this kind of log: evtx, journal ..."},
	{"quick", O_QUICK, NULL, CMD_LOGS, "don't look for records in slack and free space"},
	{"quick", O_QUICK, NULL, CMD_SCRUB | CMD_MERGE,
	 "compare with the seal and verify structures only"},
	{"state", O_STATE, "FILE", CMD_SCRUB | CMD_MERGE,
	 "keep there how far it came, and the result"},
	{"resume", O_RESUME, NULL, CMD_SEAL | CMD_SCRUB, "go on where an earlier run was stopped"},
	{"older-than", O_OLDER_THAN, "DAYS", CMD_SCRUB, "do nothing if it was verified since"},
	{"older-than", O_OLDER_THAN, "DAYS", CMD_STATUS, "what is overdue; default: 7"},
	{"prom", O_PROM, "FILE", CMD_SCRUB | CMD_MERGE,
	 "metrics for node_exporter's textfile collector"},
	{"plan", O_PLAN, "N", SEALING, "print a plan of N shards; with --shard: the file of it"},
	{"plan", O_PLAN, "FILE", CMD_MERGE, "the plan; default: DIR/plan.jsonl"},
	{"shard", O_SHARD, "K", SEALING, "do shard K (from 0) of the plan"},
	{"out", O_OUT, "DIR", SEALING, "where shards put results; default: beside the plan"},
	{"output", 'o', "SEAL", CMD_MERGE, "the seal to write; default: as planned"},
	{"force", O_FORCE, NULL, CMD_MERGE, "make the seal anew, without what was there"},
	{"time", O_TIME, "TIME", SEALING, "the time of the generation: RFC 3339 or @SECONDS"},
	{"max-runtime", O_MAX_RUNTIME, "TIME", SEALING | CMD_MERGE, "end then: 90s, 30m, 6h"},
	{"rate", O_RATE, "BYTES", SEALING, "read no more than that in a second"},
	{"background", O_BACKGROUND, NULL, SEALING,
	 "lowest priority; stand back while others wait"},
	{"lock", O_LOCK, "FILE", SEALING, "wait for this lock first: one job for each storage"},
	{"rebuild", O_REBUILD, NULL, CMD_INFO | CMD_EXPORT | CMD_TRIAGE | ON_FILES,
	 "use tables that only content proves"},
	{"keys", O_KEYS, "FILE", ON_IMAGE, "secrets, one a line; -: standard input, fd:N"},
	{"chain", O_CHAIN, "DIR", ON_IMAGE, "where parents may lie; repeatable"},
	{"header", O_HEADER, "[LAYER=]FILE", ON_IMAGE,
	 "a detached LUKS header, tags of dm-integrity; repeatable"},
	{"bad-map", O_BAD_MAP, "MAPFILE", ON_IMAGE,
	 "ddrescue map of the image: what it could not copy"},
	{"format", O_FORMAT, "NAME", ON_IMAGE,
	 "what the image is: raw, vhd, qcow2 ...; default: look"},
	{"volume", O_VOLUME, "LAYER", ON_IMAGE, "only this layer and what stands on it"},
	{"json", O_JSON, NULL, ALL & ~CMD_CAT, "JSON Lines on standard output"},
	{"jobs", O_JOBS, "N", ON_IMAGE, "threads; default: one for each processor"},
	{"guest", O_GUEST, "auto|yes|no", ON_FILES | CMD_CHECK,
	 "let libguestfs read file systems that vdiskck does not"},
	{"progress", O_PROGRESS, "auto|yes|no", ON_IMAGE, "show progress; auto: on a terminal"},
	{"quiet", 'q', NULL, ALL, "only the verdict"},
	{"verbose", 'v', NULL, ALL, "notes, and every address of every finding"},
	{"mdoc", O_MDOC, NULL, CMD_EXPLAIN, NULL},
	{"version", O_VERSION, NULL, ALL, "the version"},
	{"help", O_HELP, NULL, ALL, "this text"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

int usage_hint(const struct args *a, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "vdiskck %s: ", a->cmd->name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (vdiskck %s --help says more)\n", a->cmd->name);
	return 3;
}

int address_parse(const char *text, uint64_t *off, uint64_t *len)
{
	const char *end;
	int r = number_parse(text, off, &end);

	*len = 1;
	if (!r && *end == '+')
		r = number_parse(end + 1, len, &end);
	if (!r && (*end || !*len))
		r = -EINVAL;
	if (!r && *len > UINT64_MAX - *off)
		r = -ERANGE;
	return r;
}

/* How many characters must be inserted, dropped or changed to get from @a to @b. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], diagonal, up;
	size_t n = strlen(b);

	if (n >= 64)
		return 99;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (; *a; a++) {
		diagonal = row[0]++;
		for (unsigned j = 1; j <= n; j++) {
			unsigned best = diagonal + (*a != b[j - 1]);

			up = row[j];
			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[n];
}

const char *nearest_word(const char *typed, const char *const *words)
{
	const char *best = NULL;
	unsigned least = strlen(typed) > 12 ? 6 : 3; /* further off is no help */

	for (; *words; words++) {
		unsigned d = !strncmp(*words, typed, strlen(typed)) && *typed
				     ? 1
				     : distance(typed, *words);

		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}

static void print_help(const struct command *cmd)
{
	printf("usage: vdiskck %s %s\n%s\n\n", cmd->name, cmd->synopsis, cmd->help);
	for (size_t i = 0; i < ROWS; i++) {
		char left[48];

		if (!(rows[i].commands & (int)cmd->bit) || !rows[i].help)
			continue;
		if (rows[i].c < 256)
			snprintf(left, sizeof(left), "-%c%s%s", rows[i].c, rows[i].arg ? " " : "",
				 rows[i].arg ? rows[i].arg : "");
		else
			snprintf(left, sizeof(left), "--%s%s%s", rows[i].name,
				 rows[i].arg ? " " : "", rows[i].arg ? rows[i].arg : "");
		printf("  %-24s %s\n", left, rows[i].help);
	}
	if (cmd->bit & (ON_FILES | CMD_EXPORT))
		puts("\nExit status: 0 all of it, 2 part is lost or doubtful, 3 nothing could be done."
		     " See vdiskck(1).");
	else
		puts("\nExit status: 0 intact, 1 blemished, 2 damaged, 3 undecided. See vdiskck(1).");
}

/* An option that is not known here may be one of another command. */
static int unknown_option(const struct args *a, const char *typed)
{
	const char *words[ROWS + 1];
	const char *like;
	size_t n = 0, len = strcspn(typed, "=");
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(len < 60 ? len : 60), typed);
	for (size_t i = 0; i < ROWS; i++) {
		if (!strncmp(name, "--", 2) && !strcmp(rows[i].name, name + 2) &&
		    !(rows[i].commands & (int)a->cmd->bit))
			return usage_hint(a, "%s is no option of this command", name);
		if (rows[i].commands & (int)a->cmd->bit && rows[i].help)
			words[n++] = rows[i].name;
	}
	words[n] = NULL;
	like = !strncmp(name, "--", 2) ? nearest_word(name + 2, words) : NULL;
	if (like)
		return usage_hint(a, "no option %s; did you mean --%s?", name, like);
	return usage_hint(a, "no option %s", name);
}

static int set_jobs(struct args *a, const char *text)
{
	uint64_t n;

	if (number_parse(text, &n, NULL) || !n || n > JOBS_MAX) {
		usage_hint(a, "--jobs %s: 1 to %d", text, JOBS_MAX);
		return -EINVAL;
	}
	a->opt.jobs = (unsigned)n;
	return 0;
}

static int set_when(const struct args *a, enum when *to, const char *option, const char *text)
{
	static const char *const word[] = {"auto", "yes", "no"};

	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(text, word[i])) {
			*to = (enum when)i;
			return 0;
		}
	}
	usage_hint(a, "--%s %s: auto, yes or no", option, text);
	return -EINVAL;
}

static int set_offset(struct args *a, const char *text)
{
	int r = address_parse(text, &a->offset, &a->len);

	if (r)
		usage_hint(a, "--offset %s: %s", text,
			   r == -ERANGE ? "too large" : "not a number, or N+LEN");
	a->have_offset = true;
	return r;
}

/* One more string in a list that ends with NULL. */
static int add_string(const char ***list, const char *string)
{
	const char **more;
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	more = realloc(*list, (n + 2) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[n] = string;
	more[n + 1] = NULL;
	*list = more;
	return 0;
}

static int add_chain(struct args *a, const char *dir)
{
	int r = add_string(&a->chain, dir);

	a->opt.chain = a->chain;
	return r;
}

static int add_header(struct args *a, const char *file)
{
	int r = add_string(&a->header, file);

	a->opt.header = a->header;
	return r;
}

/* Seconds, or a number of m(inutes), h(ours), d(ays). */
static int set_runtime(struct args *a, const char *text)
{
	static const char unit[] = "smhd";
	static const unsigned seconds[] = {1, 60, 3600, 86400};
	char *end;
	unsigned long n = strtoul(text, &end, 10);
	const char *u = *end ? strchr(unit, *end) : unit;

	if (end == text || *text == '-' || !u || (*end && end[1]) || !n || n > 1000000) {
		usage_hint(a, "%s %s: 90s, 30m, 6h or 2d",
			   a->cmd->bit == CMD_TRIAGE ? "--max-time" : "--max-runtime", text);
		return -EINVAL;
	}
	a->max_runtime = (unsigned)n * seconds[u - unit];
	return 0;
}

static int set_parts(struct args *a, bool only, const char *text)
{
	char bad[32];
	unsigned parts = parts_parse(text, bad);

	if (!parts) {
		usage_hint(a, "--%s: there is no part \"%s\"", only ? "only" : "skip", bad);
		return -EINVAL;
	}
	a->parts &= only ? parts : ~parts;
	return 0;
}

static int set_number(struct args *a, const char *option, const char *text, uint64_t *to)
{
	if (!number_parse(text, to, NULL))
		return 0;
	usage_hint(a, "%s %s: not a number", option, text);
	return -EINVAL;
}

static int set_time(struct args *a, const char *text)
{
	struct tm tm = {0};
	char *end = NULL;

	if (*text == '@' && text[1] >= '0' && text[1] <= '9')
		a->time = (int64_t)strtoll(text + 1, &end, 10);
	else if ((end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)))
		a->time = timegm(&tm);
	if (end && !*end && a->time > 0)
		return 0;
	usage_hint(a, "--time %s: as 2026-11-27T12:00:00Z, or @SECONDS since 1970", text);
	return -EINVAL;
}

static int set(struct args *a, int c, char *arg)
{
	switch (c) {
	case O_KEYS: a->keys = arg; return 0;
	case O_CHAIN: return add_chain(a, arg);
	case O_HEADER: return add_header(a, arg);
	case O_BAD_MAP: a->opt.bad_map = arg; return 0;
	case O_FORMAT: a->opt.format = arg; return 0;
	case O_VOLUME: a->volume = arg; return 0;
	case O_JSON: a->json = true; return 0;
	case O_JOBS: return set_jobs(a, arg);
	case O_PROGRESS: return set_when(a, &a->progress, "progress", arg);
	case O_GUEST: return set_when(a, &a->guest, "guest", arg);
	case O_DATA: a->opt.data = true; return 0;
	case O_QUICK: a->quick = true; return 0;
	case O_SYMPTOMS: a->symptoms = arg; return 0;
	case O_REBUILD: a->opt.rebuild = true; return 0;
	case O_OFFSET: return set_offset(a, arg);
	case O_AT: a->at = arg; return 0;
	case O_FILE: a->file = arg; return 0;
	case O_MAP: a->map = arg; return 0;
	case O_FORCE: a->force = true; return 0;
	case 'l': a->full = true; return 0;
	case 'R': a->recursive = true; return 0;
	case 'd': a->deleted = true; return 0;
	case 'a': a->all = true; return 0;
	case O_MDOC: a->mdoc = true; return 0;
	case O_SHOW: a->show = true; return 0;
	case O_ROOT: a->root = true; return 0;
	case O_VERIFY: a->verify = true; return 0;
	case O_SEAL: return add_string(&a->seal, arg);
	case O_CHANGED: a->changed = arg; return 0;
	case O_BITMAP: a->bitmap = a->opt.bitmap = arg; return 0;
	case O_CBT: a->cbt = arg; return 0;
	case O_RESEAL: a->reseal = true; return 0;
	case O_ACCEPT: a->accept = true; return 0;
	case O_SINCE: a->since = arg; return 0;
	case O_UNTIL: a->until = arg; return 0;
	case O_CHANNEL: a->channel = arg; return 0;
	case O_SOURCE: a->source = arg; return 0;
	case O_STATE: a->state = arg; return 0;
	case O_RESUME: a->resume = true; return 0;
	case O_MAX_RUNTIME: return set_runtime(a, arg);
	case O_RATE: return set_number(a, "--rate", arg, &a->rate);
	case O_BACKGROUND: a->background = true; return 0;
	case O_LOCK: a->lock = arg; return 0;
	case O_OLDER_THAN: return set_number(a, "--older-than", arg, &a->older_than);
	case O_PROM: a->prom = arg; return 0;
	case O_PLAN: a->plan = arg; return 0;
	case O_SHARD: a->shard = arg; return 0;
	case O_OUT: a->out = arg; return 0;
	case O_TIME: return set_time(a, arg);
	case O_ONLY: return set_parts(a, true, arg);
	case O_SKIP: return set_parts(a, false, arg);
	case O_FILES: return add_string(&a->files, arg);
	case O_HASH: a->hash = true; return 0;
	case 'o': a->output = arg; return 0;
	case 'q': a->quiet = true; return 0;
	case 'v': a->verbose = true; return 0;
	case O_VERSION: puts("vdiskck " VDISKCK_VERSION); return 1;
	case O_HELP: print_help(a->cmd); return 1;
	}
	return -EINVAL;
}

int options_parse(const struct command *cmd, int argc, char **argv, struct args *a)
{
	struct option longs[ROWS + 1] = {0};
	char letters[2 * ROWS + 2] = ":";
	size_t n = 0, k = 1;
	int c, r = 0;

	*a = (struct args){.cmd = cmd, .argc = argc, .argv = argv, .parts = PARTS_ALL};
	for (size_t i = 0; i < ROWS; i++) {
		if (!(rows[i].commands & (int)cmd->bit))
			continue;
		longs[n++] =
			(struct option){rows[i].name, rows[i].arg ? required_argument : no_argument,
					NULL, rows[i].c};
		if (rows[i].c < 256) {
			letters[k++] = (char)rows[i].c;
			if (rows[i].arg)
				letters[k++] = ':';
		}
	}
	opterr = 0;
	optind = 0; /* glibc: forget an earlier scan */
	while (!r && (c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == '?') {
			unknown_option(a, argv[optind - 1]);
			r = -EINVAL;
		} else if (c == ':') {
			usage_hint(a, "%s needs a value", argv[optind - 1]);
			r = -EINVAL;
		} else {
			r = set(a, c, optarg);
		}
	}
	if (r)
		return r;
	if (!cmd->no_image && !(a->shard && optind == argc)) {
		if (optind == argc) {
			usage_hint(a, "no IMAGE given");
			return -EINVAL;
		}
		a->image = argv[optind++];
	}
	a->rest = argv + optind;
	a->n_rest = (size_t)(argc - optind);
	return 0;
}

void options_free(struct args *a)
{
	free(a->chain);
	free(a->header);
	free(a->seal);
	free(a->files);
	a->chain = a->header = a->seal = a->files = NULL;
}
