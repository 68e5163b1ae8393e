/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The USN journal as events: what was made, written, renamed and deleted on an NTFS volume. The
 * stream's start is freed as it goes on: megabytes of records behind a hole of any size. [MS-FSCC]
 * 2.3.64; fs/ntfs_usn.c checks the same records.
 */
#include <errno.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

enum {
	PAGE = 4096, /* no record crosses one */
	PIECE = 1 << 20,
	NAME_MAX_BYTES = 510,
	EXTENTS = 64, /* runs that are looked at for the first record */
};

/* USN_RECORD_V2; version 3 has references of 16 bytes. */
struct usn_v2 {
	le32_t length;
	le16_t major, minor;
	le64_t file, parent, usn, time;
	le32_t reason, source, security, attributes;
	le16_t name_len, name_off;
};
_Static_assert(sizeof(struct usn_v2) == 60, "[MS-FSCC] 2.3.64.1");

/* A record as both versions have it. */
struct usn_record {
	size_t len;
	uint64_t file, parent, usn, time;
	uint32_t reason, attributes;
	const uint8_t *name;
	size_t name_len;
};

static uint64_t at64(const uint8_t *p)
{
	le64_t v;

	memcpy(&v, p, sizeof(v));
	return le64(v);
}

/* The record at @p, which is byte @off of the stream: its own number says so. */
static bool record_at(const uint8_t *p, size_t len, uint64_t off, struct usn_record *u)
{
	struct usn_v2 v;
	size_t wide, head;

	if (len < sizeof(v))
		return false;
	memcpy(&v, p, sizeof(v));
	wide = le16(v.major) == 3 ? 16 : 0; /* two references, eight bytes longer each */
	head = sizeof(v) + wide;
	if ((le16(v.major) != 2 && le16(v.major) != 3) || le32(v.length) > len ||
	    le32(v.length) < head || le32(v.length) % 8)
		return false;
	u->len = le32(v.length);
	u->file = le64(v.file);
	u->parent = at64(p + 16 + wide / 2);
	u->usn = at64(p + 24 + wide);
	if (u->usn != off)
		return false;
	memcpy((uint8_t *)&v + 32, p + 32 + wide, sizeof(v) - 32);
	u->time = le64(v.time);
	u->reason = le32(v.reason);
	u->attributes = le32(v.attributes);
	u->name_len = le16(v.name_len);
	if (u->name_len > NAME_MAX_BYTES || le16(v.name_off) < head ||
	    le16(v.name_off) + u->name_len > u->len)
		u->name_len = 0;
	u->name = p + le16(v.name_off);
	return true;
}

/* The first byte at or behind @at that is stored. */
static int stored(struct layer *l, uint64_t *at)
{
	struct extent run;
	int r = 0;

	while (*at < l->size && !(r = layer_map(l, *at, &run)) && run.kind == EXTENT_ZERO)
		*at = run.len < l->size - *at ? *at + run.len : l->size;
	return r;
}

static int usn_probe(struct layer *below)
{
	const char *path = log_file_path(below);
	struct usn_record u;
	uint8_t page[PAGE];
	uint64_t at = 0;

	if (below->ops->kind != LAYER_FILE && below->ops->kind != LAYER_SOURCE &&
	    below->ops->kind != LAYER_CONTAINER)
		return 0;
	/* A stream by its name, whatever is lost of it. */
	if (path && strlen(path) > 3 && !strcmp(path + strlen(path) - 3, ":$J"))
		return 90;
	if (below->size < PAGE || stored(below, &at) || at >= below->size ||
	    below->size - at < PAGE || layer_read(below, at, page, PAGE, NULL))
		return 0;
	if (!record_at(page, PAGE, at, &u) ||
	    !record_at(page + u.len, PAGE - u.len, at + u.len, &u))
		return 0;
	return 90;
}

static int usn_open(struct layer *l)
{
	l->size = l->below->size;
	return 0;
}

