/* SPDX-License-Identifier: Apache-2.0 */
/* NTFS: what the parts of its check share. Not for others. */
#ifndef VDISKCK_FORMATS_FS_NTFS_CHECK_H
#define VDISKCK_FORMATS_FS_NTFS_CHECK_H

#include "formats/fs/ntfs.h"
#include "formats/fs/ntfs_claimed.h"

enum { NTFS_CHECK_NAME = 300 /* bytes of a name in a message; longer ones are cut */ };

struct ntfs_check {
	struct layer *l;
	struct ntfs *n;
	struct ntfs_tree *tree;
	struct ntfs_claimed c;
	/*
	 * For each record: the hashes of the names that it has, less those that indexes have for
	 * it. Zero: they agree.
	 */
	uint64_t *names;
	/* Of files with one name, one more than their size: the index should have it, too. */
	uint64_t *sizes;
	uint64_t stale, stale_first; /* files of which it has not; the first of them */
	uint64_t stale_at;
	uint64_t bits_wrong; /* records about which the bitmap of $MFT is */
	bool upcase_good;    /* names can be compared as Windows does */
	uint32_t *dirs;	     /* records that have an index */
	size_t n_dirs, cap_dirs;
	struct ntfs_inode *ino; /* for whoever needs one for the moment */
	char *path;		/* ntfs_check_path() */
};

/* ntfs_check_at() - a byte of a record in the volume, for a finding; 0 when it lies nowhere */
uint64_t ntfs_check_at(const struct ntfs_check *k, uint64_t number, uint32_t off);
/* ntfs_check_path() - the path of a file in quotes, or record N; good until the next call */
const char *ntfs_check_path(struct ntfs_check *k, uint64_t number);
/* ntfs_check_name() - what one name of a file counts in k->names; @child: its reference */
uint64_t ntfs_check_name(uint64_t child, const struct ntfs_file_name *f);

/* ntfs_check_record.c */
/* ntfs_check_rules() - does the record break a rule? With @report: as findings, all of them. */
bool ntfs_check_rules(const struct ntfs_check *k, const struct ntfs_record *r, bool report);
/* ntfs_check_bitmap.c: $Bitmap and the runs */
int ntfs_check_clusters(struct ntfs_check *k);
/* ntfs_check_index.c: all indexes of one record */
int ntfs_check_indexes(struct ntfs_check *k, uint64_t number);
/* ntfs_check_names.c: k->names, after all indexes */
int ntfs_check_names(struct ntfs_check *k);
/* ntfs_check_copies.c: what is on the volume twice, and what is the same on all volumes */
int ntfs_check_copies(struct ntfs_check *k);
/* ntfs_check_data.c: unpack all files that are compressed */
int ntfs_check_data(struct ntfs_check *k);
/* ntfs_secure.c */
/*
 * ntfs_sds_check() - every security descriptor of a stream $SDS
 * @bad: told of each one of which not both copies are good; @len: bytes, as far as known
 */
int ntfs_sds_check(struct layer *sds,
		   void (*bad)(void *arg, uint64_t off, uint32_t len, bool first, bool second),
		   void *arg);
int ntfs_check_secure(struct ntfs_check *k);

/* ntfs_logfile.c */
enum ntfs_log_state {
	NTFS_LOG_NONE,	/* there is none, or no restart page is readable */
	NTFS_LOG_EMPTY, /* filled with 0xff: made anew */
	NTFS_LOG_CLEAN,
	NTFS_LOG_IN_USE, /* not closed */
};
struct ntfs_log {
	enum ntfs_log_state state;
	uint16_t major, minor;
	uint64_t lsn; /* of the restart page */
	uint32_t restart_bad, pages_bad, pages;
};
/*
 * ntfs_log_read() - the state of $LogFile
 * @file: its data; @pages: look at every page, too; @bad_page: told of each page that is none
 */
int ntfs_log_read(struct layer *file, bool pages,
		  void (*bad_page)(void *arg, uint64_t off, uint32_t len, const char *why),
		  void *arg, struct ntfs_log *log);
int ntfs_check_log(struct ntfs_check *k);

/* ntfs_usn.c */
/*
 * ntfs_usn_check() - every record of a USN journal's $J
 * @broken: told of each place where the journal does not go on as it must
 */
int ntfs_usn_check(struct layer *j, void (*broken)(void *arg, uint64_t off, const char *why),
		   void *arg, uint64_t *records);
int ntfs_check_usn(struct ntfs_check *k);

/* ntfs_state.c: the state of the volume, for info and check */
struct ntfs_state {
	bool dirty, chkdsk, log_known, hibernated;
	struct ntfs_log log;
};
int ntfs_state_get(struct layer *l, struct ntfs_state *s);

#endif
