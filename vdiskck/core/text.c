/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *size_text(uint64_t bytes, char buf[SIZE_TEXT])
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned u = 0;
	uint64_t one = 1, tenths;

	while (bytes / one >= 1024) {
		one <<= 10;
		u++;
	}
	/* Tenths of a unit, cut; no multiplication that could overflow. */
	tenths = bytes / one * 10 + (one > 1 ? bytes % one * 5 / (one / 2) : 0);
	if (bytes % one == 0)
		snprintf(buf, SIZE_TEXT, "%u %s", (unsigned)(bytes / one), unit[u]);
	else if (bytes < 10000 && bytes * 10 % one)
		snprintf(buf, SIZE_TEXT, "%u B", (unsigned)bytes);
	else
		snprintf(buf, SIZE_TEXT, "%u.%u %s", (unsigned)(tenths / 10),
			 (unsigned)(tenths % 10), unit[u]);
	return buf;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

int number_parse(const char *text, uint64_t *value, const char **end)
{
	unsigned base = 10;
	uint64_t v = 0, unit = 1;
	const char *p = text;

	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	if (digit(*p) >= (int)base)
		return -EINVAL;
	for (; digit(*p) < (int)base; p++) {
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit(*p), &v))
			return -ERANGE;
	}
	switch (*p) {
	case 's': unit = 512; break;
	case 'k':
	case 'K': unit = 1ull << 10; break;
	case 'm':
	case 'M': unit = 1ull << 20; break;
	case 'g':
	case 'G': unit = 1ull << 30; break;
	case 't':
	case 'T': unit = 1ull << 40; break;
	}
	if (unit > 1)
		p++;
	if (end)
		*end = p;
	else if (*p)
		return -EINVAL;
	if (__builtin_mul_overflow(v, unit, value))
		return -ERANGE;
	return 0;
}

static const char *guid_put(const uint8_t g[16], const uint8_t order[16], char buf[GUID_TEXT])
{
	char *o = buf;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*o++ = '-';
		*o++ = "0123456789abcdef"[g[order[i]] >> 4];
		*o++ = "0123456789abcdef"[g[order[i]] & 15];
	}
	*o = '\0';
	return buf;
}

const char *guid_text_be(const uint8_t guid[16], char buf[GUID_TEXT])
{
	static const uint8_t order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

	return guid_put(guid, order, buf);
}

static const uint8_t mixed[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

const char *guid_text_le(const uint8_t guid[16], char buf[GUID_TEXT])
{
	return guid_put(guid, mixed, buf);
}

bool guid_parse_le(const char *text, size_t len, uint8_t guid[16])
{
	static const char digits[] = "0123456789abcdef";

	if (len == GUID_TEXT + 1 && text[0] == '{' && text[len - 1] == '}') {
		text++;
		len -= 2;
	}
	if (len != GUID_TEXT - 1)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		const char *high, *low;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		high = *text ? strchr(digits, tolower((unsigned char)*text)) : NULL;
		low = high && text[1] ? strchr(digits, tolower((unsigned char)text[1])) : NULL;
		if (!low)
			return false;
		guid[mixed[i]] = (uint8_t)((high - digits) << 4 | (low - digits));
		text += 2;
	}
	return true;
}

const char *time_text(int64_t sec, uint32_t nsec, char buf[TIME_TEXT])
{
	time_t t = (time_t)sec;
	struct tm tm;
	size_t n;

	/* RFC 3339 has four-digit years; a time beyond them is hostile or broken: shown as such */
	if (sec < -62135596800 || sec > 253402300799 || !gmtime_r(&t, &tm)) {
		snprintf(buf, TIME_TEXT, "@%lld", (long long)sec);
		return buf;
	}
	n = (size_t)snprintf(buf, TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d",
			     (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
			     tm.tm_min, tm.tm_sec);
	if (nsec)
		n += (size_t)snprintf(buf + n, TIME_TEXT - n, ".%09u", nsec % 1000000000);
	if (n + 1 < TIME_TEXT)
		memcpy(buf + n, "Z", 2);
	return buf;
}

/* Length of the valid UTF-8 sequence at @p, 0 if there is none; @cp: its code point. */
static size_t utf8_char(const uint8_t *p, size_t len, uint32_t *cp)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = p[0] < 0x80	     ? 1
		   : p[0] >> 5 == 6  ? 2
		   : p[0] >> 4 == 14 ? 3
		   : p[0] >> 3 == 30 ? 4
				     : 0;

	if (!n || n > len)
		return 0;
	*cp = n == 1 ? p[0] : p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		*cp = *cp << 6 | (p[i] & 0x3f);
	}
	if (*cp < least[n] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000))
		return 0;
	return n;
}

