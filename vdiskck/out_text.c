/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/out_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"

enum {
	SHOWN = 10,   /* findings of one kind in one layer before "and N more" */
	COLUMNS = 96, /* advice is folded there */
};

bool text_colour(FILE *f)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(f)) && (!no || !*no) && term && strcmp(term, "dumb");
}

/* A backslash is no danger, and a message may have escaped a name already: it stays as it is. */
void text_put(FILE *f, const char *text)
{
	char out[1024];

	while (*text) {
		size_t n = strcspn(text, "\\");

		if (n > sizeof(out) / 4 - 4) {
			n = sizeof(out) / 4 - 4;
			while (n > 1 && ((unsigned char)text[n] >> 6) == 2)
				n--; /* not within a character */
		}
		fputs(name_escape(text, n, out, sizeof(out)), f);
		text += n;
		if (*text == '\\')
			fputc(*text++, f);
	}
}

static const char *const severity_word[] = {
	[INFO] = "note", [BLEMISH] = "blemish", [DAMAGE] = "DAMAGE", [UNDECIDED] = "undecided"};
static const char *const severity_colour[] = {[INFO] = "\033[2m",
					      [BLEMISH] = "\033[33m",
					      [DAMAGE] = "\033[1;31m",
					      [UNDECIDED] = "\033[35m"};

static void put_place(FILE *f, const char *layer, uint64_t off, uint64_t len)
{
	char size[SIZE_TEXT];

	text_put(f, layer);
	fprintf(f, " 0x%" PRIx64 " (%s)", off, size_text(len, size));
}

static void put_evidence(FILE *f, const struct entry *e, bool verbose)
{
	if (e->at.len || e->stored || e->expected) {
		fputs("\n           ", f);
		if (e->at.len && e->n_where) {
			fputs("at ", f);
			/* Lowest first: where a hex editor of the image file finds it. */
			put_place(f, e->where[0].layer, e->where[0].off, e->where[0].len);
		}
		if (e->stored) {
			fputs("; stored ", f);
			text_put(f, e->stored);
		}
		if (e->expected) {
			fputs("; expected ", f);
			text_put(f, e->expected);
		}
	}
	for (size_t i = 1; verbose && i < e->n_where; i++) {
		fputs("\n              = ", f);
		put_place(f, e->where[i].layer, e->where[i].off, e->where[i].len);
	}
	if (e->lost || e->doubtful) {
		fputs(e->lost ? "\n           lost: " : "\n           doubtful: ", f);
		put_place(f, e->layer, e->off, e->len);
	}
	if (e->path) {
		fputs("\n           file: ", f);
		text_put(f, e->path);
		fprintf(f, " at 0x%" PRIx64, e->path_off);
	}
}

/* The advice in lines of its own, folded between words. */
static void put_advice(FILE *f, enum finding_id id)
{
	const char *p = finding_advice(id);
	size_t column = 0;

	fputs("           -> ", f);
	while (*p) {
		size_t n = strcspn(p, " ");

		if (column && column + n > COLUMNS - 14) {
			fputs("\n              ", f);
			column = 0;
		} else if (column) {
			fputc(' ', f);
		}
		fprintf(f, "%.*s", (int)n, p);
		column += n + 1;
		p += n;
		p += *p == ' ';
	}
	fputc('\n', f);
}

static void put_entry(FILE *f, const struct entry *e, bool colour, bool verbose)
{
	enum severity s = finding_severity(e->id);

	fprintf(f, "%s%-9s%s  ", colour ? severity_colour[s] : "", severity_word[s],
		colour ? "\033[0m" : "");
	text_put(f, e->layer);
	fputs(": ", f);
	text_put(f, e->message);
	fprintf(f, "  [%s]", finding_name(e->id));
	put_evidence(f, e, verbose);
	fputc('\n', f);
}

/* What stands behind the last shown finding of a kind: how many more there are, and the advice. */
static void put_rest(FILE *f, const struct run *r, const struct entry *e, size_t shown, bool advise)
{
	const struct tally *t = collect_tally(&r->found, e);
	char size[SIZE_TEXT];

	if (t && t->count > shown) {
		fprintf(f, "           ... and %" PRIu64 " more like this in ", t->count - shown);
		text_put(f, e->layer);
		if (t->lost)
			fprintf(f, ", %s altogether", size_text(t->lost, size));
		fputs(r->a->verbose ? " (--json lists all)\n" : " (-v lists more, --json all)\n",
		      f);
	}
	if (advise)
		put_advice(f, e->id);
}

