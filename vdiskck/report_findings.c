/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are hit, and everything that was found. */
#include <inttypes.h>
#include <string.h>

#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

static void file_put(FILE *f, const struct file_hit *h)
{
	char lost[SIZE_TEXT], doubtful[SIZE_TEXT], size[SIZE_TEXT];

	fputs("<tr><td><code>", f);
	html_text(f, h->fs->path);
	html_text(f, h->path ? ":" : ": ");
	html_text(f, h->path ? h->path : h->structure);
	fputs("</code>", f);
	if (h->deleted)
		fputs(" (deleted)", f);
	if (h->path && h->structure) {
		fputs("<div class=\"dim\">", f);
		html_text(f, h->structure);
		fputs("</div>", f);
	}
	fprintf(f, "</td><td data-l=\"lost\">%s", h->lost ? size_text(h->lost, lost) : "");
	if (h->lost && h->path)
		fprintf(f, " of %s", size_text(h->size, size));
	fprintf(f, "</td><td data-l=\"doubtful\">%s</td><td data-l=\"from\" class=\"n\">",
		h->doubtful ? size_text(h->doubtful, doubtful) : "");
	if (h->first != UINT64_MAX)
		fprintf(f, "0x%" PRIx64, h->first);
	fputs("</td><td data-l=\"because of\">", f);
	for (unsigned i = 0; i < h->n_why; i++)
		fprintf(f, "%s<a href=\"#%s\">%s</a>", i ? ", " : "", finding_name(h->why[i]),
			finding_name(h->why[i]));
	fputs("</td></tr>\n", f);
}

/* The damage by name, worst first. */
void report_files(FILE *f, const struct report *r)
{
	const struct files_hit *h = r->files;
	size_t in_rank = 0, left = 0;
	char size[SIZE_TEXT];

	if (!h || (!h->n && !h->free_lost && !h->free_doubtful))
		return;
	fputs("<h2 id=\"files\">Files hit</h2>\n", f);
	for (size_t i = 0; i < h->n; i++) {
		if (!i || h->v[i].rank != h->v[i - 1].rank) {
			fprintf(f,
				"%s<h3>%s</h3>\n<table class=\"wide\"><thead><tr><th>file</th>"
				"<th>lost</th><th>doubtful</th><th>from</th><th>because of</th></tr></thead>\n"
				"<tbody>\n",
				i ? "</tbody></table>\n" : "", rank_name(h->v[i].rank));
			in_rank = 0;
		}
		if (in_rank++ < PER_GROUP)
			file_put(f, &h->v[i]);
		else
			left++;
	}
	if (h->n)
		fputs("</tbody></table>\n", f);
	if (left || h->more)
		fprintf(f, "<p class=\"dim\">%zu more are in <code>report.json</code>%s.</p>\n",
			left, h->more ? ", and there are more than were kept" : "");
	if (h->free_lost + h->free_doubtful)
		fprintf(f, "<p>Free space hit: %s.</p>\n",
			size_text(h->free_lost + h->free_doubtful, size));
}

static void paths_put(FILE *f, const struct entry *e)
{
	if (e->path) {
		fputs("<div><code>", f);
		html_text(f, e->path);
		fputs("</code></div>", f);
	}
	for (size_t i = 0; i < e->n_paths; i++) {
		fputs(i ? "<div><code>" : "<div>hits <code>", f);
		html_text(f, e->paths[i]);
		fputs("</code></div>", f);
	}
	if (e->more_paths)
		fputs("<div>and more</div>", f);
}

/* What shows the same bytes in every layer: from a layer of the stack, or from a file in it. */
static void locate_put(FILE *f, const struct report *r, const struct entry *e)
{
	struct place p = e->len ? (struct place){e->layer, e->off, e->len} : e->at;
	bool in_file = false;
	char at[4200];

	for (size_t i = 0; i < e->n_where && !in_file; i++) {
		in_file = strstr(e->where[i].layer, ":/") != NULL;
		if (in_file)
			p = e->where[i];
	}
	if (!p.len || !p.layer || (!in_file && strstr(p.layer, ":/")))
		return;
	snprintf(at, sizeof(at), "%s:0x%" PRIx64 "+%" PRIu64, p.layer, p.off, p.len);
	html_command(f, (const char *const[]){"locate", r->image, in_file ? "--file" : "--at", at,
					      NULL});
}

