/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main job: everything that can be said about an image in one go, on the screen and in a
 * folder that can be attached to an incident.
 */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/boot.h"
#include "vdiskck/case.h"
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/diskmap.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/report_html.h"
#include "vdiskck/timeline.h"
#include "vdiskck/version.h"

enum { HEADLINE = 1024 };

struct triage {
	struct run r; /* first: the session's callbacks get it as their argument */
	void (*say_error)(void *arg, const char *line);
	struct case_dir *c;
	struct case_file *records; /* report.json */
	struct json *layers, *facts;
	struct diskmap map;
	struct impact hit; /* what the lost bytes of the disk cost the layers on it */
	struct boot boot;  /* what the machine needs to start */
	struct timeline logs;
	char headline[HEADLINE];
	bool blocks; /* the terminal takes more than ASCII */
};

static void on_error(void *arg, const char *line)
{
	struct triage *t = arg;

	t->say_error(arg, line);
	if (t->c)
		case_log(t->c, "error: %s", line);
}

static void on_record(void *arg, const char *line)
{
	struct triage *t = arg;

	fprintf(case_stream(t->records), "%s\n", line);
	if (t->r.a->json)
		puts(line);
}

static int on_piece(void *arg, struct layer *disk, const struct piece *p)
{
	struct triage *t = arg;

	return diskmap_piece(&t->map, disk, p);
}

/* A fact for the log and for the report. */
static void fact(struct triage *t, const char *key, const char *value)
{
	case_log(t->c, "%s: %s", key, value);
	js_str(t->facts, key, value);
}

/* The words of the command line, quoted where a shell would split them. */
static void log_command(struct triage *t)
{
	const struct args *a = t->r.a;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	fputs("vdiskck", f);
	for (int i = 0; i < a->argc; i++)
		fprintf(f, strpbrk(a->argv[i], " \t\n'\"\\$&;<>()|*?[]") ? " \"%s\"" : " %s",
			a->argv[i]);
	if (!fclose(f))
		fact(t, "command", text);
	free(text);
}

static void log_start(struct triage *t)
{
	char when[TIME_TEXT];

	fact(t, "program", "vdiskck " VDISKCK_VERSION);
	log_command(t);
	fact(t, "started", time_text((int64_t)time(NULL), 0, when));
}

static int log_source(void *arg, struct layer *l)
{
	struct triage *t = arg;
	char key[256], value[256], size[SIZE_TEXT], when[TIME_TEXT];
	int64_t mtime;

	js_add(t->layers, json_layer(l));
	if (l->ops->kind != LAYER_SOURCE)
		return 0;
	snprintf(key, sizeof(key), "file %s", l->path);
	snprintf(value, sizeof(value), "%" PRIu64 " bytes (%s), modified %s", l->size,
		 size_text(l->size, size),
		 source_mtime(l, &mtime) ? time_text(mtime, 0, when) : "at a time not known");
	fact(t, key, value);
	return 0;
}

/* Text that grows in a buffer; what does not fit is cut. */
struct sentence {
	char *buf;
	size_t len, cap;
};

static void add(struct sentence *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct sentence *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->buf + l->len, l->cap - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len += (size_t)n < l->cap - l->len ? (size_t)n : l->cap - l->len - 1;
}

/* What it costs. "Can be read" is said only of what was read. */
static void add_loss(struct sentence *l, const struct triage *t)
{
	const struct run *r = &t->r;
	uint64_t doubtful = ranges_bytes(&t->map.bad, GRADE_DOUBTFUL);
	struct cell all = diskmap_part(&t->map, 0, 1);
	char size[SIZE_TEXT], of[SIZE_TEXT];
	bool elsewhere = false;

	for (size_t i = 0; i < r->found.n_tally; i++)
		elsewhere |= r->found.tally[i].lost > 0;
	size_text(t->map.size, of);
	if (!t->map.size)
		return;
	if (r->lost == t->map.size)
		add(l, "all of the disk's %s are lost", of);
	else if (r->lost)
		add(l, "%s of the disk's %s are lost", size_text(r->lost, size), of);
	else if (doubtful)
		add(l, "%s of the disk's %s are doubtful", size_text(doubtful, size), of);
	else if (all.bytes[CELL_UNKNOWN])
		add(l, "nothing lost so far, but %s of the disk's %s were not examined",
		    size_text(all.bytes[CELL_UNKNOWN], size), of);
	else
		add(l,
		    r->s.opt.data ? "all of the disk's %s can be read"
				  : "no byte of the disk's %s is known to be lost",
		    of);
	if (elsewhere && !r->lost)
		add(l, ", but something is missing");
}

