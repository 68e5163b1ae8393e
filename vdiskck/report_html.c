/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/report_html.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "recover/symptoms.h"
#include "vdiskck/core/findings.h"
#include "vdiskck/core/text.h"

enum {
	PER_GROUP = 200, /* findings of one kind in the page; report.json has all */
	RANGES = 200,	 /* lost ranges in the page; lost.map has all */
	COLUMNS = 64,	 /* of the disk map: still 4 pixels wide on a phone */
	ROWS_MAX = 16,	 /* ditto: a screenful */
	DEPTH_MAX = 32,
};

/* No colour alone carries meaning: every state is named as well. */
static const char head_text[] =
	"<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	"style-src 'unsafe-inline'\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta name=\"color-scheme\" content=\"light dark\">\n<style>\n"
	":root{--bg:#fff;--fg:#1c2126;--dim:#5b6670;--line:#d9dee3;--card:#f5f7f9;--data:#3d6fa8;"
	"--zero:#e6eaee;--lost:#c4233f;--doubt:#b26a00;--unknown:#8a6fb0;--ok:#23794a}\n"
	"@media (prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e3e8ec;--dim:#98a4af;"
	"--line:#343c44;--card:#1d2328;--data:#6ea3dd;--zero:#2b333a;--lost:#ff6b80;--doubt:#f0a63c;"
	"--unknown:#b89be0;--ok:#63c28d}}\n"
	"*{box-sizing:border-box}\n"
	"body{margin:0 auto;max-width:68rem;padding:1.2rem;background:var(--bg);color:var(--fg);"
	"font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\n"
	"h1{font-size:1.35rem;margin:0 0 .8rem;overflow-wrap:anywhere}\n"
	"h2{font-size:1.1rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);"
	"padding-bottom:.25rem}\n"
	"h3{font-size:1rem;margin:1.1rem 0 .3rem}article h3{margin-top:0}\n"
	"code,.n{font-family:ui-monospace,Consolas,\"DejaVu Sans Mono\",monospace;font-size:.9em}\n"
	"code,td,dd,.tree{overflow-wrap:anywhere}\n"
	".n{font-variant-numeric:tabular-nums;white-space:nowrap}\n"
	".dim{color:var(--dim)}\np{margin:.4rem 0}\n"
	".verdict{border-left:.5rem solid var(--c);background:var(--card);padding:.8rem 1rem}\n"
	".verdict b{color:var(--c);text-transform:uppercase;letter-spacing:.04em}\n"
	".verdict p{font-size:1.05rem;overflow-wrap:anywhere}\n"
	".intact{--c:var(--ok)}.blemish,.blemished{--c:var(--doubt)}"
	".damage,.damaged{--c:var(--lost)}.undecided{--c:var(--unknown)}.info{--c:var(--dim)}\n"
	".chip{display:inline-block;border:1px solid var(--c);color:var(--c);border-radius:.6rem;"
	"padding:0 .5rem;font-size:.8rem;margin-right:.4rem;white-space:nowrap}\n"
	"article{border:1px solid var(--line);border-left:.25rem solid var(--c);"
	"margin:.8rem 0;padding:.7rem .9rem}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;"
	"border-top:1px solid var(--line)}\n"
	"th{font-weight:600;color:var(--dim);font-size:.85rem}\n"
	"tr:first-child>th,.kv tr:first-child>td{border-top:0}\n"
	".kv{width:auto}.kv th{white-space:nowrap}\n"
	".addr{list-style:none;margin:0;padding:0}\n"
	".tree{list-style:none;margin:0;padding:0}\n"
	".tree li{margin:.35rem 0 .35rem calc(var(--d)*1.4rem);border:1px solid var(--line);"
	"background:var(--card);padding:.35rem .7rem}\n"
	".facts{margin:.15rem 0 0;font-size:.85rem;display:flex;flex-wrap:wrap;gap:0 1.2rem}"
	".facts i{font-style:normal;color:var(--dim)}a{color:inherit}\n"
	".row{display:flex;align-items:center;gap:.6rem;margin:1px 0}\n"
	".row span{flex:0 0 5.2rem;text-align:right;font-size:.8rem;color:var(--dim)}\n"
	".row svg{flex:1;min-width:0;height:1.15rem}\n"
	".k0{fill:var(--zero)}.k1{fill:var(--data)}.k2{fill:var(--unknown)}.k3{fill:var(--doubt)}"
	".k4{fill:var(--lost)}.s1{opacity:.35}.s2{opacity:.55}.s3{opacity:.78}\n"
	".legend{display:flex;flex-wrap:wrap;gap:.3rem 1.3rem;margin:.6rem 0}\n"
	".legend svg{width:.9rem;height:.9rem;vertical-align:-.1rem;margin-right:.3rem}\n"
	"@media (max-width:44rem){body{padding:.8rem}.wide thead{display:none}"
	".wide tr{display:block;border-top:1px solid var(--line);padding:.4rem 0}"
	".wide td{display:block;border:0;padding:.1rem 0}"
	".wide td[data-l]:not(:empty)::before{content:attr(data-l);display:block;color:var(--dim);"
	"font-size:.8rem}.kv th{white-space:normal}"
	".tree li{margin-left:calc(var(--d)*.6rem)}.row span{flex-basis:3.9rem;font-size:.7rem}"
	".n{white-space:normal}}\n"
	"@media print{:root{--bg:#fff;--fg:#000;--dim:#444;--card:#fff;--line:#bbb;--data:#3d6fa8;"
	"--zero:#e6eaee;--lost:#c4233f;--doubt:#b26a00;--unknown:#8a6fb0;--ok:#23794a}"
	"body{font-size:10pt;max-width:none;padding:0}svg,.verdict{print-color-adjust:exact;"
	"-webkit-print-color-adjust:exact}tr,.tree li,.row{break-inside:avoid}"
	"h2,h3{break-after:avoid}}\n</style>\n";

