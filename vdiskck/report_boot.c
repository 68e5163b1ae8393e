/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine needs to start, and what its logs say of its last hours. */
#include <inttypes.h>
#include <string.h>

#include "recover/symptoms.h"
#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

enum {
	LANES = 14,  /* symptoms of different kinds in the picture: the last ones */
	TICKS = 360, /* its resolution */
};

void report_boot(FILE *f, const struct report *r)
{
	static const char *const class[] = {[BOOT_HOLDS] = "intact",
					    [BOOT_BROKEN] = "damage",
					    [BOOT_DOUBTFUL] = "blemish",
					    [BOOT_OPEN] = "undecided"};
	const struct boot *b = r->boot;
	char name[BOOT_NAME];

	if (!b || !b->n)
		return;
	fputs("<h2 id=\"boot\">What it needs to start</h2>\n", f);
	for (unsigned i = 0; i < b->systems; i++) {
		fputs("<p>", f);
		html_text(f, boot_name(&b->system[i], name, sizeof(name)));
		fputs("</p>\n", f);
	}
	fputs("<table class=\"wide\"><thead><tr><th>link</th><th>state</th><th>evidence</th>"
	      "<th>where</th></tr></thead>\n<tbody>\n",
	      f);
	for (size_t i = 0; i < b->n; i++) {
		const struct boot_link *k = &b->v[i];

		if (b->systems > 1 && i && k->system != b->v[i - 1].system) {
			fputs("<tr><th colspan=\"4\">", f);
			html_text(f, boot_name(&b->system[k->system - 1], name, sizeof(name)));
			fputs("</th></tr>\n", f);
		}
		fputs("<tr><td><b>", f);
		html_text(f, k->what);
		fprintf(f, "</b></td><td><span class=\"chip %s\">%s</span></td><td>",
			class[k->state], boot_state_name(k->state));
		html_text(f, k->evidence);
		fputs("</td><td data-l=\"where\"><code>", f);
		html_text(f, k->place ? k->place : "");
		fputs("</code></td></tr>\n", f);
	}
	fputs("</tbody></table>\n", f);
}

/* What the systems say about themselves; where it stands is shown for who points at it. */
void report_systems(FILE *f, const struct report *r)
{
	const struct systems *s = r->systems;

	for (size_t i = 0; s && i < s->n; i++) {
		const struct os_facts *o = &s->v[i].facts;

		fprintf(f, "<h2%s>What the system says about itself</h2>\n<p><code>",
			i ? "" : " id=\"system\"");
		html_text(f, s->v[i].fs->path);
		fputs("</code></p>\n<table class=\"kv\">\n", f);
		for (size_t k = 0; k < o->n; k++) {
			fprintf(f, "<tr><th>%s</th><td title=\"", o->v[k].name);
			html_text(f, o->v[k].place);
			fputs("\">", f);
			html_text(f, o->v[k].value);
			fputs("</td></tr>\n", f);
		}
		fputs("</table>\n", f);
	}
}

/* Symptoms of one kind: one row of the picture. */
struct lane {
	unsigned rule;
	uint64_t times;
};

static size_t lanes_make(const struct timeline *t, struct lane v[LANES])
{
	size_t n = 0;

	for (size_t i = t->n_seen; i-- > 0;) {
		size_t k = 0;

		if (!t->seen[i].time.known)
			continue;
		while (k < n && v[k].rule != t->seen[i].rule)
			k++;
		if (k == n && n == LANES)
			continue;
		if (k == n)
			v[n++] = (struct lane){t->seen[i].rule, 0};
		v[k].times += t->seen[i].times;
	}
	return n;
}

