/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/report_html.h"

#include <inttypes.h>
#include <string.h>

#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

static void tile_put(FILE *f, const char *what, const char *value)
{
	fputs("<div><span>", f);
	html_text(f, what);
	fputs("</span><b>", f);
	html_text(f, value);
	fputs("</b></div>\n", f);
}

/* The numbers that are asked for first. */
static void glance_put(FILE *f, const struct report *r)
{
	uint64_t lost = ranges_bytes(&r->map->bad, GRADE_LOST);
	uint64_t doubtful = ranges_bytes(&r->map->bad, GRADE_DOUBTFUL);
	char size[SIZE_TEXT], text[96], when[TIME_TEXT];

	fputs("<div class=\"glance\">\n", f);
	if (r->map->n) {
		snprintf(text, sizeof(text), "%s", size_text(lost, size));
		tile_put(f, "lost of the disk", lost ? text : "nothing");
		if (doubtful)
			tile_put(f, "doubtful", size_text(doubtful, size));
	}
	if (r->files && (r->files->n || lost)) {
		snprintf(text, sizeof(text), "%zu", r->files->n);
		tile_put(f, "files and structures hit", text);
	}
	if (r->logs && r->logs->last.known) {
		time_text(r->logs->last.sec, 0, when);
		snprintf(text, sizeof(text), "%.10s %.8s UTC", when, when + 11);
		tile_put(f, "logs survive to", strlen(when) == 20 ? text : when);
		snprintf(text, sizeof(text), "%" PRIu64, r->logs->symptoms);
		tile_put(f, "events that tell of trouble", text);
	}
	if (r->saved && r->saved->files) {
		snprintf(text, sizeof(text), "%" PRIu64 " files, %s", r->saved->files,
			 size_text(r->saved->bytes, size));
		tile_put(f, "saved from the image", text);
	}
	fputs("</div>\n", f);
}

static void link_put(FILE *f, bool there, const char *id, const char *text)
{
	if (there)
		fprintf(f, "<a href=\"#%s\">%s</a>\n", id, text);
}

static void nav_put(FILE *f, const struct report *r)
{
	fputs("<nav>\n", f);
	link_put(f, true, "stack", "stack");
	link_put(f, true, "disk", "disk");
	link_put(f, r->damage && r->damage->n, "damage", "damage");
	link_put(f, r->files && r->files->n, "files", "files hit");
	link_put(f, r->boot && r->boot->n, "boot", "start");
	link_put(f, r->causes && r->causes->n, "cause", "cause");
	link_put(f, r->systems && r->systems->n, "system", "system");
	link_put(f, r->logs && r->logs->events, "logs", "logs");
	link_put(f, true, "findings", "findings");
	link_put(f, r->saved && r->saved->files, "saved", "saved");
	link_put(f, r->map->n, "coverage", "coverage");
	link_put(f, true, "run", "run");
	fputs("</nav>\n", f);
}

void report_html(FILE *f, const struct report *r)
{
	const char *verdict = verdict_name(collect_verdict(r->findings));

	fputs(report_style, f);
	fputs("<title>", f);
	html_text(f, r->image);
	fprintf(f, ": %s</title>\n</head>\n<body>\n<header>\n<h1>", verdict);
	html_text(f, r->image);
	fprintf(f, "</h1>\n<div class=\"verdict %s\"><b>%s</b>\n<p>", verdict, verdict);
	html_text(f, r->headline);
	fputs("</p>\n", f);
	if (!r->complete)
		fputs("<p><b>Incomplete:</b> the run ended before everything was examined. What is "
		      "not listed here may still be damaged.</p>\n",
		      f);
	fputs("</div>\n", f);
	glance_put(f, r);
	nav_put(f, r);
	fputs("</header>\n<main>\n", f);
	report_stack(f, r);
	report_map(f, r);
	report_damage(f, r);
	report_files(f, r);
	report_boot(f, r);
	report_causes(f, r);
	report_systems(f, r);
	report_logs(f, r);
	report_findings(f, r);
	report_saved(f, r);
	report_coverage(f, r);
	report_method(f, r);
	fputs("</main>\n<footer><p class=\"dim\">Offsets are bytes. The same findings are in "
	      "<code>report.json</code> and <code>case.sqlite</code>, the lost bytes of the disk in "
	      "<code>lost.map</code> (for ddrescue and its viewers).</p></footer>\n",
	      f);
	fputs(report_script, f);
	fputs("</body>\n</html>\n", f);
}
