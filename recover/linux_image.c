/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/linux_image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/inflate.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/sum.h"

enum {
	FILE_MAX = 256 << 20,
	UNPACKED_MAX = 512 << 20,
	SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4,
	HDRS = 0x202,
	LFANEW = 0x3c,
	PE_SUM = 4 + 20 + 64, /* in the PE header: signature, COFF header, optional header */
	CPIO_HEAD = 110,      /* "newc": magic and 13 fields of 8 hex digits */
	CPIO_MAX = 1000000,   /* members of one archive */
};

static int read_file(struct layer *file, uint8_t **buf)
{
	int r;

	*buf = malloc(file->size ? file->size : 1);
	r = *buf ? layer_read(file, 0, *buf, file->size, NULL) : -ENOMEM;
	if (r) {
		free(*buf);
		*buf = NULL;
	}
	return r;
}

static void say(struct linux_image *im, enum linux_image_state state, uint64_t at, uint64_t len,
		const char *text)
{
	im->state = state;
	im->at = at;
	im->len = len;
	snprintf(im->text, sizeof(im->text), "%s", text);
}

/* Signing sets the PE checksum and the entry of the certificate table: as they were, both are zero. */
static void unsign(uint8_t *p, size_t len)
{
	struct span s = {p, len, 0};
	const le32_t *lfanew = span_at(s, LFANEW, 4);
	uint64_t pe = lfanew ? le32(*lfanew) : 0, dirs;
	const le16_t *magic = span_at(s, pe + 24, 2);

	if (!pe || !span_at(s, pe, 4) || memcmp(p + pe, "PE\0\0", 4) || !magic)
		return;
	dirs = pe + 24 + (le16(*magic) == 0x20b ? 112 : 96);
	if (span_at(s, pe + PE_SUM, 4))
		memset(p + pe + PE_SUM, 0, 4);
	if (span_at(s, dirs + 4 * 8, 8))
		memset(p + dirs + 4 * 8, 0, 8);
}

int linux_kernel_check(struct layer *file, struct linux_image *im)
{
	uint8_t *buf;
	le32_t paragraphs;
	uint64_t len;
	int r;

	say(im, LINUX_IMAGE_NO_SUM, 0, 0, "it is larger than can be checked");
	if (file->size > FILE_MAX)
		return 0;
	r = read_file(file, &buf);
	if (r)
		return r;
	if (file->size < 1024 || memcmp(buf + HDRS, "HdrS", 4)) {
		bool other =
			file->size >= 64 && (!memcmp(buf,
						     "\x7f"
						     "ELF",
						     4) ||
					     !memcmp(buf, "MZ", 2) || !memcmp(buf, "\x1f\x8b", 2));

		say(im, other ? LINUX_IMAGE_NO_SUM : LINUX_IMAGE_NONE, 0,
		    file->size < 512 ? file->size : 512,
		    other ? "it carries no checksum" : "it does not begin as a kernel does");
		free(buf);
		return 0;
	}
	memcpy(&paragraphs, buf + SYSSIZE, 4);
	len = ((buf[SETUP_SECTS] ? buf[SETUP_SECTS] : 4) + 1) * 512ull + le32(paragraphs) * 16ull;
	if (len > file->size) {
		say(im, LINUX_IMAGE_DIFFERS, 0, file->size, "it is shorter than its header says");
	} else if (!sum_crc32_raw(~0u, buf, len)) {
		say(im, LINUX_IMAGE_FITS, 0, len, "its CRC-32 fits");
	} else {
		unsign(buf, len);
		if (!sum_crc32_raw(~0u, buf, len))
			say(im, LINUX_IMAGE_FITS, 0, len, "its CRC-32 fits (it was signed)");
		else
			say(im, LINUX_IMAGE_DIFFERS, 0, len, "its CRC-32 does not fit");
	}
	free(buf);
	return 0;
}

static bool hex8(const uint8_t *p, uint64_t *v)
{
	char text[9], *end;

	memcpy(text, p, 8);
	text[8] = '\0';
	*v = strtoull(text, &end, 16);
	return end == text + 8 && text[0] != '-' && text[0] != '+' && text[0] != ' ';
}

static uint64_t padded(uint64_t n)
{
	return (n + 3) & ~3ull;
}

/* A cpio archive that begins at @at; where it ends, or 0: it is broken before its trailer. */
static uint64_t cpio_end(struct span s, uint64_t at)
{
	for (unsigned i = 0; i < CPIO_MAX; i++) {
		const uint8_t *head = span_at(s, at, CPIO_HEAD);
		uint64_t size, name;
		const char *text;
		bool last;

		if (!head || memcmp(head, "07070", 5) || !hex8(head + 54, &size) ||
		    !hex8(head + 94, &name) || !name || name > 4096)
			return 0;
		text = span_at(s, at + CPIO_HEAD, name);
		if (!text || text[name - 1])
			return 0;
		last = !strcmp(text, "TRAILER!!!");
		at = padded(padded(at + CPIO_HEAD + name) + size);
		if (last)
			return at < s.len ? at : s.len;
	}
	return 0;
}

