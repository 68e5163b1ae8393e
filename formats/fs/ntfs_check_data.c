/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that NTFS or CompactOS compressed prove themselves: what was hit seldom unpacks. With
 * `check --data` each of them is unpacked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/pool.h"
#include "vdiskck/core/session.h"

enum {
	PIECE = 1 << 20,
	TOLD = 16, /* findings of one file; reading it tells of all */
};

struct unpacking {
	struct ntfs_check *k;
	uint64_t *file; /* records of files that are compressed */
	size_t n, cap;
	pthread_mutex_t lock; /* of the check's path */
};

/* The streams of a file that are packed, by the first piece of each. */
static bool is_packed(const struct ntfs_attr *a)
{
	return a->type == NTFS_DATA && !a->lowest_vcn &&
	       ((!a->resident && a->flags & NTFS_COMPRESSED) ||
		ntfs_name_is(a->name, "WofCompressedData"));
}

static int find_packed(void *arg, struct ntfs_record *r, void *out)
{
	const struct unpacking *u = arg;
	const struct ntfs_record_header *h = ntfs_head(r);
	struct ntfs_attr a;
	uint32_t pos = 0;

	if ((r->state != NTFS_GOOD && r->state != NTFS_TORN) || !(le16(h->flags) & NTFS_IN_USE))
		return 0;
	while (ntfs_attr_next(u->k->n, r, &pos, &a))
		*(bool *)out |= is_packed(&a);
	return 0;
}

static int collect(void *arg, struct ntfs_record *r, size_t count, void *out)
{
	struct unpacking *u = arg;
	const bool *packed = out;

	for (size_t i = 0; i < count; i++) {
		uint64_t base = ntfs_ref_number(le64(ntfs_head(&r[i])->base));

		if (!packed[i])
			continue;
		if (u->n == u->cap) {
			size_t cap = u->cap ? 2 * u->cap : 256;
			uint64_t *more = realloc(u->file, cap * sizeof(*more));

			if (!more)
				return -ENOMEM;
			u->file = more;
			u->cap = cap;
		}
		u->file[u->n++] = base ? base : r[i].number;
	}
	return 0;
}

/* What is lost because it does not unpack; the rest is told where it is lost. */
static void report(struct unpacking *u, uint64_t number, struct layer *file,
		   const struct ranges *bad)
{
	const char *path;
	unsigned told = 0;

	pthread_mutex_lock(&u->lock);
	path = ntfs_check_path(u->k, number);
	for (size_t i = 0; i < bad->n && told < TOLD; i++) {
		const struct range *b = &bad->v[i];
		struct extent run = {0};

		if (b->why != NTFS_LZNT1 && b->why != NTFS_WOF)
			continue;
		told++;
		if (layer_map(file, b->off, &run) || run.kind != EXTENT_DATA)
			run.at = run.packed = 0;
		finding_fact(u->k->l, b->why, &(struct fact){.at = run.at, .at_len = run.packed},
			     "%s: %" PRIu64 " bytes from byte %" PRIu64 " on do not unpack", path,
			     b->len, b->off);
	}
	pthread_mutex_unlock(&u->lock);
}

static int unpack(struct unpacking *u, uint64_t number, struct layer *file)
{
	uint8_t *buf = malloc(PIECE);
	struct ranges bad = {0};
	int r = buf ? 0 : -ENOMEM;

	for (uint64_t off = 0; off < file->size && !r; off += PIECE) {
		uint64_t left = file->size - off;
		size_t len = left < PIECE ? (size_t)left : PIECE;

		r = session_stopped(file->s) ? -EINTR : layer_read(file, off, buf, len, &bad);
		session_checked(file->s, len);
	}
	if (!r)
		r = ranges_flatten(&bad);
	if (!r && bad.n)
		report(u, number, file, &bad);
	ranges_free(&bad);
	free(buf);
	return r;
}

static int unpack_streams(struct unpacking *u, const struct ntfs_inode *ino)
{
	struct layer *l = u->k->l;
	int r = 0;

	for (size_t i = 0; i < ino->n_attrs && !r; i++) {
		const struct ntfs_attr *a = &ino->attrs[i].a;
		bool wof = ntfs_name_is(a->name, "WofCompressedData");
		struct layer *file = NULL;

		if (!is_packed(a))
			continue;
		r = ntfs_stream_open(l, ino, NTFS_DATA, wof ? (struct span){0} : a->name, "",
				     &file);
		if (!r)
			r = unpack(u, ino->number, file);
		else if (r == -ENOENT || r == -EBADMSG)
			r = 0;
		layer_free(file);
	}
	return r;
}

static int unpack_file(void *arg, size_t i)
{
	struct unpacking *u = arg;
	struct ntfs_inode *ino = malloc(sizeof(*ino));
	int r;

	if (!ino)
		return -ENOMEM;
	r = ntfs_inode_load(u->k->l, u->file[i], ino);
	if (!r)
		r = unpack_streams(u, ino);
	ntfs_inode_free(ino);
	free(ino);
	session_progress(u->k->l->s, "unpacking", i, u->n);
	return r == -EBADMSG ? 0 : r;
}

int ntfs_check_data(struct ntfs_check *k)
{
	struct unpacking u = {.k = k};
	struct ntfs_scan scan = {.l = k->l,
				 .per_record = sizeof(bool),
				 .work = find_packed,
				 .deliver = collect,
				 .arg = &u};
	int r = ntfs_scan(&scan);

	pthread_mutex_init(&u.lock, NULL);
	if (!r)
		r = pool_run(session_jobs(k->l->s), u.n, unpack_file, &u);
	pthread_mutex_destroy(&u.lock);
	free(u.file);
	return r;
}