/* Safe as text and inside quotes; what would move or reorder text is shown as \xHH. */
static void text_put(FILE *f, const char *s)
{
	while (*s) {
		size_t len = strcspn(s, "\\&<>\"'");
		char buf[1024];

		if (!len) {
			fputs(*s == '&'	   ? "&amp;"
			      : *s == '<'  ? "&lt;"
			      : *s == '>'  ? "&gt;"
			      : *s == '"'  ? "&quot;"
			      : *s == '\'' ? "&#39;"
					   : "\\",
			      f);
			s++;
			continue;
		}
		/* A long stretch goes in pieces; one that would cut a character is shortened. */
		if (len > 200) {
			len = 200;
			while (len > 196 && (s[len] & 0xc0) == 0x80)
				len--;
		}
		fputs(name_escape(s, len, buf, sizeof(buf)), f);
		s += len;
	}
}

static const char *get(const struct json *obj, const char *key)
{
	struct json *v = js_get(obj, key);
	const char *text = v ? js_text(v) : NULL;

	return text ? text : "";
}

static uint64_t get_u64(const struct json *obj, const char *key)
{
	uint64_t v = 0;

	js_to_u64(js_get(obj, key), &v);
	return v;
}

/* "0x60c, 4 B" */
static void range_put(FILE *f, uint64_t off, uint64_t len)
{
	char size[SIZE_TEXT];

	fprintf(f, "<span class=\"n\">0x%" PRIx64 "</span>", off);
	if (len)
		fprintf(f, ", %s", size_text(len, size));
}

/* A value on one line: "a, b", or "key a, key b". What is nested too deep is shown as JSON. */
static void value_put(FILE *f, const char *key, struct json *v, int depth);

struct members {
	FILE *f;
	int depth;
	bool more;
};

