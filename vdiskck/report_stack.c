/* SPDX-License-Identifier: Apache-2.0 */
/* The stack: a picture of what stands on what, and beside it what each layer states of itself. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/report_internal.h"

enum {
	DEPTH_MAX = 24,
	DRAWN = 64, /* layers in the picture */
	WIDTH = 380,
	RIGHT = 364, /* end of the boxes; what is behind it is for chains */
	BOX = 44,
	STEP = 54,
	INDENT = 14,
};

/* The layers in the order of a walk from each file up, and what each stands on. */
struct order {
	struct row {
		struct json *l;
		unsigned depth;
		size_t base; /* row, from 1; 0: a file */
	} * v;
	size_t n;
};

/*
 * Each layer behind the one that it is "of". No recursion, and only an earlier record counts as
 * what a layer stands on: names are only claims.
 */
static void order_make(struct order *o, struct json *layers)
{
	size_t n = js_len(layers), depth = 0;
	size_t *of = calloc(n + 1, sizeof(*of)), *path = calloc(n + 1, sizeof(*path));
	size_t *row = calloc(n + 1, sizeof(*row));

	o->v = calloc(n + 1, sizeof(*o->v));
	if (!of || !path || !row || !o->v)
		goto out;
	for (size_t i = 0; i < n; i++) {
		const char *name = html_get(js_at(layers, i), "of");

		for (size_t k = i; k-- > 0 && *name && !of[i];)
			if (!strcmp(html_get(js_at(layers, k), "layer"), name))
				of[i] = k + 1;
	}
	/* path[0..depth]: numbers (from 1) of the layers from the root to the one just drawn. */
	for (size_t at = 0;;) {
		size_t next = at;

		while (next < n && of[next] != path[depth])
			next++;
		if (next < n) {
			o->v[o->n] = (struct row){js_at(layers, next), (unsigned)depth,
						  row[path[depth]]};
			row[next + 1] = ++o->n;
			path[++depth] = next + 1;
			at = next + 1;
		} else if (depth) {
			at = path[depth--];
		} else {
			break;
		}
	}
out:
	free(of);
	free(path);
	free(row);
}

/* The last part of a layer's path, cut to what fits into @chars. */
static void name_put(FILE *f, const char *path, size_t chars)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash && slash[1] ? slash + 1 : path;
	size_t n = strlen(name);
	char *cut;

	if (n <= chars) {
		html_text(f, name);
		return;
	}
	for (n = chars - 1; n && (name[n] & 0xc0) == 0x80; n--)
		;
	cut = strndup(name, n);
	if (cut)
		html_text(f, cut);
	free(cut);
	fputs("…", f);
}

/* The worst finding of damage in a layer, and how many there are. */
static const struct tally *damage_in(const struct collect *c, const char *layer, uint64_t *n)
{
	const struct tally *first = NULL;

	*n = 0;
	for (size_t i = 0; i < c->n_tally; i++) {
		const struct tally *t = &c->tally[i];

		if (finding_severity(t->id) != DAMAGE || strcmp(t->layer, layer))
			continue;
		*n += t->count;
		if (!first || t->lost > first->lost)
			first = t;
	}
	return first;
}

/*
 * Where a row is drawn, from the top: the layers of a file stand above it, and the files that an
 * image rests on come below the image.
 */
static size_t place_of(const struct order *o, size_t row)
{
	size_t first = row, end = row + 1;

	while (o->v[first].base)
		first--;
	while (end < o->n && o->v[end].base)
		end++;
	return first + (end - 1 - row);
}

static int row_y(const struct order *o, size_t row)
{
	return (int)place_of(o, row) * STEP + 4;
}

static void box_put(FILE *f, const struct report *r, const struct order *o, size_t i)
{
	const struct row *w = &o->v[i];
	unsigned depth = w->depth < DEPTH_MAX ? w->depth : DEPTH_MAX;
	int x = (int)depth * INDENT + 2, y = row_y(o, i);
	const char *layer = html_get(w->l, "layer"), *state = html_shut(w->l);
	uint64_t n;
	const struct tally *bad = damage_in(r->findings, layer, &n);

	if (w->base) {
		const struct row *b = &o->v[w->base - 1];
		int bx = (int)(b->depth < DEPTH_MAX ? b->depth : DEPTH_MAX) * INDENT + 9;

		fprintf(f, "<path class=\"w\" d=\"M%d %dH%dV%d\"/>", x, y + BOX / 2, bx,
			row_y(o, w->base - 1));
	}
	fprintf(f, "<g><title>");
	html_text(f, layer);
	fprintf(f,
		"</title><rect class=\"b%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\"/>"
		"<text class=\"t\" x=\"%d\" y=\"%d\">",
		bad	 ? " bad"
		: *state ? " shut"
			 : "",
		x, y, RIGHT - x, BOX, x + 10, y + 18);
	name_put(f, layer, (size_t)(RIGHT - x - 60) / 8);
	fprintf(f, "</text><text class=\"u\" x=\"%d\" y=\"%d\">", x + 10, y + 35);
	html_text(f, html_get(w->l, "kind"));
	fputs(", ", f);
	html_size(f, html_get_u64(w->l, "size"));
	if (*state) {
		fputs(", <tspan class=\"shut\">", f);
		name_put(f, state, 24);
		fputs("</tspan>", f);
	}
	fputs("</text></g>", f);
	if (bad)
		fprintf(f,
			"<a href=\"#%s\"><title>%" PRIu64
			" findings of damage</title><rect class=\"badge\""
			" x=\"%d\" y=\"%d\" width=\"36\" height=\"20\" rx=\"10\"/><text class=\"badge\" "
			"x=\"%d\" y=\"%d\">%s%" PRIu64 "</text></a>",
			finding_name(bad->id), n, RIGHT - 44, y + 12, RIGHT - 26, y + 26,
			n > 999 ? ">" : "", n > 999 ? 999 : n);
	fputc('\n', f);
}

