/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device formatted by dm-integrity: data in areas, each behind the tags of its blocks, and a
 * journal of what was not yet written to its place. What the tags mean is not its business: the
 * driver `integrity` holds hashes of the data against them, LUKS2 an authenticated cipher's.
 * Source: Linux, drivers/md/dm-integrity.c; Documentation/admin-guide/device-mapper/
 * dm-integrity.rst.
 */
#ifndef VDISKCK_CRYPTO_INTEGRITY_H
#define VDISKCK_CRYPTO_INTEGRITY_H

#include "crypto/integrity_tag.h"
#include "vdiskck/core/endian.h"
#include "vdiskck/core/layer.h"

enum {
	INTEGRITY_SB = 4096, /* bytes that the superblock takes */
	INTEGRITY_HAVE_JOURNAL_MAC = 1,
	INTEGRITY_RECALCULATING = 2,
	INTEGRITY_DIRTY_BITMAP = 4,
	INTEGRITY_FIXED_PADDING = 8,
	INTEGRITY_FIXED_HMAC = 16,
	INTEGRITY_INLINE = 32,
	INTEGRITY_DISCARDED = 0xf6, /* every byte of the tag of a discarded block */
	INTEGRITY_IDS = 4,	    /* commit ids: each sector of the journal carries one */
};

struct integrity_superblock {
	uint8_t magic[8]; /* 0x00 "integrt\0" */
	uint8_t version;
	uint8_t log2_interleave_sectors;
	le16_t tag_size;
	le32_t journal_sections;
	le64_t provided_data_sectors; /* 0x10 */
	le32_t flags;
	uint8_t log2_sectors_per_block;
	uint8_t log2_blocks_per_bitmap_bit;
	uint8_t pad[2];
	le64_t recalc_sector; /* 0x20 tags from here on are not computed yet */
	uint8_t pad2[8];
	uint8_t salt[INTEGRITY_SALT]; /* 0x30 */
};
_Static_assert(sizeof(struct integrity_superblock) == 0x40, "dm-integrity superblock");

/* A block whose newest data is in the journal. */
struct integrity_replay {
	uint64_t sector; /* of the volume */
	uint64_t order;	 /* later ones are newer */
	uint32_t section, entry;
};

struct integrity_dev {
	struct layer *l, *below; /* who speaks; where superblock, journal and tags are */
	struct layer *data;	 /* where the data is: @below, or a device of its own */
	uint64_t start;		 /* of the superblock, in @below */
	uint64_t sectors;	 /* that the volume provides, 512 bytes each */
	uint64_t size;		 /* the same in bytes */
	uint32_t block;		 /* bytes under one tag: 512..4096 */
	size_t tag_size;
	unsigned version, flags;
	unsigned log2_interleave; /* sectors of data in one area */
	uint64_t initial;	  /* bytes of superblock and journal */
	uint64_t run;		  /* bytes of tags before each area, padded */
	uint64_t recalc_sector;
	uint8_t salt[INTEGRITY_SALT];
	/* journal */
	uint32_t sections, section_sectors, section_entries, entry_size;
	uint64_t commit_id[INTEGRITY_IDS];
	struct integrity_crypt *crypt;	 /* of an encrypted journal whose key is known, or NULL */
	struct integrity_replay *replay; /* by sector, one for each */
	size_t n_replay;
	/* bitmap mode */
	uint8_t *bitmap;
	uint64_t bitmap_bits;
	unsigned bitmap_shift; /* log2 of the sectors under one bit */
};

/* integrity_probe() - is there a superblock at @start that can be true? */
bool integrity_probe(struct layer *below, uint64_t start);
/* integrity_probe_apart() - does @meta hold the tags of data elsewhere, *size bytes (NULL: no matter)? */
bool integrity_probe_apart(struct layer *meta, uint64_t *size);
/*
 * integrity_dev_open() - read superblock, journal and bitmap; findings are @l's
 * @start: where the superblock lies in @below. The device is as long as @below.
 * @data: the device of the data, if that is another one; else @below
 * 0; -EBADMSG: the superblock can't be true; -EOPNOTSUPP after a finding; -ENOMEM, -EINTR.
 * integrity_dev_close() is due whatever it returns.
 */