static void member_put(void *arg, const char *key, struct json *v)
{
	struct members *m = arg;

	fputs(m->more ? ", " : "", m->f);
	m->more = true;
	text_put(m->f, key);
	fputc(' ', m->f);
	value_put(m->f, key, v, m->depth);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

static void value_put(FILE *f, const char *key, struct json *v, int depth)
{
	enum json_kind k = js_kind(v);
	char size[SIZE_TEXT];
	uint64_t n;

	if (k == JSON_OBJECT && depth < 3) {
		js_each(v, member_put, &(struct members){f, depth + 1, false});
	} else if (k == JSON_ARRAY && depth < 3) {
		for (size_t i = 0; i < js_len(v); i++) {
			fputs(i ? "; " : "", f);
			value_put(f, key, js_at(v, i), depth + 1);
		}
	} else if (k == JSON_NUMBER && js_to_u64(v, &n) &&
		   (ends_with(key, "size") || ends_with(key, "bytes"))) {
		fputs(size_text(n, size), f);
	} else if (k == JSON_OBJECT || k == JSON_ARRAY) {
		text_put(f, js_line(v));
	} else {
		text_put(f, k == JSON_BOOL && js_text(v)[0] == 't' ? "yes"
			    : k == JSON_BOOL			   ? "no"
			    : js_text(v)			   ? js_text(v)
								   : "");
	}
}

/* A fact of the run, as a row. */
static void fact_put(void *arg, const char *key, struct json *v)
{
	FILE *f = arg;

	fputs("<tr><th>", f);
	text_put(f, key);
	fputs("</th><td>", f);
	value_put(f, key, v, 0);
	fputs("</td></tr>\n", f);
}

/* A fact of a layer, in the paragraph of all of them. */
static void detail_put(void *arg, const char *key, struct json *v)
{
	static const char *const shown[] = {"record", "layer",	"kind", "size",
					    "of",     "parent", "state"};
	const char *name = key;
	FILE *f = arg;

	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		if (!strcmp(key, shown[i]))
			return;
	fputs("<span><i>", f);
	for (size_t len; *key; key += len + (key[len] == '_')) {
		char word[64];

		len = strcspn(key, "_");
		snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), key);
		text_put(f, word);
		fputs(key[len] == '_' ? " " : "", f);
	}
	fputs("</i> ", f);
	value_put(f, name, v, 0);
	fputs("</span>\n", f);
}

static void layer_put(FILE *f, struct json *l, unsigned depth)
{
	char size[SIZE_TEXT];

	fprintf(f, "<li style=\"--d:%u\"><b>", depth < DEPTH_MAX ? depth : DEPTH_MAX);
	text_put(f, get(l, "layer"));
	fputs("</b> <span class=\"dim\">", f);
	text_put(f, get(l, "kind"));
	fprintf(f, ", %s", size_text(get_u64(l, "size"), size));
	if (*get(l, "parent")) {
		fputs(", child of ", f);
		text_put(f, get(l, "parent"));
	}
	fputs("</span>", f);
	if (*get(l, "state")) {
		fputs(" <span class=\"chip undecided\">", f);
		text_put(f, get(l, "state"));
		fputs("</span>", f);
	}
	fputs("\n<p class=\"facts\">", f);
	js_each(l, detail_put, f);
	fputs("</p></li>\n", f);
}

/*
 * Each layer behind the one that it is "of", indented. No recursion, and only an earlier record
 * counts as what a layer stands on: names are only claims.
 */
static void stack_put(FILE *f, struct json *layers)
{
	size_t n = js_len(layers), *of = calloc(n + 1, sizeof(*of));
	size_t *path = calloc(n + 1, sizeof(*path)), depth = 0;

	fputs("<h2>The stack</h2>\n<p class=\"dim\">What stands on what, from each file up, and what "
	      "it states about itself.</p>\n<ul class=\"tree\">\n",
	      f);
	if (!of || !path)
		goto out;
	for (size_t i = 0; i < n; i++) {
		const char *name = get(js_at(layers, i), "of");

		for (size_t k = i; k-- > 0 && *name && !of[i];)
			if (!strcmp(get(js_at(layers, k), "layer"), name))
				of[i] = k + 1;
	}
	/* path[0..depth]: numbers (from 1) of the layers from the root to the one just drawn. */
	for (size_t at = 0;;) {
		size_t next = at;

		while (next < n && of[next] != path[depth])
			next++;
		if (next < n) {
			layer_put(f, js_at(layers, next), (unsigned)depth);
			path[++depth] = next + 1;
			at = next + 1;
		} else if (depth) {
			at = path[depth--];
		} else {
			break;
		}
	}
out:
	fputs("</ul>\n", f);
	free(of);
	free(path);
}

