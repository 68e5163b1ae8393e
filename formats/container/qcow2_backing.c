/* SPDX-License-Identifier: Apache-2.0 */
/* The other files that a qcow2 image names: its backing file and its external data file. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/chain.h"
#include "formats/container/qcow2_parts.h"
#include "formats/drivers.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

enum {
	NAME_TEXT = 256,
	CLOCK_SLACK = 1800, /* seconds that hosts and file servers disagree by */
	COPY_MAX = 86400,   /* a copy of a file does not take longer than that */
};

/* QEMU's names of formats that are called otherwise here. */
static const struct {
	const char *qemu;
	const struct layer_ops *ops;
} renamed[] = {
	{"vpc", &vhd_ops},
	{"file", &raw_ops}, /* protocols used as formats: seen in old images */
	{"host_device", &raw_ops},
};

static const struct layer_ops *format_driver(const char *name)
{
	for (size_t i = 0; i < sizeof(renamed) / sizeof(*renamed); i++)
		if (!strcmp(name, renamed[i].qemu))
			return renamed[i].ops;
	return driver_find(name);
}

/*
 * "nbd://host/disk", "rbd:pool/image", "json:{...}": a colon before any slash. One letter before
 * the colon is a drive of Windows; "file:" is the plain file it says.
 */
static bool is_protocol(const char *name)
{
	size_t n = strcspn(name, ":/\\");

	return name[n] == ':' && n > 1 && strncmp(name, "file:", 5);
}

static int name_read(struct qcow2 *q)
{
	struct ranges bad = {0};
	be32_t size;
	uint64_t len;
	int r = layer_read(q->l->below, offsetof(struct qcow2_header, backing_file_size), &size,
			   sizeof(size), NULL);

	if (r)
		return r;
	len = be32(size);
	if (!len || len > QCOW2_NAME_MAX || !range_inside(q->backing_off, len, q->file_size)) {
		q->backing_why = QCOW2_BACKING_NAME;
		finding_fact(
			q->l, QCOW2_BACKING_NAME,
			&(struct fact){.at = offsetof(struct qcow2_header, backing_file_offset),
				       .at_len = 12,
				       .stored = strf("%" PRIu64 " bytes at 0x%" PRIx64, len,
						      q->backing_off),
				       .expected = "1 to 1023 bytes inside the file"},
			"the name of the backing file lies outside the file or is too long");
		q->backing = strdup("");
		return q->backing ? 0 : -ENOMEM;
	}
	q->backing = qcow2_text_read(q, q->backing_off, (size_t)len, &bad);
	if (bad.n) {
		q->backing_why = QCOW2_BACKING_NAME;
		finding(q->l, QCOW2_BACKING_NAME, q->backing_off, len,
			"the name of the backing file could not be read");
	}
	ranges_free(&bad);
	return q->backing ? 0 : -ENOMEM;
}

/* What is wrong with the name or the format, before any file is looked for. */
static bool refused(struct qcow2 *q, const struct layer_ops **ops)
{
	char name[NAME_TEXT];

	name_escape(q->backing, strlen(q->backing), name, sizeof(name));
	if (is_protocol(q->backing)) {
		q->backing_why = QCOW2_BACKING_REMOTE;
		finding(q->l, QCOW2_BACKING_REMOTE, q->backing_off, strlen(q->backing),
			"the backing file is named by a protocol, not as a file: %s", name);
		return true;
	}
	if (!q->backing_format || !*q->backing_format) {
		finding(q->l, QCOW2_BACKING_GUESSED, 0, q->header_length,
			"the header does not say which format %s has: it is probed", name);
		return false;
	}
	*ops = format_driver(q->backing_format);
	if (!*ops) {
		char format[NAME_TEXT];

		q->backing_why = QCOW2_BACKING_FORMAT;
		name_escape(q->backing_format, strlen(q->backing_format), format, sizeof(format));
		finding(q->l, QCOW2_BACKING_FORMAT, 0, q->header_length,
			"the backing file %s has format \"%s\", which can't be read", name, format);
	}
	return !*ops;
}

static const char *plain_name(const char *name)
{
	return strncmp(name, "file:", 5) ? name : name + 5;
}

/*
 * Nothing in a qcow2 image says what time its backing file had, so only the files can. One that
 * was written to after the image last was: changed under it, or copied after it. What tells:
 * - Times older than the files themselves were kept by whoever copied them: they are the originals.
 * - A backing file that was made here long before the image was not copied together with it.
 */
enum qcow2_newer qcow2_newer(const struct qcow2_times *backing, const struct qcow2_times *image)
{
	bool kept, here;