/* USN_REASON_*, by bit */
static const char *const reason_name[32] = {
	[0] = "data overwritten", [1] = "data extended",
	[2] = "data truncated",	  [4] = "stream overwritten",
	[5] = "stream extended",  [6] = "stream truncated",
	[8] = "created",	  [9] = "deleted",
	[10] = "attributes (EA)", [11] = "security",
	[12] = "renamed from",	  [13] = "renamed to",
	[14] = "indexing",	  [15] = "basic info",
	[16] = "hard link",	  [17] = "compression",
	[18] = "encryption",	  [19] = "object id",
	[20] = "reparse point",	  [21] = "stream",
	[22] = "transacted",	  [23] = "integrity",
	[31] = "closed",
};

struct records {
	const struct log_sink *sink;
	struct buf data, message;
};

static void reasons(struct buf *b, uint32_t reason)
{
	const char *sep = ": ";

	for (unsigned i = 0; i < 32; i++)
		if (reason >> i & 1) {
			buf_str(b, sep);
			buf_str(b, reason_name[i] ? reason_name[i] : "other");
			sep = ", ";
		}
}

static int send(struct records *rec, const struct usn_record *u, unsigned failed)
{
	struct log_event e = {.source = "usn",
			      .channel = LOG_TEXT("$UsnJrnl"),
			      .time = log_filetime(u->time),
			      .off = u->usn,
			      .len = u->len,
			      .failed = failed,
			      .state = failed ? LOG_DOUBTFUL : LOG_INTACT};

	e.written = e.time;
	rec->message.len = 0;
	buf_utf16(&rec->message, u->name, u->name_len / 2);
	reasons(&rec->message, u->reason);
	e.message = (struct log_text){rec->message.p, rec->message.len};
	log_object(&rec->data);
	/* As MFT record number and sequence. */
	log_member_u64(&rec->data, "record", u->file & UINT64_C(0xffffffffffff));
	log_member_u64(&rec->data, "sequence", u->file >> 48);
	log_member_u64(&rec->data, "parent", u->parent & UINT64_C(0xffffffffffff));
	log_member_u64(&rec->data, "reason", u->reason);
	log_member_u64(&rec->data, "attributes", u->attributes);
	e.data = log_object_end(&rec->data);
	return rec->data.failed || rec->message.failed ? -ENOMEM : log_send(rec->sink, &e);
}

static int page(struct records *rec, const uint8_t *p, size_t len, uint64_t off,
		const struct ranges *bad)
{
	struct usn_record u;
	int r = 0;

	for (size_t i = 0; i + 8 <= len && !r;) {
		if (!record_at(p + i, len - i, off + i, &u)) {
			i += 8;
			continue;
		}
		r = send(rec, &u, log_failed(bad, off + i, u.len));
		i += u.len;
	}
	return r;
}

static int usn_records(struct layer *l, const struct log_sink *sink)
{
	struct records rec = {.sink = sink};
	uint8_t *buf = malloc(PIECE);
	uint64_t at = 0;
	int r = buf ? 0 : -ENOMEM;

	while (!r && !(r = stored(l, &at)) && at < l->size) {
		struct ranges bad = {0};
		size_t n;

		at -= at % PAGE;
		n = l->size - at < PIECE ? (size_t)(l->size - at) : PIECE;
		r = session_stopped(l->s) ? -EINTR : layer_read(l, at, buf, n, &bad);
		ranges_sort(&bad);
		for (size_t i = 0; i < n && !r; i += PAGE)
			r = page(&rec, buf + i, n - i < PAGE ? n - i : PAGE, at + i, &bad);
		ranges_free(&bad);
		at += n;
	}
	buf_free(&rec.data);
	buf_free(&rec.message);
	free(buf);
	return r;
}

static const char *const where[] = {"/$extend/$usnjrnl:$j", NULL};

const struct layer_ops usn_ops = {
	.name = "usn",
	.kind = LAYER_LOG,
	.probe = usn_probe,
	.open = usn_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver usn_log = {
	.ops = &usn_ops,
	.where = where,
	.large = true,
	.records = usn_records,
};