/* The ways of packing that the kernel knows and we can undo. */
static const struct packing {
	const char *magic, *name;
	size_t len;
	enum unpack_method method;
} packings[] = {{"\x1f\x8b", "gzip's CRC-32", 2, UNPACK_GZIP},
		{"\xfd"
		 "7zXZ",
		 "xz's check", 5, UNPACK_XZ},
		{"\x28\xb5\x2f\xfd", "zstd's checksum", 4, UNPACK_ZSTD},
		{"\x02\x21\x4c\x18", "LZ4", 4, UNPACK_LZ4_LEGACY}};

/* zstd: Content_Checksum_flag (RFC 8878 3.1.1.1.1); xz: the type of check in the stream's flags. */
static bool has_sum(enum unpack_method m, const uint8_t *p, size_t len)
{
	return m == UNPACK_GZIP || (m == UNPACK_ZSTD && len > 4 && p[4] & 4) ||
	       (m == UNPACK_XZ && len > 7 && p[7] & 15);
}

/* Unpacked without a checksum to prove it: is it an archive with its trailer? */
static void judge_archive(struct linux_image *im, const struct packing *k, struct span out)
{
	uint64_t end = cpio_end(out, 0);

	im->state = end ? LINUX_IMAGE_NO_SUM : LINUX_IMAGE_DIFFERS;
	snprintf(im->text, sizeof(im->text), "%s%s",
		 end ? "it unpacks to a whole archive, but carries no checksum"
		     : "what it unpacks to is no whole archive",
		 k->method == UNPACK_LZ4_LEGACY ? " (LZ4)" : "");
}

/* The packed archive at @at, to the end of the file. False: by nothing that we can unpack. */
static bool unpack(struct span s, uint64_t at, struct linux_image *im, int *err)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(*packings); i++) {
		const struct packing *k = &packings[i];
		const uint8_t *p = span_at(s, at, k->len);
		uint8_t *out = NULL;
		size_t len = 0;
		bool sum;

		if (!p || memcmp(p, k->magic, k->len))
			continue;
		sum = has_sum(k->method, p, s.len - at);
		*err = unpack_all(k->method, p, s.len - at, UNPACKED_MAX, &out, &len);
		im->at = at;
		im->len = s.len - at;
		if (!*err && !sum) {
			judge_archive(im, k, (struct span){out, len, 0});
			free(out);
			return true;
		}
		free(out);
		if (!*err)
			im->state = LINUX_IMAGE_FITS;
		else if (*err == -EBADMSG && len < UNPACKED_MAX)
			im->state = LINUX_IMAGE_DIFFERS;
		if (*err == -EBADMSG)
			*err = 0;
		snprintf(im->text, sizeof(im->text),
			 im->state == LINUX_IMAGE_FITS ? "%s fits"
			 : im->state == LINUX_IMAGE_DIFFERS
				 ? (sum ? "it can't be unpacked, or %s does not fit"
					: "it can't be unpacked (%s)")
				 : "larger than can be unpacked (%s)",
			 k->name);
		return true;
	}
	return false;
}

int linux_initramfs_check(struct layer *file, struct linux_image *im)
{
	struct span s = {0};
	uint64_t at = 0;
	uint8_t *buf;
	int r;

	say(im, LINUX_IMAGE_NO_SUM, 0, 0, "it is larger than can be checked");
	if (file->size > FILE_MAX)
		return 0;
	r = read_file(file, &buf);
	if (r)
		return r;
	s = (struct span){buf, file->size, 0};
	say(im, LINUX_IMAGE_NONE, 0, s.len < 512 ? s.len : 512,
	    "it begins neither with an archive nor with a packed one");
	while (at < s.len && !r) {
		if (!buf[at]) {
			at++; /* archives are padded with zeros */
		} else if (s.len - at >= 6 && !memcmp(buf + at, "07070", 5)) {
			uint64_t end = cpio_end(s, at);

			if (!end) {
				say(im, LINUX_IMAGE_DIFFERS, at, s.len - at,
				    "its archive breaks off before the trailer");
				break;
			}
			say(im, LINUX_IMAGE_NO_SUM, at, end - at,
			    "its archive is whole, but carries no checksum");
			at = end;
		} else {
			if (!unpack(s, at, im, &r) && im->state != LINUX_IMAGE_NONE)
				say(im, LINUX_IMAGE_NO_SUM, at, s.len - at,
				    "packed in a way that can't be checked here");
			break;
		}
	}
	free(buf);
	return r;
}
