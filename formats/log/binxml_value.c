/* SPDX-License-Identifier: Apache-2.0 */
/* Values of BinXML as text, as Windows' own XML has them. [MS-EVEN6] 2.2.8, 2.2.12 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/log/binxml_parts.h"
#include "vdiskck/core/endian.h"

static uint64_t uint_at(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len < 8 ? len : 8);
	return v;
}

static int64_t int_at(const uint8_t *p, size_t len)
{
	switch (len) {
	case 1: return (int8_t)uint_at(p, 1);
	case 2: return (int16_t)uint_at(p, 2);
	case 4: return (int32_t)uint_at(p, 4);
	}
	return (int64_t)uint_at(p, 8);
}

/* How long a value of this type has to be; 0: any length. */
static size_t wanted_len(const struct bx_value *v)
{
	switch (v->type) {
	case BX_INT8:
	case BX_UINT8: return 1;
	case BX_INT16:
	case BX_UINT16: return 2;
	case BX_INT32:
	case BX_UINT32:
	case BX_REAL32:
	case BX_HEX32: return 4;
	case BX_INT64:
	case BX_UINT64:
	case BX_REAL64:
	case BX_FILETIME:
	case BX_HEX64: return 8;
	case BX_GUID:
	case BX_SYSTEMTIME: return 16;
	case BX_SIZE:
	case BX_HANDLE: return v->len == 4 ? 4 : 8;
	case BX_BOOL: return v->len == 1 ? 1 : 4;
	case BX_SID: return v->len >= 8 ? 8 + 4 * (size_t)v->p[1] : 8;
	}
	return 0;
}

static void put_hex(struct buf *b, uint64_t v)
{
	char text[18], *p = text + sizeof(text);

	do
		*--p = "0123456789abcdef"[v & 15];
	while (v >>= 4);
	*--p = 'x';
	*--p = '0';
	buf_put(b, p, (size_t)(text + sizeof(text) - p));
}

static const char upper[] = "0123456789ABCDEF";

static void put_binary(struct buf *b, const uint8_t *p, size_t len)
{
	if (!buf_room(b, 2 * len))
		return;
	for (size_t i = 0; i < len; i++) {
		b->p[b->len++] = upper[p[i] >> 4];
		b->p[b->len++] = upper[p[i] & 15];
	}
}

static void put_guid(struct buf *b, const uint8_t *g)
{
	static const int8_t order[] = {3,  2, 1, 0,  -1, 5,  4,	 -1, 7,	 6,
				       -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
	char text[38], *o = text;

	*o++ = '{';
	for (size_t i = 0; i < sizeof(order); i++) {
		if (order[i] < 0) {
			*o++ = '-';
			continue;
		}
		*o++ = upper[g[order[i]] >> 4];
		*o++ = upper[g[order[i]] & 15];
	}
	*o = '}';
	buf_put(b, text, sizeof(text));
}

/* [MS-DTYP] 2.4.2.1: an authority above 32 bits is written in hex. */
static void put_sid(struct buf *b, const uint8_t *p)
{
	uint64_t authority = 0;

	for (int i = 2; i < 8; i++)
		authority = authority << 8 | p[i];
	buf_lit(b, "S-");
	buf_u64(b, p[0]);
	buf_char(b, '-');
	if (authority >> 32)
		put_hex(b, authority);
	else
		buf_u64(b, authority);
	for (unsigned i = 0; i < p[1]; i++) {
		buf_char(b, '-');
		buf_u64(b, uint_at(p + 8 + 4 * i, 4));
	}
}

/* [MS-DTYP] 2.3.13 SYSTEMTIME: eight 16-bit numbers; the third is the day of the week. */
static void put_systemtime(struct buf *b, const uint8_t *p)
{
	unsigned f[8];
	char text[64];

	for (unsigned i = 0; i < 8; i++)
		f[i] = (unsigned)uint_at(p + 2 * i, 2);
	snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", f[0], f[1], f[3], f[4],
		 f[5], f[6], f[7]);
	buf_str(b, text);
}

