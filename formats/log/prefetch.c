/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefetch files: which program ran, how often, and when: the last eight times since Windows 8. The
 * format as libscca's documentation has it; from Windows 10 on it is packed (MAM).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/drivers.h"
#include "formats/log/formats.h"
#include "formats/log/simple.h"
#include "formats/log/xpress.h"
#include "vdiskck/core/endian.h"

enum {
	PACKED_MAX = 16 << 20,
	PLAIN_MAX = 32 << 20,
	HEAD = 0x54,  /* bytes of the file's header */
	LEAST = 0xd8, /* with the last run times and the count of any version */
	RUNS = 8,
	NAME_UNITS = 30,
	EARLIEST = 900000000, /* 1998: a time before is none */
};

/* SCCA header */
struct scca {
	le32_t version;	   /* 17 XP, 23 Vista and 7, 26 8.1, 30 and 31 10 and 11 */
	char signature[4]; /* "SCCA" */
	le32_t unknown, size;
	uint8_t name[2 * NAME_UNITS];
	le32_t hash; /* of the path; in the file's own name, too */
	le32_t flags;
	/* The file's information follows. */
	le32_t metrics, n_metrics, chains, n_chains, strings, strings_len;
};
_Static_assert(sizeof(struct scca) == HEAD + 24, "libscca");

struct prefetch {
	uint8_t *p; /* unpacked, LEAST bytes at least */
	size_t len;
	unsigned failed;
};

static int prefetch_probe(struct layer *below)
{
	struct scca h;

	if (below->size < 16 || layer_read(below, 0, &h, 12, NULL))
		return 0;
	if (!memcmp(&h, "MAM\x04", 4) || !memcmp(&h, "MAM\x84", 4))
		return below->ops->kind == LAYER_FILE || below->size < PACKED_MAX ? 70 : 0;
	return !memcmp(h.signature, "SCCA", 4) && le32(h.version) >= 17 && le32(h.version) <= 31
		       ? 92
		       : 0;
}

/* "MAM", the method, the size; method 0x80: a CRC of the packed bytes, too. */
static int unpack(struct prefetch *f, const uint8_t *in, size_t len)
{
	size_t head = in[3] & 0x80 ? 12 : 8, done;
	le32_t size;
	int r;

	memcpy(&size, in + 4, sizeof(size));
	if (len < head || le32(size) < LEAST || le32(size) > PLAIN_MAX)
		return -EBADMSG;
	f->p = calloc(1, le32(size));
	if (!f->p)
		return -ENOMEM;
	r = xpress_unpack(in + head, len - head, f->p, le32(size), &done);
	f->len = done;
	if (r == -EBADMSG && done >= LEAST) {
		f->failed |= LOG_CONTENT;
		r = 0;
	}
	return r;
}

static int prefetch_open(struct layer *l)
{
	struct prefetch *f = calloc(1, sizeof(*f));
	struct ranges bad = {0};
	const struct scca *h;
	uint8_t *in = NULL;
	size_t len;
	int r;

	l->priv = f;
	if (!f)
		return -ENOMEM;
	l->size = l->below->size;
	r = log_load(l->below, PACKED_MAX, &in, &len, &bad);
	if (!r && bad.n)
		f->failed |= LOG_LOST;
	if (!r && len < 12)
		r = -EBADMSG;
	if (!r && !memcmp(in, "MAM", 3)) {
		r = unpack(f, in, len);
	} else if (!r) {
		f->p = in;
		f->len = len;
		in = NULL;
	}
	h = (const struct scca *)f->p;
	if (!r && (f->len < LEAST || memcmp(h->signature, "SCCA", 4)))
		r = -EBADMSG;
	free(in);
	ranges_free(&bad);
	return r;
}

static void prefetch_close(struct layer *l)
{
	struct prefetch *f = l->priv;

	if (f)
		free(f->p);
	free(f);
}

static uint32_t at32(const struct prefetch *f, size_t off)
{
	le32_t v;

	memcpy(&v, f->p + off, sizeof(v));
	return le32(v);
}

