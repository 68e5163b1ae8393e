/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fast commits behind the log of the journal: found, verified and reported here, applied by the
 * files beside. Source: "Fast Commits" in the kernel's ext4 documentation; the order and the
 * checksums are those of fs/ext4/fast_commit.c.
 */
#include "formats/fs/ext4_fc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

enum {
	AREA_MAX = 64 << 20, /* bytes; the kernel makes areas of 1 MiB */
	TAIL_SUMMED = sizeof(struct ext4_fc_tl) + offsetof(struct ext4_fc_tail, crc),
	NAMED_MAX = 5, /* names in a finding */
};

uint32_t fc_tag_ino(const struct fc_tag *t)
{
	const struct ext4_fc_dentry *d = (const void *)t->p;

	switch (t->kind) {
	case EXT4_FC_ADD_RANGE:
	case EXT4_FC_DEL_RANGE:
	case EXT4_FC_INODE: return le32(d->parent); /* the first field of these is the inode */
	case EXT4_FC_CREAT:
	case EXT4_FC_LINK:
	case EXT4_FC_UNLINK: return le32(d->ino);
	default: return 0;
	}
}

static bool len_ok(const struct ext4 *fs, unsigned kind, unsigned len)
{
	switch (kind) {
	case EXT4_FC_ADD_RANGE: return len == sizeof(struct ext4_fc_add_range);
	case EXT4_FC_DEL_RANGE: return len == sizeof(struct ext4_fc_del_range);
	case EXT4_FC_CREAT:
	case EXT4_FC_LINK:
	case EXT4_FC_UNLINK:
		return len > sizeof(struct ext4_fc_dentry) &&
		       len <= sizeof(struct ext4_fc_dentry) + EXT4_NAME_MAX;
	case EXT4_FC_INODE: return len >= 4 + EXT4_GOOD_OLD_INODE && len <= 4 + fs->inode_size;
	case EXT4_FC_PAD: return true;
	case EXT4_FC_HEAD: return len >= sizeof(struct ext4_fc_head);
	case EXT4_FC_TAIL: return len >= sizeof(struct ext4_fc_tail);
	default: return false;
	}
}

/* The tag at *@off of a block; false: nothing that could be one. */
static bool next_tag(const struct ext4 *fs, const uint8_t *buf, uint32_t *off, struct fc_tag *t)
{
	const struct ext4_fc_tl *tl = (const void *)(buf + *off);

	if (*off + sizeof(*tl) > fs->block_size)
		return false;
	t->kind = le16(tl->tag);
	t->len = le16(tl->len);
	t->p = buf + *off + sizeof(*tl);
	*off += (uint32_t)sizeof(*tl);
	if (t->len > fs->block_size - *off || !len_ok(fs, t->kind, t->len))
		return false;
	*off += t->len;
	return true;
}

