/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of a hive: keys, values, lists, data. Every offset in them is a claim. */
#include "formats/log/regf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	BIG_SEGMENT = 16344, /* data of one segment of big data */
	LISTS_MAX = 65536,   /* an index root counts its lists in 16 bits */
};

uint32_t regf_sum(const struct regf_base *b)
{
	uint32_t sum = 0;
	le32_t word;

	for (size_t i = 0; i < 508; i += sizeof(word)) {
		memcpy(&word, (const uint8_t *)b + i, sizeof(word));
		sum ^= le32(word);
	}
	return sum == 0 ? 1 : sum == UINT32_MAX ? UINT32_MAX - 1 : sum;
}

struct span regf_cell(const struct regf *h, uint32_t off, bool *unused)
{
	struct span bins = {h->bins, h->len, REGF_BASE}, none = {NULL, 0, 0};
	uint32_t at = off - h->from;
	const le32_t *head = off % 8 || off < h->from ? NULL : span_at(bins, at, sizeof(*head));
	int32_t size = head ? (int32_t)le32(*head) : 0;
	uint32_t len = size < 0 ? 0u - (uint32_t)size : (uint32_t)size;

	if (len < 8 || len % 8 || !span_at(bins, at, len))
		return none;
	if (unused)
		*unused = size > 0;
	return (struct span){h->bins + at + 4, len - 4, (uint64_t)REGF_BASE + off + 4};
}

const struct regf_nk *regf_nk(const struct regf *h, uint32_t off)
{
	struct span s = regf_cell(h, off, NULL);
	const struct regf_nk *nk = s.p ? span_at(s, 0, sizeof(*nk)) : NULL;

	return nk && !memcmp(nk->magic, "nk", 2) ? nk : NULL;
}

const struct regf_vk *regf_vk(const struct regf *h, uint32_t off)
{
	struct span s = regf_cell(h, off, NULL);
	const struct regf_vk *vk = s.p ? span_at(s, 0, sizeof(*vk)) : NULL;

	return vk && !memcmp(vk->magic, "vk", 2) ? vk : NULL;
}

uint32_t regf_root(const struct regf *h)
{
	for (uint32_t at = h->from ? 0 : REGF_BIN_HEAD; at < h->len; at += 8) {
		const struct regf_nk *nk = regf_nk(h, h->from + at);

		if (nk && le16(nk->flags) & REGF_NK_ROOT)
			return h->from + at;
	}
	return REGF_NONE;
}

/* Latin-1 or UTF-16 to UTF-8, without what would be a separator. */
static size_t name_put(const uint8_t *p, size_t len, bool latin1, char out[REGF_NAME_MAX])
{
	char text[REGF_NAME_MAX];
	size_t n = 0;

	if (!latin1) {
		utf16_text(p, len / 2, 0, text, sizeof(text));
		n = strlen(text);
	}
	for (size_t i = 0; latin1 && i < len && n + 2 < sizeof(text); i++) {
		if (p[i] < 0x80) {
			text[n++] = (char)p[i];
		} else {
			text[n++] = (char)(0xc0 | p[i] >> 6);
			text[n++] = (char)(0x80 | (p[i] & 0x3f));
		}
	}
	return fs_name_put(text, n, out, REGF_NAME_MAX);
}

size_t regf_key_name(const struct regf *h, uint32_t off, char out[REGF_NAME_MAX])
{
	const struct regf_nk *nk = regf_nk(h, off);
	struct span s = regf_cell(h, off, NULL);
	const uint8_t *p = nk ? span_at(s, sizeof(*nk), le16(nk->name_len)) : NULL;

	*out = '\0';
	return p ? name_put(p, le16(nk->name_len), le16(nk->flags) & REGF_NK_LATIN1, out) : 0;
}

size_t regf_value_name(const struct regf *h, uint32_t off, char out[REGF_NAME_MAX])
{
	const struct regf_vk *vk = regf_vk(h, off);
	struct span s = regf_cell(h, off, NULL);
	const uint8_t *p = vk ? span_at(s, sizeof(*vk), le16(vk->name_len)) : NULL;

	*out = '\0';
	return p ? name_put(p, le16(vk->name_len), le16(vk->flags) & REGF_VK_LATIN1, out) : 0;
}

