/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NTFS: $LogFile, as far as its own structure goes: restart pages, record pages, and what they say
 * of its state. An LSN tells where in the file its record begins, so a page knows its place.
 * Sources: libfsntfs, "Transaction journal ($LogFile)"; ntfs-3g include/ntfs-3g/logfile.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/ntfs_check.h"
#include "vdiskck/core/session.h"

enum {
	PAGE_MIN = 512,
	PAGE_MAX = 65536,
	NO_CLIENT = 0xffff,
	CLEAN = 2, /* flags: the volume was unmounted */
};

/* Restart page: this, the update sequence array, and at @area_off the restart area. */
struct restart_page {
	char magic[4];		   /* 0x00 "RSTR"; "CHKD": chkdsk was here */
	le16_t usa_off, usa_count; /* 0x04 */
	le64_t chkdsk_lsn;	   /* 0x08 */
	le32_t system_page;	   /* 0x10 bytes of a restart page */
	le32_t log_page;	   /* 0x14 bytes of a record page */
	le16_t area_off;	   /* 0x18 */
	le16_t minor, major;	   /* 0x1a */
};
_Static_assert(sizeof(struct restart_page) == 30, "RSTR");

struct restart_area {
	le64_t lsn;		    /* 0x00 of the last record */
	le16_t clients;		    /* 0x08 */
	le16_t free_list, use_list; /* 0x0a 0xffff: none */
	le16_t flags;		    /* 0x0e */
	le32_t seq_bits;	    /* 0x10 of an LSN: above where it is in the file */
	le16_t length;		    /* 0x14 */
	le16_t client_off;	    /* 0x16 */
	le64_t file_size;	    /* 0x18 */
};
_Static_assert(sizeof(struct restart_area) == 32, "restart area");

struct record_page {
	char magic[4];		   /* 0x00 "RCRD" */
	le16_t usa_off, usa_count; /* 0x04 */
	le64_t last_lsn;	   /* 0x08; of copies at the start: where the page belongs */
	le32_t flags;		   /* 0x10 1: a record ends in it */
	le16_t pages, position;	   /* 0x14 */
	le16_t next_record;	   /* 0x18 */
	uint8_t reserved[6];
	le64_t last_end_lsn; /* 0x20 of the last record that ends in it */
};
_Static_assert(sizeof(struct record_page) == 40, "RCRD");

static bool power_of_2(uint32_t v)
{
	return v >= PAGE_MIN && v <= PAGE_MAX && !(v & (v - 1));
}

/* The restart page at @off; NULL, or the area. *@why: what is wrong with it. */
static const struct restart_area *restart(struct layer *file, uint64_t off, uint8_t *buf,
					  struct ntfs_log *log, uint32_t *page, const char **why)
{
	const struct restart_page *h = (const void *)buf;
	struct span s = {buf, PAGE_MAX, 0};
	const struct restart_area *a;
	struct ranges bad = {0};
	uint32_t system;

	*why = "a restart page can't be read";
	if (file->size < PAGE_MIN || off > file->size - PAGE_MIN)
		return NULL;
	memset(buf, 0, PAGE_MAX);
	if (file->size - off < s.len)
		s.len = (size_t)(file->size - off);
	if (layer_read(file, off, buf, s.len, &bad) || (bad.n && bad.v[0].off < off + PAGE_MIN)) {
		ranges_free(&bad);
		return NULL;
	}
	ranges_free(&bad);
	*why = "a restart page is none";
	system = le32(h->system_page);
	if ((memcmp(h->magic, "RSTR", 4) && memcmp(h->magic, "CHKD", 4)) || !power_of_2(system) ||
	    !power_of_2(le32(h->log_page)) || system > s.len)
		return NULL;
	*why = "a sector of a restart page is from another write";
	if (ntfs_fixup(buf, system))
		return NULL;
	s.len = system;
	a = span_at(s, le16(h->area_off), sizeof(*a));
	*why = "the restart area does not fit its page";
	if (!a || le16(h->area_off) % 8)
		return NULL;
	log->major = le16(h->major);
	log->minor = le16(h->minor);
	page[0] = system;
	page[1] = le32(h->log_page);
	*why = NULL;
	return a;
}

/* 0xff from end to end: as mkntfs and chkdsk leave it. */
static bool is_empty(struct layer *file, uint8_t *buf)
{
	size_t n = file->size < PAGE_MAX ? (size_t)file->size : PAGE_MAX;

	return n && !layer_read(file, 0, buf, n, NULL) && buf[0] == 0xff &&
	       !memcmp(buf, buf + 1, n - 1);
}

/*
 * Pages behind the restart pages. Those that were never written hold 0xff; the first two (or from
 * version 2.0 on, 32) are buffers, and hold copies of others.
 */
static int check_pages(struct layer *file, const struct restart_area *a, const uint32_t page[2],
		       void (*bad_page)(void *, uint64_t, uint32_t, const char *), void *arg,
		       struct ntfs_log *log)
{
	uint32_t len = page[1], buffers = log->major < 2 ? 2 : 32, shift = le32(a->seq_bits);
	uint64_t first = 2ull * page[0], end = le64(a->file_size);
	uint8_t *buf = malloc(len);
	int r = buf ? 0 : -ENOMEM;