int integrity_dev_open(struct integrity_dev *d, struct layer *l, struct layer *below,
		       uint64_t start, struct layer *data);
void integrity_dev_close(struct integrity_dev *d);
/*
 * integrity_dev_read() - data and tags of whole blocks, the journal applied
 * @tags: tag_size bytes for each block, or NULL. @no_tag: what blocks' tags could not be read, or
 * NULL. Both lists and @off count in the volume.
 */
int integrity_dev_read(struct integrity_dev *d, uint64_t off, void *buf, size_t len, uint8_t *tags,
		       struct ranges *no_tag, struct ranges *bad);
/* integrity_dev_map() - a layer's map() */
int integrity_dev_map(struct integrity_dev *d, uint64_t off, struct extent *run);
/* integrity_dev_tag_at() - where the tag of the block at @off lies in @below */
uint64_t integrity_dev_tag_at(const struct integrity_dev *d, uint64_t off);
/* integrity_dev_together() - bytes from @off on whose tags lie one behind the other */
uint64_t integrity_dev_together(const struct integrity_dev *d, uint64_t off);
/* integrity_dev_stale() - is the block at @off one whose tag need not fit: dirty, or not computed?
 * *end: the same holds up to there */
bool integrity_dev_stale(const struct integrity_dev *d, uint64_t off, uint64_t *end);
/* integrity_dev_journaled() - is the block at @off read from the journal? */
bool integrity_dev_journaled(const struct integrity_dev *d, uint64_t off);
bool integrity_dev_structure(const struct integrity_dev *d, uint64_t at, char *name, size_t cap,
			     uint64_t *start, uint64_t *len);
/* integrity_dev_info() - what `info` shows of the device */
void integrity_dev_info(const struct integrity_dev *d, struct json *to);

/* For the journal's reader and the device's: integrity_journal.c */
int integrity_journal_load(struct integrity_dev *d);
uint64_t integrity_journal_sector(const struct integrity_dev *d, uint32_t section, uint32_t sector);
uint64_t integrity_journal_entry(const struct integrity_dev *d, uint32_t section, uint32_t entry);
/* integrity_journal_get() - whole sectors of one section, decrypted; @bad counts from @off on */
int integrity_journal_get(struct integrity_dev *d, uint32_t section, uint32_t sector, void *buf,
			  size_t len, uint64_t off, struct ranges *bad);
/* integrity_journal_id() - which commit id, 0..3, the sector in @p carries; -1: none fits */
int integrity_journal_id(const struct integrity_dev *d, const uint8_t *p, uint32_t section,
			 uint32_t sector);
/* integrity_journal_read() - one block and its tag (or NULL) as the journal holds it */
int integrity_journal_read(struct integrity_dev *d, const struct integrity_replay *e, uint64_t off,
			   void *buf, uint8_t *tag, struct ranges *no_tag, struct ranges *bad);

/* What a finding about [at_, at_ + len_) of the metadata rests on. */
#define INTEGRITY_AT(d, at_, len_) (&(struct fact){.in = (d)->below, .at = (at_), .at_len = (len_)})

/* The driver: a device that stands alone. */
struct integrity {
	struct integrity_dev d;
	const char *header;	     /* the --header that holds superblock and tags; NULL: none */
	struct integrity_hash *hash; /* NULL: not known */
	unsigned key;		     /* number of the key, 0: none is needed */
};
/* integrity_hash_decide() - fill ->hash and ->key from the tags and the session's keys */
int integrity_hash_decide(struct layer *l);
bool integrity_all_byte(const uint8_t *p, size_t len, uint8_t value);
/* integrity_mac_check() - the journal's MAC by the keys of the session: integrity_mac.c */
int integrity_mac_check(struct integrity_dev *d);
/* Why bytes of such a device are lost or doubtful; ends with FINDING_COUNT. */
extern const enum finding_id integrity_reasons[];
extern const struct layer_ops integrity_ops;

#endif