static void instance_put(FILE *f, const struct report *r, const struct entry *e, bool values)
{
	char size[SIZE_TEXT];

	fputs("<tr><td>", f);
	html_text(f, e->message);
	if (e->lost || e->doubtful) {
		fprintf(f, "<div><b>%s of ", size_text(e->len, size));
		html_text(f, e->layer);
		fprintf(f, " %s</b></div>", e->lost ? "lost" : "doubtful");
	}
	paths_put(f, e);
	fputs("</td><td data-l=\"where\"><ul class=\"addr\">", f);
	for (size_t i = 0; i < e->n_where; i++) {
		fputs("<li><code>", f);
		html_text(f, e->where[i].layer);
		fputs("</code> ", f);
		html_range(f, e->where[i].off, e->where[i].len);
		fputs("</li>", f);
	}
	fputs("</ul>", f);
	locate_put(f, r, e);
	fputs("</td>", f);
	if (values) {
		fputs("<td data-l=\"stored\">", f);
		html_text(f, e->stored ? e->stored : "");
		fputs("</td><td data-l=\"expected\">", f);
		html_text(f, e->expected ? e->expected : "");
		fputs("</td>", f);
	}
	fputs("</tr>\n", f);
}

static const char *severity_class(enum severity s)
{
	return s == UNDECIDED ? "undecided" : severity_name(s);
}

/* The @n findings from @e on, all of one id in one layer. */
static void group_put(FILE *f, const struct report *r, const struct entry *e, size_t n,
		      uint64_t count, bool first)
{
	const char *severity = severity_class(finding_severity(e->id));
	bool values = false;

	fprintf(f, "<article class=\"%s\"", severity);
	if (first)
		fprintf(f, " id=\"%s\"", finding_name(e->id));
	fprintf(f, "><h3><span class=\"chip\">%s</span>%s <span class=\"dim\">in ", severity,
		finding_name(e->id));
	html_text(f, e->layer);
	if (count > 1)
		fprintf(f, ", %" PRIu64 " times", count);
	fputs("</span></h3>\n<p>", f);
	html_text(f, finding_meaning(e->id));
	fputs(".<br><b>What to do:</b> ", f);
	html_text(f, finding_advice(e->id));
	if (n > PER_GROUP)
		n = PER_GROUP;
	for (size_t i = 0; i < n; i++)
		values |= e[i].stored || e[i].expected;
	fprintf(f,
		".</p>\n<table class=\"wide\"><thead><tr><th>what</th><th>where</th>%s</tr></thead>\n"
		"<tbody>\n",
		values ? "<th>stored</th><th>expected</th>" : "");
	for (size_t i = 0; i < n; i++)
		instance_put(f, r, &e[i], values);
	fputs("</tbody></table>\n", f);
	if (count > n)
		fprintf(f,
			"<p class=\"dim\">%" PRIu64 " more are in <code>report.json</code>.</p>\n",
			count - n);
	fputs("</article>\n", f);
}

void report_findings(FILE *f, const struct report *r)
{
	const struct collect *c = r->findings;
	bool seen[FINDING_COUNT] = {0};

	fputs("<h2 id=\"findings\">Findings</h2>\n", f);
	if (!c->n)
		fputs("<p>None.</p>\n", f);
	for (size_t i = 0, end; i < c->n; i = end) {
		const struct entry *e = &c->v[i];
		const struct tally *t = collect_tally(c, e);

		for (end = i + 1; end < c->n && c->v[end].id == e->id; end++)
			if (c->v[end].layer != e->layer)
				break;
		group_put(f, r, e, end - i, t ? t->count : end - i, !seen[e->id]);
		seen[e->id] = true;
	}
}