	if (backing->written - CLOCK_SLACK <= image->written)
		return QCOW2_NOT_NEWER;
	if (!backing->has_made || !image->has_made)
		return QCOW2_NEWER_BY_COPYING;
	kept = backing->written < backing->made && image->written < image->made;
	here = backing->written >= backing->made && image->written >= image->made &&
	       backing->made < image->made - COPY_MAX;
	return kept || here ? QCOW2_NEWER : QCOW2_NEWER_BY_COPYING;
}

static bool times_of(const struct layer *source, struct qcow2_times *t)
{
	t->has_made = source_birth(source, &t->made);
	return source_mtime(source, &t->written);
}

static void check_times(struct qcow2 *q)
{
	char name[NAME_TEXT], a[TIME_TEXT], b[TIME_TEXT];
	struct qcow2_times image, backing;
	struct fact f = {.at = q->backing_off, .at_len = strlen(q->backing)};
	enum qcow2_newer newer;

	if (!times_of(layer_source(q->l), &image) || !times_of(q->l->parent->below, &backing))
		return;
	newer = qcow2_newer(&backing, &image);
	if (newer == QCOW2_NOT_NEWER)
		return;
	f.stored = time_text(backing.written, 0, b);
	f.expected = strf("not after %s", time_text(image.written, 0, a));
	name_escape(q->backing, strlen(q->backing), name, sizeof(name));
	if (newer == QCOW2_NEWER)
		finding_fact(q->l, CHAIN_PARENT_NEWER, &f,
			     "backing file %s was written to after this image last was: what the "
			     "image leaves to it may have changed",
			     name);
	else
		finding_fact(q->l, QCOW2_BACKING_COPIED, &f,
			     "backing file %s is newer than this image: copied, or written to "
			     "since",
			     name);
}

static int parent_open(struct qcow2 *q, const struct layer_ops *ops)
{
	struct layer *source = NULL;
	char name[NAME_TEXT];
	int r = source_open_beside(layer_source(q->l), plain_name(q->backing), &source);

	if (r == -ENOMEM || r == -EINTR)
		return r;
	if (r) {
		bool missing = r == -ENOENT;

		q->backing_why = missing ? CHAIN_PARENT_MISSING : CHAIN_PARENT_REFUSED;
		name_escape(q->backing, strlen(q->backing), name, sizeof(name));
		finding(q->l, q->backing_why, q->backing_off, strlen(q->backing),
			missing ? "backing file %s was not found: %s"
				: "backing file %s was not opened: %s",
			name, strerror(-r));
		return 0;
	}
	/* Raw is for an image that names no format: then nothing else in it was recognised. */
	r = chain_open(q->l, source, ops, !ops);
	if (r == -ENOMEM || r == -EINTR)
		return r;
	if (r) {
		q->backing_why = r == -ELOOP	? CHAIN_CYCLE
				 : r == -EMLINK ? CHAIN_TOO_DEEP
						: CHAIN_PARENT_UNREADABLE;
		return 0;
	}
	if (q->l->parent->size != q->l->size)
		finding(q->l, CHAIN_PARENT_SIZE, offsetof(struct qcow2_header, size), 8,
			"the disk has 0x%" PRIx64 " bytes, its backing file 0x%" PRIx64, q->l->size,
			q->l->parent->size);
	check_times(q);
	return 0;
}

int qcow2_backing_open(struct qcow2 *q)
{
	const struct layer_ops *ops = NULL;
	int r;

	if (!q->backing_off)
		return 0;
	r = name_read(q);
	if (r || q->backing_why || refused(q, &ops))
		return r;
	return parent_open(q, ops);
}

int qcow2_data_file_open(struct qcow2 *q)
{
	char name[NAME_TEXT];
	int r;

	q->data = q->l->below;
	if (!(q->incompat & QCOW2_INCOMPAT_DATA_FILE))
		return 0;
	q->data = NULL;
	q->data_why = QCOW2_DATA_FILE;
	q->data_raw = q->autoclear & QCOW2_AUTOCLEAR_DATA_FILE_RAW;
	if (!q->data_name || !*q->data_name || is_protocol(q->data_name)) {
		finding_fact(
			q->l, QCOW2_DATA_FILE,
			&(struct fact){.at_len = q->header_length, .len = q->l->size, .lost = true},
			"the header does not name the external data file as a file");
		return 0;
	}
	r = source_open_beside(layer_source(q->l), plain_name(q->data_name), &q->data_file);
	if (r == -ENOMEM || r == -EINTR)
		return r;
	name_escape(q->data_name, strlen(q->data_name), name, sizeof(name));
	if (r || source_same(q->data_file, layer_source(q->l))) {
		finding_fact(
			q->l, QCOW2_DATA_FILE,
			&(struct fact){.at_len = q->header_length, .len = q->l->size, .lost = true},
			"external data file %s was not opened: %s", name,
			r ? strerror(-r) : "it is the image itself");
		return 0;
	}
	q->data = q->data_file;
	return 0;
}