void text_findings(FILE *f, const struct run *r)
{
	const struct collect *c = &r->found;
	bool colour = text_colour(f), advised[FINDING_COUNT] = {false};
	size_t shown = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct entry *e = &c->v[i];
		bool last =
			i + 1 == c->n || c->v[i + 1].id != e->id || c->v[i + 1].layer != e->layer;

		if (finding_severity(e->id) == INFO && !r->a->verbose)
			break; /* they come last */
		if (r->a->verbose || shown < SHOWN) {
			put_entry(f, e, colour, r->a->verbose);
			shown++;
		}
		if (last) {
			put_rest(f, r, e, shown,
				 !advised[e->id] && finding_severity(e->id) != INFO);
			advised[e->id] = true;
			shown = 0;
		}
	}
	if (c->no_memory)
		fputs("           some findings could not be kept: no memory\n", f);
}

static size_t add_count(char *buf, size_t cap, size_t o, uint64_t n, const char *one,
			const char *many)
{
	if (!n || o >= cap)
		return o;
	return o + (size_t)snprintf(buf + o, cap - o, "%s%" PRIu64 " %s", o ? ", " : "", n,
				    n == 1 ? one : many);
}

static const char *counts(char *buf, size_t cap, const struct run *r)
{
	const struct session *s = &r->s;
	size_t o = 0;

	*buf = '\0';
	o = add_count(buf, cap, o, s->count[DAMAGE], "damage", "damages");
	o = add_count(buf, cap, o, s->count[BLEMISH], "blemish", "blemishes");
	o = add_count(buf, cap, o, s->count[UNDECIDED], "thing that could not be examined",
		      "things that could not be examined");
	if (r->failed && r->source)
		o = add_count(buf, cap, o, 1, "error", "errors");
	if (!r->a->verbose)
		add_count(buf, cap, o, s->count[INFO], "note", "notes");
	return buf;
}

/* What the verdict rests on: a reader must not take "intact" for more than was looked at. */
static const char *basis(const struct run *r, int status)
{
	if (!r->source)
		return "; it could not be opened";
	if (status == UNDECIDABLE)
		return "; what could be examined holds";
	if (r->a->cmd->bit & (CMD_INFO | CMD_LOCATE))
		return "; opened only: `vdiskck check` verifies it";
	if (r->a->cmd->bit & CMD_CHECK && !r->a->opt.data)
		return "; structures only: --data reads the contents too";
	return "";
}

const char *text_verdict_line(char *buf, size_t cap, const struct run *r, int status)
{
	struct layer *disk = r->source ? disk_layer(r->source) : NULL;
	char n[256], size[SIZE_TEXT], of[SIZE_TEXT], lost[64] = "";

	counts(n, sizeof(n), r);
	if (r->lost && disk)
		snprintf(lost, sizeof(lost), "; %s of %s lost", size_text(r->lost, size),
			 size_text(disk->size, of));
	else if (status == DAMAGED && disk)
		snprintf(lost, sizeof(lost), "; no byte of the disk is known to be lost");
	else if (status == BLEMISHED)
		snprintf(lost, sizeof(lost), "; nothing is lost");
	snprintf(buf, cap, "%s: %s%s%s%s%s", verdict_name((enum verdict)status), r->a->image,
		 *n ? ": " : "", n, lost, status == DAMAGED || r->failed ? "" : basis(r, status));
	return buf;
}

void text_verdict(FILE *f, const struct run *r, int status)
{
	static const char *const colour[] = {"\033[1;32m", "\033[1;33m", "\033[1;31m",
					     "\033[1;35m"};
	bool c = text_colour(f);
	char line[1024];

	text_verdict_line(line, sizeof(line), r, status);
	fprintf(f, "%svdiskck: ", c ? colour[status] : "");
	text_put(f, line);
	fprintf(f, "%s\n", c ? "\033[0m" : "");
}

struct tree {
	FILE *f;
	struct run *r;
};

static unsigned indent(const struct layer *l)
{
	unsigned n = 0;

	for (; l->below; l = l->below)
		n += 2;
	return n;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && !strcmp(s + n - k, end);
}

struct member {
	FILE *f;
	unsigned indent;
};

static void put_value(FILE *f, unsigned in, const char *key, struct json *v);

