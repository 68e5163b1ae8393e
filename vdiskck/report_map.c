/* SPDX-License-Identifier: Apache-2.0 */
/* The map of the disk, and each damage on it: its address in every layer, and whose bytes it is. */
#include <inttypes.h>
#include <string.h>

#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

/* The first damage in [off, off + len) that the page has an anchor for; SIZE_MAX: none. */
static size_t damage_at(const struct report *r, uint64_t off, uint64_t len)
{
	size_t i = ranges_find(&r->map->bad, off);

	if (!r->damage || i >= r->damage->n_bad || r->damage->v[i].off >= off + len)
		return SIZE_MAX;
	return i;
}

/* Cells of one row that look alike become one rectangle with one explanation. */
static size_t svg_run(FILE *f, const struct report *r, size_t i, size_t row_end, size_t parts)
{
	static const char *const shade[] = {"", " s1", " s2", " s3", ""};
	const struct diskmap *m = r->map;
	struct cell sum = diskmap_part(m, i, parts);
	enum cell_kind k = cell_shown(&sum);
	unsigned share = k == CELL_DATA ? cell_share(&sum) : 0;
	uint64_t off, len;
	char size[SIZE_TEXT];
	size_t next = i + 1, anchor = SIZE_MAX;

	diskmap_bounds(m, i, parts, &off, &len);
	if (k == CELL_LOST || k == CELL_DOUBTFUL)
		anchor = damage_at(r, off, len);
	for (; next < row_end; next++) {
		struct cell c = diskmap_part(m, next, parts);
		uint64_t from, more;

		diskmap_bounds(m, next, parts, &from, &more);
		if (cell_shown(&c) != k || (k == CELL_DATA && cell_share(&c) != share) ||
		    (anchor != SIZE_MAX && damage_at(r, from, more) != anchor))
			break;
		for (int kind = 0; kind < CELL_KINDS; kind++)
			sum.bytes[kind] += c.bytes[kind];
	}
	if (anchor != SIZE_MAX)
		fprintf(f, "<a href=\"#d%zu\">", anchor);
	fprintf(f,
		"<rect class=\"k%d%s\" x=\"%zu\" width=\"%zu\" height=\"1\"><title>0x%" PRIx64
		" (%s)",
		k, shade[share], i % COLUMNS, next - i, off, size_text(off, size));
	for (int kind = CELL_KINDS; kind-- > 0;)
		if (sum.bytes[kind])
			fprintf(f, ", %s %s", cell_name((enum cell_kind)kind),
				size_text(sum.bytes[kind], size));
	fprintf(f, "</title></rect>%s", anchor != SIZE_MAX ? "</a>" : "");
	return next;
}

/* What layers above the disk find wrong, and what is too small to be seen: a mark that can be hit. */
static void marks_put(FILE *f, const struct report *r, size_t row, size_t parts)
{
	uint64_t from, last, len;
	size_t end = row + COLUMNS < parts ? row + COLUMNS : parts;

	diskmap_bounds(r->map, row, parts, &from, &len);
	diskmap_bounds(r->map, end - 1, parts, &last, &len);
	for (size_t i = r->damage ? r->damage->n_bad : 0; r->damage && i < r->damage->n; i++) {
		const struct damage_item *d = &r->damage->v[i];
		double cells = (double)(end - row) / (double)(last + len - from), x;

		if (d->off < from || d->off >= last + len)
			continue;
		x = (double)(d->off - from) * cells;
		if (x > COLUMNS - 0.8)
			x = COLUMNS - 0.8;
		fprintf(f,
			"<a href=\"#d%zu\"><rect class=\"mark %s\" x=\"%.2f\" width=\"0.8\" "
			"height=\"1\"><title>0x%" PRIx64 ", %s, %s</title></rect></a>",
			i,
			strcmp(d->state, "lost") == 0 || strcmp(d->state, "damage") == 0 ? "k4"
											 : "k3",
			x, d->off, d->state, finding_name(d->why));
	}
}

static void legend_put(FILE *f, const struct report *r, const struct cell *all)
{
	char size[SIZE_TEXT];

	fputs("<div class=\"legend\">", f);
	for (int k = 0; k < CELL_KINDS; k++)
		if (all->bytes[k])
			fprintf(f,
				"<span><svg viewBox=\"0 0 1 1\"><rect class=\"k%d\" width=\"1\" "
				"height=\"1\"/></svg>%s, %s</span>\n",
				k, cell_name((enum cell_kind)k), size_text(all->bytes[k], size));
	if (r->damage && r->damage->n > r->damage->n_bad)
		fputs("<span><svg viewBox=\"0 0 1 1\"><rect class=\"mark k3\" x=\".25\" "
		      "width=\".5\" height=\"1\"/></svg>found wrong by a layer above the disk</span>\n",
		      f);
	fputs("</div>\n", f);
}

