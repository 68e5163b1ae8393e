/* SPDX-License-Identifier: Apache-2.0 */
/* Text logs as layers: where they are found, what is taken for one, archives of rotated ones. */
#include "formats/log/textlog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/log/cabinet.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/inflate.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	HEAD = 4096,	    /* what decides about a bare file */
	PACKED = 160 << 10, /* of an archive, for the same: a block of zstd has up to 128 KiB */
	LINES = 3,	    /* that begin with a time: less is no log */
	PACKED_MAX = 64 << 20,
	TEXT_MAX = 128 << 20, /* of an archive: what comes out behind that is left out */
	PLACES = 4,	      /* looked at in a file that is found by its name */
};

/* A folder of logs may be a volume of its own, and so may be what it is in. */
#define VAR_LOG(name) "/var/log/" name, "/log/" name, "/" name

const char *const textlog_where[] = {
	VAR_LOG("syslog*"),
	VAR_LOG("messages*"),
	VAR_LOG("kern.log*"),
	VAR_LOG("kernel*"),
	VAR_LOG("auth.log*"),
	VAR_LOG("secure*"),
	VAR_LOG("daemon.log*"),
	VAR_LOG("user.log*"),
	VAR_LOG("debug*"),
	VAR_LOG("cron*"),
	VAR_LOG("boot.log*"),
	VAR_LOG("boot.msg*"),
	VAR_LOG("dmesg*"),
	VAR_LOG("cloud-init*.log*"),
	VAR_LOG("dpkg.log*"),
	VAR_LOG("alternatives.log*"),
	VAR_LOG("apt/history.log*"),
	VAR_LOG("apt/term.log*"),
	VAR_LOG("unattended-upgrades/*.log*"),
	VAR_LOG("yum.log*"),
	VAR_LOG("dnf*.log*"),
	VAR_LOG("hawkey.log*"),
	VAR_LOG("zypp/history*"),
	VAR_LOG("pacman.log*"),
	VAR_LOG("audit/audit.log*"),
	VAR_LOG("xensource.log*"),
	VAR_LOG("smlog*"),
	VAR_LOG("xenstored*.log*"),
	VAR_LOG("xen*.log*"),
	VAR_LOG("xen/**.log*"),
	VAR_LOG("xen/console/**"),
	VAR_LOG("xe-*.log*"),
	VAR_LOG("waagent.log*"),
	VAR_LOG("mcelog*"),
	VAR_LOG("kdump.log*"),
	VAR_LOG("xen-guest-agent*.log*"),
	VAR_LOG("installer/syslog*"),
	VAR_LOG("anaconda/*.log*"),
	"/var/crash/**dmesg*",
	"/var/lib/systemd/pstore/**",
	"/crash/**dmesg*",
	"/run/cloud-init/*.log",
	"/windows/logs/cbs/*.log",
	"/windows/logs/cbs/*.cab",
	"/windows/logs/dism/*.log",
	"/windows/logs/mosetup/*.log",
	"/windows/inf/setupapi*.log",
	"/windows/setupapi*.log",
	"/windows/windowsupdate.log",
	"/windows/softwaredistribution/reportingevents.log",
	"/windows/panther/**.log",
	"/$windows.~bt/sources/panther/**.log",
	"/windows/system32/sysprep/panther/**.log",
	"/windows/debug/*.log",
	"/programdata/citrix/**.log",
	"/programdata/xenserver/**.log",
	"/program files/citrix/xentools/**.log",
	"/program files/xenserver/**.log",
	"/windows/system32/xen*.log",
	"/program files/cloudbase solutions/cloudbase-init/log/*.log",
	NULL,
};

enum packing { PACKED_GZIP, PACKED_XZ, PACKED_ZSTD, PACKED_CABINET };