static int keep(struct fc *f, const struct fc_tag *t)
{
	if (f->n_tags == f->tags_cap) {
		size_t cap = f->tags_cap ? f->tags_cap * 2 : 256;
		struct fc_tag *v = realloc(f->tags, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		f->tags = v;
		f->tags_cap = cap;
	}
	f->tags[f->n_tags++] = *t;
	return 0;
}

enum scanned { GOES_ON, ENDS, BROKEN };

/* Where the scan stands. */
struct scan {
	struct fc *f;
	uint32_t tid, crc;
	size_t whole;	 /* tags up to the last tail that was right */
	uint32_t first;	 /* block that the commit at hand begins in */
	bool stale;	 /* a tail of another transaction ended it */
	bool other_head; /* the first head is that of another one */
	bool unknown;	 /* it states features */
	uint64_t at;	 /* of what ended it */
};

static enum scanned look_at(struct scan *s, const struct fc_tag *t)
{
	const struct ext4_fc_head *h = (const void *)t->p;
	const struct ext4_fc_tail *tail = (const void *)t->p;
	const uint8_t *from = t->p - sizeof(struct ext4_fc_tl);

	if (t->kind == EXT4_FC_TAIL) {
		s->crc = sum_crc32c(s->crc, from, TAIL_SUMMED);
		s->stale = le32(tail->tid) != s->tid;
		if (s->stale || le32(tail->crc) != s->crc)
			return s->stale ? ENDS : BROKEN;
		s->crc = 0;
		s->whole = s->f->n_tags;
		s->f->commits++;
		return GOES_ON;
	}
	if (t->kind == EXT4_FC_HEAD) {
		s->unknown = le32(h->features) != 0;
		s->other_head = le32(h->tid) != s->tid;
		if (s->unknown || s->other_head)
			return ENDS;
	}
	s->crc = sum_crc32c(s->crc, from, sizeof(struct ext4_fc_tl) + t->len);
	return GOES_ON;
}

/* One block of the area; what follows a tail in it is padding. */
static int scan_block(struct scan *s, uint32_t k, enum scanned *how)
{
	struct ext4 *fs = s->f->fs;
	const uint8_t *buf = s->f->area + ((size_t)k << fs->block_bits);
	uint64_t start = fs->j.blocks[fs->j.fast_first + k] << fs->block_bits;
	uint32_t off = 0;
	struct fc_tag t;
	int r = 0;

	while (!r && *how == GOES_ON && off + sizeof(struct ext4_fc_tl) <= fs->block_size) {
		s->at = start + off;
		if (!next_tag(fs, buf, &off, &t)) {
			*how = BROKEN;
			break;
		}
		t.at = start + (uint64_t)(t.p - buf);
		*how = look_at(s, &t);
		if (*how == GOES_ON && fc_tag_ino(&t))
			r = keep(s->f, &t);
		if (*how == GOES_ON && t.kind == EXT4_FC_TAIL)
			s->first = k + 1;
	}
	return r;
}

/* The block behind the one with the next tail of transaction @tid, from block @k on; 0: none. */
static uint32_t tail_behind(const struct fc *f, uint32_t k, uint32_t n, uint32_t tid)
{
	for (; k < n; k++) {
		const uint8_t *buf = f->area + ((size_t)k << f->fs->block_bits);
		uint32_t off = 0;
		struct fc_tag t;

		while (next_tag(f->fs, buf, &off, &t)) {
			const struct ext4_fc_tail *tail = (const void *)t.p;

			if (t.kind == EXT4_FC_TAIL && le32(tail->tid) == tid)
				return k + 1;
		}
	}
	return 0;
}

/* The first names in blocks [k, n), for a finding. */
static const char *about(const struct fc *f, uint32_t k, uint32_t n)
{
	static _Thread_local char text[NAMED_MAX * (4 * EXT4_NAME_MAX + 8) + 64];
	size_t len = 0;
	unsigned named = 0;

	text[0] = '\0';
	for (; k < n && named < NAMED_MAX; k++) {
		const uint8_t *buf = f->area + ((size_t)k << f->fs->block_bits);
		uint32_t off = 0;
		struct fc_tag t;

		while (named < NAMED_MAX && next_tag(f->fs, buf, &off, &t)) {
			char name[4 * EXT4_NAME_MAX + 1];
			const char *p = (const char *)t.p + sizeof(struct ext4_fc_dentry);

			if (t.kind < EXT4_FC_CREAT || t.kind > EXT4_FC_UNLINK)
				continue;
			name_escape(p, t.len - sizeof(struct ext4_fc_dentry), name, sizeof(name));
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						named++ ? ", " : "; names in it: ", name);
		}
	}
	return text;
}