/* Which volumes the lost bytes belong to. */
static void volumes_put(FILE *f, const struct report *r)
{
	bool any = false;

	for (size_t i = 0; r->hit && i < r->hit->n; i++) {
		const struct impact_layer *il = &r->hit->v[i];
		char lost[SIZE_TEXT], doubtful[SIZE_TEXT], size[SIZE_TEXT], from[SIZE_TEXT];

		if (il->l->ops->kind != LAYER_VOLUME || !il->hit.n)
			continue;
		if (!any)
			fputs("<h3>Volumes hit</h3>\n<table><tr><th>volume</th><th>lost</th>"
			      "<th>doubtful</th><th>first at</th></tr>\n",
			      f);
		any = true;
		fputs("<tr><td><code>", f);
		html_text(f, il->l->path);
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

void report_map(FILE *f, const struct report *r)
{
	const struct diskmap *m = r->map;
	size_t parts = m->n < COLUMNS * ROWS_MAX ? m->n : COLUMNS * ROWS_MAX;
	struct cell all = diskmap_part(m, 0, 1);
	char size[SIZE_TEXT];

	fputs("<h2 id=\"disk\">The disk</h2>\n", f);
	if (!m->n) {
		fputs("<p>No disk could be opened in the image.</p>\n", f);
		return;
	}
	fputs("<p class=\"dim\">What the machine sees as its disk: layer <code>", f);
	html_text(f, r->disk);
	fprintf(f,
		"</code>, %s. Each cell shows the worst that lies in it%s.</p>\n<div class=\"map\">\n",
		size_text(m->size, size),
		r->damage && r->damage->n ? "; damage leads to what was hit" : "");
	for (size_t i = 0; i < parts;) {
		size_t end = i + COLUMNS < parts ? i + COLUMNS : parts;
		uint64_t off, len;

		diskmap_bounds(m, i, parts, &off, &len);
		fprintf(f,
			"<div class=\"row\"><span>%s</span><svg viewBox=\"0 0 %d 1\" "
			"preserveAspectRatio=\"none\" role=\"img\">",
			size_text(off, size), COLUMNS);
		for (size_t k = i; k < end;)
			k = svg_run(f, r, k, end, parts);
		marks_put(f, r, i, parts);
		i = end;
		fputs("</svg></div>\n", f);
	}
	fputs("</div>\n", f);
	legend_put(f, r, &all);
	volumes_put(f, r);
}

static void where_put(FILE *f, const struct damage_item *d)
{
	fputs("<ul class=\"addr\">", f);
	for (size_t i = 0; i < d->n_where; i++) {
		fputs("<li><code>", f);
		html_text(f, d->where[i].layer);
		fprintf(f, "</code> <span class=\"n\">0x%" PRIx64 "</span></li>", d->where[i].off);
	}
	fputs("</ul>", f);
}

static void owners_put(FILE *f, const struct damage_item *d)
{
	for (size_t i = 0; i < d->n_files; i++) {
		fputs("<div><code>", f);
		html_text(f, d->file[i].name);
		fputs("</code>", f);
		if (d->file[i].off != UINT64_MAX)
			fprintf(f, " from <span class=\"n\">0x%" PRIx64 "</span> on",
				d->file[i].off);
		fputs("</div>", f);
	}
	if (d->more)
		fprintf(f, "<div>and %" PRIu64 " more pieces</div>", d->more);
	if (d->free)
		fprintf(f, "<div class=\"dim\">%sspace that no file uses</div>",
			d->n_files ? "and " : "");
	if (!d->n_files && !d->free)
		fputs("<span class=\"dim\">no file that is known</span>", f);
}

static void locate_put(FILE *f, const struct report *r, const struct damage_item *d)
{
	char at[4200];

	snprintf(at, sizeof(at), "%s:0x%" PRIx64 "+%" PRIu64, r->disk, d->off, d->len);
	html_command(f, (const char *const[]){"locate", r->image, "--at", at, NULL});
}

void report_damage(FILE *f, const struct report *r)
{
	const struct damage_map *d = r->damage;
	char size[SIZE_TEXT];

	if (!d || !d->n)
		return;
	fputs("<h2 id=\"damage\">Damage on the disk</h2>\n<table class=\"wide\"><thead><tr><th>bytes of "
	      "the disk</th><th>what is there</th><th>address in every layer</th></tr></thead>\n"
	      "<tbody>\n",
	      f);
	for (size_t i = 0; i < d->n; i++) {
		const struct damage_item *it = &d->v[i];
		bool red = !strcmp(it->state, "lost") || !strcmp(it->state, "damage");

		fprintf(f,
			"<tr id=\"d%zu\"><td><span class=\"chip %s\">%s</span><span class=\"n\">0x%" PRIx64
			"</span>, %s<div>because of <a href=\"#%s\">%s</a></div></td>"
			"<td data-l=\"what is there\">",
			i, red ? "damage" : "blemish", it->state, it->off, size_text(it->len, size),
			finding_name(it->why), finding_name(it->why));
		owners_put(f, it);
		fputs("</td><td data-l=\"address in every layer\">", f);
		where_put(f, it);
		locate_put(f, r, it);
		fputs("</td></tr>\n", f);
	}
	fputs("</tbody></table>\n", f);
	if (r->map->bad.n > d->n_bad)
		fprintf(f,
			"<p class=\"dim\">%zu more are in <code>lost.map</code> and "
			"<code>case.sqlite</code>.</p>\n",
			r->map->bad.n - d->n_bad);
}