/* A list of subkeys: "lf", "lh" (each with a hint), "li"; or "ri", a list of those. */
static int each_in_list(const struct regf *h, uint32_t off, bool root, uint32_t *left,
			int (*fn)(void *arg, uint32_t off), void *arg)
{
	struct span s = regf_cell(h, off, NULL);
	const char *magic = s.p ? span_at(s, 0, 2) : NULL;
	const le16_t *count = magic ? span_at(s, 2, sizeof(*count)) : NULL;
	uint32_t n = count ? le16(*count) : 0;
	bool hints = magic && (!memcmp(magic, "lf", 2) || !memcmp(magic, "lh", 2));
	bool index = magic && !memcmp(magic, "ri", 2) && root;

	if (!hints && !index && (!magic || memcmp(magic, "li", 2)))
		return 0;
	for (uint32_t i = 0; i < n && *left; i++) {
		const le32_t *e = span_at(s, 4 + (uint64_t)i * (hints ? 8 : 4), sizeof(*e));
		int r;

		if (!e)
			break;
		--*left;
		r = index ? each_in_list(h, le32(*e), false, left, fn, arg) : fn(arg, le32(*e));
		if (r)
			return r;
	}
	return 0;
}

int regf_each_subkey(const struct regf *h, uint32_t key, int (*fn)(void *arg, uint32_t off),
		     void *arg)
{
	const struct regf_nk *nk = regf_nk(h, key);
	/* A list of lists may name one list 65535 times: no key has more subkeys than cells fit. */
	uint32_t left = h->len / (uint32_t)sizeof(*nk) + LISTS_MAX;

	return nk && le32(nk->subkeys) ? each_in_list(h, le32(nk->list), true, &left, fn, arg) : 0;
}

int regf_each_value(const struct regf *h, uint32_t key, int (*fn)(void *arg, uint32_t off),
		    void *arg)
{
	const struct regf_nk *nk = regf_nk(h, key);
	uint32_t n = nk ? le32(nk->values) : 0;
	struct span s = n ? regf_cell(h, le32(nk->value_list), NULL) : (struct span){0};

	for (uint32_t i = 0; i < n; i++) {
		const le32_t *e = span_at(s, (uint64_t)i * 4, sizeof(*e));
		int r = s.p && e ? fn(arg, le32(*e)) : 0;

		if (r || !e)
			return r;
	}
	return 0;
}

/* The next character of UTF-8 that name_put() made, in upper case. */
static uint32_t upper_next(const char **p, const char *end)
{
	const uint8_t *c = (const uint8_t *)*p;
	uint32_t ch = *c;

	*p += 1;
	if (ch >= 0xc2 && ch <= 0xc3 && *p < end) {
		ch = (ch & 3) << 6 | (c[1] & 0x3f);
		*p += 1;
	}
	if ((ch >= 'a' && ch <= 'z') || (ch >= 0xe0 && ch <= 0xfe && ch != 0xf7 && c[0] < 0xc4))
		ch -= 0x20;
	return ch;
}

bool regf_name_equal(const char *a, size_t a_len, const char *b, size_t b_len)
{
	const char *a_end = a + a_len, *b_end = b + b_len;

	while (a < a_end && b < b_end)
		if (upper_next(&a, a_end) != upper_next(&b, b_end))
			return false;
	return a == a_end && b == b_end;
}

struct wanted {
	const struct regf *h;
	const char *name;
	size_t len;
	bool value;
	uint32_t found;
};

static int is_wanted(void *arg, uint32_t off)
{
	struct wanted *w = arg;
	char name[REGF_NAME_MAX];
	size_t n = w->value ? regf_value_name(w->h, off, name) : regf_key_name(w->h, off, name);

	if (w->value ? !regf_vk(w->h, off) : !regf_nk(w->h, off))
		return 0;
	if (!regf_name_equal(name, n, w->name, w->len))
		return 0;
	w->found = off;
	return 1;
}

int regf_find(const struct regf *h, uint32_t key, const char *path, uint32_t *found)
{
	if (!regf_nk(h, key))
		return -ENOENT;
	while (*(path += strspn(path, "/\\"))) {
		struct wanted w = {.h = h, .name = path, .len = strcspn(path, "/\\")};

		if (!regf_each_subkey(h, key, is_wanted, &w))
			return -ENOENT;
		key = w.found;
		path += w.len;
	}
	*found = key;
	return 0;
}

int regf_value(const struct regf *h, uint32_t key, const char *name, uint32_t *found)
{
	struct wanted w = {.h = h, .name = name, .len = strlen(name), .value = true};

	if (!regf_each_value(h, key, is_wanted, &w))
		return -ENOENT;
	*found = w.found;
	return 0;
}

