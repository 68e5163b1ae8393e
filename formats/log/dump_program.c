/* SPDX-License-Identifier: Apache-2.0 */
/* Minidumps of programs, minidumpapiset.h: a directory of streams; three of them matter here. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/log/dump.h"
#include "formats/log/simple.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"

enum {
	STREAMS_MAX = 256,
	MODULES_MAX = 4096,
	NAME_BYTES = 1024,
	MODULE_LIST = 4,
	EXCEPTION = 6,
	SYSTEM_INFO = 7,
};

/* MINIDUMP_DIRECTORY */
struct mdmp_stream {
	le32_t type, size, at;
};

/* MINIDUMP_EXCEPTION_STREAM up to the parameters */
struct mdmp_exception {
	le32_t thread, padding;
	le32_t code, flags;
	le64_t record, address;
	le32_t parameters, padding2;
	le64_t parameter[15];
};
_Static_assert(sizeof(struct mdmp_exception) == 160, "minidumpapiset.h");

/* MINIDUMP_SYSTEM_INFO up to the platform */
struct mdmp_system {
	le16_t machine, level, revision;
	uint8_t processors, product;
	le32_t major, minor, build, platform;
};

/* MINIDUMP_MODULE */
struct mdmp_module {
	le64_t base;
	le32_t size, sum, time, name;
	uint8_t rest[84];
};
_Static_assert(sizeof(struct mdmp_module) == 108, "minidumpapiset.h");

struct program {
	struct layer *l;
	struct dump_event *x;
	struct ranges bad;
	uint64_t address; /* of the exception */
	uint32_t code;
	bool crashed;
};

static int get(struct program *m, uint64_t at, void *to, size_t len)
{
	if (!range_inside(at, len, m->l->size)) {
		memset(to, 0, len);
		m->x->e.failed |= LOG_CONTENT;
		return 0;
	}
	return layer_read(m->l, at, to, len, &m->bad);
}

static int exception(struct program *m, uint64_t at)
{
	struct mdmp_exception e;
	uint32_t n;
	int r = get(m, at, &e, sizeof(e));

	m->crashed = true;
	m->address = le64(e.address);
	m->code = le32(e.code);
	m->x->e.event_id = m->code;
	m->x->e.has_event_id = true;
	dump_hex(&m->x->data, "exception", m->code);
	dump_hex(&m->x->data, "address", m->address);
	log_member_u64(&m->x->data, "thread", le32(e.thread));
	n = le32(e.parameters) < 15 ? le32(e.parameters) : 15;
	for (uint32_t i = 0; i < n; i++) {
		char key[16];

		snprintf(key, sizeof(key), "parameter%u", i + 1);
		dump_hex(&m->x->data, key, le64(e.parameter[i]));
	}
	return r;
}

static int system_info(struct program *m, uint64_t at)
{
	struct mdmp_system s;
	char text[48];
	int r = get(m, at, &s, sizeof(s));
	int n = snprintf(text, sizeof(text), "%" PRIu32 ".%" PRIu32 ".%" PRIu32, le32(s.major),
			 le32(s.minor), le32(s.build));

	log_member(&m->x->data, "windows", text, (size_t)n);
	return r;
}

/* MINIDUMP_STRING: bytes, then UTF-16 */
static int put_name(struct program *m, const char *key, uint32_t at, struct buf *also)
{
	uint8_t name[NAME_BYTES];
	struct buf text = {0};
	le32_t bytes;
	size_t len;
	int r = get(m, at, &bytes, sizeof(bytes));

	len = le32(bytes) < NAME_BYTES ? le32(bytes) & ~1u : NAME_BYTES;
	if (!r && len)
		r = get(m, at + UINT64_C(4), name, len);
	if (!r && len) {
		buf_utf16(&text, name, len / 2);
		log_member(&m->x->data, key, text.p, text.len);
		if (also)
			buf_put(also, text.p, text.len);
		r = text.failed ? -ENOMEM : 0;
	}
	buf_free(&text);
	return r;
}

/* The first module is the program itself. */
static int modules(struct program *m, uint64_t at)
{
	struct mdmp_module mod;
	le32_t count;
	uint32_t n;
	int r = get(m, at, &count, sizeof(count));

	n = le32(count) < MODULES_MAX ? le32(count) : MODULES_MAX;
	for (uint32_t i = 0; i < n && !r; i++) {
		uint64_t off = at + 4 + (uint64_t)i * sizeof(mod);

		if (!range_inside(off, sizeof(mod), m->l->size)) {
			m->x->e.failed |= LOG_CONTENT;
			break;
		}
		r = session_stopped(m->l->s) ? -EINTR : get(m, off, &mod, sizeof(mod));
		if (!r && !i)
			r = put_name(m, "program", le32(mod.name), &m->x->message);
		if (!r && m->crashed && m->address >= le64(mod.base) &&
		    m->address - le64(mod.base) < le32(mod.size)) {
			r = put_name(m, "module", le32(mod.name), NULL);
			dump_hex(&m->x->data, "offset", m->address - le64(mod.base));
			break;
		}
	}
	return r;
}

/* Where the stream of this type is; 0: there is none. */
static int find(struct program *m, const struct mdmp_header *h, uint32_t type, uint32_t *at)
{
	uint32_t n = le32(h->streams) < STREAMS_MAX ? le32(h->streams) : STREAMS_MAX;
	struct mdmp_stream s;
	int r = 0;

	*at = 0;
	for (uint32_t i = 0; i < n && !r && !*at; i++) {
		r = get(m, le32(h->directory) + (uint64_t)i * sizeof(s), &s, sizeof(s));
		if (!r && le32(s.type) == type)
			*at = le32(s.at);
	}
	return r;
}

int mdmp_event(struct layer *l, struct dump_event *x)
{
	/* The exception first: it says which module is looked for. */
	static const struct {
		uint32_t type;
		int (*take)(struct program *m, uint64_t at);
	} streams[] = {{EXCEPTION, exception}, {SYSTEM_INFO, system_info}, {MODULE_LIST, modules}};
	struct program m = {.l = l, .x = x};
	struct mdmp_header h;
	uint32_t at;
	char text[64];
	int r = get(&m, 0, &h, sizeof(h));

	x->e.time = (struct log_time){le32(h.time), 0, le32(h.time) != 0};
	x->e.len = sizeof(h);
	for (size_t i = 0; i < sizeof(streams) / sizeof(*streams) && !r; i++) {
		r = find(&m, &h, streams[i].type, &at);
		if (!r && at)
			r = streams[i].take(&m, at);
	}
	if (m.crashed) {
		int n = snprintf(text, sizeof(text), "%sexception 0x%" PRIx32,
				 x->message.len ? ": " : "", m.code);

		buf_put(&x->message, text, (size_t)n);
	} else {
		x->e.level = LOG_TEXT("info");
	}
	if (m.bad.n)
		x->e.failed |= LOG_LOST;
	ranges_free(&m.bad);
	return r;
}