	if (end > file->size || !end)
		end = file->size;
	for (uint64_t off = first; off + len <= end && !r; off += len) {
		const struct record_page *h = (const void *)buf;
		struct ranges bad = {0};
		const char *why = NULL;

		r = layer_read(file, off, buf, len, &bad);
		if (!r && bad.n)
			why = "it can't be read";
		else if (!r && !memcmp(h->magic, "RCRD", 4) && ntfs_fixup(buf, len))
			why = "a sector of it is from another write";
		else if (!r && memcmp(h->magic, "RCRD", 4) &&
			 memcmp(h->magic, "\xff\xff\xff\xff", 4) && memcmp(h->magic, "CHKD", 4) &&
			 memcmp(h->magic, "\0\0\0\0", 4))
			why = "it is no record page";
		else if (!r && !memcmp(h->magic, "RCRD", 4) &&
			 off >= first + (uint64_t)buffers * len && shift >= 10 && shift < 64 &&
			 le32(h->flags) & 1 && le64(h->last_end_lsn)) {
			/* The record that ends here begins here or before. */
			uint64_t at = (le64(h->last_end_lsn) << shift >> shift) << 3;

			if (at >= end)
				why = "its LSN leads out of the file";
		}
		log->pages += !r && !memcmp(h->magic, "RCRD", 4);
		if (why) {
			log->pages_bad++;
			if (bad_page)
				bad_page(arg, off, len, why);
		}
		ranges_free(&bad);
	}
	free(buf);
	return r;
}

int ntfs_log_read(struct layer *file, bool pages,
		  void (*bad_page)(void *arg, uint64_t off, uint32_t len, const char *why),
		  void *arg, struct ntfs_log *log)
{
	uint8_t *bufs[2] = {malloc(PAGE_MAX), malloc(PAGE_MAX)};
	const struct restart_area *a[2] = {NULL, NULL}, *use;
	uint32_t page[2] = {4096, 4096};
	const char *why[2];
	int r = bufs[0] && bufs[1] ? 0 : -ENOMEM;

	*log = (struct ntfs_log){.state = NTFS_LOG_NONE};
	if (r)
		goto out;
	if (is_empty(file, bufs[0])) {
		log->state = NTFS_LOG_EMPTY;
		goto out;
	}
	a[0] = restart(file, 0, bufs[0], log, page, &why[0]);
	a[1] = restart(file, page[0], bufs[1], log, page, &why[1]);
	for (int i = 0; i < 2; i++) {
		log->restart_bad += !a[i];
		if (!a[i] && bad_page)
			bad_page(arg, i ? page[0] : 0, page[0], why[i]);
	}
	use = a[0] && (!a[1] || le64(a[0]->lsn) >= le64(a[1]->lsn)) ? a[0] : a[1];
	if (!use)
		goto out;
	log->lsn = le64(use->lsn);
	log->state = le16(use->use_list) == NO_CLIENT || le16(use->flags) & CLEAN ? NTFS_LOG_CLEAN
										  : NTFS_LOG_IN_USE;
	if (pages)
		r = check_pages(file, use, page, bad_page, arg, log);
out:
	free(bufs[0]);
	free(bufs[1]);
	return r;
}

struct log_check {
	struct ntfs_check *k;
	struct layer *file;
	uint32_t restart; /* bytes of the restart pages */
};

static void bad_page(void *arg, uint64_t off, uint32_t len, const char *why)
{
	struct log_check *c = arg;
	struct extent run;
	uint64_t at = !layer_map(c->file, off, &run) && run.kind == EXTENT_DATA ? run.at : 0;

	if (!strncmp(why, "a restart", 9) || strstr(why, "restart"))
		finding(c->k->l, NTFS_LOG_RESTART, at, len, "$LogFile: %s", why);
	else
		finding(c->k->l, NTFS_LOG_PAGE, at, len, "$LogFile, page at 0x%" PRIx64 ": %s", off,
			why);
}

int ntfs_check_log(struct ntfs_check *k)
{
	struct log_check c = {.k = k};
	struct ntfs_log log;
	int r = ntfs_inode_load(k->l, NTFS_LOGFILE, k->ino);

	if (!r)
		r = ntfs_stream_open(k->l, k->ino, NTFS_DATA, (struct span){0}, "/$LogFile",
				     &c.file);
	if (!r)
		r = ntfs_log_read(c.file, true, bad_page, &c, &log);
	if (!r && log.state == NTFS_LOG_NONE)
		finding(k->l, NTFS_LOG_LOST, ntfs_check_at(k, NTFS_LOGFILE, 0), k->n->g.record,
			"neither restart page of $LogFile can be used");
	if (!r && log.state == NTFS_LOG_IN_USE)
		finding(k->l, NTFS_LOG_DIRTY, ntfs_check_at(k, NTFS_LOGFILE, 0), k->n->g.record,
			"$LogFile (version %u.%u) was not closed; its last LSN is %" PRIu64,
			log.major, log.minor, log.lsn);
	layer_free(c.file);
	ntfs_inode_free(k->ino);
	return r == -EBADMSG || r == -ENOENT ? 0 : r;
}