static bool packed_by(const uint8_t *p, size_t len, enum packing *m)
{
	static const struct {
		enum packing method;
		const char *magic;
		size_t len;
	} known[] = {
		{PACKED_GZIP, "\x1f\x8b\x08", 3},
		{PACKED_XZ,
		 "\xfd"
		 "7zXZ\0",
		 6},
		{PACKED_ZSTD, "\x28\xb5\x2f\xfd", 4},
		{PACKED_CABINET, "MSCF\0\0\0\0", 8},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (len > known[i].len && !memcmp(p, known[i].magic, known[i].len)) {
			*m = known[i].method;
			return true;
		}
	return false;
}

static int unpack_by(enum packing m, const uint8_t *in, size_t in_len, size_t max, uint8_t **out,
		     size_t *len)
{
	static const enum unpack_method by[] = {
		[PACKED_GZIP] = UNPACK_GZIP, [PACKED_XZ] = UNPACK_XZ, [PACKED_ZSTD] = UNPACK_ZSTD};

	return m == PACKED_CABINET ? cabinet_unpack(in, in_len, max, out, len)
				   : unpack_all(by[m], in, in_len, max, out, len);
}

static bool printable(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] < 0x20 && !strchr("\t\r\x1b\f\b", p[i]))
			return false;
	return true;
}

struct sample {
	unsigned lines, timed;
	bool binary;
};

static int look(const uint8_t *p, size_t len, struct sample *s)
{
	struct text_lines x = {.mem = p, .mem_len = len};
	struct text_parts parts;
	struct text_line line;
	int r = 0;

	/* Nothing can be asked of an empty text. */
	while (len && (r = text_next(&x, &line)) == 1) {
		s->binary |= line.hole || !printable(line.p, line.len);
		if (line.hole)
			continue;
		text_parse(line.p, line.len, &parts);
		s->lines++;
		s->timed += parts.kind != NULL;
	}
	text_end(&x);
	return r;
}

static int look_packed(struct layer *below, enum packing m, struct sample *s)
{
	struct ranges bad = {0};
	uint8_t *in, *out = NULL;
	size_t in_len, len;
	int r = log_load(below, PACKED, &in, &in_len, &bad);

	if (!r) {
		r = unpack_by(m, in, in_len, HEAD, &out, &len);
		r = r == -EBADMSG || r == -EOPNOTSUPP ? 0 : r;
		if (!r && out)
			r = look(out, len, s);
		free(out);
		free(in);
	}
	ranges_free(&bad);
	return r;
}

/* Its head may be lost: then it is what it is named for if any part of it is like that. */
static int look_around(struct layer *below, struct sample *s)
{
	uint8_t head[HEAD];
	int r = 0;

	for (uint64_t i = 0; i < PLACES && !s->timed && !r; i++) {
		uint64_t at = below->size / PLACES * i / 2 * 2;
		size_t n = below->size - at < HEAD ? (size_t)(below->size - at) : HEAD;

		r = layer_read(below, at, head, n, NULL);
		if (!r)
			r = look(head, n, s);
	}
	return r;
}

int textlog_probe(struct layer *below)
{
	bool named = log_named(below, textlog_where);
	struct sample s = {0};
	enum packing m;
	uint8_t head[HEAD];
	size_t n = below->size < HEAD ? (size_t)below->size : HEAD;

	if (below->ops->kind != LAYER_FILE && below->ops->kind != LAYER_SOURCE &&
	    below->ops->kind != LAYER_CONTAINER)
		return 0;
	if (!n || layer_read(below, 0, head, n, NULL))
		return 0;
	if (packed_by(head, n, &m)) {
		if (below->ops->kind != LAYER_FILE || look_packed(below, m, &s) || s.binary)
			return 0;
		return s.timed >= LINES || (named && s.lines) ? 90 : 0;
	}
	if (look(head, n, &s))
		return 0;
	if (!s.binary && s.timed >= LINES)
		return 85;
	if (!named || (!s.timed && look_around(below, &s)))
		return 0;
	/* Text without any time: as much as a name can say. */
	return s.timed ? 80 : s.binary ? 0 : 65;
}