static bool replaced(const struct regf *h, uint64_t at, uint32_t len)
{
	for (size_t i = 0; i < h->n_pages; i++)
		if (h->page[i].off < at - REGF_BASE + len &&
		    at - REGF_BASE < (uint64_t)h->page[i].off + h->page[i].len)
			return true;
	return false;
}

/* Bytes [@from, @from + @len) of the value lie at @at of the hive's layer. */
static int add_run(const struct regf *h, struct regf_data *d, uint32_t from, uint32_t len,
		   uint64_t at)
{
	struct regf_run *more = realloc(d->run, (d->runs + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	d->run = more;
	d->run[d->runs++] = (struct regf_run){from, len, at};
	d->logged |= replaced(h, at, len);
	return 0;
}

/* Copy @len bytes of the cell at @off; what is not there is lost. */
static int take(const struct regf *h, struct regf_data *d, uint32_t from, uint32_t off,
		uint32_t len)
{
	struct span s = regf_cell(h, off, NULL);
	uint32_t have = !s.p ? 0 : s.len < len ? (uint32_t)s.len : len;
	int r = 0;

	if (have) {
		memcpy(d->p + from, s.p, have);
		r = add_run(h, d, from, have, s.addr);
	}
	if (have < len && !r)
		r = ranges_add(&d->bad, from + have, len - have, GRADE_LOST, REGF_VALUE_DATA);
	for (size_t i = ranges_find(&h->lost, s.addr); have && i < h->lost.n && !r; i++) {
		const struct range *b = &h->lost.v[i];
		uint64_t lo = b->off > s.addr ? b->off : s.addr;
		uint64_t hi = b->off + b->len < s.addr + have ? b->off + b->len : s.addr + have;

		if (b->off >= s.addr + have)
			break;
		r = ranges_add(&d->bad, from + (lo - s.addr), hi - lo, b->grade, b->why);
	}
	return r;
}

/* "db": a list of cells with 16344 bytes each. */
static int take_big(const struct regf *h, struct regf_data *d, struct span db)
{
	const le32_t *list = span_at(db, 4, sizeof(*list));
	struct span s = list ? regf_cell(h, le32(*list), NULL) : (struct span){0};
	uint32_t n = le16(*(const le16_t *)(db.p + 2)), from = 0;
	int r = 0;

	for (uint32_t i = 0; i < n && from < d->len && !r; i++) {
		const le32_t *e = s.p ? span_at(s, (uint64_t)i * 4, sizeof(*e)) : NULL;
		uint32_t len = d->len - from < BIG_SEGMENT ? d->len - from : BIG_SEGMENT;

		if (!e)
			break;
		r = take(h, d, from, le32(*e), len);
		from += len;
	}
	if (!r && from < d->len)
		r = ranges_add(&d->bad, from, d->len - from, GRADE_LOST, REGF_VALUE_DATA);
	return r;
}

int regf_data(const struct regf *h, uint32_t value, struct regf_data *d)
{
	const struct regf_vk *vk = regf_vk(h, value);
	struct span s;
	uint32_t size;
	int r;

	*d = (struct regf_data){0};
	if (!vk)
		return 0;
	d->type = le32(vk->type);
	size = le32(vk->size) & ~REGF_INLINE;
	d->at = (uint64_t)REGF_BASE + value + 4 + offsetof(struct regf_vk, data);
	d->at_len = 4;
	if (!size)
		return 0;
	/* No data is larger than what all bins could hold. */
	d->len = size < h->len ? size : h->len;
	d->p = calloc(1, d->len);
	if (!d->p)
		return -ENOMEM;
	if (le32(vk->size) & REGF_INLINE) {
		d->len = size < 4 ? size : 4;
		memcpy(d->p, &vk->data, d->len);
		r = add_run(h, d, 0, d->len, d->at);
		goto out;
	}
	s = regf_cell(h, le32(vk->data), NULL);
	if (s.p) {
		d->at = s.addr;
		d->at_len = s.len < d->len ? s.len : d->len;
	}
	if (h->minor > 3 && d->len > BIG_SEGMENT && s.len >= 8 && !memcmp(s.p, "db", 2))
		r = take_big(h, d, s);
	else
		r = take(h, d, 0, le32(vk->data), d->len);
out:
	if (r)
		regf_data_free(d);
	return r;
}

void regf_data_free(struct regf_data *d)
{
	free(d->p);
	free(d->run);
	ranges_free(&d->bad);
	*d = (struct regf_data){0};
}