static uint64_t at64(const struct prefetch *f, size_t off)
{
	le64_t v;

	memcpy(&v, f->p + off, sizeof(v));
	return le64(v);
}

/* Where the last runs are and the count is, by version; the newest has two variants of its length. */
static void layout(const struct prefetch *f, size_t *times, unsigned *n, size_t *count)
{
	uint32_t version = at32(f, 0);

	*n = version >= 26 ? RUNS : 1;
	*times = version == 17 ? 0x78 : 0x80;
	*count = version == 17 ? 0x90 : version == 23 ? 0x98 : 0xd0;
	if (version >= 30 && at32(f, HEAD) == 0x128)
		*count = 0xc8;
}

static size_t units(const uint8_t *p, size_t max)
{
	size_t n = 0;

	while (n < max && (p[2 * n] || p[2 * n + 1]))
		n++;
	return n;
}

/* Among the files that it loaded is the program: the path that ends in the name. */
static void put_path(const struct prefetch *f, struct buf *d)
{
	const struct scca *h = (const struct scca *)f->p;
	size_t at = le32(h->strings), len = le32(h->strings_len);
	size_t name = units(h->name, NAME_UNITS);
	struct buf path = {0};

	if (at > f->len || len > f->len - at || !name)
		return;
	for (size_t n; len >= 2; at += n, len = len > n ? len - n : 0) {
		const uint8_t *s = f->p + at;

		n = units(s, len / 2);
		/* A name of 29 characters may be cut. */
		if (n > name && !memcmp(s + 2 * (n - name), h->name, 2 * name) &&
		    s[2 * (n - name) - 2] == '\\') {
			buf_utf16(&path, s, n);
			log_member(d, "program", path.p, path.len);
			break;
		}
		n = 2 * n + 2;
	}
	d->failed |= path.failed;
	buf_free(&path);
}

static int prefetch_records(struct layer *l, const struct log_sink *sink)
{
	const struct prefetch *f = l->priv;
	struct buf data = {0}, name = {0};
	size_t times, count;
	unsigned n, sent = 0;
	char hash[16];
	int r = 0;

	layout(f, &times, &n, &count);
	buf_utf16(&name, f->p + 0x10, units(f->p + 0x10, NAME_UNITS));
	log_object(&data);
	log_member_u64(&data, "runs", at32(f, count));
	log_member(&data, "hash", hash,
		   (size_t)snprintf(hash, sizeof(hash), "%08" PRIX32, at32(f, 0x4c)));
	put_path(f, &data);
	/* Each of the last runs; if none has a time, that it ran at all. */
	for (unsigned i = 0; i <= n && !r; i++) {
		struct log_time t =
			i < n ? log_filetime(at64(f, times + 8 * i)) : (struct log_time){0};
		struct log_event e = {.source = "prefetch",
				      .channel = LOG_TEXT("prefetch"),
				      .len = l->size,
				      .failed = f->failed,
				      .state = f->failed ? LOG_DOUBTFUL : LOG_INTACT};

		if (i < n ? !t.known || t.sec < EARLIEST : sent != 0)
			continue;
		if (!sent++)
			e.data = log_object_end(&data);
		else
			e.data = (struct log_text){data.p, data.len};
		e.time = e.written = t;
		e.provider = (struct log_text){name.p, name.len};
		e.message = e.provider;
		r = data.failed || name.failed ? -ENOMEM : log_send(sink, &e);
	}
	buf_free(&data);
	buf_free(&name);
	return r;
}

static const char *const where[] = {"/windows/prefetch/*.pf", NULL};

const struct layer_ops prefetch_ops = {
	.name = "prefetch",
	.kind = LAYER_LOG,
	.probe = prefetch_probe,
	.open = prefetch_open,
	.read = log_pass_read,
	.map = log_pass_map,
	.close = prefetch_close,
};

const struct log_driver prefetch_log = {
	.ops = &prefetch_ops,
	.where = where,
	.records = prefetch_records,
};
