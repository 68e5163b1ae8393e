/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS's $LogFile as events: names that came into folders and went, files that were made and freed. A
 * record states its own place (its LSN), so each is found by itself, whatever its neighbours look
 * like. fs/ntfs_logfile.c checks the same pages.
 *
 * Sources: libfsntfs, "Transaction journal ($LogFile)"; ntfs-3g, include/ntfs-3g/logfile.h; J. Schicht,
 * LogFileParser, for what operations carry.
 */
#include <errno.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	PAGE = 4096, /* of records; Windows uses no other */
	SECTOR = 512,
	DATA_MAX = 16 << 10, /* of a record: names and file records are much shorter */
	CLIENT_RECORD = 1,
	ATTR_FILE_NAME = 0x30,
	NAME_DOS = 2, /* the short name beside a long one: no news */
};

/* LFS_RECORD_HEADER */
struct lfs {
	le64_t lsn, previous, undo_next;
	le32_t data_len;
	le16_t client_seq, client;
	le32_t type, transaction;
	le16_t flags, reserved[3];
};
_Static_assert(sizeof(struct lfs) == 48, "LFS record header");

/* What the file system logs: offsets count from here. */
struct ntfs_op {
	le16_t redo, undo, redo_off, redo_len, undo_off, undo_len;
	le16_t attribute, lcns, record_off, attribute_off, cluster, reserved;
	le32_t vcn, reserved2;
};
_Static_assert(sizeof(struct ntfs_op) == 32, "NTFS log record");

/* $FILE_NAME */
struct file_name {
	le64_t parent, born, modified, changed, accessed, allocated, size;
	le32_t flags, reserved;
	uint8_t units, space;
};
_Static_assert(sizeof(struct file_name) == 66, "$FILE_NAME");

enum { NAME_HEAD = 66 };

enum carries { AN_ENTRY, AN_ATTRIBUTE, A_RECORD };

/* Operations that have a name with them; @undo: among what is needed to take it back. */
static const struct op {
	uint16_t code;
	bool undo;
	enum carries carries;
	const char *says;
} ops[] = {
	{0x02, false, A_RECORD, "file record made"},
	{0x05, false, AN_ATTRIBUTE, "name given to a file"},
	{0x06, true, AN_ATTRIBUTE, "name taken from a file"},
	{0x0c, false, AN_ENTRY, "came into a folder"},
	{0x0d, true, AN_ENTRY, "left a folder"},
	{0x0e, false, AN_ENTRY, "came into a folder"},
	{0x0f, true, AN_ENTRY, "left a folder"},
};

struct reader {
	struct layer *l;
	const struct log_sink *sink;
	struct buf data, message;
	uint8_t page[PAGE], next[PAGE], record[DATA_MAX];
	unsigned shift; /* of an LSN: what is above its place in the file */
};

static uint16_t at16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

/* The page at @off, its sectors' ends put right; 0, or -EBADMSG: it is none, or torn. */
static int read_page(struct reader *r, uint64_t off, uint8_t *p, size_t *data)
{
	struct ranges bad = {0};
	unsigned usa, n;
	int err = off <= r->l->size - PAGE ? layer_read(r->l, off, p, PAGE, &bad) : -EBADMSG;
	bool lost = bad.n;

	ranges_free(&bad);
	if (err)
		return err;
	usa = at16(p + 4);
	n = at16(p + 6);
	if (lost || memcmp(p, "RCRD", 4) || n != PAGE / SECTOR + 1 || usa < 40 ||
	    usa + 2 * n > SECTOR - 2)
		return -EBADMSG;
	for (unsigned i = 1; i < n; i++) {
		uint8_t *end = p + i * SECTOR - 2;

		if (memcmp(end, p + usa, 2))
			return -EBADMSG;
		memcpy(end, p + usa + 2 * i, 2);
	}
	*data = (usa + 2 * n + 7) / 8 * 8;
	return 0;
}

/* What follows the record's head: it may go on in the next pages, behind their heads. */
static int gather(struct reader *r, uint64_t page, size_t at, size_t len)
{
	size_t have = PAGE - at < len ? PAGE - at : len, data;

	memcpy(r->record, r->page + at, have);
	while (have < len) {
		size_t n;
		int err;

		page += PAGE;
		err = page < r->l->size ? read_page(r, page, r->next, &data) : -EBADMSG;
		if (err)
			return err;
		n = PAGE - data < len - have ? PAGE - data : len - have;
		memcpy(r->record + have, r->next + data, n);
		have += n;
	}
	return 0;
}

static int send(struct reader *r, const struct op *op, const struct lfs *h, uint64_t off,
		uint64_t file, const uint8_t *name)
{
	struct file_name f;
	struct log_event e = {.source = "logfile",
			      .channel = LOG_TEXT("$LogFile"),
			      .record_id = le64(h->lsn),
			      .has_record_id = true,
			      .off = off,
			      .len = sizeof(*h) + le32(h->data_len),
			      .state = LOG_INTACT};

	memcpy(&f, name, NAME_HEAD);
	if (f.space == NAME_DOS)
		return 0;
	/* The log has no times: the file's own is when it last changed, as of then. */
	e.time = e.written = log_filetime(le64(f.changed));
	r->message.len = 0;
	buf_utf16(&r->message, name + NAME_HEAD, f.units);
	buf_lit(&r->message, ": ");
	buf_str(&r->message, op->says);
	e.message = (struct log_text){r->message.p, r->message.len};
	log_object(&r->data);
	if (file)
		log_member_u64(&r->data, "record", file & UINT64_C(0xffffffffffff));
	log_member_u64(&r->data, "parent", le64(f.parent) & UINT64_C(0xffffffffffff));
	log_member_u64(&r->data, "size", le64(f.size));
	log_member_u64(&r->data, "transaction", le32(h->transaction));
	e.data = log_object_end(&r->data);
	return r->data.failed || r->message.failed ? -ENOMEM : log_send(r->sink, &e);
}

