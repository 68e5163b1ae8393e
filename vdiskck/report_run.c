/* SPDX-License-Identifier: Apache-2.0 */
/* What was saved, how much was proven, with which keys and commands, and the run itself. */
#include <inttypes.h>
#include <string.h>

#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"
#include "vdiskck/triage_parts.h"

void report_saved(FILE *f, const struct report *r)
{
	const struct recovered *s = r->saved;
	char size[SIZE_TEXT];

	if (!s || !s->files)
		return;
	fprintf(f,
		"<h2 id=\"saved\">Saved from the image</h2>\n<p>%" PRIu64
		" files, %s, in <code>logs"
		"</code> and <code>files</code> beside this page. The digests are those of "
		"<code>MANIFEST.sha256</code>: <code class=\"cmd\">sha256sum -c MANIFEST.sha256"
		"</code></p>\n<details%s><summary>names and digests</summary>\n<table class=\"wide\">"
		"<thead><tr><th>file</th><th>size</th><th>SHA-256</th></tr></thead>\n<tbody>\n",
		s->files, size_text(s->bytes, size), s->files <= 24 ? " open" : "");
	for (size_t i = 0; i < s->n; i++) {
		fputs("<tr><td><code>", f);
		html_text(f, s->v[i].path);
		fprintf(f, "</code></td><td data-l=\"size\">%s</td><td data-l=\"SHA-256\"><code>",
			size_text(s->v[i].size, size));
		html_text(f, s->v[i].sha256);
		fputs("</code></td></tr>\n", f);
	}
	fputs("</tbody></table></details>\n", f);
	if (s->files > s->n)
		fprintf(f,
			"<p class=\"dim\">%" PRIu64
			" more are in <code>MANIFEST.sha256</code>.</p>\n",
			s->files - s->n);
}

static void size_row(FILE *f, const char *class, const char *what, uint64_t bytes, uint64_t of)
{
	char size[SIZE_TEXT];

	if (!bytes)
		return;
	fputs("<tr><th>", f);
	if (class)
		fprintf(f,
			"<svg viewBox=\"0 0 1 1\"><rect class=\"%s\" width=\"1\" height=\"1\"/>"
			"</svg> ",
			class);
	fprintf(f,
		"%s</th><td class=\"n\">%s</td><td class=\"n\">%.1f %%</td><td class=\"n dim\">%" PRIu64
		"</td></tr>\n",
		what, size_text(bytes, size), of ? 100.0 * (double)bytes / (double)of : 0, bytes);
}

struct share {
	const char *class;
	uint64_t bytes;
};

static void bar_put(FILE *f, const struct share *v, size_t n, uint64_t of)
{
	double x = 0;

	fputs("<svg class=\"bar\" viewBox=\"0 0 1000 1\" preserveAspectRatio=\"none\" role=\"img\" "
	      "aria-label=\"shares of the disk\">",
	      f);
	for (size_t i = 0; i < n; i++) {
		double w = of ? 1000.0 * (double)v[i].bytes / (double)of : 0;

		/* What is damaged can be seen, however little it is. */
		if (v[i].bytes && w < 3 && i < 2)
			w = 3;
		if (v[i].bytes)
			fprintf(f, "<rect class=\"%s\" x=\"%.2f\" width=\"%.2f\" height=\"1\"/>",
				v[i].class, x, w);
		x += w;
	}
	fputs("</svg>\n", f);
}

void report_coverage(FILE *f, const struct report *r)
{
	struct cell all = diskmap_part(r->map, 0, 1);
	uint64_t data = all.bytes[CELL_DATA];
	/* Structures above the disk are verified as well: no more than there is data is shown. */
	uint64_t proven = r->checked < data ? r->checked : data;
	const struct share v[] = {{"k4", all.bytes[CELL_LOST]},
				  {"k3", all.bytes[CELL_DOUBTFUL]},
				  {"ok", proven},
				  {"k1", data - proven},
				  {"k2", all.bytes[CELL_UNKNOWN]},
				  {"k0", all.bytes[CELL_ZERO]}};

	if (!r->map->n)
		return;
	fputs("<h2 id=\"coverage\">What was examined</h2>\n", f);
	bar_put(f, v, sizeof(v) / sizeof(*v), r->map->size);
	fputs("<table class=\"kv sizes\">\n", f);
	size_row(f, NULL, "the disk", r->map->size, r->map->size);
	size_row(f, "k4", "lost", v[0].bytes, r->map->size);
	size_row(f, "k3", "doubtful", v[1].bytes, r->map->size);
	size_row(f, "ok", "proven intact by a structure, a checksum or a tag", v[2].bytes,
		 r->map->size);
	size_row(f, "k1", r->read_all ? "read, no evidence for or against" : "mapped but not read",
		 v[3].bytes, r->map->size);
	size_row(f, "k2", "not examined", v[4].bytes, r->map->size);
	size_row(f, "k0", "zero by the format", v[5].bytes, r->map->size);
	fputs("</table>\n<p class=\"dim\">Data that carries no checksum can be read, but nothing "
	      "proves that it is what was written.</p>\n",
	      f);
}

