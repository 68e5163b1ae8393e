/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A seal: checksums of a layer's bytes, so that a later run can say which of them changed.
 *
 * A leaf is 64 KiB of the layer. For each leaf that holds data the seal keeps the CRC-32C of its 16
 * sectors of 4096 bytes (to locate) and 128 bits of a SHA-256 (to prove): 80 bytes, 0.12 %. Zero
 * leaves, stored or not, are runs. Over all leaves stands one Merkle tree with one root, the same
 * through whatever container the bytes came.
 *
 * The file is made of 4096-byte pages, each with its own number and CRC-32C:
 *
 *	head page	 what is sealed: sizes, identity of the image
 *	generation 1	 leaf pages (51 records each), run pages, one commit page
 *	generation 2 ... only what changed; the rest is "same as before"
 *
 * A generation counts once its commit page is whole: what a crash leaves behind the last one is
 * written over. A damaged page costs what it says, and nothing else.
 */
#ifndef VDISKCK_SEAL_H
#define VDISKCK_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	SEAL_LEAF = 65536,
	SEAL_SECTOR = 4096,
	SEAL_SECTORS = SEAL_LEAF / SEAL_SECTOR,
	SEAL_HASH = 16,			  /* bytes of a SHA-256 that are kept */
	SEAL_FAN = 256,			  /* children of a node of the tree */
	SEAL_NODE = SEAL_LEAF * SEAL_FAN, /* bytes below a node of the lowest level: 16 MiB */
	SEAL_PAGE = 4096,
	SEAL_PER_PAGE = 51, /* leaf records in a page */
	SEAL_ROOT = 32,
	SEAL_ID = 64,
};

enum seal_kind {
	SEAL_DATA = 1, /* a record is kept */
	SEAL_ZERO,     /* all zeros */
	SEAL_LOST,     /* could not be read, or a check on it failed: not sealed */
	SEAL_SAME,     /* as in the generation before */
};

/* The record of a leaf. */
struct seal_leaf {
	le32_t crc[SEAL_SECTORS]; /* of sectors behind the end of the layer: 0 */
	uint8_t hash[SEAL_HASH];  /* SHA-256(0, index in 64 bits little-endian, bytes), cut */
};
_Static_assert(sizeof(struct seal_leaf) == 80 && SEAL_PER_PAGE * 80 + 16 == SEAL_PAGE, "seal page");

/* seal_leaf_make() - the record of leaf @index; @len: SEAL_LEAF, or less for the layer's last one */
void seal_leaf_make(uint64_t index, const void *data, size_t len, struct seal_leaf *leaf);

/*
 * A leaf of which some sectors were written to, and others rotted: the CRCs are of the sectors as they
 * should be, from different generations, and nobody has read bytes that a SHA-256 could be of.
 *
 * seal_leaf_mix() - take the sectors of @bits from @from; the hash is over the CRCs alone, then
 * seal_leaf_is_mixed() - is it such a record?
 */
void seal_leaf_mix(uint64_t index, struct seal_leaf *leaf, const struct seal_leaf *from,
		   uint16_t bits);
bool seal_leaf_is_mixed(uint64_t index, const struct seal_leaf *leaf);

/* The tree, built from left to right. Memory: one node for each level. */
struct seal_tree;
struct seal_tree *seal_tree_new(void);
/* seal_tree_add() - the next leaf; @leaf: NULL unless @kind is DATA */
void seal_tree_add(struct seal_tree *t, enum seal_kind kind, const struct seal_leaf *leaf);
/* seal_tree_run() - the next @n leaves, which are ZERO or LOST; the cost is the logarithm of @n */
void seal_tree_run(struct seal_tree *t, enum seal_kind kind, uint64_t n);
/* seal_tree_root() - the root over all leaves of @size bytes; @t is freed */
void seal_tree_root(struct seal_tree *t, uint64_t size, uint8_t root[SEAL_ROOT]);

/* What was sealed, as the head page has it. */
struct seal_head {
	uint64_t size;	  /* bytes of the layer */
	int64_t made;	  /* seconds since 1970 */
	char layer[256];  /* its path */
	char id[SEAL_ID]; /* what the image says that it is: "vhd UUID"; empty: nothing */
	char file[256];	  /* name of the image file, without its folder; empty: not known */
};

/* A generation, as its commit page has it. */
struct seal_generation {
	uint64_t number;		    /* from 1 */
	int64_t made;			    /* seconds since 1970 */
	uint64_t data, zero, lost, changed; /* leaves; @changed: since the one before */
	uint64_t kept; /* leaves that were taken from the one before though they differ by now */
	uint64_t image_size; /* of the image file, and */
	int64_t image_mtime; /* its time (ns), when reading began: is it the same file still? */
	uint8_t root[SEAL_ROOT];
	char version[32]; /* of the program */
};

/* Writing. A new seal lies under a temporary name until it is complete. */
struct seal_writer;
/*
 * seal_create() - a new seal at @path, which must not exist unless @force
 * seal_append() - one more generation of an open one
 * Return 0, or -errno after session_err().
 */
struct seal;
int seal_create(struct session *s, const char *path, bool force, const struct seal_head *head,
		struct seal_writer **w);
