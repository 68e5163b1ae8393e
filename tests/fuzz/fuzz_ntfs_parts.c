/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of NTFS that arbitrary bytes of a volume seldom reach. The first byte says which one gets
 * the others.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/fs/lznt1.h"
#include "formats/fs/ntfs_check.h"
#include "formats/fs/ntfs_packed.h"
#include "tests/fuzz/harness.h"
#include "tests/lib/image.h"

static void must(bool holds)
{
	if (!holds)
		abort();
}

/* What is bad lies in the buffer. */
static void inside(struct ranges *bad, uint64_t len)
{
	for (size_t i = 0; i < bad->n; i++)
		must(bad->v[i].len && bad->v[i].off < len && bad->v[i].len <= len - bad->v[i].off);
	ranges_free(bad);
}

/* @data: where 16 bytes are lost, how much is wanted, packed bytes */
static void lznt1(const uint8_t *data, size_t size)
{
	static uint8_t out[65536];
	struct ranges in_bad = {0}, bad = {0};
	size_t want;

	if (size < 4)
		return;
	want = data[2] | (size_t)data[3] << 8;
	if (data[0] | data[1])
		must(!ranges_add(&in_bad, data[0] | (uint64_t)data[1] << 8, 16,
				 data[0] & 1 ? GRADE_LOST : GRADE_DOUBTFUL, SOURCE_UNREADABLE));
	must(!lznt1_decode(data + 4, size - 4, &in_bad, out, want, want / 2, &bad));
	ranges_free(&in_bad);
	inside(&bad, want);
}

static void whole(struct layer *file)
{
	static uint8_t out[65536];

	image_exercise(file);
	for (uint64_t off = 0; off < file->size && off < 1 << 20; off += sizeof(out)) {
		uint64_t n = file->size - off < sizeof(out) ? file->size - off : sizeof(out);
		struct ranges bad = {0};

		must(!layer_read(file, off, out, (size_t)n, &bad));
		for (size_t i = 0; i < bad.n; i++)
			must(bad.v[i].off >= off && bad.v[i].off + bad.v[i].len <= off + n);
		ranges_free(&bad);
	}
	layer_free(file);
}

/* @data: format, 8 bytes of size, the stream */
static void wof(struct layer *source, const uint8_t *data, size_t size)
{
	struct fs_runs runs = {0};
	struct layer *packed, *file;
	enum wof_format f;
	uint64_t len;

	wof_reparse((struct span){data, size, 0}, &f);
	if (size < 10)
		return;
	memcpy(&len, data + 1, sizeof(len));
	if (data[0] & 4)
		len &= 0xfffff;
	must(!fs_runs_add(&runs, &(struct fs_run){0, size - 9, EXTENT_DATA, 0, 10}));
	must(!fs_file_new(source, "/f:packed", size - 9, &runs, &packed));
	must(!ntfs_wof_new(source, "/f", len >> 1, (enum wof_format)(data[0] & 3), packed, &file));
	whole(file);
}

/* @data: log2 of the unit, sizes, then 4 bytes for each run: where, how long, hole before it */
static void units(struct layer *source, const uint8_t *data, size_t size)
{
	struct ntfs_lznt1 a = {0};
	struct layer *file;
	uint64_t off = 0;

	if (size < 8)
		return;
	a.unit = 1u << (data[0] % 20);
	a.size = (data[1] | (uint64_t)data[2] << 8) << 4;
	a.valid = (data[3] | (uint64_t)data[4] << 8) << 4;
	a.allocated = (data[5] | (uint64_t)data[6] << 8) << 4;
	for (size_t i = 8; i + 4 <= size && i < 400; i += 4) {
		uint64_t len = 1 + data[i + 1];

		off += data[i + 2] << 4;
		must(!fs_runs_add(&a.runs, &(struct fs_run){off, len << 4, EXTENT_DATA, 0,
							    (uint64_t)data[i] << 4}));
		off += len << 4;
	}
	if (!ntfs_lznt1_new(source, "/f", &a, &file))
		whole(file);
}

static void bad_page(void *arg, uint64_t off, uint32_t len, const char *why)
{
	const struct layer *file = arg;

	(void)len;
	must(why && off <= file->size + 4096);
}

static void broken(void *arg, uint64_t off, const char *why)
{
	const struct layer *file = arg;

	must(why && off < file->size);
}

static void secure_bad(void *arg, uint64_t off, uint32_t len, bool first, bool second)
{
	const struct layer *file = arg;

	(void)len;
	must(off < file->size + 0x40000 && !(first && second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session s;
	struct layer *source, *part = NULL;
	struct ntfs_log log;
	uint64_t records;

	if (!size)
		return 0;
	session_init(&s);
	source = memory_source(&s, "fuzz", data, size);
	switch (data[0] % 6) {
	case 0: lznt1(data + 1, size - 1); break;
	case 1: wof(source, data + 1, size - 1); break;
	case 2: units(source, data + 1, size - 1); break;
	case 3:
		part = memory_source(&s, "log", data + 1, size - 1);
		must(!ntfs_log_read(part, true, bad_page, part, &log));
		break;
	case 4:
		part = memory_source(&s, "usn", data + 1, size - 1);
		must(!ntfs_usn_check(part, broken, part, &records));
		break;
	case 5:
		part = memory_source(&s, "sds", data + 1, size - 1);
		must(!ntfs_sds_check(part, secure_bad, part));
		break;
	}
	layer_free(part);
	layer_free(source);
	session_fini(&s);
	return 0;
}