/* The shortest form that reads back as the same number. */
static void put_real(struct buf *b, const struct bx_value *v)
{
	char text[40];
	double d = 0;
	float f = 0;

	if (v->type == BX_REAL32) {
		memcpy(&f, v->p, sizeof(f));
		for (int digits = 6; digits <= 9; digits++) {
			snprintf(text, sizeof(text), "%.*g", digits, (double)f);
			if (strtof(text, NULL) == f)
				break;
		}
	} else {
		memcpy(&d, v->p, sizeof(d));
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, sizeof(text), "%.*g", digits, d);
			if (strtod(text, NULL) == d)
				break;
		}
	}
	buf_str(b, text);
}

/* Windows-1252, which Windows uses for "ANSI" where nothing says otherwise, to UTF-16. */
static uint16_t ansi_unit(uint8_t c)
{
	static const uint16_t high[32] = {0x20ac, 0x81,	  0x201a, 0x192,  0x201e, 0x2026, 0x2020,
					  0x2021, 0x2c6,  0x2030, 0x160,  0x2039, 0x152,  0x8d,
					  0x17d,  0x8f,	  0x90,	  0x2018, 0x2019, 0x201c, 0x201d,
					  0x2022, 0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a,
					  0x153,  0x9d,	  0x17e,  0x178};

	return c >= 0x80 && c < 0xa0 ? high[c - 0x80] : c;
}

static void put_units(struct buf *b, const uint8_t *p, size_t units, enum bx_quoting q)
{
	if (q == BX_FOR_JSON)
		buf_json_utf16(b, p, units);
	else if (q == BX_FOR_XML)
		buf_xml_utf16(b, p, units);
	else
		buf_utf16(b, p, units);
}

/* Strings are stored with or without the NUL that ends them. */
static void put_string(struct buf *b, const struct bx_value *v, enum bx_quoting q)
{
	size_t units = v->len / 2;

	while (units && !v->p[2 * units - 2] && !v->p[2 * units - 1])
		units--;
	put_units(b, v->p, units, q);
}

static void put_ansi(struct buf *b, const struct bx_value *v, enum bx_quoting q)
{
	size_t len = v->len;

	while (len && !v->p[len - 1])
		len--;
	for (size_t i = 0; i < len; i++) {
		le16_t unit = to_le16(ansi_unit(v->p[i]));

		put_units(b, unit.b, 1, q);
	}
}

static void put_time(struct buf *b, uint64_t ft)
{
	struct log_time t = log_filetime(ft);

	log_json_time(b, &t);
}

static void put_array(struct buf *b, struct bx_value v, enum bx_quoting q)
{
	struct bx_value item;
	bool first = true;

	for (; bx_value_item(&v, &item); first = false) {
		if (!first)
			buf_lit(b, ", ");
		bx_value_text(b, &item, q);
	}
}

void bx_value_text(struct buf *b, const struct bx_value *v, enum bx_quoting q)
{
	size_t len = wanted_len(v);

	if (bx_value_empty(v))
		return;
	/* A value of another length than its type has is given as the bytes that it is. */
	if (len > v->len) {
		put_binary(b, v->p, v->len);
		return;
	}
	switch (v->type) {
	case BX_STRING:
	case BX_TEXT_XML: put_string(b, v, q); break;
	case BX_ANSI: put_ansi(b, v, q); break;
	case BX_INT8:
	case BX_INT16:
	case BX_INT32:
	case BX_INT64: buf_i64(b, int_at(v->p, len)); break;
	case BX_UINT8:
	case BX_UINT16:
	case BX_UINT32:
	case BX_UINT64: buf_u64(b, uint_at(v->p, len)); break;
	case BX_REAL32:
	case BX_REAL64: put_real(b, v); break;
	case BX_BOOL: buf_str(b, uint_at(v->p, len) ? "true" : "false"); break;
	case BX_GUID: put_guid(b, v->p); break;
	case BX_SIZE:
	case BX_HEX32:
	case BX_HEX64:
	case BX_HANDLE: put_hex(b, uint_at(v->p, len)); break;
	case BX_FILETIME: put_time(b, uint_at(v->p, len)); break;
	case BX_SYSTEMTIME: put_systemtime(b, v->p); break;
	case BX_SID: put_sid(b, v->p); break;
	default:
		if (v->type & BX_ARRAY)
			put_array(b, *v, q);
		else
			put_binary(b, v->p, v->len);
	}
}

