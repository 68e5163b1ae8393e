/* SPDX-License-Identifier: Apache-2.0 */
/* Text, numbers and values for the page. Every string is taken to be hostile. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/text.h"
#include "vdiskck/report_internal.h"

void html_text(FILE *f, const char *s)
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

void html_size(FILE *f, uint64_t bytes)
{
	char size[SIZE_TEXT];

	fputs(size_text(bytes, size), f);
}

void html_range(FILE *f, uint64_t off, uint64_t len)
{
	fprintf(f, "<span class=\"n\">0x%" PRIx64 "</span>", off);
	if (len) {
		fputs(", ", f);
		html_size(f, len);
	}
}

const char *html_get(const struct json *obj, const char *key)
{
	struct json *v = js_get(obj, key);
	const char *text = v ? js_text(v) : NULL;

	return text ? text : "";
}

uint64_t html_get_u64(const struct json *obj, const char *key)
{
	uint64_t v = 0;

	js_to_u64(js_get(obj, key), &v);
	return v;
}

const char *html_shut(const struct json *layer)
{
	static const char *const word[] = {"locked", "unsupported", "unreadable"};
	const char *state = html_get(layer, "state");

	for (size_t i = 0; i < sizeof(word) / sizeof(*word); i++)
		if (!strcmp(state, word[i]))
			return state;
	return "";
}

/* What is nested too deep is shown as JSON. */
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
	html_text(m->f, key);
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
		html_size(f, n);
	} else if (k == JSON_OBJECT || k == JSON_ARRAY) {
		html_text(f, js_line(v));
	} else {
		html_text(f, k == JSON_BOOL && js_text(v)[0] == 't' ? "yes"
			     : k == JSON_BOOL			    ? "no"
			     : js_text(v)			    ? js_text(v)
								    : "");
	}
}

void html_value(FILE *f, const char *key, struct json *v)
{
	value_put(f, key, v, 0);
}

/* In single quotes where a shell would see more than a word. */
static void word_put(FILE *f, const char *w)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "%+,-./:=@_";

	if (*w && strspn(w, plain) == strlen(w)) {
		html_text(f, w);
		return;
	}
	fputs("&#39;", f);
	for (; *w; w++) {
		size_t n = strcspn(w, "'");
		char *part = strndup(w, n);

		if (part)
			html_text(f, part);
		free(part);
		w += n;
		if (!*w)
			break;
		fputs("&#39;\\&#39;&#39;", f);
	}
	fputs("&#39;", f);
}

void html_command(FILE *f, const char *const *words)
{
	fputs("<code class=\"cmd\">vdiskck", f);
	for (; *words; words++) {
		fputc(' ', f);
		word_put(f, *words);
	}
	fputs("</code>", f);
}
