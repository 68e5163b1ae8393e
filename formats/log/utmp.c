/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utmp, wtmp and btmp: who was logged in, when the machine started, changed its run level and was
 * shut down. Records of 384 bytes, utmp(5); glibc writes the same on 32 and 64 bits (bits/utmp.h). A
 * start without a shutdown before it is a machine that died.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/session.h"

enum {
	TYPES = 10,
	SEEN = 8, /* records that are looked at before it is taken for one */
	PIECE = 384 * 128,
	MICRO = 1000000,
};

/* struct utmp */
struct utmp_record {
	le16_t type;
	le16_t padding;
	le32_t pid;
	char line[32];
	char id[4];
	char user[32];
	char host[256];
	le16_t termination, exit;
	le32_t session;
	le32_t sec, usec;
	uint8_t address[16];
	uint8_t unused[20];
};
_Static_assert(sizeof(struct utmp_record) == 384, "bits/utmp.h");

static const char *const type_name[TYPES] = {"empty",	     "run level",    "boot",  "new time",
					     "old time",     "init process", "login", "login",
					     "process dead", "accounting"};

/* Printable up to the first NUL; behind it, there may be anything: strncpy() fills with zeros. */
static struct log_text field(const char *p, size_t max)
{
	return (struct log_text){p, strnlen(p, max)};
}

static bool plain(const char *p, size_t max)
{
	size_t n = strnlen(p, max);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
			return false;
	for (size_t i = n; i < max; i++)
		if (p[i])
			return false;
	return true;
}

static bool none(const struct utmp_record *u)
{
	static const struct utmp_record zero;

	return !memcmp(u, &zero, sizeof(zero));
}

static bool sane(const struct utmp_record *u)
{
	return le16(u->type) < TYPES && !le16(u->padding) && le32(u->usec) < MICRO &&
	       plain(u->line, sizeof(u->line)) && plain(u->user, sizeof(u->user));
}

static const char *const where[] = {
	"/var/log/wtmp*", "/var/log/btmp*", "/log/wtmp*",    "/log/btmp*", "/wtmp*",
	"/btmp*",	  "/run/utmp",	    "/var/run/utmp", NULL,
};

static int utmp_probe(struct layer *below)
{
	struct utmp_record u[SEEN];
	size_t n = below->size / sizeof(*u) < SEEN ? (size_t)(below->size / sizeof(*u)) : SEEN;
	unsigned good = 0, bad = 0;
	bool named = log_named(below, where);

	if (!n || (below->ops->kind != LAYER_FILE && below->size % sizeof(*u)) ||
	    layer_read(below, 0, u, n * sizeof(*u), NULL))
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool is = sane(&u[i]) && le16(u[i].type) && le32(u[i].sec);

		good += is;
		bad += !is && !none(&u[i]);
	}
	if (named)
		return good ? 90 : bad ? 40 : 65;
	/* Small numbers are common: some of the texts must be there, in all of them. */
	return good > 1 && !bad && plain(u[0].host, sizeof(u[0].host)) && *u[0].user ? 70 : 0;
}

static int utmp_open(struct layer *l)
{
	l->size = l->below->size;
	return l->size >= sizeof(struct utmp_record) ? 0 : -EBADMSG;
}

static void address(struct buf *d, const uint8_t a[16])
{
	static const uint8_t zero[16];
	char text[40];
	int n = 0;

	if (!memcmp(a, zero, 16))
		return;
	if (!memcmp(a + 4, zero, 12))
		n = snprintf(text, sizeof(text), "%d.%d.%d.%d", a[0], a[1], a[2], a[3]);
	else
		for (int i = 0; i < 16; i += 2)
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%x", i ? ":" : "",
				      (unsigned)(a[i] << 8 | a[i + 1]));
	log_member(d, "address", text, (size_t)n);
}

static void member(struct buf *d, const char *key, struct log_text t)
{
	if (t.len)
		log_member(d, key, t.p, t.len);
}