/* Cells of one row that look alike become one rectangle with one explanation. */
static size_t svg_run(FILE *f, const struct diskmap *m, size_t i, size_t row_end, size_t parts)
{
	static const char *const shade[] = {"", " s1", " s2", " s3", ""};
	struct cell sum = diskmap_part(m, i, parts);
	enum cell_kind k = cell_shown(&sum);
	unsigned share = k == CELL_DATA ? cell_share(&sum) : 0;
	uint64_t off, len;
	char size[SIZE_TEXT];
	size_t next = i + 1;

	for (; next < row_end; next++) {
		struct cell c = diskmap_part(m, next, parts);

		if (cell_shown(&c) != k || (k == CELL_DATA && cell_share(&c) != share))
			break;
		for (int kind = 0; kind < CELL_KINDS; kind++)
			sum.bytes[kind] += c.bytes[kind];
	}
	diskmap_bounds(m, i, parts, &off, &len);
	fprintf(f,
		"<rect class=\"k%d%s\" x=\"%zu\" width=\"%zu\" height=\"1\"><title>0x%" PRIx64
		" (%s)",
		k, shade[share], i % COLUMNS, next - i, off, size_text(off, size));
	for (int kind = CELL_KINDS; kind-- > 0;)
		if (sum.bytes[kind])
			fprintf(f, ", %s %s", cell_name((enum cell_kind)kind),
				size_text(sum.bytes[kind], size));
	fputs("</title></rect>", f);
	return next;
}

static void map_put(FILE *f, const struct report *r)
{
	const struct diskmap *m = r->map;
	size_t parts = m->n < COLUMNS * ROWS_MAX ? m->n : COLUMNS * ROWS_MAX;
	struct cell all = diskmap_part(m, 0, 1);
	char size[SIZE_TEXT];

	fputs("<h2>The disk</h2>\n", f);
	if (!m->n) {
		fputs("<p>No disk could be opened in the image.</p>\n", f);
		return;
	}
	fputs("<p class=\"dim\">What the machine sees as its disk: layer <code>", f);
	text_put(f, r->disk);
	fprintf(f, "</code>, %s. Each cell shows the worst that lies in it.</p>\n",
		size_text(m->size, size));
	for (size_t i = 0; i < parts;) {
		size_t end = i + COLUMNS < parts ? i + COLUMNS : parts;
		uint64_t off, len;

		diskmap_bounds(m, i, parts, &off, &len);
		fprintf(f,
			"<div class=\"row\"><span>%s</span><svg viewBox=\"0 0 %d 1\" "
			"preserveAspectRatio=\"none\" role=\"img\">",
			size_text(off, size), COLUMNS);
		while (i < end)
			i = svg_run(f, m, i, end, parts);
		fputs("</svg></div>\n", f);
	}
	fputs("<div class=\"legend\">", f);
	for (int k = 0; k < CELL_KINDS; k++)
		if (all.bytes[k])
			fprintf(f,
				"<span><svg viewBox=\"0 0 1 1\"><rect class=\"k%d\" width=\"1\" "
				"height=\"1\"/></svg>%s, %s</span>\n",
				k, cell_name((enum cell_kind)k), size_text(all.bytes[k], size));
	fputs("</div>\n", f);
}

static void bad_put(FILE *f, const struct diskmap *m)
{
	size_t n = m->bad.n < RANGES ? m->bad.n : RANGES;

	if (!n)
		return;
	fputs("<h3>Lost and doubtful bytes of the disk</h3>\n<table><tr><th>from</th><th>length</th>"
	      "<th>because of</th></tr>\n",
	      f);
	for (size_t i = 0; i < n; i++) {
		const struct range *b = &m->bad.v[i];
		char from[SIZE_TEXT], size[SIZE_TEXT];

		fprintf(f,
			"<tr><td><span class=\"n\">0x%" PRIx64
			"</span> (%s)</td><td>%s</td><td>%s: "
			"<a href=\"#%s\">%s</a></td></tr>\n",
			b->off, size_text(b->off, from), size_text(b->len, size),
			b->grade == GRADE_LOST ? "lost" : "doubtful", finding_name(b->why),
			finding_name(b->why));
	}
	fputs("</table>\n", f);
	if (m->bad.n > n)
		fprintf(f, "<p class=\"dim\">%zu more are in <code>lost.map</code>.</p>\n",
			m->bad.n - n);
}

