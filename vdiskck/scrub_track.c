/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts of what was written to, kept by others: only a whole one decides anything. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/container/qcow2.h"
#include "vdiskck/core/ddmap.h"
#include "vdiskck/core/source.h"
#include "vdiskck/core/text.h"
#include "vdiskck/scrub.h"

enum { CBT_BLOCK = 65536, CBT_MAX = 64 << 20 /* bytes of bits: 32 TiB */ };

/* Not even the access time of what we are given changes, where the system lets us. */
static FILE *read_quietly(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOATIME);
	FILE *f;

	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (fd >= 0 && !f)
		close(fd);
	return f;
}

/* Bit @i of @bits, of 64 KiB blocks; @first: the bit of a byte that stands for the first of eight. */
static int add_blocks(struct scrub *s, const uint8_t *bits, uint64_t blocks, unsigned first)
{
	int r = 0;

	for (uint64_t i = 0; i < blocks && !r; i++)
		if (bits[i / 8] >> (first ^ i % 8) & 1)
			r = ranges_add(&s->track.dirty, i * CBT_BLOCK, CBT_BLOCK, GRADE_DOUBTFUL,
				       SCRUB_CHANGED);
	return r;
}

/* All of a file that may be what `xe` printed; NULL: something else, or too much. */
static char *read_base64(const char *path, size_t *len)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				  "+/=\r\n";
	FILE *f = read_quietly(path);
	struct stat st;
	char *text = NULL;

	if (f && !fstat(fileno(f), &st) && st.st_size > 0 && st.st_size < 2 * CBT_MAX)
		text = calloc(1, (size_t)st.st_size + 1);
	if (text)
		*len = fread(text, 1, (size_t)st.st_size, f);
	if (f)
		fclose(f);
	/* The lines of a map have blanks in them. */
	if (text && (!*len || strspn(text, set) != *len)) {
		free(text);
		text = NULL;
	}
	return text;
}

/*
 * What VDI.list_changed_blocks gives: a bit for each 64 KiB, the most significant one of a byte
 * first (sm turns round the bytes of the logs, whose first bit is the least significant).
 */
static int track_list(struct scrub *s, const char *path, const char *text, size_t len)
{
	uint64_t blocks = (s->l->size + CBT_BLOCK - 1) / CBT_BLOCK;
	size_t need = (size_t)((blocks + 7) / 8), n;
	uint8_t *bits = malloc(len);
	int r = 0;

	if (!bits)
		return run_fail(s->r, -ENOMEM, "--changed %s", path);
	n = base64_bytes(text, bits, len);
	/* Logs are mapped in words, and some padding is theirs: nothing is written behind the disk. */
	for (size_t i = (size_t)blocks; i < n * 8 && n >= need && !r; i++)
		if (bits[i / 8] >> (7 - i % 8) & 1)
			r = -EINVAL;
	if (n < need || r)
		r = run_fail(s->r, -EINVAL,
			     "--changed %s: a list of %zu blocks, this disk has %" PRIu64, path,
			     n * 8, blocks);
	else
		r = add_blocks(s, bits, blocks, 7);
	free(bits);
	if (!r)
		s->track.by = path;
	return r;
}

int scrub_track_map(struct scrub *s, const char *path)
{
	struct ddmap m = {0};
	size_t len;
	char *text = read_base64(path, &len);
	int r;

	if (text) {
		r = track_list(s, path, text, len);
		free(text);
		return r;
	}
	r = ddmap_load(&s->r->s, path, &m);

	for (size_t i = 0; i < m.n && !r; i++)
		if (m.v[i].status == '+')
			r = ranges_add(&s->track.dirty, m.v[i].off, m.v[i].len, GRADE_DOUBTFUL,
				       SCRUB_CHANGED);
	ddmap_free(&m);
	if (r)
		return run_fail(s->r, r, "--changed %s", path);
	ranges_sort(&s->track.dirty);
	s->track.by = path;
	return 0;
}

/* The bitmap of an NBD export counts the export's bytes: those of the layer, if that is all of it. */
static int track_export(struct scrub *s, const char *name)
{
	struct layer *source = layer_source(s->l);
	int r = s->l->below == source && s->l->size == source->size ? 0 : -EOPNOTSUPP;

	if (!r)
		r = source_dirty(source, &s->track.dirty);
	if (r)
		return run_fail(s->r, r, "--bitmap %s: %s", name,
				r == -ENOENT	   ? "the server does not have it"
				: r == -EOPNOTSUPP ? "it is of the export, not of this layer"
						   : "the server does not say what it holds");
	ranges_sort(&s->track.dirty);
	s->track.by = name;
	return 0;
}

int scrub_track_bitmap(struct scrub *s, const char *name)
{
	const struct qcow2 *q = s->l->priv;
	int r;

	if (source_is_remote(layer_source(s->l)))
		return track_export(s, name);
	if (strcmp(s->l->ops->name, "qcow2") || s->l->state)
		return run_fail(s->r, -EINVAL, "--bitmap %s: %s is no qcow2", name, s->l->path);
	for (size_t i = 0; i < q->n_bitmaps; i++)
		if (!strcmp(q->bitmaps[i].name, name) && !(q->bitmaps[i].flags & QCOW2_BITMAP_AUTO))
			return run_fail(s->r, -ESTALE,
					"--bitmap %s: it was disabled, and has not seen all writes",
					name);
	r = qcow2_bitmap_dirty(s->l, name, &s->track.dirty);
	if (r)
		return run_fail(s->r, r, "--bitmap %s: %s", name,
				r == -ENOENT   ? "the image has no such bitmap"
				: r == -ESTALE ? "it was not saved when the image was last used"
					       : "it can't be read");
	ranges_sort(&s->track.dirty);
	s->track.by = name;
	return 0;
}

/* blktap, cbt/cbt-util-priv.h: what stands before the bits. */
struct cbt_head {
	uint8_t parent[16], child[16];
	le32_t consistent, hole;
	le64_t size;
};
_Static_assert(sizeof(struct cbt_head) == 48, "cbt_log_metadata");

int scrub_track_cbt(struct scrub *s, const char *path)
{
	FILE *f = read_quietly(path);
	uint64_t blocks = (s->l->size + CBT_BLOCK - 1) / CBT_BLOCK;
	size_t len = (size_t)((blocks + 7) / 8);
	struct cbt_head h;
	uint8_t *bits = NULL;
	int r = f ? 0 : -errno;

	if (r)
		return run_fail(s->r, r, "--cbt %s", path);
	if (fread(&h, sizeof(h), 1, f) != 1)
		r = run_fail(s->r, -EBADMSG, "--cbt %s: too short for a change block log", path);
	else if (le32(h.consistent) != 1)
		r = run_fail(s->r, -ESTALE,
			     "--cbt %s: not consistent: writes were not followed to the end", path);
	else if (le64(h.size) != s->l->size || len > CBT_MAX)
		r = run_fail(s->r, -EINVAL,
			     "--cbt %s: of a disk of %" PRIu64 " bytes; this one has %" PRIu64,
			     path, le64(h.size), s->l->size);
	if (!r) {
		bits = malloc(len);
		r = !bits ? -ENOMEM : fread(bits, 1, len, f) == len ? 0 : -EBADMSG;
		if (r)
			run_fail(s->r, r, "--cbt %s: cut short", path);
	}
	if (!r)
		r = add_blocks(s, bits, blocks, 0);
	if (!r)
		s->track.by = path;
	free(bits);
	fclose(f);
	return r;
}