/* Each cipher, and whether the keys that were given opened it. */
static void keys_put(FILE *f, const struct report *r)
{
	bool any = false;

	for (size_t i = 0; i < js_len(r->layers); i++) {
		struct json *l = js_at(r->layers, i);
		const char *state = html_shut(l);

		if (strcmp(html_get(l, "kind"), "cipher") != 0)
			continue;
		fputs(any ? "" : "<h3>Keys</h3>\n<ul>\n", f);
		any = true;
		fputs("<li><code>", f);
		html_text(f, html_get(l, "layer"));
		fputs("</code> ", f);
		html_text(f, *state    ? state
			     : r->keys ? "was opened with a key that was given"
				       : "was opened without a key being given");
		fputs("</li>\n", f);
	}
	fputs(any ? "</ul>\n<p class=\"dim\">No key is written into the case. To repeat what is "
		    "above, <code>--keys FILE</code> is needed again.</p>\n"
		  : "",
	      f);
}

static void command_row(FILE *f, const char *what, const char *const *words)
{
	fputs("<tr><td>", f);
	html_text(f, what);
	fputs("</td><td>", f);
	html_command(f, words);
	fputs("</td></tr>\n", f);
}

/* What shows each statement of the page again, without the case. */
static void commands_put(FILE *f, const struct report *r)
{
	const struct boot_link *k = r->boot ? boot_first(r->boot, 0) : NULL;

	fputs("<h3>To see the same again</h3>\n<table class=\"cmds\">\n", f);
	command_row(f, "the stack", (const char *const[]){"info", r->image, NULL});
	command_row(f, "findings, files hit, verdict",
		    (const char *const[]){"check", r->image, r->read_all ? "--data" : NULL, NULL});
	if (r->findings->n)
		command_row(
			f, "what a finding means",
			(const char *const[]){"explain", finding_name(r->findings->v[0].id), NULL});
	if (r->map->bad.n)
		command_row(f, "lost bytes of the disk",
			    (const char *const[]){"export", r->image, "-o", "/dev/null", "--map",
						  "lost.map", NULL});
	if (r->files && r->files->n && r->files->v[0].path) {
		char file[4200];

		snprintf(file, sizeof(file), "%s:%s", r->files->v[0].fs->path, r->files->v[0].path);
		command_row(f, "a file that is hit",
			    (const char *const[]){"extract", r->image, file, "-o", "DIR", NULL});
	}
	if (k && k->place && strstr(k->place, ":/"))
		command_row(f, "the link that does not hold",
			    (const char *const[]){"locate", r->image, "--file", k->place, NULL});
	if (r->logs && r->logs->events)
		command_row(f, "the logs and their events",
			    (const char *const[]){"logs", r->image, "-o", "DIR", NULL});
	fputs("</table>\n", f);
}

/* A fact of the run, as a row. */
static void fact_put(void *arg, const char *key, struct json *v)
{
	FILE *f = arg;

	fputs("<tr><th>", f);
	html_text(f, key);
	fputs("</th><td>", f);
	html_value(f, key, v);
	fputs("</td></tr>\n", f);
}

void report_method(FILE *f, const struct report *r)
{
	char text[96];

	fputs("<h2 id=\"run\">The run</h2>\n<table class=\"kv\">\n", f);
	js_each(r->run, fact_put, f);
	fputs("</table>\n", f);
	if (r->parts && r->parts != PARTS_ALL) {
		fputs("<p><b>Left out:</b> ", f);
		html_text(f, parts_text(PARTS_ALL & ~r->parts, text));
		fputs("</p>\n", f);
	}
	fputs("<p class=\"dim\">The image was opened read-only, and nothing was made beside it. "
	      "Findings come from verifying the structures of every layer against their "
	      "specifications; bytes are carried up from layer to layer by the layers' own maps.</p>\n",
	      f);
	keys_put(f, r);
	commands_put(f, r);
}