/* The run level's record has both levels as characters in its pid. */
static void message(const struct utmp_record *u, bool failed, struct buf *m)
{
	unsigned type = le16(u->type);
	char level = (char)(le32(u->pid) & 0xff);
	struct log_text user = field(u->user, sizeof(u->user));
	const char *what = type < TYPES ? type_name[type] : "unknown record";

	m->len = 0;
	if (type == 1 && level > 0x20 && level < 0x7f) {
		bool off = !memcmp(u->user, "shutdown", 8) || level == '0' || level == '6';

		buf_str(m, off ? "shutdown, run level " : "run level ");
		buf_char(m, level);
		return;
	}
	buf_str(m, failed ? "failed login" : what);
	if (type >= 5 && user.len) {
		buf_lit(m, " of ");
		buf_put(m, user.p, user.len);
		buf_lit(m, " on ");
		buf_put(m, u->line, strnlen(u->line, sizeof(u->line)));
	}
}

struct records {
	const struct log_sink *sink;
	struct log_text channel;
	struct buf data, message;
};

static int record(struct records *rec, const struct utmp_record *u, uint64_t off, unsigned failed)
{
	struct buf *d = &rec->data;
	struct log_event e = {.source = "utmp",
			      .channel = rec->channel,
			      .off = off,
			      .len = sizeof(*u),
			      .failed = failed};

	if (!sane(u))
		e.failed |= LOG_CONTENT;
	e.state = e.failed ? LOG_DOUBTFUL : LOG_INTACT;
	e.time = (struct log_time){le32(u->sec), le32(u->usec) % MICRO * 1000, le32(u->sec) != 0};
	e.written = e.time;
	e.event_id = le16(u->type);
	e.has_event_id = true;
	log_object(d);
	if (le16(u->type) < TYPES)
		log_member(d, "type", type_name[le16(u->type)], strlen(type_name[le16(u->type)]));
	log_member_u64(d, "pid", le32(u->pid));
	member(d, "user", field(u->user, sizeof(u->user)));
	member(d, "line", field(u->line, sizeof(u->line)));
	member(d, "host", field(u->host, sizeof(u->host)));
	address(d, u->address);
	e.data = log_object_end(d);
	message(u, rec->channel.len == 4 && *rec->channel.p == 'b', &rec->message);
	e.message = (struct log_text){rec->message.p, rec->message.len};
	return d->failed || rec->message.failed ? -ENOMEM : log_send(rec->sink, &e);
}

static struct log_text channel(const struct layer *below)
{
	const char *path = log_file_path(below), *base = path ? strrchr(path, '/') + 1 : "";

	return !strncmp(base, "btmp", 4)   ? LOG_TEXT("btmp")
	       : !strncmp(base, "utmp", 4) ? LOG_TEXT("utmp")
					   : LOG_TEXT("wtmp");
}

static int piece(struct layer *l, struct records *rec, uint64_t at, uint8_t *buf, size_t n)
{
	struct ranges bad = {0};
	int r = session_stopped(l->s) ? -EINTR : layer_read(l, at, buf, n, &bad);

	ranges_sort(&bad);
	for (size_t i = 0; i + sizeof(struct utmp_record) <= n && !r;
	     i += sizeof(struct utmp_record)) {
		struct utmp_record u;

		memcpy(&u, buf + i, sizeof(u));
		if (!none(&u))
			r = record(rec, &u, at + i, log_failed(&bad, at + i, sizeof(u)));
	}
	ranges_free(&bad);
	return r;
}

static int utmp_records(struct layer *l, const struct log_sink *sink)
{
	struct records rec = {.sink = sink, .channel = channel(l->below)};
	uint8_t *buf = malloc(PIECE);
	int r = buf ? 0 : -ENOMEM;
	struct extent run;

	for (uint64_t at = 0; at < l->size && !r;) {
		size_t n = l->size - at < PIECE ? (size_t)(l->size - at) : PIECE;

		/* A sparse file of any size has no records in its holes. */
		r = layer_map(l, at, &run);
		if (!r && run.kind == EXTENT_ZERO && run.len >= PIECE) {
			at += run.len / sizeof(struct utmp_record) * sizeof(struct utmp_record);
			continue;
		}
		if (!r)
			r = piece(l, &rec, at, buf, n);
		at += n;
	}
	buf_free(&rec.data);
	buf_free(&rec.message);
	free(buf);
	return r;
}

const struct layer_ops utmp_ops = {
	.name = "utmp",
	.kind = LAYER_LOG,
	.probe = utmp_probe,
	.open = utmp_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver utmp_log = {
	.ops = &utmp_ops,
	.where = where,
	.records = utmp_records,
};