static int unpack(struct layer *l, enum packing m)
{
	struct textlog *t = l->priv;
	struct ranges bad = {0};
	size_t in_len, len = 0;
	uint8_t *in;
	int r = log_load(l->below, PACKED_MAX, &in, &in_len, &bad);

	if (r)
		goto out;
	r = unpack_by(m, in, in_len, TEXT_MAX, &t->text, &len);
	free(in);
	l->size = len;
	/* Cut by us: what was asked for is there. */
	if (r == -EBADMSG && t->text && (len == TEXT_MAX || in_len < l->below->size))
		r = 0;
	if (r == -EBADMSG) {
		t->broken = true;
		finding(l, TEXTLOG_ARCHIVE, 0, l->below->size,
			"the archive is damaged: %zu bytes come out of it", len);
		r = t->text ? 0 : r;
	}
out:
	ranges_free(&bad);
	return r;
}

int textlog_open(struct layer *l)
{
	enum packing m;
	uint8_t head[16];
	size_t n = l->below->size < sizeof(head) ? (size_t)l->below->size : sizeof(head);
	int r;

	l->priv = calloc(1, sizeof(struct textlog));
	if (!l->priv)
		return -ENOMEM;
	l->size = l->below->size;
	if (!n)
		return -EBADMSG;
	r = layer_read(l->below, 0, head, n, NULL);
	if (!r && packed_by(head, n, &m))
		r = unpack(l, m);
	return r;
}

static void textlog_close(struct layer *l)
{
	struct textlog *t = l->priv;

	if (t)
		free(t->text);
	free(t);
}

int textlog_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	struct textlog *t = l->priv;

	if (!t->text)
		return layer_read(l->below, off, buf, len, bad);
	memcpy(buf, t->text + off, len);
	return t->broken ? ranges_add(bad, off, len, GRADE_DOUBTFUL, TEXTLOG_ARCHIVE) : 0;
}

int textlog_map(struct layer *l, uint64_t off, struct extent *run)
{
	struct textlog *t = l->priv;

	if (!t->text)
		return layer_map_below(l, off, 0, run);
	*run = (struct extent){.off = 0,
			       .len = l->size,
			       .kind = EXTENT_DATA,
			       .in = l->below,
			       .at = 0,
			       .packed = l->below->size};
	return 0;
}

/* A run of NULs between lines is where a file grew, but what belonged there was never written. */
static int textlog_check(struct layer *l)
{
	struct text_lines x = {.in = l};
	struct text_line line;
	uint64_t at = 0, len = 0, end = 0;
	bool noise = false;
	int r;

	while ((r = text_next(&x, &line)) == 1) {
		end = line.off + line.raw;
		if (line.hole && !line.lost) {
			at = len ? at : line.off;
			len = end - at;
			continue;
		}
		noise |= line.noise;
		if (len && !line.hole && (len >= TEXT_HOLE_MIN || !noise))
			finding_fact(l, TEXTLOG_HOLE,
				     &(struct fact){.in = l, .at = at, .at_len = len},
				     "%" PRIu64 " bytes of zeros between lines of text", len);
		len = 0;
		noise = line.noise;
	}
	session_checked(l->s, end);
	text_end(&x);
	return r;
}

static void textlog_info(struct layer *l, struct json *to)
{
	const struct textlog *t = l->priv;

	js_bool(to, "packed", t->text != NULL);
}

const struct layer_ops textlog_ops = {
	.name = "text",
	.kind = LAYER_LOG,
	.probe = textlog_probe,
	.open = textlog_open,
	.read = textlog_read,
	.map = textlog_map,
	.check = textlog_check,
	.info = textlog_info,
	.close = textlog_close,
};

const struct log_driver textlog_log = {
	.ops = &textlog_ops,
	.where = textlog_where,
	.records = textlog_records,
};
