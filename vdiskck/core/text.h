/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, names and times as people type and read them. */
#ifndef VDISKCK_CORE_TEXT_H
#define VDISKCK_CORE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SIZE_TEXT = 16, GUID_TEXT = 37, TIME_TEXT = 40 };

/*
 * size_text() - "512 B", "5121 B", "4 KiB", "1.5 GiB"
 * Without a decimal it is exact, and so it is below 10000 bytes. With one it is cut, never rounded
 * up: what is short of 2 TiB by a sector is "1.9 TiB", and a byte more than 1 GiB is "1.0 GiB".
 * Two sizes that are compared are better given in bytes.
 */
const char *size_text(uint64_t bytes, char buf[SIZE_TEXT]);
/*
 * number_parse() - decimal or 0x, with suffix s (512), k, M, G, T (powers of 1024)
 * @end: set to the first character not used; NULL: the text must end there
 * Returns 0, -EINVAL, or -ERANGE when it does not fit 64 bits.
 */
int number_parse(const char *text, uint64_t *value, const char **end);
/* guid_text() - RFC 4122 order (as VHD stores it) and the mixed order of GPT, BitLocker, VHDX */
const char *guid_text_be(const uint8_t guid[16], char buf[GUID_TEXT]);
const char *guid_text_le(const uint8_t guid[16], char buf[GUID_TEXT]);
/* guid_parse_le() - what guid_text_le() writes, in braces or not; false: @text is no GUID */
bool guid_parse_le(const char *text, size_t len, uint8_t guid[16]);
/* time_text() - RFC 3339 UTC of seconds since 1970 and nanoseconds (0: no fraction printed) */
const char *time_text(int64_t sec, uint32_t nsec, char buf[TIME_TEXT]);

/*
 * base64_bytes() - RFC 4648, section 4, in lines or not, up to the padding
 * Returns the number of bytes, or 0: it is none, or has more than @cap of them.
 */
size_t base64_bytes(const char *s, uint8_t *out, size_t cap);
/* utf8_valid() - is all of @s UTF-8, without surrogates and overlong forms? */
bool utf8_valid(const char *s);
/*
 * name_escape() - a name from disk made safe for a terminal, reversibly
 * Valid printable UTF-8 stays; a backslash becomes "\\", control and invalid bytes, and code
 * points that reorder text (bidi controls), become "\xHH" per byte.
 * @cap: size of @out; the result is cut at a whole character and always ends in NUL.
 * Returns @out.
 */
const char *name_escape(const char *name, size_t len, char *out, size_t cap);
/*
 * utf16_text() - UTF-16 to UTF-8; lone surrogates become WTF-8 (so that name_escape() shows them)
 * @units: number of 16-bit units at @p, byte order by @big; stops at a NUL unit
 * Returns @out, cut to @cap with a NUL.
 */
const char *utf16_text(const void *p, size_t units, int big, char *out, size_t cap);

#endif