int seal_append(struct session *s, const char *path, struct seal *to, struct seal_writer **w);
/* seal_begin_at() - of a part of the layer: the first leaf put is @first. Before any is put. */
void seal_begin_at(struct seal_writer *w, uint64_t first);
/*
 * seal_copy() - put leaves [first, end) of the newest generation of @from, of the same layer
 * 0, -ENODATA: it does not have them all, or an error of seal_put()
 */
int seal_copy(struct seal_writer *w, struct seal *from, uint64_t first, uint64_t end);
/* seal_put() - the next leaf; @leaf: NULL unless @kind is DATA. seal_put_run(): @n of them. */
int seal_put(struct seal_writer *w, enum seal_kind kind, const struct seal_leaf *leaf);
int seal_put_run(struct seal_writer *w, enum seal_kind kind, uint64_t n);
/*
 * seal_commit() - all leaves were put: write the rest, sync, give the file its name
 * @g: fills number, counts and root. 0 or -errno, said. seal_drop(): give up; @w may be NULL.
 */
int seal_commit(struct seal_writer *w, struct seal_generation *g);
void seal_drop(struct seal_writer *w);

/*
 * Going on. What was put is kept beside the seal (SEAL.part), once a second: a run that is killed
 * loses no more than that, and the seal is bit for bit what one run would have made.
 *
 * seal_checkpoint() - keep it, if it is time to. @g: of the generation that is being made
 * seal_keep() - the run is stopped: keep it, and leave it there; frees @w
 * Return 0, or -errno, said.
 */
int seal_checkpoint(struct seal_writer *w, const struct seal_head *head,
		    const struct seal_generation *g);
int seal_keep(struct seal_writer *w, const struct seal_head *head, const struct seal_generation *g);
/*
 * seal_resume() - a writer that goes on where an earlier run was: @to gets it, and its next leaf
 * @before: as for seal_append(); NULL: a new seal. @to: of the same layer of the same file as then;
 * its times become those of then.
 * 0; -ENOENT: there is nothing to go on with; -EALREADY: the seal was complete; -ESTALE: that was
 * something else; -EBADMSG: it is damaged; other -errno. Not said.
 */
struct sealing;
int seal_resume(struct session *s, const char *path, struct seal *before, struct sealing *to);
/* seal_forget() - drop what an earlier run has left */
void seal_forget(const char *path);

/* Reading. */

/*
 * seal_open() - a seal and its generations, as far as they are whole
 * 0, or -errno after session_err(): -EBADMSG no seal, or its head page is lost.
 */
int seal_open(struct session *s, const char *path, struct seal **to);
void seal_close(struct seal *to);
const struct seal_head *seal_head(const struct seal *to);
uint64_t seal_leaves(const struct seal *to);
/* seal_generations() - the last is the newest; *n: how many */
const struct seal_generation *seal_generations(const struct seal *to, size_t *n);
/*
 * seal_get() - leaf @index as of the generation @g (from 0; the newest: *n - 1)
 * @kind: DATA, ZERO or LOST; @since: the first generation that has it like this. @leaf: for DATA.
 * 0, or -EBADMSG: the page that says it is damaged. Thread-safe.
 */
int seal_get(struct seal *to, size_t g, uint64_t index, enum seal_kind *kind,
	     struct seal_leaf *leaf, size_t *since);
/* seal_run() - how many leaves from @index on are of one kind, and known; at least 1 */
uint64_t seal_run(struct seal *to, size_t g, uint64_t index, enum seal_kind *kind);
/*
 * seal_verify() - read every page of it: damaged ones to @fn; the root of each generation is
 * computed again where all of its pages are whole. 0, -EINTR, -ENOMEM; *bad: pages and roots that
 * are wrong.
 */
int seal_verify(struct seal *to, void (*fn)(void *arg, const char *what, uint64_t page), void *arg,
		uint64_t *bad);

/* On disk: what seal_write.c and seal_read.c share. */
struct seal_page {
	le32_t crc;    /* CRC-32C of the bytes behind it */
	char kind[4];  /* "HEAD" "LEAF" "RUNS" "DONE" */
	le64_t number; /* of the page in the file: one that was written elsewhere is no page */
	uint8_t body[SEAL_PAGE - 16];
};
_Static_assert(sizeof(struct seal_page) == SEAL_PAGE, "seal page");

struct seal_disk_head {
	char magic[8];			    /* "VDCKSEAL" */
	le32_t version, leaf, sector, zero; /* 1, 65536, 4096 */
	le64_t size, made;
	char layer[256], id[SEAL_ID], file[256];
};

struct seal_disk_run {
	le64_t first, count; /* leaves */
	le64_t record;	     /* DATA: number of the first one's record in its generation */
	le32_t kind, zero;
};
enum { SEAL_RUNS_PER_PAGE = (SEAL_PAGE - 16) / sizeof(struct seal_disk_run) };

struct seal_disk_done {
	le64_t number, made, begin; /* @begin: its first page */
	le64_t leaf_pages, run_pages, runs;
	le64_t previous; /* page of the commit before, or 0 */
	le64_t data, zero, lost, changed;
	le64_t image_size, image_mtime;
	uint8_t root[SEAL_ROOT];
	char version[32];
	le64_t kept;
};

#endif
