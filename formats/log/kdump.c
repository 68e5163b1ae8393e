/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps of crashed Linux kernels: what makedumpfile writes ("KDUMP", with a header of its own), and ELF
 * cores. Either holds VMCOREINFO, lines of text by the kernel that died: its release, and when.
 * Sources: makedumpfile, diskdump_mod.h and IMPLEMENTATION; Linux, kernel/crash_core.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/span.h"

enum {
	LOOKED_AT = 256 << 10, /* headers and notes are at the start */
	UTS = 65,	       /* bytes of each name in struct utsname */
	UTS_OFF = 12,	       /* of it in disk_dump_header, behind signature and version */
	TIME_OFF = 408,	       /* struct timeval, aligned to eight behind the six names */
	INFO_MAX = 16 << 10,
	VALUE_MAX = 256,
};

static const char signature[8] = "KDUMP   ";

/* Lines that tell what died, and when; and under what name they are told. */
static const struct {
	const char *line, *member;
} told[] = {
	{"OSRELEASE=", "release"},
	{"BUILD-ID=", "build_id"},
	{"CRASHTIME=", "crash_time"},
};

struct core {
	struct log_event e;
	struct buf data, message;
	char release[VALUE_MAX];
};

static bool is_elf_core(const uint8_t *p, size_t len)
{
	enum { ET_CORE = 4, TYPE = 16 };

	return len > TYPE + 2 &&
	       !memcmp(p,
		       "\x7f"
		       "ELF",
		       4) &&
	       p[TYPE] == ET_CORE && !p[TYPE + 1];
}

static const char *const where[] = {
	"/var/crash/**vmcore*",
	"/var/crash/**/dump.*",
	"/crash/**vmcore*",
	"/var/log/dump/**vmcore*",
	NULL,
};

static int kdump_probe(struct layer *below)
{
	uint8_t head[64];

	if (below->size < sizeof(head) || layer_read(below, 0, head, sizeof(head), NULL))
		return 0;
	if (!memcmp(head, signature, sizeof(signature)))
		return 90;
	/* Any program's core is one; of the kernel only by its name. */
	return is_elf_core(head, sizeof(head)) && log_named(below, where) ? 80 : 0;
}

static int kdump_open(struct layer *l)
{
	l->size = l->below->size;
	return 0;
}

static void put_name(struct core *c, const char *key, const uint8_t *p)
{
	size_t n = strnlen((const char *)p, UTS);

	if (n && n < UTS)
		log_member(&c->data, key, (const char *)p, n);
}

/* struct disk_dump_header: who crashed, and when the dump was written. */
static void put_header(struct core *c, const uint8_t *p, size_t len)
{
	static const char *const name[] = {"sysname", "nodename", "release", "version", "machine"};
	struct span s = {p, len, 0};
	const le64_t *when = span_at(s, TIME_OFF, sizeof(*when));

	for (size_t i = 0; i < 5; i++) {
		const uint8_t *text = span_at(s, UTS_OFF + i * UTS, UTS);

		if (text)
			put_name(c, name[i], text);
		if (text && i == 2)
			snprintf(c->release, sizeof(c->release), "%.*s",
				 (int)strnlen((const char *)text, UTS - 1), (const char *)text);
		if (text && i == 1)
			c->e.computer = (struct log_text){(const char *)text,
							  strnlen((const char *)text, UTS - 1)};
	}
	if (when && le64(*when) && le64(*when) < UINT32_MAX)
		c->e.time = (struct log_time){.sec = (int64_t)le64(*when), .known = true};
}

/* VMCOREINFO: "OSRELEASE=6.1.0-13-amd64" and so on, lines of a note. */
static void put_info(struct core *c, const uint8_t *p, size_t len, bool header)
{
	const uint8_t *at = memmem(p, len, told[0].line, strlen(told[0].line));
	size_t left = at ? len - (size_t)(at - p) : 0;

	left = left < INFO_MAX ? left : INFO_MAX;
	for (size_t i = header ? 1 : 0; at && i < sizeof(told) / sizeof(*told); i++) {
		const char *v = memmem(at, left, told[i].line, strlen(told[i].line));
		size_t n = 0, most;

		if (!v)
			continue;
		v += strlen(told[i].line);
		most = left - (size_t)((const uint8_t *)v - at);
		while (n < most && n < VALUE_MAX - 1 && v[n] > ' ')
			n++;
		log_member(&c->data, told[i].member, v, n);
		if (!i)
			snprintf(c->release, sizeof(c->release), "%.*s", (int)n, v);
		if (i == 2 && n) {
			c->e.time = (struct log_time){.sec = strtoll(v, NULL, 10), .known = true};
		}
	}
}

static int kdump_records(struct layer *l, const struct log_sink *sink)
{
	struct core c = {.e = {.source = "kdump",
			       .channel = LOG_TEXT("kdump"),
			       .level = LOG_TEXT("critical")}};
	struct ranges bad = {0};
	uint8_t *p;
	size_t len;
	int r = log_load(l, LOOKED_AT, &p, &len, &bad);
	bool header;

	if (r)
		goto out;
	p[len] = '\0'; /* log_load() has room for it */
	header = len >= sizeof(signature) && !memcmp(p, signature, sizeof(signature));
	log_object(&c.data);
	if (header)
		put_header(&c, p, len);
	put_info(&c, p, len, header && *c.release);
	buf_lit(&c.message, "the kernel crashed");
	if (*c.release) {
		buf_lit(&c.message, ": Linux ");
		buf_str(&c.message, c.release);
	}
	c.e.len = len;
	c.e.written = c.e.time = c.e.time.known ? c.e.time : sink->modified;
	c.e.failed = log_failed(&bad, 0, len < 4096 ? len : 4096);
	c.e.state = c.e.failed ? LOG_DOUBTFUL : LOG_INTACT;
	c.e.data = log_object_end(&c.data);
	c.e.message = (struct log_text){c.message.p, c.message.len};
	r = c.data.failed || c.message.failed ? -ENOMEM : log_send(sink, &c.e);
	free(p);
out:
	buf_free(&c.data);
	buf_free(&c.message);
	ranges_free(&bad);
	return r;
}

const struct layer_ops kdump_ops = {
	.name = "kdump",
	.kind = LAYER_LOG,
	.probe = kdump_probe,
	.open = kdump_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver kdump_log = {
	.ops = &kdump_ops,
	.where = where,
	.large = true,
	.records = kdump_records,
};
