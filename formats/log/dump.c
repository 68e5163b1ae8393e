/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps of Windows, one event each: why and when it stopped. MEMORY.DMP and its small ones (DUMP_HEADER
 * of ntoskrnl: fields as Volatility's crash_vtypes names them) give the bug check, its parameters, the
 * hour, how long the system was up, and of a small one the drivers that were loaded; minidumps of
 * programs (minidumpapiset.h) the exception and the module that it hit.
 */
#include "formats/log/dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "vdiskck/core/json.h"

enum {
	HEAD32 = 0x1000,
	HEAD64 = 0x2000,
	DRIVERS_MAX = 512,
	POOL_MAX = 1 << 20,
	NAME_MAX_UNITS = 260,
};

static bool is_program(const uint8_t *p)
{
	return !memcmp(p, "MDMP\x93\xa7", 6);
}

static bool is_kernel(const uint8_t *p)
{
	return !memcmp(p, "PAGEDU64", 8) || !memcmp(p, "PAGEDUMP", 8);
}

static int dump_probe(struct layer *below)
{
	uint8_t p[8];

	if (below->size < 0x1000 && below->size < sizeof(struct mdmp_header))
		return 0;
	if (layer_read(below, 0, p, sizeof(p), NULL))
		return 0;
	return is_kernel(p) || is_program(p) ? 90 : 0;
}

static int dump_open(struct layer *l)
{
	uint8_t p[8];
	int r;

	l->size = l->below->size;
	if (l->size < sizeof(p))
		return -EBADMSG;
	r = layer_read(l, 0, p, sizeof(p), NULL);
	if (!r && !is_program(p) && !is_kernel(p))
		r = -EBADMSG;
	return r								 ? r
	       : l->size < (is_program(p) ? sizeof(struct mdmp_header) : HEAD32) ? -EBADMSG
										 : 0;
}

static uint32_t at32(const uint8_t *p, size_t off)
{
	le32_t v;

	memcpy(&v, p + off, sizeof(v));
	return le32(v);
}

static uint64_t at64(const uint8_t *p, size_t off)
{
	le64_t v;

	memcpy(&v, p + off, sizeof(v));
	return le64(v);
}

void dump_hex(struct buf *d, const char *key, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "0x%" PRIx64, v);

	log_member(d, key, text, (size_t)n);
}

/* Unused fields of the header are filled with its own first word. */
static bool unused(uint64_t v)
{
	return v == UINT64_C(0x4547415045474150) || v == 0x45474150;
}

