/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack. Every format that vdiskck reads is a layer on another layer: a file, the VHD in it,
 * the partition in that, the cipher in that, the file system, a file. A layer presents the bytes
 * [0, size) and knows the one below it only as a struct layer. Three rules carry the program:
 *
 * 1. Reads never fail because of damage. read() fills what it can, zeroes what it can't, and
 *    adds what is lost (or doubtful: there, but its check failed) to a list, with the finding
 *    that explains it. Zeros that the format states are data. A missing parent, an impossible
 *    pointer, a cluster that does not decompress are lost, never zero.
 * 2. Every byte knows its address in every layer: map() says where a run lies below, and in
 *    which layer, for a chain may point into a parent and a volume group into several disks.
 *    No driver computes another driver's addresses.
 * 3. Findings are data (session.h): a check reports all faults and goes on.
 *
 * After open(), read() and map() are called from many threads at once. check() runs alone on
 * its layer, with reads from other threads going on.
 */
#ifndef VDISKCK_CORE_LAYER_H
#define VDISKCK_CORE_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vdiskck/core/findings.h"
#include "vdiskck/core/ranges.h"

struct fs_ops;
struct session;
struct json;

enum layer_kind {
	LAYER_SOURCE,	 /* image file, device, split files, NBD export */
	LAYER_CONTAINER, /* vhd qcow2 raw ... and their chains */
	LAYER_MAP,	 /* a table of volumes: mbr gpt lvm2 md */
	LAYER_VOLUME,	 /* one volume of a map: p1, vg0-root */
	LAYER_CIPHER,	 /* bitlocker luks2 integrity ... */
	LAYER_FILESYSTEM,
	LAYER_FILE, /* a file in a file system */
	LAYER_LOG,
};

enum extent_kind {
	EXTENT_DATA, /* @at in layer @in holds it */
	EXTENT_ZERO, /* the format says zeros; nothing is stored */
	EXTENT_LOST, /* @why it can't be had */
};

/* A run of bytes of one kind, and where it lies. */
struct extent {
	uint64_t off, len; /* in the layer that was asked; @off is the byte asked for */
	enum extent_kind kind;
	enum finding_id why; /* LOST: the reason */
	struct layer *in;    /* DATA: the layer that holds it: below, a parent, another disk */
	uint64_t at;	     /* DATA: address of byte @off in @in */
	/*
	 * 0: byte for byte. Otherwise the run is packed (compressed, say): @len bytes come out of
	 * the @packed bytes at @at; @off then is the run's first byte, not the one asked for.
	 */
	uint64_t packed;
	/*
	 * DATA: read() gives the bytes at @at as they are and doubts none, so who only passes them
	 * on may take them from there. False: it does not, or that is only known once the run was
	 * read from. layer_map() sets it where read() is layer_read_mapped().
	 */
	bool exact;
	/* DATA: read() deciphers the bytes at @at. layer_map() sets it where the layer is a cipher. */
	bool coded;
	/* DATA, layer_resolve(): zeros under a cipher, never written. read() makes noise of them. */
	bool unwritten;
};

