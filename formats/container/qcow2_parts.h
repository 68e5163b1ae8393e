/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the qcow2 reader only; what the checker needs is in qcow2.h. */
#ifndef VDISKCK_FORMATS_CONTAINER_QCOW2_PARTS_H
#define VDISKCK_FORMATS_CONTAINER_QCOW2_PARTS_H

#include "formats/container/qcow2.h"
#include "vdiskck/core/json.h"

/* qcow2_header.c: all return 0, or the -errno of qcow2_ops.open */
int qcow2_header_read(struct qcow2 *q);
int qcow2_extensions_read(struct qcow2 *q);
/* qcow2_text_read() - @len bytes at @at of the image file with a NUL behind; NULL: no memory */
char *qcow2_text_read(struct qcow2 *q, uint64_t at, size_t len, struct ranges *bad);

/* qcow2_backing.c: open what the header names. 0, or -errno that stops the program. */
int qcow2_backing_open(struct qcow2 *q);
int qcow2_data_file_open(struct qcow2 *q);
/* What a file system says of a file: seconds since 1970. */
struct qcow2_times {
	int64_t written, made;
	bool has_made;
};
enum qcow2_newer { QCOW2_NOT_NEWER, QCOW2_NEWER_BY_COPYING, QCOW2_NEWER };
/* qcow2_newer() - was the backing file written to after the image last was? */
enum qcow2_newer qcow2_newer(const struct qcow2_times *backing, const struct qcow2_times *image);

/* qcow2_snapshot.c, qcow2_bitmap.c */
int qcow2_snapshots_read(struct qcow2 *q);
void qcow2_snapshots_info(const struct qcow2 *q, struct json *to);
void qcow2_snapshots_free(struct qcow2 *q);
int qcow2_bitmaps_read(struct qcow2 *q);
void qcow2_bitmaps_info(const struct qcow2 *q, struct json *to);
void qcow2_bitmaps_free(struct qcow2 *q);

#define QCOW2_NO_DOUBT FINDING_COUNT

/* Bytes [off, off + len) of a view, all of one kind. */
struct qcow2_run {
	uint64_t off, len;
	enum qcow2_kind kind;  /* never SUBCLUSTERS */
	uint64_t host;	       /* NORMAL: of byte @off; COMPRESSED: of the packed bytes */
	uint64_t packed;       /* COMPRESSED; then @off is the cluster's first byte */
	enum finding_id why;   /* BAD: the reason */
	enum finding_id doubt; /* the reason to doubt it, or QCOW2_NO_DOUBT */
	unsigned steps;	       /* table entries that were looked at to find it */
};

/* qcow2_map.c */
/* qcow2_run_find() - the run that holds @off, followed as far as @limit where that is cheap */
int qcow2_run_find(const struct qcow2_view *v, uint64_t off, uint64_t limit, struct qcow2_run *r);
/* qcow2_tables_cache() - for slices of L1 and L2 tables; NULL: no memory */
struct cache *qcow2_tables_cache(struct qcow2 *q);
int qcow2_map(struct layer *l, uint64_t off, struct extent *run);
/*
 * qcow2_view_init() - bound an L1 table by what the disk needs and the file holds
 * Reports QCOW2_L1_OUTSIDE and QCOW2_L1_SHORT at [at, at + at_len), the field that says so.
 */
void qcow2_view_init(struct layer *l, struct qcow2_view *v, uint64_t l1_off, uint64_t l1_entries,
		     uint64_t at, uint64_t at_len);

/* qcow2_read.c */
int qcow2_caches_make(struct qcow2 *q);
int qcow2_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);

/* qcow2_crypt.c */
/* qcow2_crypt_open() - find the encryption header, try the session's keys; sets l->locked */
int qcow2_crypt_open(struct qcow2 *q);
int qcow2_unlock(struct layer *l);
/*
 * qcow2_decrypt() - decrypt what was read from byte @host of q->data for byte @off, in place
 * @bad: from index @from on, what of it was lost
 */
int qcow2_decrypt(const struct qcow2 *q, uint64_t off, uint64_t host, void *buf, size_t len,
		  struct ranges *bad, size_t from);
/* qcow2_ciphertext() - a layer's ciphertext(): clusters that this image stores */
int qcow2_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off);
int qcow2_crypt_check(struct qcow2 *q);
void qcow2_crypt_info(const struct qcow2 *q, struct json *to);
void qcow2_crypt_close(struct qcow2 *q);

/* qcow2_info.c */
bool qcow2_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
		     uint64_t *len);
void qcow2_info(struct layer *l, struct json *to);

/* qcow2_l1_bits() - an L1 entry stands for 1 << qcow2_l1_bits() bytes of the disk */
static inline unsigned qcow2_l1_bits(const struct qcow2 *q)
{
	return q->cluster_bits + q->l2_bits;
}

#endif