/* Why nothing more than s->whole tags holds; damage where the scan did not end by itself. */
static void report_end(struct scan *s, uint32_t n, enum scanned how)
{
	struct fc *f = s->f;
	uint32_t end;
	struct fact fact = {.at = s->at, .at_len = sizeof(struct ext4_fc_tl)};

	if (s->unknown) {
		finding_fact(f->fs->l, EXT4_FAST_COMMITS, &fact,
			     "fast commits with features that are not known follow the log: they "
			     "are not applied");
		return;
	}
	/*
	 * A commit that was not finished has no tail, and what is left of older ones has the tail
	 * of another transaction: only a tail of this one says that something was here.
	 */
	end = how == BROKEN ? tail_behind(f, s->first, n, s->tid) : 0;
	if (!end)
		return;
	finding_fact(f->fs->l, EXT4_FAST_COMMIT_BAD, &fact,
		     "fast commits of transaction %" PRIu32
		     " are damaged from here on, and not applied%s",
		     s->tid, about(f, s->first, end));
}

/* Into f->area, f->tags; how many blocks could be read goes to @n. */
static int read_area(struct fc *f, uint32_t *n)
{
	struct ext4 *fs = f->fs;
	uint32_t max = fs->j.fast_end - fs->j.fast_first;
	int r = 0;

	if (max > (uint32_t)AREA_MAX >> fs->block_bits)
		max = AREA_MAX >> fs->block_bits;
	f->area = calloc(max ? max : 1, fs->block_size);
	if (!f->area)
		return -ENOMEM;
	for (*n = 0; *n < max; ++*n) {
		r = ext4_journal_read(fs, fs->j.fast_first + *n,
				      f->area + ((size_t)*n << fs->block_bits));
		/* One that is lost is all zeros here: no tags, so the scan ends in it. */
		if (r && r != -EIO)
			return r;
	}
	return 0;
}

static int scan(struct fc *f)
{
	struct ext4 *fs = f->fs;
	struct scan s = {.f = f, .tid = fs->j.sequence + 1};
	enum scanned how = GOES_ON;
	uint32_t n = 0, k;
	struct fc_tag first;
	uint32_t off = 0;
	int r = read_area(f, &n);

	for (k = 0; !r && k < n && how == GOES_ON; k++)
		if (!k && (!next_tag(fs, f->area, &off, &first) || first.kind != EXT4_FC_HEAD)) {
			/* Never used, or its first block is lost. */
			s.at = fs->j.blocks[fs->j.fast_first] << fs->block_bits;
			how = BROKEN;
		} else {
			r = scan_block(&s, k, &how);
		}
	if (!r && how != GOES_ON)
		report_end(&s, n, how);
	f->n_tags = s.whole;
	return r;
}

static void report(const struct fc *f)
{
	struct ext4 *fs = f->fs;
	struct fact fact = {.at = fs->j.blocks[fs->j.fast_first] << fs->block_bits,
			    .at_len = fs->block_size};

	if (f->failed < f->n_tags)
		finding_fact(fs->l, EXT4_FAST_COMMITS_APPLIED, &fact,
			     "the log is followed by fast commits (%" PRIu32
			     ", with %zu changes): they are applied in memory",
			     f->commits, f->n_tags);
	if (f->failed)
		finding_fact(fs->l, EXT4_FAST_COMMITS, &fact,
			     "of %zu changes that fast commits log, %" PRIu32 " can't be applied",
			     f->n_tags, f->failed);
}

static void fc_free(struct fc *f)
{
	for (size_t k = 0; k < f->n_inodes; k++) {
		free(f->inodes[k].runs);
		free(f->inodes[k].nodes);
	}
	free(f->inodes);
	free(f->groups);
	free(f->tags);
	free(f->area);
}

int ext4_fast_commits(struct ext4 *fs)
{
	struct fc f = {.fs = fs};
	int r;

	if (!fs->j.applied || !fs->j.fast_first)
		return 0;
	r = scan(&f);
	if (!r && f.n_tags)
		r = fc_apply(&f);
	if (!r && f.n_tags)
		report(&f);
	fs->patch.partial = f.failed != 0;
	/* What the cache and the descriptors hold was read without it. */
	if (!r && fs->patch.n)
		r = ext4_cache_reset(fs);
	if (!r && fs->patch.n)
		r = ext4_gdt_load(fs, false);
	fc_free(&f);
	return r;
}