struct drivers {
	const struct layer_ops *seen[16];
	size_t n;
	bool filesystem;
	struct sentence *l;
};

static int add_driver(void *arg, struct layer *l)
{
	struct drivers *d = arg;

	d->filesystem |= l->ops->kind == LAYER_FILESYSTEM;
	if (!l->ops->check || l->state || l->ops->kind == LAYER_SOURCE)
		return 0;
	for (size_t i = 0; i < d->n; i++)
		if (d->seen[i] == l->ops)
			return 0;
	if (d->n == sizeof(d->seen) / sizeof(*d->seen))
		return 0;
	add(d->l, "%s%s", d->n ? ", " : "; verified: ", l->ops->name);
	d->seen[d->n++] = l->ops;
	return 0;
}

/* The first link of the chain that does not hold: what the reader came for. */
static void add_boot(struct sentence *l, const struct triage *t)
{
	const struct boot_link *k = boot_first(&t->boot);

	if (!k)
		return;
	add(l, "%s%s %s: %s: %s", l->len ? ". " : "",
	    *t->boot.computer ? t->boot.computer : "The machine",
	    k->state == BOOT_BROKEN ? "will not start" : "may not start", k->what, k->evidence);
	if (k->place)
		add(l, " (%s)", k->place);
}

/* How far the logs go, for who asks next what happened. */
static void add_logs(struct sentence *l, const struct triage *t)
{
	const struct timeline *g = &t->logs;
	char when[TIME_TEXT];

	if (!g->last.known)
		return;
	add(l, ". Logs survive to %s", time_text(g->last.sec, 0, when));
	if (g->missing)
		add(l, " (%" PRIu64 " of %" PRIu64 " records lost)", g->missing,
		    g->missing + g->events);
}

/* What broke, in a sentence or two: what it cost, the worst finding, and how many more. */
static void make_headline(struct triage *t, int status)
{
	const struct run *r = &t->r;
	const struct entry *worst = r->found.n ? &r->found.v[0] : NULL;
	enum severity s = worst ? finding_severity(worst->id) : INFO;
	uint64_t n = r->s.count[DAMAGE] + r->s.count[BLEMISH] + r->s.count[UNDECIDED];
	struct sentence l = {t->headline, 0, sizeof(t->headline)};

	add_loss(&l, t);
	add_boot(&l, t);
	add_logs(&l, t);
	if (worst && s != INFO)
		add(&l, "%s%s: %s", l.len ? ". " : "",
		    s == DAMAGE	   ? "Worst"
		    : s == BLEMISH ? "Not as it should be"
				   : "Not examined",
		    worst->message);
	if (n > 1)
		add(&l, ". %" PRIu64 " more %s", n - 1, n == 2 ? "finding" : "findings");
	if (r->failed && *r->error)
		add(&l, "%sIt could not be finished: %s", l.len ? ". " : "", r->error);
	/* Nobody should take "intact" for more than was looked at. */
	if (status == INTACT && r->source) {
		struct drivers d = {.l = &l};

		stack_walk(r->source, add_driver, &d);
		if (!d.filesystem)
			add(&l, "; file systems were not examined");
	}
}

/* Verify, read, and add up. The map shows what was examined, however the run ended. */
static void examine(struct triage *t)
{
	struct run *r = &t->r;
	struct layer *disk = disk_layer(r->source);
	struct ranges bad = {0};
	int err = diskmap_init(&t->map, disk->size);

	if (err) {
		run_fail(r, err, "the map of the disk");
		return;
	}
	r->on_piece = on_piece;
	r->piece_arg = t;
	checkup(r, &bad);
	if (!r->s.opt.data && !disk->state) {
		err = diskmap_scan(&t->map, disk);
		if (err && err != -EINTR)
			run_fail(r, err, "the map of the disk");
	}
	err = diskmap_bad(&t->map, &bad);
	if (err)
		run_fail(r, err, "the map of the disk");
	r->lost = ranges_bytes(&t->map.bad, GRADE_LOST);
	if (!err && t->map.bad.n && !disk->state) {
		err = impact_seed(&t->hit, disk, &t->map.bad);
		if (!err)
			err = impact_run(&t->hit, r->source);
		if (err && err != -EINTR)
			run_fail(r, err, "what the lost bytes belong to");
	}
	ranges_free(&bad);
}

