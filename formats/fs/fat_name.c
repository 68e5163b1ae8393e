/* SPDX-License-Identifier: Apache-2.0 */
/* FAT: names. Long names are UTF-16; short ones are bytes of a code page that nothing on disk names. */
#include <string.h>

#include "formats/fs/fat.h"
#include "vdiskck/core/text.h"

enum { LONG_CHARS = 13, LONG_MAX = 20 };

/*
 * Code page 850. Letters that it shares with 437 have the same numbers in both; where they differ,
 * 437 has frames and formulas, which nobody puts into names. Other pages: the long name is right.
 */
static const uint16_t cp850[128] = {
	0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8,
	0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2,
	0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00f8, 0x00a3, 0x00d8, 0x00d7, 0x0192, 0x00e1,
	0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x00ae, 0x00ac, 0x00bd,
	0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x00c1, 0x00c2,
	0x00c0, 0x00a9, 0x2563, 0x2551, 0x2557, 0x255d, 0x00a2, 0x00a5, 0x2510, 0x2514, 0x2534,
	0x252c, 0x251c, 0x2500, 0x253c, 0x00e3, 0x00c3, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560,
	0x2550, 0x256c, 0x00a4, 0x00f0, 0x00d0, 0x00ca, 0x00cb, 0x00c8, 0x0131, 0x00cd, 0x00ce,
	0x00cf, 0x2518, 0x250c, 0x2588, 0x2584, 0x00a6, 0x00cc, 0x2580, 0x00d3, 0x00df, 0x00d4,
	0x00d2, 0x00f5, 0x00d5, 0x00b5, 0x00fe, 0x00de, 0x00da, 0x00db, 0x00d9, 0x00fd, 0x00dd,
	0x00af, 0x00b4, 0x00ad, 0x00b1, 0x2017, 0x00be, 0x00b6, 0x00a7, 0x00f7, 0x00b8, 0x00b0,
	0x00a8, 0x00b7, 0x00b9, 0x00b3, 0x00b2, 0x25a0, 0x00a0,
};

/* A long entry: 13 units of the name, in three places. FG, "Long file name implementation" */
struct long_entry {
	uint8_t order; /* 1.., the last one of the name (first on disk) with bit 6; 0xe5 deleted */
	uint8_t a[10];
	uint8_t attr, type, sum;
	uint8_t b[12];
	le16_t zero;
	uint8_t c[4];
};
_Static_assert(sizeof(struct long_entry) == FAT_ENTRY, "FG, long directory entry");

static size_t put_utf8(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | c >> 12);
	out[1] = (char)(0x80 | (c >> 6 & 0x3f));
	out[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

static size_t put_short(const uint8_t *p, size_t len, bool lower, char *out)
{
	size_t n = 0;

	while (len && p[len - 1] == ' ')
		len--;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[i];

		if (lower && c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + 32);
		if (c == '/' || !c) /* fs.h */
			n += put_utf8(0xf000u + c, out + n);
		else
			n += put_utf8(c < 0x80 ? c : cp850[c - 0x80], out + n);
	}
	return n;
}

/* "README  TXT" as "README.TXT". The label's eleven characters have no dot. */
static void short_name(const struct fat_dirent *e, char first, char *out)
{
	uint8_t raw[11];
	size_t n;

	memcpy(raw, e->name, sizeof(raw));
	if (first)
		raw[0] = (uint8_t)first;
	else if (raw[0] == 0x05)
		raw[0] = 0xe5;
	if ((e->attr & (ATTR_LABEL | ATTR_DIR)) == ATTR_LABEL) {
		out[put_short(raw, 11, false, out)] = '\0';
		return;
	}
	n = put_short(raw, 8, e->nt_case & CASE_BASE, out);
	if (memcmp(raw + 8, "   ", 3)) {
		out[n++] = '.';
		n += put_short(raw + 8, 3, e->nt_case & CASE_EXT, out + n);
	}
	out[n] = '\0';
}

uint8_t fat_name_sum(const uint8_t name[11])
{
	uint8_t sum = 0;

	for (int i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + name[i]);
	return sum;
}

static bool legal_short(uint8_t c)
{
	return c > ' ' && !(c >= 'a' && c <= 'z') && !strchr("\"*+,./:;<=>?[\\]|\x7f", c);
}

/* Deleted: the sum of the long entries tells what 0xe5 replaced. 0: it can't be that. */
static uint8_t first_of(const struct fat_dirent *e, uint8_t sum)
{
	uint8_t name[11];

	memcpy(name, e->name, sizeof(name));
	/* Rotation and addition can be undone: exactly one value fits. */
	for (unsigned c = 1; c < 256; c++) {
		name[0] = (uint8_t)c;
		if (fat_name_sum(name) == sum)
			return legal_short((uint8_t)c) ? (uint8_t)c : 0;
	}
	return 0;
}

static const void *entry(const struct fat_dir *d, unsigned i)
{
	uint64_t off = (uint64_t)i * FAT_ENTRY;

	if (off + FAT_ENTRY > d->len || (d->bad.n && ranges_overlap(&d->bad, off, FAT_ENTRY)))
		return NULL;
	return d->buf + off;
}

static bool is_long(const struct fat_dirent *e)
{
	return (e->attr & ATTR_MASK) == ATTR_LONG;
}

