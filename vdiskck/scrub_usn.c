/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the USN journal of an NTFS volume knows of writes to files. A record is made when a file is
 * first written to after it was opened, and when it is closed, not for each write: a file that is
 * open may be written to for weeks without another one.
 */
#include "vdiskck/scrub_usn.h"

#include <errno.h>

#include "formats/fs/fs.h"
#include "formats/log/formats.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

enum {
	PAGE = 4096, /* no record crosses one; the rest of it is zeros */
	/* USN_REASON_*: data and streams overwritten, extended, truncated; created; (de)compressed,
	 * (de)crypted. [MS-FSCC] 2.3.64.1 */
	REASON_DATA = 0x77 | 0x100 | 0x20000 | 0x40000,
};
#define REASON_CLOSE UINT64_C(0x80000000)

struct reading {
	struct usn_file *(*find)(void *arg, uint64_t id, uint64_t sequence);
	void *arg;
	struct usn_journal *to;
	uint64_t end; /* of the record before; 0: there was none */
	bool gap;
};

static void heed(struct usn_file *f, int64_t when, uint64_t reason)
{
	f->last = when;
	f->open = !(reason & REASON_CLOSE);
	if (reason & REASON_DATA && when > f->data)
		f->data = when;
}

static int on_record(void *arg, const struct log_event *e)
{
	struct reading *rd = arg;
	uint64_t id, sequence, reason, rest = rd->end % PAGE ? PAGE - rd->end % PAGE : 0;
	struct usn_file *f = NULL;
	struct json *j;

	if (!rd->end)
		rd->to->since = e->time.sec;
	else if (e->off != rd->end && e->off != rd->end + rest)
		rd->gap = true;
	rd->gap |= e->failed || !e->time.known;
	rd->end = e->off + e->len;
	j = js_parse(e->data.p, e->data.len);
	if (js_to_u64(js_get(j, "record"), &id) && js_to_u64(js_get(j, "sequence"), &sequence) &&
	    js_to_u64(js_get(j, "reason"), &reason))
		f = rd->find(rd->arg, id, sequence);
	if (f)
		heed(f, e->time.sec, reason);
	js_free(j);
	return 0;
}

int scrub_usn(struct layer *fs, struct usn_file *(*find)(void *arg, uint64_t id, uint64_t sequence),
	      void *arg, struct usn_journal *to)
{
	struct reading rd = {.find = find, .arg = arg, .to = to};
	struct log_sink sink = {.arg = &rd, .event = on_record};
	struct fs_entry *e = NULL;
	struct layer *j = NULL;
	int r;

	to->since = INT64_MAX;
	/* What is wrong with it is said by the volume's own check. */
	session_mute(true);
	r = fs->ops->fs->lookup(fs, "/$Extend/$UsnJrnl:$J", &e);
	if (!r)
		r = fs->ops->fs->open_file(fs, e, &j);
	if (!r)
		r = usn_log.records(j, &sink);
	session_mute(false);
	if (r || rd.gap)
		to->since = INT64_MAX;
	fs_entry_free(e);
	layer_free(j);
	return r == -EINTR || r == -ENOMEM ? r : 0;
}
