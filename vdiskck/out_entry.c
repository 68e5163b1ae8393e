/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/out_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"

const char *fs_kind_name(enum fs_kind k)
{
	static const char *const name[] = {
		[FS_FILE] = "file",
		[FS_DIR] = "folder",
		[FS_SYMLINK] = "symlink",
		[FS_SPECIAL] = "special",
	};

	return name[k];
}

const char *fs_sure_name(enum fs_sure s)
{
	static const char *const name[] = {
		[FS_SURE] = "sure",
		[FS_REBUILT] = "rebuilt",
		[FS_GUESSED] = "guessed",
		[FS_GONE] = "gone",
	};

	return name[s];
}

bool entry_doubtful(const struct fs_entry *e)
{
	return e->overwritten || e->data_sure == FS_GUESSED || e->data_sure == FS_GONE;
}

static bool room(struct line *l, size_t n)
{
	size_t cap = l->cap ? l->cap : 4096;
	char *p;

	if (l->cap - l->len >= n)
		return true;
	while (cap - l->len < n && cap < SIZE_MAX / 2)
		cap *= 2;
	p = realloc(l->p, cap);
	if (!p) {
		l->failed = true;
		return false;
	}
	l->p = p;
	l->cap = cap;
	return true;
}

void line_bytes(struct line *l, const char *p, size_t n)
{
	if (n && room(l, n)) {
		memcpy(l->p + l->len, p, n);
		l->len += n;
	}
}

void line_text(struct line *l, const char *text)
{
	line_bytes(l, text, strlen(text));
}

void line_u64(struct line *l, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	line_bytes(l, digits + n, sizeof(digits) - n);
}

/* @v with at least @width characters, blanks in front. */
static void line_right(struct line *l, uint64_t v, unsigned width)
{
	unsigned digits = 1;

	for (uint64_t rest = v; rest > 9; rest /= 10)
		digits++;
	for (; digits < width; digits++)
		line_bytes(l, " ", 1);
	line_u64(l, v);
}

/* Most names are printable ASCII: those are copied. The number of bytes of which that is true. */
static size_t plain(const char *s, bool json)
{
	size_t n = 0;

	while ((unsigned char)s[n] >= 0x20 && (unsigned char)s[n] < 0x7f && s[n] != '\\' &&
	       !(json && s[n] == '"'))
		n++;
	return n;
}

void line_name(struct line *l, const char *name)
{
	size_t n = plain(name, false), rest = strlen(name + n);

	line_bytes(l, name, n);
	if (rest && room(l, 4 * rest + 1)) {
		name_escape(name + n, rest, l->p + l->len, 4 * rest + 1);
		l->len += strlen(l->p + l->len);
	}
}

void line_json(struct line *l, const char *text)
{
	size_t n = plain(text, true);

	if (text[n]) { /* rare enough for the general way */
		struct json *j = js_array();
		const char *s;

		js_add_str(j, text);
		s = js_line(j); /* ["..."], with blanks or without */
		n = strlen(s);
		while (n && s[n - 1] != '"')
			n--;
		s = strchr(s, '"') ? strchr(s, '"') : s;
		line_bytes(l, s, n - (size_t)(s - js_line(j)));
		js_free(j);
		return;
	}
	line_bytes(l, "\"", 1);
	line_bytes(l, text, n);
	line_bytes(l, "\"", 1);
}