/* A resident $FILE_NAME attribute at @off: where its name is; NULL: it is none. */
static const uint8_t *in_attribute(struct span s, uint64_t off)
{
	const uint8_t *a = span_at(s, off, 24);
	const uint8_t *name = a && a[0] == ATTR_FILE_NAME && !a[1] && !a[8]
				      ? span_at(s, off + at16(a + 20), NAME_HEAD)
				      : NULL;

	return name && span_at(s, off + at16(a + 20), NAME_HEAD + 2 * (size_t)name[64]) ? name
											: NULL;
}

/* The first name of a file record, of at most so many attributes. */
static const uint8_t *in_record(struct span s)
{
	const uint8_t *head = span_at(s, 0, 48), *a;
	unsigned budget = 16;

	if (!head || memcmp(head, "FILE", 4))
		return NULL;
	for (uint64_t off = at16(head + 20); budget-- && (a = span_at(s, off, 8));) {
		const uint8_t *name = in_attribute(s, off);
		uint32_t len = at16(a + 4);

		if (name)
			return name;
		if (len < 8)
			break;
		off += len;
	}
	return NULL;
}

static int take(struct reader *r, const struct op *op, const struct lfs *h, uint64_t off,
		struct span s)
{
	const uint8_t *name = NULL, *entry;
	uint64_t file = 0;
	le64_t ref;

	switch (op->carries) {
	case AN_ENTRY:
		entry = span_at(s, 0, 16 + NAME_HEAD);
		if (entry && span_at(s, 16, NAME_HEAD + 2 * (size_t)entry[16 + 64])) {
			name = entry + 16;
			memcpy(&ref, entry, sizeof(ref));
			file = le64(ref);
		}
		break;
	case AN_ATTRIBUTE: name = in_attribute(s, 0); break;
	case A_RECORD: name = in_record(s); break;
	}
	return name && name[64] ? send(r, op, h, off, file, name) : 0;
}

static int record(struct reader *r, uint64_t page, size_t at, const struct lfs *h)
{
	size_t len = le32(h->data_len);
	struct span s = {r->record, len, 0};
	struct ntfs_op op;
	int err = gather(r, page, at + sizeof(*h), len);

	if (err)
		return err == -EBADMSG ? 0 : err;
	memcpy(&op, r->record, sizeof(op));
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops) && !err; i++) {
		uint16_t from = ops[i].undo ? le16(op.undo_off) : le16(op.redo_off);
		uint16_t n = ops[i].undo ? le16(op.undo_len) : le16(op.redo_len);
		const uint8_t *p = le16(op.redo) == ops[i].code && n ? span_at(s, from, n) : NULL;

		if (p)
			err = take(r, &ops[i], h, page + at, (struct span){p, n, 0});
	}
	return err;
}

/* Does a record begin at p[at] of the page at @page? Its LSN says so. */
static bool begins(const struct reader *r, uint64_t page, size_t at, struct lfs *h)
{
	uint64_t lsn;

	memcpy(h, r->page + at, sizeof(*h));
	lsn = le64(h->lsn);
	return lsn && (lsn << r->shift >> r->shift) << 3 == page + at &&
	       le32(h->type) == CLIENT_RECORD && le32(h->data_len) >= sizeof(struct ntfs_op) &&
	       le32(h->data_len) <= DATA_MAX;
}

static int logfile_records(struct layer *l, const struct log_sink *sink)
{
	struct reader *r = calloc(1, sizeof(*r));
	struct lfs h;
	int err = 0;

	if (!r)
		return -ENOMEM;
	r->l = l;
	r->sink = sink;
	/* An LSN's low bits count eights of bytes, as many as the file's size needs. */
	for (r->shift = 64; r->shift > 32 && (l->size - 1) >> 3 >> (64 - r->shift); r->shift--)
		;
	for (uint64_t page = 0; l->size >= PAGE && page <= l->size - PAGE && !err; page += PAGE) {
		size_t data = 0;
		int bad = session_stopped(l->s) ? -EINTR : read_page(r, page, r->page, &data);

		if (bad && bad != -EBADMSG)
			err = bad;
		for (size_t at = data; !bad && !err && at + sizeof(h) <= PAGE; at += 8)
			if (begins(r, page, at, &h))
				err = record(r, page, at, &h);
	}
	buf_free(&r->data);
	buf_free(&r->message);
	free(r);
	return err;
}

static int logfile_probe(struct layer *below)
{
	const char *path = log_file_path(below);
	char magic[4];

	if (below->ops->kind != LAYER_FILE && below->ops->kind != LAYER_SOURCE &&
	    below->ops->kind != LAYER_CONTAINER)
		return 0;
	if (path && !strcmp(path, "/$LogFile"))
		return 90;
	return below->size >= 4 * PAGE && !layer_read(below, 0, magic, 4, NULL) &&
			       !memcmp(magic, "RSTR", 4)
		       ? 85
		       : 0;
}

static int logfile_open(struct layer *l)
{
	l->size = l->below->size;
	return 0;
}

static const char *const where[] = {"/$logfile", NULL};

const struct layer_ops logfile_ops = {
	.name = "logfile",
	.kind = LAYER_LOG,
	.probe = logfile_probe,
	.open = logfile_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver logfile_log = {
	.ops = &logfile_ops,
	.where = where,
	.large = true,
	.no_news = true,
	.records = logfile_records,
};
