/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of case.sqlite: there may be a million of them, and each comes as the line of JSON
 * that log_json() made. Its members are found by scanning, as building a tree of them would cost
 * more than all that was done to read the log.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recover/symptoms.h"
#include "vdiskck/case_db_internal.h"
#include "vdiskck/out_entry.h"

static const char *const column[] = {"time",	  "source", "channel",	"provider", "event_id",
				     "record_id", "level",  "computer", "message",  "data",
				     "path",	  "offset", "state"};

enum { COLUMNS = sizeof(column) / sizeof(*column) };

/* Behind the string that begins at @p with its quote; @end: there is no end to it. */
static const char *string_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		p += *p == '\\' && p + 1 < end;
	return p < end ? p + 1 : end;
}

/* Behind a value of any kind. */
static const char *value_end(const char *p, const char *end)
{
	unsigned depth = 0;

	for (; p < end; p++) {
		if (*p == '"') {
			p = string_end(p, end) - 1;
			if (!depth)
				return p + 1;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (!depth)
				return p; /* of the record */
			if (!--depth)
				return p + 1;
		} else if (*p == ',' && !depth) {
			return p;
		}
	}
	return end;
}

static unsigned hex4(const char *p)
{
	char digits[5] = {p[0], p[1], p[2], p[3], '\0'};

	return (unsigned)strtoul(digits, NULL, 16);
}

static void put_utf8(struct line *l, uint32_t c)
{
	char b[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; c >>= 6)
		b[i] = (char)(0x80 | (c & 0x3f));
	b[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xff) | c);
	line_bytes(l, b, n);
}

/* The text of a string with escapes, RFC 8259 section 7; a lone surrogate becomes U+FFFD. */
static void unescape(struct line *l, const char *p, const char *end)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";

	while (p < end) {
		const char *slash = memchr(p, '\\', (size_t)(end - p)), *known;
		uint32_t c;

		line_bytes(l, p, (size_t)((slash ? slash : end) - p));
		if (!slash || slash + 1 >= end)
			return;
		p = slash + 2;
		known = strchr(from, slash[1]);
		if (slash[1] != 'u' || end - p < 4) {
			line_bytes(l, known && *known ? to + (known - from) : slash + 1, 1);
			continue;
		}
		c = hex4(p);
		p += 4;
		if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u' &&
		    hex4(p + 2) >= 0xdc00 && hex4(p + 2) < 0xe000) {
			c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
			p += 6;
		}
		put_utf8(l, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	}
}

/* One value into its column: strings as their text, numbers, anything else as JSON. */
static void bind(struct case_db *d, int i, const char *p, const char *end)
{
	struct line *l = &d->text[i - 1];
	bool number = p < end && *p >= '0' && *p <= '9';

	for (const char *q = p; q < end && number; q++)
		number = *q >= '0' && *q <= '9';
	if (number && end - p < 20) {
		db_u64(d->event, i, strtoull(p, NULL, 10));
	} else if (p < end && *p == '"') {
		if (!memchr(p, '\\', (size_t)(end - p))) {
			db_utf8(d->event, i, p + 1, (size_t)(end - p) - 2);
			return;
		}
		l->len = 0;
		unescape(l, p + 1, end - 1);
		if (!l->failed)
			db_utf8(d->event, i, l->len ? l->p : "", l->len);
	} else {
		db_utf8(d->event, i, p, (size_t)(end - p));
	}
}

void case_db_events(struct case_db *d)
{
	d->event = db_prepare(d->db, "INSERT INTO events VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
	d->text = calloc(COLUMNS, sizeof(*d->text));
	case_db_part(d);
}

void case_db_events_end(struct case_db *d)
{
	db_done(d->event);
	d->event = NULL;
	for (int i = 0; i < COLUMNS && d->text; i++)
		free(d->text[i].p);
	free(d->text);
	d->text = NULL;
}

int case_db_event(void *arg, const struct event_key *k, const char *line)
{
	struct case_db *d = arg;
	const char *p = line + 1, *end = line + k->len;

	if (!d->text)
		return -ENOMEM;
	while (p < end && *p == '"') {
		const char *key = p + 1, *value, *next;
		size_t len;

		p = string_end(p, end);
		len = (size_t)(p - key) - 1;
		value = p < end ? p + 1 : end; /* behind the colon */
		next = value_end(value, end);
		for (int i = 0; i < COLUMNS; i++) {
			if (strlen(column[i]) == len && !memcmp(column[i], key, len)) {
				bind(d, i + 1, value, next);
				break;
			}
		}
		p = next < end ? next + 1 : end; /* behind the comma */
	}
	if (k->mark)
		db_text(d->event, COLUMNS + 1, symptom_text(k->mark));
	db_row(d->event);
	return 0;
}
