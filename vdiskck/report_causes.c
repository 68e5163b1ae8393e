/* SPDX-License-Identifier: Apache-2.0 */
/* What the shape of each damage says of its cause: evidence, each with how sure it is. */
#include <inttypes.h>

#include "vdiskck/causes.h"
#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

static void cause_put(FILE *f, const struct cause *k)
{
	static const char *const class[] = {[CAUSE_POSSIBLE] = "undecided",
					    [CAUSE_LIKELY] = "blemish",
					    [CAUSE_STRONG] = "damage"};
	static const char *const side[] = {[CAUSE_ANYWHERE] = "",
					   [CAUSE_ABOVE] = "in the guest",
					   [CAUSE_BELOW] = "host, network, storage"};
	const struct place *p = k->image.len ? &k->image : &k->at;

	fprintf(f, "<tr><td><span class=\"chip %s\">%s</span></td><td>", class[k->sure],
		cause_sure_name(k->sure));
	causes_put(f, k, html_text);
	fprintf(f, "</td><td data-l=\"arose\">%s</td><td data-l=\"finding\"><a href=\"#%s\">%s</a>",
		side[k->side], finding_name(k->id), finding_name(k->id));
	if (k->path) {
		fputs("<div><code>", f);
		html_text(f, k->path);
		fputs("</code></div>", f);
	}
	fputs("</td><td data-l=\"where\"><code>", f);
	html_text(f, p->layer);
	fputs("</code> ", f);
	html_range(f, p->off, p->len);
	fputs("</td></tr>\n", f);
}

void report_causes(FILE *f, const struct report *r)
{
	const struct causes *c = r->causes;
	char size[SIZE_TEXT];

	if (!c || !c->n)
		return;
	fputs("<h2 id=\"cause\">What its shape says of the cause</h2>\n<p class=\"dim\">Evidence, not "
	      "proof.</p>\n<table class=\"wide\"><thead><tr><th>sure</th><th>evidence</th>"
	      "<th>arose</th><th>finding</th><th>where</th></tr></thead>\n<tbody>\n",
	      f);
	for (size_t i = 0; i < c->n; i++)
		cause_put(f, &c->v[i]);
	fputs("</tbody></table>\n", f);
	if (!c->together)
		return;
	fprintf(f, "<p>%zu damages lie within %s of <code>", c->together,
		size_text(c->near.len, size));
	html_text(f, c->near.layer);
	fprintf(f, "</code>, from 0x%" PRIx64 " on: one event may have hit them all.</p>\n",
		c->near.off);
}
