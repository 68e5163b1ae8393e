/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GUID partition table, UEFI 2.10, 5.3: a header and an array of entries at the start of the
 * disk, both again at its end. Read by gpt_read.c, presented by gpt.c, checked by gpt_check.c.
 */
#ifndef VDISKCK_FORMATS_PART_GPT_H
#define VDISKCK_FORMATS_PART_GPT_H

#include "formats/part/mbr.h"
#include "vdiskck/core/session.h"

/* UEFI 2.10, table 5-5 */
struct gpt_header {
	char signature[8];	 /* 0x00 "EFI PART" */
	le32_t revision;	 /* 0x08 0x00010000 */
	le32_t header_size;	 /* 0x0c 92 up to a sector */
	le32_t header_crc32;	 /* 0x10 of header_size bytes, this field zero */
	le32_t reserved;	 /* 0x14 */
	le64_t my_lba;		 /* 0x18 */
	le64_t alternate_lba;	 /* 0x20 of the other header */
	le64_t first_usable_lba; /* 0x28 */
	le64_t last_usable_lba;	 /* 0x30 inclusive */
	uint8_t disk_guid[16];	 /* 0x38 */
	le64_t array_lba;	 /* 0x48 PartitionEntryLBA */
	le32_t entries;		 /* 0x50 NumberOfPartitionEntries */
	le32_t entry_size;	 /* 0x54 128 << n */
	le32_t array_crc32;	 /* 0x58 of entries * entry_size bytes */
};
_Static_assert(sizeof(struct gpt_header) == 92, "UEFI 2.10, table 5-5");

/* UEFI 2.10, table 5-6 */
struct gpt_entry {
	uint8_t type[16];   /* 0x00 all zero: unused */
	uint8_t unique[16]; /* 0x10 */
	le64_t start_lba;   /* 0x20 */
	le64_t end_lba;	    /* 0x28 inclusive */
	le64_t attributes;  /* 0x30 */
	le16_t name[36];    /* 0x38 UTF-16 */
};
_Static_assert(sizeof(struct gpt_entry) == 128, "UEFI 2.10, table 5-6");

enum {
	/* Real arrays have 16 KiB; Linux refuses more than 4 MiB as well. */
	GPT_ARRAY_MAX = 4 << 20,
	GPT_ENTRIES = 128, /* what every tool makes, for an array whose header is lost */
};

/* One of the two copies, as far as it could be read. */
struct gpt_copy {
	const char *what; /* "primary", "backup" */
	uint64_t lba, at; /* where it was looked for; @at bytes */
	struct gpt_header h;
	bool looked;   /* there is a place to look at */
	bool lost;     /* the header could not be read */
	bool magic;    /* "EFI PART" */
	bool crc;      /* header_crc32 holds */
	bool place;    /* my_lba is where it lies */
	bool sane;     /* sizes and the array's place are possible on this disk */
	uint32_t sum;  /* header CRC as computed */
	bool array_ok; /* array_crc32 holds */
	bool array_lost;
	uint32_t array_sum;
	uint8_t *array; /* entries * entry_size bytes, or NULL */
	uint64_t array_at;
	size_t array_len;
};

static inline bool gpt_good(const struct gpt_copy *c)
{
	return c->magic && c->crc && c->place && c->sane;
}

struct gpt {
	struct part_map parts; /* first: as in mbr.c */
	uint32_t sector;
	uint64_t sectors; /* on the disk */
	struct mbr_view mbr;
	struct gpt_copy copy[2];       /* primary, backup */
	const struct gpt_copy *header; /* the one in use; NULL: none, the usual sizes are assumed */
	const struct gpt_copy *array;  /* whose entries are in use */
	uint32_t entries, entry_size;  /* in use */
	bool merged;		 /* no array is proven: each entry is taken where it makes sense */
	bool told[2];		 /* open() has reported what is wrong with this copy */
	struct gpt_entry *entry; /* in use, @entries of them */
};

/*
 * gpt_find() - where the headers lie, and with which sector size; arrays are not read
 * Returns 1: one at least is there (by its magic), 0: none, or -errno.
 */
int gpt_find(struct layer *below, struct gpt *g);
/* gpt_load() - read the arrays and decide which header and array to use. 0 or -errno. */
int gpt_load(struct layer *l, struct gpt *g);
void gpt_unload(struct gpt *g);
/* gpt_entry_used() - it has a type; gpt_entry_sane() - and bounds that can be on this disk */
bool gpt_entry_used(const struct gpt_entry *e);
bool gpt_entry_sane(const struct gpt *g, const struct gpt_entry *e);
/* gpt_report_copy() - everything that is wrong with one copy */
void gpt_report_copy(struct layer *l, const struct gpt *g, const struct gpt_copy *c);
/* gpt_check() - what open() did not say: the other copy, protective MBR, entries */
int gpt_check_all(struct layer *l, struct gpt *g);
/* gpt_report_stale() - for a disk with an MBR: a GPT that nothing refers to any more */
void gpt_report_stale(struct layer *l);
/* gpt_type() - "EFI system" for a type GUID as text in lower case; NULL: not known */
const char *gpt_type(const char *guid);

#endif
