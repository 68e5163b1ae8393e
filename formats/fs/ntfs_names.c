/* SPDX-License-Identifier: Apache-2.0 */
/* Names: UTF-16 on disk, WTF-8 for us. A lone surrogate is encoded as if it were a character. */
#include <string.h>

#include "formats/fs/ntfs.h"

static uint16_t unit(struct span s, size_t i)
{
	return (uint16_t)(s.p[2 * i] | s.p[2 * i + 1] << 8);
}

/* A slash or NUL can't stand in a part of a path: fs.h says what stands for it. */
static uint16_t shown(uint16_t c)
{
	return c == '/' ? 0xf02f : c ? c : 0xf000;
}

static size_t put(uint32_t c, char *out)
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
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

size_t ntfs_name_put(struct span utf16, char *out, size_t cap)
{
	size_t units = utf16.len / 2, n = 0;

	for (size_t i = 0; i < units && n + 4 < cap; i++) {
		uint32_t c = shown(unit(utf16, i));

		if (c >= 0xd800 && c < 0xdc00 && i + 1 < units) {
			uint32_t low = unit(utf16, i + 1);

			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i++;
			}
		}
		n += put(c, out + n);
	}
	if (cap)
		out[n] = '\0';
	return n;
}

/* One character of WTF-8; returns its bytes, 0 if it is none. */
static size_t get(const uint8_t *p, size_t len, uint32_t *c)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (!n || n > len || p[0] > 0xf4)
		return 0;
	*c = n == 1 ? p[0] : p[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	return *c > 0x10ffff ? 0 : n;
}

size_t ntfs_name_get(const char *name, size_t len, uint16_t *out, size_t cap)
{
	size_t units = 0;

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c = 0;

		n = get((const uint8_t *)name + i, len - i, &c);
		if (!n || units + (c > 0xffff) >= cap)
			return SIZE_MAX;
		if (c > 0xffff) {
			out[units++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
			c = 0xdc00 + ((c - 0x10000) & 0x3ff);
		}
		out[units++] = (uint16_t)c;
	}
	return units;
}

int ntfs_name_compare(const uint16_t *upcase, struct span a, struct span b)
{
	size_t na = a.len / 2, nb = b.len / 2;

	for (size_t i = 0; i < na && i < nb; i++) {
		uint16_t x = upcase[unit(a, i)], y = upcase[unit(b, i)];

		if (x != y)
			return x < y ? -1 : 1;
	}
	return na < nb ? -1 : na > nb;
}

bool ntfs_name_is(struct span utf16, const char *ascii)
{
	size_t len = strlen(ascii);

	if (utf16.len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (unit(utf16, i) != (uint8_t)ascii[i])
			return false;
	return true;
}

/* Ranges whose upper case lies @by below them, and pairs "Aa" in which it is the even one. */
void ntfs_upcase_builtin(uint16_t *table)
{
	static const struct {
		uint16_t from, to, by;
	} shift[] = {{'a', 'z', 32},	  {0xe0, 0xf6, 32},   {0xf8, 0xfe, 32},
		     {0x3b1, 0x3c1, 32},  {0x3c3, 0x3cb, 32}, {0x430, 0x44f, 32},
		     {0x450, 0x45f, 80},  {0x561, 0x586, 48}, {0x24d0, 0x24e9, 26},
		     {0xff41, 0xff5a, 32}};

	for (uint32_t c = 0; c < 65536; c++)
		table[c] = (uint16_t)c;
	for (size_t i = 0; i < sizeof(shift) / sizeof(*shift); i++)
		for (uint32_t c = shift[i].from; c <= shift[i].to; c++)
			table[c] = (uint16_t)(c - shift[i].by);
	for (uint32_t c = 0x100; c < 0x138; c += 2)
		if (c != 0x130)
			table[c + 1] = (uint16_t)c;
	for (uint32_t c = 0x460; c < 0x482; c += 2)
		table[c + 1] = (uint16_t)c;
	table[0xff] = 0x178;
}