/* Which volumes the lost bytes belong to. */
static void hit_put(FILE *f, const struct report *r)
{
	bool any = false;

	for (size_t i = 0; r->hit && i < r->hit->n; i++) {
		const struct impact_layer *il = &r->hit->v[i];
		char lost[SIZE_TEXT], doubtful[SIZE_TEXT], size[SIZE_TEXT], from[SIZE_TEXT];

		if (il->l->ops->kind != LAYER_VOLUME || !il->hit.n)
			continue;
		if (!any)
			fputs("<h3>What they hit</h3>\n<table><tr><th>volume</th><th>lost</th>"
			      "<th>doubtful</th><th>first at</th></tr>\n",
			      f);
		any = true;
		fputs("<tr><td><code>", f);
		text_put(f, il->l->path);
		fprintf(f,
			"</code>, %s</td><td>%s</td><td>%s</td><td><span class=\"n\">0x%" PRIx64
			"</span> (%s)</td></tr>\n",
			size_text(il->l->size, size),
			size_text(ranges_bytes(&il->hit, GRADE_LOST), lost),
			size_text(ranges_bytes(&il->hit, GRADE_DOUBTFUL), doubtful),
			il->hit.v[0].off, size_text(il->hit.v[0].off, from));
	}
	if (any)
		fputs("</table>\n", f);
}

static void file_put(FILE *f, const struct file_hit *h)
{
	char lost[SIZE_TEXT], doubtful[SIZE_TEXT], size[SIZE_TEXT];

	fputs("<tr><td><code>", f);
	text_put(f, h->fs->path);
	text_put(f, h->path ? ":" : ": ");
	text_put(f, h->path ? h->path : h->structure);
	fputs("</code>", f);
	if (h->deleted)
		fputs(" (deleted)", f);
	if (h->path && h->structure) {
		fputs("<div class=\"dim\">", f);
		text_put(f, h->structure);
		fputs("</div>", f);
	}
	fprintf(f, "</td><td data-l=\"lost\">%s", h->lost ? size_text(h->lost, lost) : "");
	if (h->lost && h->path)
		fprintf(f, " of %s", size_text(h->size, size));
	if (h->first != UINT64_MAX)
		fprintf(f, ", from <span class=\"n\">0x%" PRIx64 "</span> on", h->first);
	fprintf(f, "</td><td data-l=\"doubtful\">%s</td><td data-l=\"because of\">",
		h->doubtful ? size_text(h->doubtful, doubtful) : "");
	for (unsigned i = 0; i < h->n_why; i++)
		fprintf(f, "%s<a href=\"#%s\">%s</a>", i ? ", " : "", finding_name(h->why[i]),
			finding_name(h->why[i]));
	fputs("</td></tr>\n", f);
}