/* The units of one long entry; false: the name ends in it. */
static bool long_units(const struct long_entry *e, uint8_t *out)
{
	memcpy(out, e->a, 10);
	memcpy(out + 10, e->b, 12);
	memcpy(out + 22, e->c, 4);
	for (int i = 0; i < LONG_CHARS; i++)
		if (!out[2 * i] && !out[2 * i + 1])
			return false;
	return true;
}

/* The long entries before entry @n->i; their number, and the units in order. 0: none fit. */
static unsigned collect_long(const struct fat_dir *d, const struct fat_name *n, uint8_t sum,
			     uint8_t units[LONG_MAX * LONG_CHARS * 2])
{
	unsigned k = 0;

	while (k < LONG_MAX && k < n->i) {
		const struct long_entry *e = entry(d, n->i - 1 - k);
		bool more;

		if (!e || (e->attr & ATTR_MASK) != ATTR_LONG || e->sum != sum ||
		    (n->deleted ? e->order != 0xe5 : (e->order & 0x1f) != k + 1))
			return n->deleted ? k : 0;
		more = long_units(e, units + (size_t)k * LONG_CHARS * 2);
		k++;
		if (n->deleted ? !more : e->order & 0x40)
			return k;
	}
	return n->deleted ? k : 0;
}

static void long_name(const struct fat_dir *d, struct fat_name *n)
{
	uint8_t units[LONG_MAX * LONG_CHARS * 2];
	char text[LONG_MAX * LONG_CHARS * 3 + 1];
	const struct long_entry *before = n->i ? entry(d, n->i - 1) : NULL;
	uint8_t sum = fat_name_sum(n->e.name), first = 0;

	if (!before || (before->attr & ATTR_MASK) != ATTR_LONG)
		return;
	if (n->deleted && before->order == 0xe5) {
		sum = before->sum;
		first = first_of(&n->e, sum);
		if (!first)
			return;
	}
	n->n_long = collect_long(d, n, sum, units);
	n->long_bad = !n->n_long && !n->deleted;
	if (!n->n_long)
		return;
	n->first_guessed = false;
	if (first)
		short_name(&n->e, (char)first, n->shrt);
	utf16_text(units, (size_t)n->n_long * LONG_CHARS, 0, text, sizeof(text));
	if (*text)
		fs_name_put(text, strlen(text), n->name, sizeof(n->name));
}

bool fat_is_dots(const struct fat_dirent *e)
{
	return !memcmp(e->name, ".          ", 11) || !memcmp(e->name, "..         ", 11);
}

/* Noise has bits that no system sets; real entries can have any of them once, not three. */
static bool possible(const struct fat *g, const struct fat_dirent *e)
{
	uint32_t first = fat_first(g, e);
	unsigned odd = 0;

	for (int i = 1; i < 11; i++)
		odd += e->name[i] < ' ';
	odd += e->name[0] < ' ' && e->name[0] != 0x05;
	odd = (odd != 0) + (e->attr & 0xc0 ? 1 : 0) + (first && !table_valid(&g->t, first)) +
	      (le16(e->date) && ((le16(e->date) >> 5 & 15) > 12 || !(le16(e->date) & 31))) +
	      ((le16(e->time) >> 11) > 23);
	return odd < 3;
}

bool fat_dir_next(const struct fat *g, const struct fat_dir *d, unsigned *i, struct fat_name *n)
{
	bool stray = false;

	for (; (uint64_t)*i * FAT_ENTRY < d->len; ++*i) {
		const struct fat_dirent *e = entry(d, *i);
		uint64_t off = (uint64_t)*i * FAT_ENTRY;

		if (!e)
			continue;
		if (!e->name[0])
			return false;
		if (is_long(e)) {
			stray = e->name[0] != 0xe5;
			continue;
		}
		*n = (struct fat_name){.e = *e, .i = (*i)++, .deleted = e->name[0] == 0xe5};
		n->at = d->at[off / d->unit] + off % d->unit;
		n->first_guessed = n->deleted;
		n->garbage = !possible(g, e);
		n->cluster = fat_first(g, e);
		short_name(e, n->deleted ? '_' : 0, n->shrt);
		strcpy(n->name, n->shrt);
		if (stray || n->deleted)
			long_name(d, n);
		return true;
	}
	return false;
}

/* Upper case of the letters that Western, Greek and Cyrillic names are made of. */
static uint32_t upper(uint32_t c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 0xe0 && c <= 0xfe && c != 0xf7) ||
	    (c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f))
		return c - 32;
	if (c >= 0x450 && c <= 0x45f)
		return c - 80;
	if ((c >= 0x100 && c <= 0x137) || (c >= 0x14a && c <= 0x177))
		return c & ~1u;
	return c;
}

/* One character of UTF-8 that this file or utf16_text() wrote, or a user typed. */
static uint32_t get_utf8(const char **p, const char *end)
{
	uint8_t c = (uint8_t) * (*p)++;
	unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	uint32_t v = more ? c & (0x3fu >> more) : c;

	for (; more && *p < end && (**p & 0xc0) == 0x80; more--)
		v = v << 6 | (uint32_t)(*(*p)++ & 0x3f);
	return v;
}

bool fat_same_name(const char *a, size_t len, const char *b)
{
	const char *a_end = a + len, *b_end = b + strlen(b);

	while (a < a_end && b < b_end)
		if (upper(get_utf8(&a, a_end)) != upper(get_utf8(&b, b_end)))
			return false;
	return a == a_end && b == b_end;
}
