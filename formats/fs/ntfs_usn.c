/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: the USN journal, $Extend\$UsnJrnl:$J. A record's number is where it lies in the stream, so
 * what was lost or moved shows. Records don't cross pages of 4 KiB. [MS-FSCC] 2.3.64
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"

enum {
	PAGE = 4096,
	PIECE = 1 << 20,
	RECORD_MIN = 0x3c, /* of version 2 */
};

struct usn_record {
	le32_t length;	     /* 0x00 a multiple of 8 */
	le16_t major, minor; /* 0x04 2, 3 or 4 */
};

/* The record at @pos of a page at @off of the stream; NULL, or what is wrong. */
static const char *fault(struct span page, uint64_t off, size_t pos, uint32_t *len)
{
	const struct usn_record *r = span_at(page, pos, sizeof(*r));
	uint32_t usn_off;
	const le64_t *usn;

	*len = r ? le32(r->length) : 0;
	if (*len < RECORD_MIN || *len % 8 || !span_at(page, pos, *len))
		return "the length of a record is impossible";
	if (le16(r->major) < 2 || le16(r->major) > 4)
		return "a record has no version that is known";
	/* Version 3 and 4 have references of 128 bits before it. */
	usn_off = le16(r->major) == 2 ? 0x18 : 0x28;
	usn = span_at(page, pos + usn_off, sizeof(*usn));
	if (!usn || le64(*usn) != off + pos)
		return "a record says that it lies elsewhere";
	return NULL;
}

static bool zeros(const uint8_t *p, size_t len)
{
	return !len || (!*p && !memcmp(p, p + 1, len - 1));
}

static void check_page(const uint8_t *p, size_t len, uint64_t off,
		       void (*broken)(void *, uint64_t, const char *), void *arg, uint64_t *records)
{
	struct span page = {p, len, off};

	for (size_t pos = 0; pos + 8 <= len;) {
		const char *why;
		uint32_t n;

		/* The rest of a page into which the next record did not fit. */
		if (zeros(p + pos, 8)) {
			if (!zeros(p + pos, len - pos))
				broken(arg, off + pos, "a record is missing");
			return;
		}
		why = fault(page, off, pos, &n);
		if (why) {
			broken(arg, off + pos, why);
			return;
		}
		++*records;
		pos += n;
	}
}

int ntfs_usn_check(struct layer *j, void (*broken)(void *arg, uint64_t off, const char *why),
		   void *arg, uint64_t *records)
{
	uint8_t *buf = malloc(PIECE);
	int r = buf ? 0 : -ENOMEM;

	*records = 0;
	for (uint64_t off = 0; off < j->size && !r;) {
		size_t n = j->size - off < PIECE ? (size_t)(j->size - off) : PIECE;
		struct ranges bad = {0};
		struct extent run;

		/* The beginning has been given back: a hole of gigabytes. */
		r = layer_map(j, off, &run);
		if (!r && run.kind == EXTENT_ZERO && run.len >= PAGE) {
			off += run.len / PAGE * PAGE;
			continue;
		}
		if (!r)
			r = layer_read(j, off, buf, n, &bad);
		ranges_sort(&bad);
		for (size_t i = 0; i < n && !r; i += PAGE) {
			size_t len = n - i < PAGE ? n - i : PAGE;

			if (!ranges_overlap(&bad, off + i, len))
				check_page(buf + i, len, off + i, broken, arg, records);
			else
				broken(arg, off + i, "a page can't be read");
		}
		ranges_free(&bad);
		off += n;
	}
	free(buf);
	return r;
}

struct usn_check {
	struct ntfs_check *k;
	struct layer *j;
};

static void broken(void *arg, uint64_t off, const char *why)
{
	struct usn_check *c = arg;
	struct extent run;
	uint64_t at = !layer_map(c->j, off, &run) && run.kind == EXTENT_DATA ? run.at : 0;

	finding(c->k->l, NTFS_USN, at, PAGE - off % PAGE, "$UsnJrnl:$J at 0x%" PRIx64 ": %s", off,
		why);
}

int ntfs_check_usn(struct ntfs_check *k)
{
	struct usn_check c = {.k = k};
	struct fs_entry *e = NULL;
	uint64_t records;
	int r = ntfs_lookup(k->l, "/$Extend/$UsnJrnl:$J", &e);

	if (!r)
		r = k->l->ops->fs->open_file(k->l, e, &c.j);
	if (!r)
		r = ntfs_usn_check(c.j, broken, &c, &records);
	fs_entry_free(e);
	layer_free(c.j);
	return r == -ENOENT || r == -ENOTDIR ? 0 : r;
}
