/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/filespec.h"
#include "vdiskck/logs.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/systems.h"

enum { EVENTS_BUFFER = 1 << 20 };

/* What one run of logs adds up. */
struct logs_run {
	struct run r;
	struct logs g;
	struct out_tree tree;
	struct event_sort *sort; /* -o: events wait here until all are read */
	FILE *events;
	uint64_t n, copies, doubtful, missing, lost, unread;
};

static int to_stdout(void *arg, const struct event_key *k, const char *line)
{
	struct logs_run *x = arg;

	x->n++;
	x->doubtful += k->state == LOG_DOUBTFUL;
	return fwrite(line, 1, k->len, stdout) == k->len ? 0 : -EPIPE;
}

static int to_sort(void *arg, const struct event_key *k, const char *line)
{
	struct logs_run *x = arg;

	x->doubtful += k->state == LOG_DOUBTFUL;
	return event_sort_add(x->sort, k, line);
}

static int to_file(void *arg, const struct event_key *k, const char *line)
{
	struct logs_run *x = arg;

	x->n++;
	return fwrite(line, 1, k->len, x->events) == k->len ? 0 : -errno;
}

static int write_events(struct logs_run *x)
{
	int fd = openat(x->tree.fd, "events.jsonl", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = fd < 0 ? -errno : 0;
	char *buffer = NULL;

	x->events = r ? NULL : fdopen(fd, "w");
	if (x->events) {
		buffer = malloc(EVENTS_BUFFER); /* a stream of its own keeps to 4 KiB */
		if (buffer)
			setvbuf(x->events, buffer, _IOFBF, EVENTS_BUFFER);
		r = event_sort_each(x->sort, to_file, x, &x->copies);
		if (fclose(x->events) && !r)
			r = -errno;
	}
	free(buffer);
	return r ? run_fail(&x->r, r, "%s/events.jsonl", x->tree.path) : 0;
}

/* @chosen: only some of the events were asked for */
static void text_log(const struct log_place *p, bool chosen)
{
	char a[TIME_TEXT], b[TIME_TEXT], size[SIZE_TEXT];
	uint64_t all = p->n[LOG_INTACT] + p->n[LOG_DOUBTFUL] + p->n[LOG_CARVED];

	if (!all && !p->source && !p->unread)
		return; /* free space that held nothing */
	if (p->no_news || (chosen && !all && !p->unread && !p->missing && !p->lost))
		return;
	text_put(stdout, p->name);
	printf("%s: ", p->deleted		? " (deleted)"
		       : p->source || p->unread ? ""
		       : strstr(p->name, ":/")	? " (carved)"
						: " (free space)");
	if (p->unread)
		fputs("could not be read as a log", stdout);
	else
		printf("%" PRIu64 " %s", all, all == 1 ? "record" : "records");
	if (p->first.known)
		printf(", %s", time_text(p->first.sec, 0, a));
	if (p->first.known && p->last.sec != p->first.sec)
		printf(" to %s", time_text(p->last.sec, 0, b));
	if (p->n[LOG_DOUBTFUL])
		printf(", %" PRIu64 " doubtful", p->n[LOG_DOUBTFUL]);
	if (p->n[LOG_CARVED])
		printf(", %" PRIu64 " carved", p->n[LOG_CARVED]);
	if (p->missing)
		printf(", %" PRIu64 " of the %" PRIu64 " that it says it has are MISSING",
		       p->missing, p->stated);
	if (p->jumps == 1)
		fputs(", the clock went back once", stdout);
	else if (p->jumps)
		printf(", the clock went back %" PRIu64 " times", p->jumps);
	if (p->lost)
		printf(", %s of the file LOST", size_text(p->lost, size));
	putchar('\n');
}

static int on_gap(void *arg, const struct log_gap *in, uint64_t first, uint64_t last)
{
	struct logs_run *x = arg;
	const char *log = x->g.place[in->place].name;

	x->missing += last - first + 1;
	if (x->r.a->json) {
		struct json *j = js_object();

		js_str(j, "record", "missing");
		js_str(j, "log", log);
		js_str(j, "channel", in->channel);
		js_u64(j, "first", first);
		js_u64(j, "last", last);
		run_record(&x->r, j);
	} else if (!x->r.a->quiet) {
		fputs("MISSING  ", stdout);
		text_put(stdout, log);
		printf(": records %" PRIu64 " to %" PRIu64 " of ", first, last);
		text_put(stdout, in->channel);
		putchar('\n');
	}
	return 0;
}

/* Text logs have no zone in their times: it is as well to know the machine's. */
static void zone(struct logs_run *x)
{
	struct systems s = {0};
	const struct os_fact *f;

	if (x->r.source && !session_stopped(&x->r.s) && !systems_read(&x->r, true, &s) &&
	    (f = systems_fact(&s, "time zone"))) {
		if (x->r.a->json) {
			run_record(&x->r, json_fact(f));
		} else if (!x->r.a->quiet) {
			fputs("the machine's time zone: ", stdout);
			text_put(stdout, f->value);
			putchar('\n');
		}
	}
	systems_free(&s);
}

static void summary(struct logs_run *x)
{
	const struct args *a = x->r.a;
	bool chosen = a->since || a->until || a->channel || a->source;
	uint64_t logs = 0;

	for (size_t i = 0; i < x->g.n_places; i++) {
		const struct log_place *p = &x->g.place[i];

		logs += p->source && !p->no_news;
		x->lost += p->deleted ? 0 : p->lost;
		x->missing += p->missing;
		x->unread += p->unread && !p->deleted;
		if (x->r.a->json)
			run_record(&x->r, json_log(p));
		else if (!x->r.a->quiet)
			text_log(p, chosen);
	}
	logs_missing(&x->g, on_gap, x);
	zone(x);
	if (x->r.a->json)
		return;
	printf("%" PRIu64 " %s of %" PRIu64 " %s", x->n, x->n == 1 ? "event" : "events", logs,
	       logs == 1 ? "log" : "logs");
	if (x->copies)
		printf(" (%" PRIu64 " copies left out)", x->copies);
	if (x->missing)
		printf(", %" PRIu64 " %s missing", x->missing,
		       x->missing == 1 ? "record is" : "records are");
	if (x->doubtful)
		printf(", %" PRIu64 " %s doubtful", x->doubtful, x->doubtful == 1 ? "is" : "are");
	if (x->r.a->output)
		printf(": %s/events.jsonl%s", x->r.a->output,
		       faccessat(x->tree.fd, "raw", F_OK, 0) ? ""
							     : ", and the logs as they are in raw");
	putchar('\n');
}

static int read_all(struct logs_run *x)
{
	const struct args *a = x->r.a;
	int r = a->output ? out_tree_open(&x->tree, &x->r.s, a->output) : 0;

	if (r) {
		x->r.failed = true;
		return r;
	}
	run_confine(&x->r, NULL, a->output ? (const char *[]){a->output, NULL} : NULL);
	if (a->output) {
		x->g.tree = &x->tree;
		x->sort = event_sort_new(x->tree.fd);
		x->g.on_event = to_sort;
		if (!x->sort)
			return run_fail(&x->r, -ENOMEM, "%s", a->output);
	}
	r = logs_read(&x->g);
	/* Interrupted, too: what was read is worth having. */
	if (x->sort && (!r || r == -EINTR)) {
		int e = write_events(x);

		r = e ? e : r;
	}
	return r;
}

static int times(const struct args *a, struct logs_filter *f)
{
	if (a->since && time_parse(a->since, &f->since))
		return usage_hint(a, "--since %s: no time (2018-05-14T11:52:08Z, or a part of it)",
				  a->since);
	if (a->until && time_parse(a->until, &f->until))
		return usage_hint(a, "--until %s: no time (2018-05-14T11:52:08Z, or a part of it)",
				  a->until);
	f->channel = a->channel;
	f->source = a->source;
	return 0;
}

/* A layer stayed closed: whatever logs it holds are not among these. */
static bool undecided(const struct run *r)
{
	for (size_t i = 0; i < r->found.n_tally; i++)
		if (finding_severity(r->found.tally[i].id) == UNDECIDED)
			return true;
	return false;
}

int cmd_logs(const struct args *a)
{
	struct logs_run x = {.tree = {.fd = -1}};
	int status = INTACT;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	if (!a->output && !a->json)
		return usage_hint(a, "where to? -o DIR, or --json for standard output");
	if (times(a, &x.g.want))
		return UNDECIDABLE;
	x.g.r = &x.r;
	x.g.carve = !a->quick;
	x.g.arg = &x;
	x.g.on_event = to_stdout;
	if (!run_begin(&x.r, a)) {
		read_all(&x);
		progress_wipe(&x.r.progress);
		summary(&x);
	}
	/* Nor is it known which logs a file system has, when part of that is damaged. */
	if (x.missing || x.doubtful || x.lost || x.unread || volumes_damaged(&x.r))
		status = DAMAGED;
	else if (x.r.failed || undecided(&x.r))
		status = UNDECIDABLE;
	collect_sort(&x.r.found);
	if (!a->json && !a->quiet)
		text_findings(stderr, &x.r);
	event_sort_free(x.sort);
	logs_free(&x.g);
	out_tree_close(&x.tree);
	return run_end(&x.r, status);
}