static void two(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

/* The date of day @day since 1970, civil calendar: H. Hinnant's days algorithm. */
static void date(int64_t day, char out[10])
{
	int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	unsigned d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
	unsigned y = (unsigned)((int64_t)yoe + era * 400 + (m <= 2));

	two(out, y / 100);
	two(out + 2, y);
	two(out + 5, m);
	two(out + 8, d);
	out[4] = out[7] = '-';
}

/* RFC 3339 as time_text() has it, quickly: there are four of them in each record. */
static void line_time(struct line *l, const struct fs_time *t, bool fraction)
{
	char b[TIME_TEXT];
	uint32_t sod;

	if (t->sec < 0 || t->sec > 253402300799) { /* before 1970, or a fifth digit of the year */
		line_text(l, time_text(t->sec, fraction ? t->nsec : 0, b));
		return;
	}
	sod = (uint32_t)(t->sec % 86400);
	date(t->sec / 86400, b);
	b[10] = 'T';
	two(b + 11, sod / 3600);
	b[13] = ':';
	two(b + 14, sod / 60 % 60);
	b[16] = ':';
	two(b + 17, sod % 60);
	line_bytes(l, b, 19);
	if (fraction && t->nsec) {
		uint32_t n = t->nsec % 1000000000;

		b[0] = '.';
		for (int i = 9; i > 0; i--, n /= 10)
			b[i] = (char)('0' + n % 10);
		line_bytes(l, b, 10);
	}
	line_bytes(l, "Z", 1);
}

static void put_mode(struct line *l, const struct fs_entry *e)
{
	static const char kind[] = {
		[FS_FILE] = '-', [FS_DIR] = 'd', [FS_SYMLINK] = 'l', [FS_SPECIAL] = 's'};
	char m[11] = "----------";
	uint32_t f = e->mode;

	m[0] = kind[e->kind];
	if (e->kind == FS_SPECIAL && f)
		m[0] = S_ISCHR(f) ? 'c' : S_ISBLK(f) ? 'b' : S_ISFIFO(f) ? 'p' : 's';
	for (int i = 0; i < 9 && f; i++)
		if (f & (0400u >> i))
			m[1 + i] = "rwx"[i % 3];
	if (f & S_ISUID)
		m[3] = m[3] == 'x' ? 's' : 'S';
	if (f & S_ISGID)
		m[6] = m[6] == 'x' ? 's' : 'S';
	if (f & S_ISVTX)
		m[9] = m[9] == 'x' ? 't' : 'T';
	line_bytes(l, m, 10);
}

/* One more remark between the brackets. */
static void remark(struct line *l, bool *open, const char *text)
{
	line_text(l, *open ? ", " : "\t[");
	line_name(l, text);
	*open = true;
}

static void percentage(struct line *l, bool *open, uint64_t part, uint64_t whole, const char *what)
{
	unsigned percent = part < whole ? (unsigned)((double)part * 100 / (double)whole) : 100;
	char text[64];

	snprintf(text, sizeof(text), "%u %% %s", percent ? percent : 1, what);
	remark(l, open, text);
}

/* What is out of the ordinary, in words between brackets behind a tab: no name has a raw tab. */
static void put_remarks(struct line *l, const struct fs_entry *e)
{
	static const char *const path[] = {NULL, "path rebuilt", "path guessed", "path lost"};
	static const char *const data[] = {NULL, "data rebuilt", "data guessed", "data lost"};
	bool open = false;

	if (e->deleted)
		remark(l, &open, "deleted");
	if (e->deleted && e->overwritten)
		percentage(l, &open, e->overwritten, e->stored, "overwritten");
	if (e->deleted && e->reused)
		percentage(l, &open, e->reused, e->stored, "in files that are there");
	if (path[e->path_sure])
		remark(l, &open, path[e->path_sure]);
	if (data[e->data_sure])
		remark(l, &open, data[e->data_sure]);
	if (e->remark)
		remark(l, &open, e->remark);
	if (open)
		line_bytes(l, "]", 1);
}

void entry_text(struct line *l, const struct fs_entry *e, const char *volume, bool base, bool full)
{
	const char *name = base ? strrchr(e->path, '/') : NULL;

	if (full) {
		put_mode(l, e);
		if (e->mode) {
			line_right(l, e->uid, 6);
			line_right(l, e->gid, 6);
		} else {
			line_text(l, "     -     -");
		}
		line_right(l, e->size, 13);
		line_bytes(l, "  ", 2);
		if (e->modified.set)
			line_time(l, &e->modified, false);
		else
			line_text(l, "-                   ");
		line_bytes(l, "  ", 2);
	}
	if (volume) {
		line_text(l, volume);
		line_bytes(l, ":", 1);
	}
	line_name(l, name && name[1] ? name + 1 : e->path);
	if (full && e->target) {
		line_text(l, " -> ");
		line_name(l, e->target);
	}
	if (full)
		put_remarks(l, e);
	else if (e->deleted)
		line_text(l, "\t[deleted]");
}

static void key_u64(struct line *l, const char *key, uint64_t v)
{
	line_text(l, key);
	line_u64(l, v);
}

static void key_time(struct line *l, const char *key, const struct fs_time *t)
{
	if (!t->set)
		return;
	line_text(l, key);
	line_time(l, t, true);
	line_bytes(l, "\"", 1);
}

static void key_text(struct line *l, const char *key, const char *text)
{
	if (!text)
		return;
	line_text(l, key);
	line_json(l, text);
}

static void line_hex(struct line *l, const char *s)
{
	line_bytes(l, "\"", 1);
	for (; *s; s++) {
		char hex[3];

		snprintf(hex, sizeof(hex), "%02x", (unsigned char)*s);
		line_bytes(l, hex, 2);
	}
	line_bytes(l, "\"", 1);
}

void entry_json(struct line *l, const char *layer, const struct fs_entry *e)
{
	line_text(l, "{\"record\":\"file\",\"layer\":");
	line_json(l, layer);
	key_text(l, ",\"path\":", e->path);
	if (!utf8_valid(e->path)) { /* what the name is, to the byte */
		line_text(l, ",\"path_hex\":");
		line_hex(l, e->path);
	}
	key_text(l, ",\"stream\":", e->stream);
	key_text(l, ",\"kind\":", fs_kind_name(e->kind));
	key_u64(l, ",\"size\":", e->size);
	key_u64(l, ",\"stored\":", e->stored);
	key_u64(l, ",\"id\":", e->id);
	if (e->generation)
		key_u64(l, ",\"generation\":", e->generation);
	key_u64(l, ",\"parent\":", e->parent);
	line_text(l, e->deleted ? ",\"deleted\":true" : ",\"deleted\":false");
	if (e->system)
		line_text(l, ",\"system\":true");
	if (e->deleted)
		key_u64(l, ",\"overwritten\":", e->overwritten);
	if (e->deleted && e->reused)
		key_u64(l, ",\"reused\":", e->reused);
	if (e->mode) {
		key_u64(l, ",\"mode\":", e->mode);
		key_u64(l, ",\"uid\":", e->uid);
		key_u64(l, ",\"gid\":", e->gid);
	}
	if (e->links)
		key_u64(l, ",\"links\":", e->links);
	key_time(l, ",\"modified\":\"", &e->modified);
	key_time(l, ",\"accessed\":\"", &e->accessed);
	key_time(l, ",\"changed\":\"", &e->changed);
	key_time(l, ",\"born\":\"", &e->born);
	key_text(l, ",\"target\":", e->target);
	key_text(l, ",\"remark\":", e->remark);
	key_text(l, ",\"path_sure\":", fs_sure_name(e->path_sure));
	key_text(l, ",\"data_sure\":", fs_sure_name(e->data_sure));
}
