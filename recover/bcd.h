/* SPDX-License-Identifier: Apache-2.0 */
/* Windows' boot configuration data: what the boot manager loads, and from which device. */
#ifndef VDISKCK_RECOVER_BCD_H
#define VDISKCK_RECOVER_BCD_H

#include "formats/log/regf.h"

enum bcd_device_type {
	BCD_NONE,      /* there is no such element, or it can't be read */
	BCD_BOOT,      /* the device that the boot manager came from */
	BCD_PARTITION, /* of a GPT or an MBR disk */
	BCD_OTHER,     /* a file, a RAM disk, one that is searched for */
};

struct bcd_device {
	enum bcd_device_type type;
	bool gpt;
	char part[37], disk[37]; /* GUIDs, of a GPT disk */
	uint64_t start;		 /* of the partition in bytes, on an MBR disk */
	uint32_t signature;	 /* of that disk */
};

struct bcd {
	char entry[64]; /* the default entry: "{...}"; empty: the boot manager names none */
	char path[512]; /* of its loader; empty: it names none */
	struct bcd_device device; /* where the loader is */
	struct bcd_device system; /* where Windows is */
};

/*
 * bcd_read() - the default entry of the store @h
 * Source: public descriptions of the element's bytes (mistyprojects.co.uk, BCDEdit,
 * device_partition); the names of elements are those of Microsoft's BCD reference.
 */
void bcd_read(const struct regf *h, struct bcd *b);
/* bcd_device() - an element of type device, @len bytes */
void bcd_device(const uint8_t *p, size_t len, struct bcd_device *d);

#endif
