/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: $Secure:$SDS, the security descriptors. Each is there twice, 256 KiB apart, with a hash
 * of its own. Source: libfsntfs, "Security descriptor stream data"; the hash as ntfs-3g has it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"

enum {
	HALF = 0x40000,	     /* a block of entries, then its copy */
	SDS_MAX = 256 << 20, /* bytes of stream that are looked at */
};

struct sds_entry {
	le32_t hash;   /* 0x00 of the descriptor */
	le32_t id;     /* 0x04 */
	le64_t offset; /* 0x08 of the entry in the stream: in its copy, too, that of the first */
	le32_t length; /* 0x10 with this head */
};
_Static_assert(sizeof(struct sds_entry) == 20, "$SDS");

static uint32_t sds_hash(struct span sd)
{
	uint32_t h = 0;

	for (size_t i = 0; i + 4 <= sd.len; i += 4)
		h = (h << 3 | h >> 29) + le32(*(const le32_t *)(sd.p + i));
	return h;
}

/* Is there an entry at @off of @half that says it is at @own of the stream, with the right hash? */
static bool is_good(struct span half, uint64_t off, uint64_t own, uint32_t *len)
{
	const struct sds_entry *e = span_at(half, off, sizeof(*e));
	struct span sd;

	*len = e ? le32(e->length) : 0;
	if (!e || *len <= sizeof(*e) || le64(e->offset) != own || !span_at(half, off, *len))
		return false;
	sd = (struct span){(const uint8_t *)(e + 1), *len - sizeof(*e), 0};
	return sds_hash(sd) == le32(e->hash);
}

struct secure {
	struct layer *sds;
	void (*bad)(void *arg, uint64_t off, uint32_t len, bool first, bool second);
	void *arg;
	uint64_t base; /* of the pair of halves in the stream */
	bool copied;   /* the second half is there */
};

/* The next entry that either half has, from @off on: they begin at multiples of 16. */
static uint64_t resume(struct span a, struct span b, uint64_t base, uint64_t off)
{
	uint32_t len;

	for (off += 16; off + sizeof(struct sds_entry) <= a.len; off += 16)
		if (is_good(a, off, base + off, &len) || is_good(b, off, base + off, &len))
			return off;
	return a.len;
}

static void check_halves(struct secure *s, struct span a, struct span b)
{
	for (uint64_t off = 0; off + sizeof(struct sds_entry) <= a.len;) {
		const struct sds_entry *ea = span_at(a, off, sizeof(*ea));
		const struct sds_entry *eb = span_at(b, off, sizeof(*eb));
		uint32_t la, lb;
		bool ga = is_good(a, off, s->base + off, &la);
		bool gb = is_good(b, off, s->base + off, &lb);

		/* Behind the last entry of the block. */
		if (!le32(ea->length) && !le32(ea->hash) && (!eb || !le32(eb->length)))
			break;
		if (!ga || (s->copied && !gb))
			s->bad(s->arg, s->base + off + (ga ? HALF : 0),
			       ga   ? la
			       : gb ? lb
				    : sizeof(*ea),
			       ga, gb);
		if (ga || gb)
			off = (off + (ga ? la : lb) + 15) & ~15ull;
		else
			off = resume(a, b, s->base, off);
	}
}

static int check_pair(struct secure *s, uint8_t *buf)
{
	uint64_t left = s->sds->size - s->base;
	size_t a = left < HALF ? (size_t)left : HALF;
	size_t b = left <= HALF ? 0 : left - HALF < HALF ? (size_t)(left - HALF) : HALF;
	int r;

	memset(buf, 0, 2 * HALF);
	r = layer_read(s->sds, s->base, buf, a + b, NULL);
	s->copied = b != 0;
	if (!r)
		check_halves(s, (struct span){buf, a, 0}, (struct span){buf + HALF, b, 0});
	return r;
}

int ntfs_sds_check(struct layer *sds,
		   void (*bad)(void *arg, uint64_t off, uint32_t len, bool first, bool second),
		   void *arg)
{
	struct secure s = {.sds = sds, .bad = bad, .arg = arg};
	uint8_t *buf = malloc(2 * HALF);
	int r = buf ? 0 : -ENOMEM;

	for (; !r && s.base < sds->size && s.base < SDS_MAX; s.base += 2 * HALF)
		r = check_pair(&s, buf);
	free(buf);
	return r;
}

struct reporter {
	struct layer *l, *sds;
};

static void report(void *arg, uint64_t off, uint32_t len, bool first, bool second)
{
	const struct reporter *to = arg;
	struct extent run;
	uint64_t at = !layer_map(to->sds, off, &run) && run.kind == EXTENT_DATA ? run.at : 0;

	finding(to->l, first || second ? NTFS_SECURE_COPY : NTFS_SECURE_LOST, at, len,
		"$Secure:$SDS at 0x%" PRIx64 ": the hash or the head of a descriptor is wrong%s",
		off, first || second ? "" : ", in its copy, too");
}

int ntfs_check_secure(struct ntfs_check *k)
{
	struct reporter to = {.l = k->l};
	int r = ntfs_inode_load(k->l, NTFS_SECURE, k->ino);
	const struct ntfs_attr *a = r ? NULL : ntfs_inode_find(k->ino, NTFS_DATA, "$SDS");

	if (a)
		r = ntfs_stream_open(k->l, k->ino, NTFS_DATA, a->name, "/$Secure:$SDS", &to.sds);
	if (!r && to.sds)
		r = ntfs_sds_check(to.sds, report, &to);
	layer_free(to.sds);
	ntfs_inode_free(k->ino);
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}