/* A child of a chain, and the parent it takes the rest from. */
static void chain_put(FILE *f, const struct order *o, size_t i)
{
	const char *parent = html_get(o->v[i].l, "parent");

	for (size_t k = 0; k < o->n && *parent; k++)
		if (!strcmp(html_get(o->v[k].l, "layer"), parent))
			fprintf(f, "<path class=\"w dash\" d=\"M%d %dH%dV%dH%d\"/>\n", RIGHT,
				row_y(o, i) + BOX / 2, RIGHT + 10, row_y(o, k) + BOX / 2, RIGHT);
}

static void picture_put(FILE *f, const struct report *r, struct order *o)
{
	size_t all = o->n;

	if (o->n > DRAWN)
		o->n = DRAWN;
	fprintf(f,
		"<div><svg class=\"stack\" viewBox=\"0 0 %d %zu\" role=\"img\" "
		"aria-label=\"the stack, the file at the bottom\">\n",
		WIDTH, o->n * STEP);
	for (size_t i = 0; i < o->n; i++)
		chain_put(f, o, i);
	for (size_t i = 0; i < o->n; i++)
		box_put(f, r, o, i);
	fputs("</svg>", f);
	if (all > o->n)
		fprintf(f, "<p class=\"dim\">%zu more layers are not drawn.</p>", all - o->n);
	fputs("</div>\n", f);
	o->n = all;
}

/* A fact of a layer, in the paragraph of all of them. */
static void detail_put(void *arg, const char *key, struct json *v)
{
	static const char *const shown[] = {"record", "layer", "kind", "size", "of", "parent"};
	const char *name = key;
	FILE *f = arg;

	for (size_t i = 0; i < sizeof(shown) / sizeof(*shown); i++)
		if (!strcmp(key, shown[i]))
			return;
	if (js_kind(v) == JSON_ARRAY && !js_len(v))
		return;
	fputs("<span><i>", f);
	for (size_t len; *key; key += len + (key[len] == '_')) {
		char word[64];

		len = strcspn(key, "_");
		snprintf(word, sizeof(word), "%.*s", (int)(len < 60 ? len : 60), key);
		html_text(f, word);
		fputs(key[len] == '_' ? " " : "", f);
	}
	fputs("</i> ", f);
	html_value(f, name, v);
	fputs("</span>\n", f);
}

static void layer_put(FILE *f, struct json *l)
{
	fputs("<li><b>", f);
	html_text(f, html_get(l, "layer"));
	fputs("</b> <span class=\"dim\">", f);
	html_text(f, html_get(l, "kind"));
	fputs(", ", f);
	html_size(f, html_get_u64(l, "size"));
	if (*html_get(l, "parent")) {
		fputs(", child of ", f);
		html_text(f, html_get(l, "parent"));
	}
	fputs("</span>", f);
	if (*html_shut(l)) {
		fputs(" <span class=\"chip undecided\">", f);
		html_text(f, html_shut(l));
		fputs("</span>", f);
	}
	fputs("\n<p class=\"facts\">", f);
	js_each(l, detail_put, f);
	fputs("</p></li>\n", f);
}

void report_stack(FILE *f, const struct report *r)
{
	struct order o = {0};

	order_make(&o, r->layers);
	fputs("<h2 id=\"stack\">The stack</h2>\n<p class=\"dim\">What stands on what, each file with "
	      "its layers above it, and what each layer states about itself. A number counts findings "
	      "of damage.</p>\n<div class=\"two\">\n",
	      f);
	if (o.n)
		picture_put(f, r, &o);
	fputs("<ul class=\"tree\">\n", f);
	for (size_t first = 0, end; first < o.n; first = end) {
		for (end = first + 1; end < o.n && o.v[end].base; end++)
			;
		for (size_t i = end; i-- > first;)
			layer_put(f, o.v[i].l);
	}
	fputs("</ul>\n</div>\n", f);
	free(o.v);
}