static void put_member(void *arg, const char *key, struct json *v)
{
	const struct member *m = arg;
	char word[64];
	size_t n = strlen(key);

	snprintf(word, sizeof(word), "%s", key);
	for (char *p = word; *p; p++)
		*p = *p == '_' ? ' ' : *p;
	fprintf(m->f, "%*s", (int)m->indent, "");
	text_put(m->f, word);
	fprintf(m->f, ":%*s", n < 20 ? (int)(20 - n) : 1, "");
	put_value(m->f, m->indent, key, v);
}

struct phrase {
	FILE *f;
	bool more;
};

/* One member of an object in a list: "type password", "offset 0x2195000", or "used" if it is. */
static void put_phrase(void *arg, const char *key, struct json *v)
{
	struct phrase *p = arg;
	bool truth = js_kind(v) == JSON_BOOL;
	char word[64], size[SIZE_TEXT];
	uint64_t n;

	if (truth && strcmp(js_text(v), "true"))
		return;
	snprintf(word, sizeof(word), "%s", key);
	for (char *c = word; *c; c++)
		*c = *c == '_' ? ' ' : *c;
	fputs(p->more ? ", " : "", p->f);
	p->more = true;
	text_put(p->f, word);
	if (truth)
		return;
	fputc(' ', p->f);
	if (ends_with(key, "offset") && js_to_u64(v, &n))
		fprintf(p->f, "0x%" PRIx64, n);
	else if ((ends_with(key, "size") || ends_with(key, "length")) && js_to_u64(v, &n))
		fputs(size_text(n, size), p->f);
	else
		text_put(p->f, js_text(v));
}

static void put_array(FILE *f, unsigned in, const char *key, struct json *v)
{
	size_t n = js_len(v);

	if (!n) {
		fputs("none\n", f);
		return;
	}
	if (js_kind(js_at(v, 0)) == JSON_OBJECT)
		fprintf(f, "%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		struct json *e = js_at(v, i);

		if (js_kind(e) == JSON_OBJECT) {
			fprintf(f, "%*s- ", (int)in + 2, "");
			js_each(e, put_phrase, &(struct phrase){.f = f});
			fputc('\n', f);
			continue;
		}
		text_put(f, js_text(e));
		fputs(i + 1 < n ? ", " : "\n", f);
	}
	(void)key;
}

static void put_value(FILE *f, unsigned in, const char *key, struct json *v)
{
	char size[SIZE_TEXT];
	uint64_t n;

	if (js_kind(v) == JSON_OBJECT) {
		fputc('\n', f);
		js_each(v, put_member, &(struct member){f, in + 2});
	} else if (js_kind(v) == JSON_ARRAY) {
		put_array(f, in, key, v);
	} else if (js_kind(v) == JSON_BOOL) {
		fputs(!strcmp(js_text(v), "true") ? "yes\n" : "no\n", f);
	} else if ((ends_with(key, "size") || ends_with(key, "bytes")) && js_to_u64(v, &n)) {
		fprintf(f, "%s\n", size_text(n, size));
	} else if (js_kind(v) == JSON_NULL) {
		fputs("-\n", f);
	} else {
		text_put(f, js_text(v));
		fputc('\n', f);
	}
}

static int put_layer(void *arg, struct layer *l)
{
	struct tree *t = arg;
	unsigned in = indent(l), number = layer_number(l);
	const char *state = layer_state_name(l);
	char size[SIZE_TEXT];
	struct json *info;

	if (!layer_within(l, t->r->volume))
		return 0;
	fprintf(t->f, "%*s", (int)in, "");
	if (number)
		fprintf(t->f, "%u: ", number);
	text_put(t->f, l->path);
	fprintf(t->f, "  %s, %s", layer_kind_name(l->ops->kind), size_text(l->size, size));
	if (l->sector != 512)
		fprintf(t->f, ", %u-byte sectors", l->sector);
	if (state)
		fprintf(t->f, ", %s", state);
	if (l->parent)
		fprintf(t->f, ", on %s in %s", l->parent->path, l->parent->below->path);
	if (l->chain_child)
		fprintf(t->f, ", parent of %s", l->chain_child->path);
	fputc('\n', t->f);
	info = js_object();
	layer_info(l, info);
	js_each(info, put_member, &(struct member){t->f, in + 4});
	js_free(info);
	return 0;
}

void text_stack(FILE *f, struct run *r)
{
	stack_walk(r->source, put_layer, &(struct tree){f, r});
}