static int write_map(struct triage *t)
{
	struct case_file *f = case_file(t->c, "lost.map");

	if (!f)
		return -EIO;
	fputs("# Lost bytes of the disk in ", case_stream(f));
	text_put(case_stream(f), t->r.source->path);
	fputs(", by vdiskck " VDISKCK_VERSION "\n", case_stream(f));
	ddmap_write(case_stream(f), &t->map.bad, t->map.size);
	return case_commit(f);
}

static int write_html(struct triage *t)
{
	struct run *r = &t->r;
	struct case_file *f = case_file(t->c, "report.html");
	struct report page = {
		.image = r->a->image,
		.headline = t->headline,
		.complete = !session_stopped(&r->s) && !r->failed,
		.read_all = r->s.opt.data,
		.layers = t->layers,
		.findings = &r->found,
		.run = t->facts,
		.map = &t->map,
		.disk = r->source ? disk_layer(r->source)->path : "none",
		.hit = &t->hit,
		.files = &r->hit,
		.boot = &t->boot,
		.logs = &t->logs,
		.checked = r->s.checked,
	};

	if (!f)
		return -EIO;
	report_html(case_stream(f), &page);
	return case_commit(f);
}

/* All that does not depend on whether the rest could be written; then the summary. */
static int write_case(struct triage *t)
{
	struct run *r = &t->r;
	char text[160], when[TIME_TEXT];
	int status = run_status(r), err = 0;

	make_headline(t, status);
	fact(t, "ended", time_text((int64_t)time(NULL), 0, when));
	snprintf(text, sizeof(text), "%.1f s", (double)(clock_ns() - r->began) / 1e9);
	fact(t, "took", text);
	snprintf(text, sizeof(text), "%d (%s)", status, verdict_name((enum verdict)status));
	fact(t, "exit status", text);
	if (r->source)
		err = write_map(t);
	if (write_html(t))
		err = -EIO;
	r->failed |= err != 0;
	status = run_status(r);
	run_record(r, json_summary(r, status));
	r->on_record = NULL;
	if (case_commit(t->records))
		r->failed = true;
	t->records = NULL;
	case_log(t->c, "%s: %s", verdict_name((enum verdict)status), t->headline);
	r->failed |= case_manifest(t->c) != 0;
	return run_status(r);
}

static unsigned columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize w;
	uint64_t n;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col)
		return w.ws_col;
	return env && !number_parse(env, &n, NULL) && n >= 40 && n < 1000 ? (unsigned)n : 80;
}

/* Only asked for, never set: the program's own texts are the same in every locale. */
static bool is_utf8(void)
{
	locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = l && !strcmp(nl_langinfo_l(CODESET, l), "UTF-8");

	if (l)
		freelocale(l);
	return utf8;
}

struct printed {
	const struct layer *source;
	bool chain; /* this time, the files that the image rests on */
};

static int print_layer(void *arg, struct layer *l)
{
	const struct printed *p = arg;
	const char *state = layer_state_name(l);
	char size[SIZE_TEXT];
	int indent = 2;

	if ((layer_source(l) != p->source) != p->chain)
		return 0;
	for (const struct layer *b = l->below; b; b = b->below)
		indent += 2;
	printf("%*s", indent, "");
	text_put(stdout, l->path);
	printf("  %s, %s%s%s", layer_kind_name(l->ops->kind), size_text(l->size, size),
	       state ? ", " : "", state ? state : "");
	if (l->parent) {
		fputs(", on ", stdout);
		text_put(stdout, l->parent->below->path);
	}
	putchar('\n');
	return 0;
}

static void print_stack(struct layer *source)
{
	puts("\nthe stack:");
	stack_walk(source, print_layer, &(struct printed){source, false});
	stack_walk(source, print_layer, &(struct printed){source, true});
}