/* Is it a number (or true, false) in JSON, as bx_value_text() writes it? */
static bool bare(const struct bx_value *v)
{
	size_t len = wanted_len(v);
	double d = 0;
	float f = 0;

	if (!len || len > v->len)
		return false;
	if (v->type == BX_REAL32) {
		memcpy(&f, v->p, sizeof(f));
		return isfinite(f);
	}
	if (v->type == BX_REAL64) {
		memcpy(&d, v->p, sizeof(d));
		return isfinite(d);
	}
	return (v->type >= BX_INT8 && v->type <= BX_UINT64) || v->type == BX_BOOL;
}

static void uncommon(struct buf *b, const struct bx_value *v, bool flat)
{
	struct bx_value rest = *v, item;
	size_t start;

	if (v->type == BX_NULL) {
		buf_lit(b, "null");
	} else if (v->type & BX_ARRAY) {
		if (!flat)
			buf_char(b, '[');
		start = b->len;
		while (bx_value_item(&rest, &item)) {
			if (b->len != start)
				buf_char(b, ',');
			bx_value_json(b, &item, false);
		}
		if (!flat)
			buf_char(b, ']');
		else if (b->len == start)
			buf_lit(b, "null");
	} else if (bare(v)) {
		bx_value_text(b, v, BX_FOR_JSON);
	} else {
		buf_char(b, '"');
		bx_value_text(b, v, BX_FOR_JSON);
		buf_char(b, '"');
	}
}

/* What nearly all values are. False: it is something else. */
static bool common(struct buf *b, const struct bx_value *v)
{
	switch (v->type) {
	case BX_STRING:
		buf_char(b, '"');
		put_string(b, v, BX_FOR_JSON);
		buf_char(b, '"');
		return true;
	case BX_UINT8:
	case BX_UINT16:
	case BX_UINT32:
	case BX_UINT64:
		/* 1, 2, 4 or 8 bytes, for types from 4 to 10. */
		if (v->len != 1u << (v->type - BX_UINT8) / 2)
			return false;
		buf_u64(b, uint_at(v->p, v->len));
		return true;
	}
	return false;
}

void bx_value_json(struct buf *b, const struct bx_value *v, bool flat)
{
	if (!common(b, v))
		uncommon(b, v, flat);
}

bool bx_value_item(struct bx_value *v, struct bx_value *item)
{
	struct bx_value one = {v->p, v->len, v->type & (uint8_t)~BX_ARRAY};
	uint32_t len, unit = one.type == BX_STRING ? 2 : 1;

	if (!v->len)
		return false;
	if (one.type == BX_STRING || one.type == BX_ANSI) {
		/* Each ends with a NUL; the last one may lack it. */
		for (len = 0; len + unit <= v->len; len += unit)
			if (!v->p[len] && (unit == 1 || !v->p[len + 1]))
				break;
		one.len = len;
		len += unit;
	} else {
		if (one.type == BX_SIZE || one.type == BX_HANDLE)
			one.len = 8;
		len = (uint32_t)wanted_len(&one);
		one.len = len;
	}
	/* What is not a whole item, or has no items, is the last one. */
	if (!len || len > v->len) {
		len = v->len;
		if (one.type != BX_STRING && one.type != BX_ANSI)
			one.len = len;
	}
	*item = one;
	v->p += len;
	v->len -= len;
	return true;
}

bool bx_value_u64(const struct bx_value *v, uint64_t *out)
{
	size_t len = wanted_len(v);

	if (!len || len > v->len)
		return false;
	*out = uint_at(v->p, len);
	return v->type != BX_GUID && v->type != BX_SID && v->type != BX_SYSTEMTIME;
}