size_t base64_bytes(const char *s, uint8_t *out, size_t cap)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0, have = 0;
	size_t n = 0;

	for (; *s && *s != '='; s++) {
		const char *p = strchr(set, *s);

		if (*s == '\n' || *s == '\r')
			continue;
		if (!p)
			return 0;
		bits = bits << 6 | (uint32_t)(p - set);
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == cap)
			return 0;
		out[n++] = (uint8_t)(bits >> have);
	}
	return n;
}

bool utf8_valid(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;

	while (*p) {
		unsigned n = *p < 0x80		       ? 0
			     : *p >= 0xc2 && *p < 0xe0 ? 1
			     : *p >> 4 == 14	       ? 2
			     : *p >= 0xf0 && *p < 0xf5 ? 3
						       : 9;

		if (n == 9 || (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
		    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
			return false;
		for (p++; n; n--, p++)
			if (*p >> 6 != 2)
				return false;
	}
	return true;
}

/* Would this code point move the cursor, hide, or reorder the text around it? */
static bool unprintable(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x61c ||
	       (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xfff9 && cp <= 0xfffb) ||
	       (cp >= 0xe0000 && cp <= 0xe0fff);
}

const char *name_escape(const char *name, size_t len, char *out, size_t cap)
{
	const uint8_t *p = (const uint8_t *)name;
	size_t o = 0;

	while (len) {
		uint32_t cp = 0;
		size_t n = utf8_char(p, len, &cp), need;

		if (n && cp == '\\')
			need = 2;
		else if (n && !unprintable(cp))
			need = n;
		else
			need = 4 * (n ? n : 1);
		if (o + need + 1 > cap)
			break;
		if (!n)
			n = 1;
		if (cp == '\\' && need == 2) {
			memcpy(out + o, "\\\\", 2);
		} else if (need == n) {
			memcpy(out + o, p, n);
		} else {
			for (size_t i = 0; i < n; i++)
				snprintf(out + o + 4 * i, 5, "\\x%02x", p[i]);
		}
		o += need;
		p += n;
		len -= n;
	}
	if (cap)
		out[o] = '\0';
	return out;
}

const char *utf16_text(const void *p, size_t units, int big, char *out, size_t cap)
{
	const uint8_t *b = p;
	size_t o = 0;

	for (size_t i = 0; i < units; i++) {
		uint32_t c = big ? (uint32_t)b[2 * i] << 8 | b[2 * i + 1]
				 : (uint32_t)b[2 * i + 1] << 8 | b[2 * i];
		size_t n;
		char u[4];

		if (!c)
			break;
		if (c >= 0xd800 && c < 0xdc00 && i + 1 < units) {
			const uint8_t *q = b + 2 * (i + 1);
			uint32_t d = big ? (uint32_t)q[0] << 8 | q[1] : (uint32_t)q[1] << 8 | q[0];

			if (d >= 0xdc00 && d < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (d - 0xdc00);
				i++;
			}
		}
		if (c < 0x80) {
			n = 1;
			u[0] = (char)c;
		} else if (c < 0x800) {
			n = 2;
			u[0] = (char)(0xc0 | c >> 6);
		} else if (c < 0x10000) {
			n = 3;
			u[0] = (char)(0xe0 | c >> 12);
		} else {
			n = 4;
			u[0] = (char)(0xf0 | c >> 18);
		}
		for (size_t k = n; k > 1; k--, c >>= 6)
			u[k - 1] = (char)(0x80 | (c & 0x3f));
		if (o + n + 1 > cap)
			break;
		memcpy(out + o, u, n);
		o += n;
	}
	if (cap)
		out[o] = '\0';
	return out;
}