/* Which volumes the lost bytes belong to. */
static void print_hit(const struct impact *hit)
{
	for (size_t i = 0; i < hit->n; i++) {
		const struct impact_layer *il = &hit->v[i];
		uint64_t lost = ranges_bytes(&il->hit, GRADE_LOST);
		uint64_t doubtful = ranges_bytes(&il->hit, GRADE_DOUBTFUL);
		char size[SIZE_TEXT];

		if (il->l->ops->kind != LAYER_VOLUME || !(lost || doubtful))
			continue;
		fputs("            ", stdout);
		text_put(stdout, il->l->path);
		if (lost)
			printf(": %s lost", size_text(lost, size));
		if (doubtful)
			printf("%s %s doubtful", lost ? "," : ":", size_text(doubtful, size));
		printf(", the first at 0x%" PRIx64 " of it\n", il->hit.v[0].off);
	}
}

static void print_text(struct triage *t, int status)
{
	static const char *const sgr[] = {"\033[1;32m", "\033[1;33m", "\033[1;31m", "\033[1;35m"};
	bool colour = text_colour(stdout);

	progress_wipe(&t->r.progress);
	printf("%s%s: ", colour ? sgr[status] : "", verdict_name((enum verdict)status));
	text_put(stdout, t->r.a->image);
	printf("%s: ", colour ? "\033[0m" : "");
	text_put(stdout, t->headline);
	putchar('\n');
	if (t->r.a->quiet)
		return;
	if (t->r.found.n && (t->r.a->verbose || finding_severity(t->r.found.v[0].id) != INFO)) {
		putchar('\n');
		text_findings(stdout, &t->r);
	}
	if (t->r.hit.n)
		putchar('\n');
	damage_text(stdout, &t->r);
	boot_text(stdout, &t->boot);
	timeline_text(stdout, &t->logs);
	if (t->map.n)
		putchar('\n');
	diskmap_print(stdout, &t->map, columns(), t->blocks, colour);
	print_hit(&t->hit);
	if (t->r.source)
		print_stack(t->r.source);
	printf("\nthe report: ");
	text_put(stdout, t->r.a->output);
	puts("/report.html");
}

static void look_at_boot(struct triage *t)
{
	if (session_stopped(&t->r.s))
		return;
	boot_examine(&t->boot, &t->r);
	if (t->boot.err && t->boot.err != -EINTR)
		run_fail(&t->r, t->boot.err, "the boot chain");
	for (size_t i = 0; i < t->boot.n; i++)
		run_record(&t->r, json_boot(&t->boot.v[i]));
}

/* From an empty case to its end; the exit status. */
static int triage(struct triage *t)
{
	int status;

	log_start(t);
	if (!run_open(&t->r)) {
		run_confine(&t->r, NULL, (const char *[]){t->r.a->output, NULL});
		stack_walk(t->r.source, log_source, t);
		examine(t);
		look_at_boot(t);
		if (!session_stopped(&t->r.s))
			timeline_make(&t->logs, &t->r, t->c);
	}
	collect_sort(&t->r.found);
	if (!t->r.source && !t->r.found.n) {
		/* No such file, say: nothing was learnt, so there is no case. */
		t->r.on_record = NULL;
		case_drop(t->records);
		case_abandon(t->c);
		t->c = NULL;
		return run_status(&t->r);
	}
	run_release(&t->r);
	status = write_case(t);
	if (!t->r.a->json)
		print_text(t, status);
	return status;
}

int cmd_triage(const struct args *a)
{
	struct triage t = {.layers = js_array(), .facts = js_object()};
	int status = UNDECIDABLE;

	if (a->n_rest || !a->output) {
		js_free(t.layers);
		js_free(t.facts);
		if (a->n_rest)
			return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
		return usage_hint(a, "-o CASE is needed: the folder for the report");
	}
	run_init(&t.r, a);
	t.r.s.opt.data = !a->quick;
	t.r.hold = true;
	t.blocks = isatty(STDOUT_FILENO) && is_utf8(); /* before files are out of reach */
	t.say_error = t.r.s.on_error;
	t.r.s.on_error = on_error;
	if (!case_create(&t.r.s, a->output, &t.c))
		t.records = case_file(t.c, "report.json");
	if (t.records) {
		t.r.on_record = on_record;
		t.r.record_arg = &t;
		status = triage(&t);
	}
	case_close(t.c);
	impact_free(&t.hit);
	boot_free(&t.boot);
	timeline_free(&t.logs);
	diskmap_free(&t.map);
	js_free(t.layers);
	js_free(t.facts);
	t.r.s.on_error = t.say_error;
	return run_end(&t.r, status);
}