static void lane_put(FILE *f, const struct timeline *t, const struct lane *l, int64_t from,
		     int64_t span)
{
	char when[TIME_TEXT];

	fputs("<div class=\"lane\"><span>", f);
	html_text(f, symptom_text(l->rule));
	if (l->times > 1)
		fprintf(f, " <b>%" PRIu64 "&times;</b>", l->times);
	fprintf(f,
		"</span><svg viewBox=\"0 0 %d 1\" preserveAspectRatio=\"none\" role=\"img\">"
		"<rect class=\"k0\" width=\"%d\" height=\"1\"/>",
		TICKS + 4, TICKS + 4);
	for (size_t i = 0; i < t->n_seen; i++) {
		const struct symptom_seen *s = &t->seen[i];

		if (s->rule != l->rule || !s->time.known || s->time.sec < from)
			continue;
		fprintf(f,
			"<rect class=\"k4\" x=\"%" PRId64 "\" width=\"4\" height=\"1\"><title>%s",
			span ? (s->time.sec - from) * TICKS / span : (int64_t)TICKS,
			time_text(s->time.sec, 0, when));
		if (s->times > 1)
			fprintf(f, ", the last of %" PRIu64, s->times);
		fputs("</title></rect>", f);
	}
	fputs("</svg></div>\n", f);
}

/* From the first symptom that is kept to the last record of all logs. */
static void picture_put(FILE *f, const struct timeline *t)
{
	struct lane v[LANES];
	size_t n = lanes_make(t, v);
	int64_t from = INT64_MAX, to = t->last.known ? t->last.sec : INT64_MIN;
	char a[TIME_TEXT], b[TIME_TEXT];

	for (size_t i = 0; i < t->n_seen; i++) {
		if (!t->seen[i].time.known)
			continue;
		from = t->seen[i].time.sec < from ? t->seen[i].time.sec : from;
		to = t->seen[i].time.sec > to ? t->seen[i].time.sec : to;
	}
	/* Beyond what a picture can show: times that a damaged record claims. */
	if (!n || to < from || to - from > (int64_t)400 * 365 * 86400)
		return;
	fputs("<div class=\"lanes\">\n", f);
	for (size_t i = 0; i < n; i++)
		lane_put(f, t, &v[i], from, to - from);
	fprintf(f,
		"<div class=\"lane axis\"><span></span><div><span class=\"n\">%s</span>"
		"<span class=\"n\">%s, %s</span></div></div>\n</div>\n",
		time_text(from, 0, a), time_text(to, 0, b),
		t->last.known && to == t->last.sec ? "the last record" : "the last symptom");
}

static void symptoms_put(FILE *f, const struct timeline *t)
{
	char when[TIME_TEXT];
	uint64_t shown = 0;

	fputs("<table class=\"wide\"><thead><tr><th>last time</th><th>times</th><th>what</th></tr>"
	      "</thead>\n<tbody>\n",
	      f);
	for (size_t i = t->n_seen; i-- > 0;) {
		const struct symptom_seen *s = &t->seen[i];

		fprintf(f, "<tr><td class=\"n\">%s</td><td data-l=\"times\">%" PRIu64 "</td><td>",
			s->time.known ? time_text(s->time.sec, 0, when) : "", s->times);
		shown += s->times;
		html_text(f, symptom_text(s->rule));
		fputs("<details><summary>the record</summary><code>", f);
		html_text(f, s->line);
		fputs("</code></details></td></tr>\n", f);
	}
	fputs("</tbody></table>\n", f);
	if (t->symptoms > shown)
		fprintf(f,
			"<p class=\"dim\">%" PRIu64 " events tell of trouble; these are the last "
			"ones. <code>case.sqlite</code> has all.</p>\n",
			t->symptoms);
}

void report_logs(FILE *f, const struct report *r)
{
	const struct timeline *t = r->logs;
	char a[TIME_TEXT], b[TIME_TEXT];

	if (!t || !t->events)
		return;
	fprintf(f,
		"<h2 id=\"logs\">What the logs say</h2>\n<p>%" PRIu64 " events of %" PRIu64 " logs",
		t->events, t->logs);
	if (t->first.known)
		fprintf(f, ", from <span class=\"n\">%s</span> to <span class=\"n\">%s</span>",
			time_text(t->first.sec, 0, a), time_text(t->last.sec, 0, b));
	if (t->missing)
		fprintf(f, "; %" PRIu64 " records are missing", t->missing);
	fputs(". All of them are in <code>logs/events.jsonl</code>, and for Timesketch in "
	      "<code>timeline.jsonl</code>.</p>\n",
	      f);
	if (!t->n_seen)
		return;
	fputs("<h3>Trouble before the end</h3>\n", f);
	picture_put(f, t);
	symptoms_put(f, t);
}