/* A driver presents one format found in the bytes of the layer below it. */
struct layer_ops {
	const char *name; /* as the user types it: "vhdx" */
	enum layer_kind kind;
	/*
	 * How sure it is that @below holds this format, 0..100; a lost magic only lowers it.
	 * 90 and more: a magic at its place with a checksum or a second structure that agrees.
	 * Must be cheap, and silent: no findings. NULL: made by another driver only (partitions).
	 */
	int (*probe)(struct layer *below);
	/*
	 * The same with more effort, asked only where no probe answers: look for copies of lost
	 * headers near the start (100 MiB at most: every command pays for it). May be NULL.
	 */
	int (*search)(struct layer *below);
	/*
	 * Parse metadata of l->below into l->priv, set l->size (and l->sector). Returns 0 when
	 * anything at all can be read, else -errno: -EBADMSG not this format or too much lost,
	 * -EOPNOTSUPP a feature that we don't know (after a finding that names it), -ENOKEY or
	 * -EKEYREJECTED from unlock(); -ENOENT it only seemed so: the next driver is asked, and
	 * nobody is told that this one failed. Reports what it had to decide: which copy was used, and
	 * why. close() is called whatever it returns.
	 */
	int (*open)(struct layer *l);
	/*
	 * Ciphers: try the keys of the session that could fit (crypto/keys.h). 0: open; -ENOKEY:
	 * none was given that could fit; -EKEYREJECTED: some were tried, all are wrong. Called
	 * at the end of open(), and again when the user gave another key. No findings.
	 * A container that encrypts what it holds has it, too: its open() succeeds without a key,
	 * and leaves the result in l->locked.
	 */
	int (*unlock)(struct layer *l);
	/*
	 * Fill @buf with bytes [off, off + len), which lie inside [0, l->size). What is lost is
	 * zeroed and added to @bad (may be NULL) in this layer's addresses. Damage is no failure:
	 * -errno only for what stops the program (-ENOMEM, -EINTR).
	 */
	int (*read)(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
	/* The longest run known at little cost that holds byte @off (< l->size). As read(). */
	int (*map)(struct layer *l, uint64_t off, struct extent *run);
	/* Verify every structure that open() did not, report with finding(), write nothing. */
	int (*check)(struct layer *l);
	/* Add what `info` shows of the format to @to, in the order it is shown. */
	void (*info)(struct layer *l, struct json *to);
	/*
	 * Name the metadata structure that byte @at of l->below belongs to, and its bounds there:
	 * "L2 table of 0x0..0x20000000". False: it is data, free, or unknown. May be NULL.
	 */
	bool (*structure)(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			  uint64_t *len);
	/*
	 * Ciphers: is byte @at of l->below ciphertext of this layer (1), so that it looks random
	 * and is like no other, or not (0: metadata, never encrypted, a mode that shows patterns)?
	 * @len: for how many bytes from @at on that holds, at least 1; @off: for 1, where they stand
	 * in this layer. Answers while the layer is locked, too. May be NULL.
	 * Of a container that encrypts what it holds, @at is its own address, as is @off: map()
	 * says where that is stored.
	 */
	int (*ciphertext)(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off);
	/*
	 * Ciphers that are open: decrypt whole sectors in place as if they lay at @at of l->below,
	 * which may be outside it. -ENOENT: nothing encrypted lies there. May be NULL.
	 */
	int (*decrypt_as)(struct layer *l, uint64_t at, void *buf, size_t len);
	void (*close)(struct layer *l); /* never fails; @l->below is not ours to close */
	const struct fs_ops *fs; /* file systems: what else they can be asked (formats/fs/fs.h) */
};

struct layer {
	const struct layer_ops *ops;
	struct session *s;
	struct layer *below;  /* what it was found in; NULL for a source */
	struct layer *parent; /* chain: holds what this one leaves out; NULL: none */
	struct layer *aside;  /* one more source that it owns: a detached header; or NULL */
	const struct layer *chain_child; /* chain: whose parent this is; NULL: the image itself */
	struct layer *child;		 /* first layer that was found in this one */
	struct layer *next;		 /* the next one found in @below */
	char *name;			 /* its component of the path: "vhd", "p2" */
	char *path;			 /* "vhd/mbr/p2"; a source's is its file name */
	uint64_t size;			 /* bytes that it presents */
	uint32_t sector;		 /* logical sector size: 512 or 4096 */
	bool lazy;	/* a snapshot: what stands on it is discovered when asked for */
	unsigned depth; /* in its chain: 0 the image itself, 1 its parent ... */
	int state;	/* 0 open, else the -errno of open(): known, but not readable */
	/*
	 * Of an open container: the -errno of unlock(), while what it stores can't be decrypted
	 * (-EOPNOTSUPP, -EBADMSG: no key will change that). info(), check(), map() and structure()
	 * need no key. read() gives zeros that the format states and what an unlocked parent holds;
	 * the rest is lost, with LAYER_LOCKED where a key is all that is missing. Nothing is
	 * looked for in it.
	 */
	int locked;
	void *priv;
};

/*
 * layer_new() - a layer that is not open yet
 * @below: NULL for a source; @name: its component of the path, copied
 * The path of a chain's ancestors is NAME~DEPTH, as in git: "vhd~1" is the parent of "vhd".
 */
struct layer *layer_new(struct session *s, const struct layer_ops *ops, struct layer *below,
			const char *name);
/* layer_chain_new() - the container of an ancestor: @child's path with its own name and depth */
struct layer *layer_chain_new(const struct layer_ops *ops, struct layer *below,
			      const struct layer *child);
/* layer_file_new() - a file of the file system @fs: "vhd/mbr/p2/ntfs:/Windows/notepad.exe" */
struct layer *layer_file_new(const struct layer_ops *ops, struct layer *fs, const char *path);
/* layer_attach() - make @l the last child of @below; @below frees it from now on */
void layer_attach(struct layer *below, struct layer *l);
/*
 * layer_unlock() - as long as @l has no key that fits, ask s->on_locked for one and try again; then
 * report why it stays locked. For who has opened it: discovery, and a chain for its links.
 */
void layer_unlock(struct layer *l);
/* layer_free() - close @l, everything that stands on it, and its parent's stack. Not below. */
void layer_free(struct layer *l);
/* layer_free_stack() - layer_free(), then the layers below down to the source */
void layer_free_stack(struct layer *l);

/*
 * layer_read() - read and bound: any off and len may be asked for
 * Bytes past l->size are zeroed and lost with LAYER_READ_PAST_END.
 */
int layer_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
/*
 * layer_read_as() - read [at, at + len) of @in for byte @off of the layer that reads it: what is
 * lost is added to @bad in the reader's addresses
 */
int layer_read_as(struct layer *in, uint64_t at, void *buf, size_t len, uint64_t off,
		  struct ranges *bad);
/*
 * layer_read_mapped() - a read() for drivers whose data is stored as it is: walks l->ops->map
 * and reads each run where it lies. Not for drivers that decode (packed runs, ciphers).
 */
int layer_read_mapped(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad);
/* layer_map() - map and bound: @run starts at @off unless packed, and ends inside the layer */
int layer_map(struct layer *l, uint64_t off, struct extent *run);
/*
 * layer_resolve() - layer_map() followed down to where the bytes are stored
 * @run->in is a source, or the layer whose packed bytes hold them, or the one under a cipher that
 * never got any; or the run is zero or lost.
 * @run starts at @off; only if @l itself packs it, it is the whole packed run.
 */
int layer_resolve(struct layer *l, uint64_t off, struct extent *run);
/* layer_map_below() - a map() for drivers that present @shift.. of l->below byte for byte */
int layer_map_below(struct layer *l, uint64_t off, uint64_t shift, struct extent *run);

/* One address in one layer. */
struct where {
	struct layer *l;
	uint64_t off, len;
};

/*
 * layer_where() - the address of byte @off of @l in every layer
 * @w:  filled from the source up to @l; @len bytes, or as many as lie together
 * @max: size of @w; WHERE_MAX is always enough for a stack that discovery made
 * Returns the number of entries. w[0].l is no source when the bytes are zero or lost below it.
 */
#define WHERE_MAX 96 /* a chain of 64 links under a stack of 24 layers */
size_t layer_where(struct layer *l, uint64_t off, uint64_t len, struct where *w, size_t max);

/* layer_source() - the source that @l finally rests on */
struct layer *layer_source(struct layer *l);

#endif
