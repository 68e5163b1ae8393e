/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies here, by its magic: names for volumes that no driver opens, and what a search for
 * lost partitions looks for. Pure reading: bounded, no findings. A magic alone is never enough;
 * a second thing must agree (a size that makes sense, a checksum, a structure that it points to).
 */
#ifndef VDISKCK_FORMATS_SIGNATURE_H
#define VDISKCK_FORMATS_SIGNATURE_H

#include "vdiskck/core/layer.h"

struct signature {
	const char *name; /* "ntfs", "ext4", "luks2", "bitlocker", "lvm2", "swap" */
	const char *from; /* the copy it was told from: "backup boot sector"; NULL: the first one */
	bool boot;	  /* it owns the boot sector: a table there is no partition table */
	uint64_t start;	  /* where the volume begins in the layer */
	uint64_t size;	  /* what it states, in bytes; 0: it does not say */
	char id[40];	  /* UUID or serial number; empty: none */
	char label[256];  /* escaped; empty: none */
};

/* signature_at() - what volume begins at byte @off of @l; false: nothing that is known */
bool signature_at(struct layer *l, uint64_t off, struct signature *sig);

/*
 * signature_in_sector() - does a known structure, first or backup copy, lie in this sector?
 * @sector: its 512 bytes, read from byte @at of @l. Costs nothing unless a magic is there.
 * sig->start may lie before @at. True for the first that holds.
 */
bool signature_in_sector(struct layer *l, uint64_t at, const uint8_t *sector,
			 struct signature *sig);

struct json;
/* signature_info() - members "content", "content_size", "content_id", "content_label" */
void signature_info(const struct signature *sig, struct json *to);

#endif