/* The damage by name, worst first. */
static void files_put(FILE *f, const struct files_hit *h)
{
	size_t in_rank = 0, left = 0;
	char size[SIZE_TEXT];

	if (!h || (!h->n && !h->free_lost && !h->free_doubtful))
		return;
	fputs("<h2>Files hit</h2>\n", f);
	for (size_t i = 0; i < h->n; i++) {
		if (!i || h->v[i].rank != h->v[i - 1].rank) {
			fprintf(f,
				"%s<h3>%s</h3>\n<table class=\"wide\"><thead><tr><th>file</th>"
				"<th>lost</th><th>doubtful</th><th>because of</th></tr></thead>\n"
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

/* What the machine needs to start, in the order in which it needs it. */
static void boot_put(FILE *f, const struct boot *b)
{
	static const char *const class[] = {[BOOT_HOLDS] = "intact",
					    [BOOT_BROKEN] = "damage",
					    [BOOT_DOUBTFUL] = "blemish",
					    [BOOT_OPEN] = "undecided"};

	if (!b || !b->n)
		return;
	fputs("<h2>What it needs to start</h2>\n", f);
	if (*b->os || *b->computer) {
		fputs("<p>", f);
		text_put(f, b->os);
		fputs(*b->os && *b->computer ? " on " : "", f);
		text_put(f, b->computer);
		fputs("</p>\n", f);
	}
	fputs("<table class=\"wide\"><thead><tr><th>link</th><th>state</th><th>evidence</th>"
	      "<th>where</th></tr></thead>\n<tbody>\n",
	      f);
	for (size_t i = 0; i < b->n; i++) {
		const struct boot_link *k = &b->v[i];

		fprintf(f, "<tr><td>%s</td><td><span class=\"chip %s\">%s</span></td><td>", k->what,
			class[k->state], boot_state_name(k->state));
		text_put(f, k->evidence);
		fputs("</td><td data-l=\"where\"><code>", f);
		text_put(f, k->place ? k->place : "");
		fputs("</code></td></tr>\n", f);
	}
	fputs("</tbody></table>\n", f);
}

/* What the systems say about themselves; where it stands is shown for who points at it. */
static void systems_put(FILE *f, const struct systems *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		const struct os_facts *o = &s->v[i].facts;

		fputs("<h2>What the system says about itself</h2>\n<p><code>", f);
		text_put(f, s->v[i].fs->path);
		fputs("</code></p>\n<table class=\"kv\">\n", f);
		for (size_t k = 0; k < o->n; k++) {
			fprintf(f, "<tr><th>%s</th><td title=\"", o->v[k].name);
			text_put(f, o->v[k].place);
			fputs("\">", f);
			text_put(f, o->v[k].value);
			fputs("</td></tr>\n", f);
		}
		fputs("</table>\n", f);
	}
}

/* What the logs say, and how far they go. */
static void logs_put(FILE *f, const struct timeline *t)
{
	char a[TIME_TEXT], b[TIME_TEXT];

	if (!t || !t->events)
		return;
	fprintf(f, "<h2>What the logs say</h2>\n<p>%" PRIu64 " events of %" PRIu64 " logs",
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
	fputs("<h3>Trouble before the end</h3>\n<table class=\"wide\"><thead><tr><th>last time</th>"
	      "<th>times</th><th>what</th></tr></thead>\n<tbody>\n",
	      f);
	for (size_t i = t->n_seen; i-- > 0;) {
		const struct symptom_seen *s = &t->seen[i];

		fprintf(f,
			"<tr><td class=\"n\">%s</td><td>%" PRIu64 "</td><td>%s<details><summary>"
			"the record</summary><code>",
			s->time.known ? time_text(s->time.sec, 0, a) : "", s->times,
			symptom_text(s->rule));
		text_put(f, s->line);
		fputs("</code></details></td></tr>\n", f);
	}
	fputs("</tbody></table>\n", f);
}

static void instance_put(FILE *f, const struct entry *e, bool values)
{
	char size[SIZE_TEXT];

	fputs("<tr><td>", f);
	text_put(f, e->message);
	if (e->lost || e->doubtful) {
		fprintf(f, "<div><b>%s of ", size_text(e->len, size));
		text_put(f, e->layer);
		fprintf(f, " %s</b></div>", e->lost ? "lost" : "doubtful");
	}
	if (e->path) {
		fputs("<div><code>", f);
		text_put(f, e->path);
		fputs("</code></div>", f);
	}
	for (size_t i = 0; i < e->n_paths; i++) {
		fputs(i ? "<div><code>" : "<div>hits <code>", f);
		text_put(f, e->paths[i]);
		fputs("</code></div>", f);
	}
	if (e->more_paths)
		fputs("<div>and more</div>", f);
	fputs("</td><td data-l=\"where\"><ul class=\"addr\">", f);
	for (size_t i = 0; i < e->n_where; i++) {
		fputs("<li><code>", f);
		text_put(f, e->where[i].layer);
		fputs("</code> ", f);
		range_put(f, e->where[i].off, e->where[i].len);
		fputs("</li>", f);
	}
	fputs("</ul></td>", f);
	if (values) {
		fputs("<td data-l=\"stored\">", f);
		text_put(f, e->stored ? e->stored : "");
		fputs("</td><td data-l=\"expected\">", f);
		text_put(f, e->expected ? e->expected : "");
		fputs("</td>", f);
	}
	fputs("</tr>\n", f);
}

static const char *severity_class(enum severity s)
{
	return s == UNDECIDED ? "undecided" : severity_name(s);
}

/* The @n findings from @e on, all of one id in one layer. */
static void group_put(FILE *f, const struct entry *e, size_t n, uint64_t count, bool first)
{
	const char *severity = severity_class(finding_severity(e->id));
	bool values = false;

	fprintf(f, "<article class=\"%s\"", severity);
	if (first)
		fprintf(f, " id=\"%s\"", finding_name(e->id));
	fprintf(f, "><h3><span class=\"chip\">%s</span>%s <span class=\"dim\">in ", severity,
		finding_name(e->id));
	text_put(f, e->layer);
	if (count > 1)
		fprintf(f, ", %" PRIu64 " times", count);
	fputs("</span></h3>\n<p>", f);
	text_put(f, finding_meaning(e->id));
	fputs(".<br><b>What to do:</b> ", f);
	text_put(f, finding_advice(e->id));
	if (n > PER_GROUP)
		n = PER_GROUP;
	for (size_t i = 0; i < n; i++)
		values |= e[i].stored || e[i].expected;
	fprintf(f,
		".</p>\n<table class=\"wide\"><thead><tr><th>what</th><th>where</th>%s</tr></thead>\n"
		"<tbody>\n",
		values ? "<th>stored</th><th>expected</th>" : "");
	for (size_t i = 0; i < n; i++)
		instance_put(f, &e[i], values);
	fputs("</tbody></table>\n", f);
	if (count > n)
		fprintf(f,
			"<p class=\"dim\">%" PRIu64 " more are in <code>report.json</code>.</p>\n",
			count - n);
	fputs("</article>\n", f);
}

static void findings_put(FILE *f, const struct collect *c)
{
	bool seen[FINDING_COUNT] = {0};

	fputs("<h2>Findings</h2>\n", f);
	if (!c->n)
		fputs("<p>None.</p>\n", f);
	for (size_t i = 0, end; i < c->n; i = end) {
		const struct entry *e = &c->v[i];
		const struct tally *t = collect_tally(c, e);

		for (end = i + 1; end < c->n && c->v[end].id == e->id; end++)
			if (c->v[end].layer != e->layer)
				break;
		group_put(f, e, end - i, t ? t->count : end - i, !seen[e->id]);
		seen[e->id] = true;
	}
}

static void size_row(FILE *f, const char *what, uint64_t bytes)
{
	char size[SIZE_TEXT];

	fprintf(f,
		"<tr><th>%s</th><td class=\"n\">%s <span class=\"dim\">%" PRIu64
		"</span></td></tr>\n",
		what, size_text(bytes, size), bytes);
}

static void coverage_put(FILE *f, const struct report *r)
{
	struct cell all = diskmap_part(r->map, 0, 1);

	if (!r->map->n)
		return;
	fputs("<h2>What was examined</h2>\n<table class=\"kv\">\n", f);
	size_row(f, "the disk", r->map->size);
	size_row(f, r->read_all ? "data, read" : "data, mapped but not read", all.bytes[CELL_DATA]);
	size_row(f, "zero by the format", all.bytes[CELL_ZERO]);
	size_row(f, "lost", all.bytes[CELL_LOST]);
	size_row(f, "doubtful", all.bytes[CELL_DOUBTFUL]);
	size_row(f, "not examined", all.bytes[CELL_UNKNOWN]);
	size_row(f, "verified by a structure, checksum or tag", r->checked);
	fputs("</table>\n<p class=\"dim\">Data that carries no checksum can be read, but nothing "
	      "proves that it is what was written.</p>\n",
	      f);
}

void report_html(FILE *f, const struct report *r)
{
	const char *verdict = verdict_name(collect_verdict(r->findings));

	fputs(head_text, f);
	fputs("<title>", f);
	text_put(f, r->image);
	fprintf(f, ": %s</title>\n</head>\n<body>\n<header>\n<h1>", verdict);
	text_put(f, r->image);
	fprintf(f, "</h1>\n<div class=\"verdict %s\"><b>%s</b>\n<p>", verdict, verdict);
	text_put(f, r->headline);
	fputs("</p>\n", f);
	if (!r->complete)
		fputs("<p><b>Incomplete:</b> the run ended before everything was examined. What is "
		      "not listed here may still be damaged.</p>\n",
		      f);
	fputs("</div>\n</header>\n<main>\n", f);
	map_put(f, r);
	bad_put(f, r->map);
	hit_put(f, r);
	boot_put(f, r->boot);
	systems_put(f, r->systems);
	logs_put(f, r->logs);
	files_put(f, r->files);
	findings_put(f, r->findings);
	stack_put(f, r->layers);
	coverage_put(f, r);
	fputs("<h2>The run</h2>\n<table class=\"kv\">\n", f);
	js_each(r->run, fact_put, f);
	fputs("</table>\n</main>\n<footer><p class=\"dim\">Offsets are bytes. The same findings are "
	      "in <code>report.json</code>, the lost bytes of the disk in <code>lost.map</code> (for "
	      "ddrescue and its viewers).</p></footer>\n</body>\n</html>\n",
	      f);
}