static const char *bugcheck_name(uint32_t code)
{
	/* bugcodes.h: those that disks, file systems and failing hardware cause. */
	static const struct {
		uint32_t code;
		const char *name;
	} known[] = {
		{0x0a, "IRQL_NOT_LESS_OR_EQUAL"},
		{0x1a, "MEMORY_MANAGEMENT"},
		{0x1e, "KMODE_EXCEPTION_NOT_HANDLED"},
		{0x23, "FAT_FILE_SYSTEM"},
		{0x24, "NTFS_FILE_SYSTEM"},
		{0x3b, "SYSTEM_SERVICE_EXCEPTION"},
		{0x50, "PAGE_FAULT_IN_NONPAGED_AREA"},
		{0x51, "REGISTRY_ERROR"},
		{0x67, "CONFIG_INITIALIZATION_FAILED"},
		{0x6b, "PROCESS1_INITIALIZATION_FAILED"},
		{0x74, "BAD_SYSTEM_CONFIG_INFO"},
		{0x77, "KERNEL_STACK_INPAGE_ERROR"},
		{0x7a, "KERNEL_DATA_INPAGE_ERROR"},
		{0x7b, "INACCESSIBLE_BOOT_DEVICE"},
		{0x7e, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"},
		{0x80, "NMI_HARDWARE_FAILURE"},
		{0x9c, "MACHINE_CHECK_EXCEPTION"},
		{0x9f, "DRIVER_POWER_STATE_FAILURE"},
		{0xb8, "ATTEMPTED_SWITCH_FROM_DPC"},
		{0xc2, "BAD_POOL_CALLER"},
		{0xc5, "DRIVER_CORRUPTED_EXPOOL"},
		{0xd1, "DRIVER_IRQL_NOT_LESS_OR_EQUAL"},
		{0xe2, "MANUALLY_INITIATED_CRASH"},
		{0xed, "UNMOUNTABLE_BOOT_VOLUME"},
		{0xef, "CRITICAL_PROCESS_DIED"},
		{0xf4, "CRITICAL_OBJECT_TERMINATION"},
		{0xfe, "BUGCODE_USB_DRIVER"},
		{0x101, "CLOCK_WATCHDOG_TIMEOUT"},
		{0x124, "WHEA_UNCORRECTABLE_ERROR"},
		{0x133, "DPC_WATCHDOG_VIOLATION"},
		{0x139, "KERNEL_SECURITY_CHECK_FAILURE"},
		{0x154, "UNEXPECTED_STORE_EXCEPTION"},
		{0xc000021a, "STATUS_SYSTEM_PROCESS_TERMINATED"},
		{0xc0000221, "STATUS_IMAGE_CHECKSUM_MISMATCH"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].code == code)
			return known[i].name;
	return NULL;
}

static const char *type_name(uint32_t type)
{
	static const char *const name[] = {NULL,    "complete", "kernel",	  "header",
					   "small", "complete", "kernel (bitmap)"};

	return type < sizeof(name) / sizeof(*name) ? name[type] : NULL;
}

/* Is it the name of a file? Its length stands before it. */
static bool driver_name(const uint8_t *p, size_t len, size_t *units)
{
	*units = len >= 4 ? at32(p, 0) : 0;
	if (!*units || *units > NAME_MAX_UNITS || 4 + *units * 2 > len)
		return false;
	for (size_t i = 0; i < *units; i++)
		if (p[4 + 2 * i] < 0x20 || p[5 + 2 * i])
			return false;
	return true;
}

/* TRIAGE_DUMP: a pool of strings, length and UTF-16, holds the names of the drivers. */
static int put_drivers(struct layer *l, size_t head, struct buf *d)
{
	struct ranges bad = {0};
	uint8_t t[0x40], *pool;
	uint32_t at, len;
	unsigned n = 0;
	int r;

	if (l->size < head + sizeof(t) || layer_read(l, head, t, sizeof(t), NULL))
		return 0;
	at = at32(t, 0x38);
	len = at32(t, 0x3c);
	if (at < head || at >= l->size || len < 8)
		return 0;
	if (len > POOL_MAX)
		len = POOL_MAX;
	if (len > l->size - at)
		len = (uint32_t)(l->size - at);
	pool = malloc(len);
	r = pool ? layer_read(l, at, pool, len, &bad) : -ENOMEM;
	for (size_t i = 0; i + 4 <= len && n < DRIVERS_MAX && !r;) {
		size_t units;

		if (!driver_name(pool + i, len - i, &units)) {
			i += 4;
			continue;
		}
		buf_str(d, n++ ? ",\"" : ",\"drivers\":[\"");
		buf_json_utf16(d, pool + i + 4, units);
		buf_char(d, '"');
		i += (4 + units * 2 + 2 + 3) / 4 * 4;
	}
	if (n)
		buf_char(d, ']');
	free(pool);
	ranges_free(&bad);
	return r;
}

static int kernel_data(struct layer *l, const uint8_t *p, bool wide, struct dump_event *x)
{
	static const char *const parameter[] = {"parameter1", "parameter2", "parameter3",
						"parameter4"};
	uint64_t time = at64(p, wide ? 0xfa8 : 0xfc0), up = at64(p, wide ? 0x1030 : 0xfb8);
	uint32_t code = at32(p, wide ? 0x38 : 0x28), type = at32(p, wide ? 0xf98 : 0xf88);
	const char *name = bugcheck_name(code);
	char text[128];
	int n;

	if (!unused(time))
		x->e.time = log_filetime(time);
	x->e.event_id = code;
	x->e.has_event_id = true;
	dump_hex(&x->data, "bugcheck", code);
	if (name)
		log_member(&x->data, "name", name, strlen(name));
	for (size_t i = 0; i < 4; i++)
		dump_hex(&x->data, parameter[i],
			 wide ? at64(p, 0x40 + 8 * i) : at32(p, 0x2c + 4 * i));
	if (type_name(type))
		log_member(&x->data, "dump", type_name(type), strlen(type_name(type)));
	if (!unused(up))
		log_member_u64(&x->data, "uptime_seconds", up / 10000000);
	log_member_u64(&x->data, "build", at32(p, 0xc));
	log_member_u64(&x->data, "processors", at32(p, wide ? 0x34 : 0x24));
	dump_hex(&x->data, "machine", at32(p, wide ? 0x30 : 0x20));
	n = snprintf(text, sizeof(text), "bug check 0x%" PRIx32 "%s%s", code, name ? " " : "",
		     name ? name : "");
	buf_put(&x->message, text, (size_t)n);
	return type == 4 ? put_drivers(l, wide ? HEAD64 : HEAD32, &x->data) : 0;
}

static int kernel_event(struct layer *l, struct dump_event *x)
{
	struct ranges bad = {0};
	uint8_t *p;
	size_t len;
	int r = log_load(l, HEAD64, &p, &len, &bad);

	if (r)
		return r;
	x->e.failed |= log_failed(&bad, 0, len);
	x->e.len = len;
	/* The 64-bit header is of two pages; the second may be cut off. */
	if (!memcmp(p, "PAGEDU64", 8) && len < HEAD64) {
		uint8_t *more = realloc(p, HEAD64);

		if (!more) {
			r = -ENOMEM;
			goto out;
		}
		p = more;
		memset(p + len, 0, HEAD64 - len);
		x->e.failed |= LOG_CONTENT;
	}
	r = kernel_data(l, p, !memcmp(p, "PAGEDU64", 8), x);
out:
	free(p);
	ranges_free(&bad);
	return r;
}

static int dump_records(struct layer *l, const struct log_sink *sink)
{
	struct dump_event x = {.e = {.source = "dump", .level = LOG_TEXT("critical")}};
	uint8_t p[8];
	int r = layer_read(l, 0, p, sizeof(p), NULL);

	log_object(&x.data);
	x.e.channel = is_program(p) ? LOG_TEXT("minidump") : LOG_TEXT("bugcheck");
	if (!r)
		r = is_program(p) ? mdmp_event(l, &x) : kernel_event(l, &x);
	x.e.written = x.e.time;
	x.e.data = log_object_end(&x.data);
	x.e.message = (struct log_text){x.message.p, x.message.len};
	x.e.state = x.e.failed ? LOG_DOUBTFUL : LOG_INTACT;
	if (!r)
		r = x.data.failed || x.message.failed ? -ENOMEM : log_send(sink, &x.e);
	buf_free(&x.data);
	buf_free(&x.message);
	return r;
}

static const char *const where[] = {
	"/windows/**.dmp",
	"/windows/**.mdmp",
	"/users/*/appdata/local/crashdumps/*.dmp",
	"/programdata/microsoft/windows/wer/**.dmp",
	"/programdata/microsoft/windows/wer/**.mdmp",
	NULL,
};

const struct layer_ops dump_ops = {
	.name = "dump",
	.kind = LAYER_LOG,
	.probe = dump_probe,
	.open = dump_open,
	.read = log_pass_read,
	.map = log_pass_map,
};

const struct log_driver dump_log = {
	.ops = &dump_ops,
	.where = where,
	.large = true,
	.records = dump_records,
};
