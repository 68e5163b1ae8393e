/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/bcd.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* An element of type device */
struct element {
	uint8_t options[16]; /* 0x00 GUID of an object with further options */
	le32_t type;	     /* 0x10 5: boot device, 6: partition */
	le32_t flags;	     /* 0x14 */
	le32_t size;	     /* 0x18 of what begins at 0x10 */
	le32_t spare;	     /* 0x1c */
	uint8_t part[16];    /* 0x20 GUID, or where the partition starts (64 bits) */
	le32_t unknown;	     /* 0x30 */
	le32_t style;	     /* 0x34 0: GPT, 1: MBR */
	uint8_t disk[16];    /* 0x38 GUID, or the MBR's signature (32 bits) */
};
_Static_assert(sizeof(struct element) == 0x48, "BCD, device");

static void guid_text(const uint8_t g[16], char out[37])
{
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9], g[10], g[11], g[12],
		 g[13], g[14], g[15]);
}

void bcd_device(const uint8_t *p, size_t len, struct bcd_device *d)
{
	struct element e;
	le64_t start;
	le32_t signature;

	*d = (struct bcd_device){.type = BCD_NONE};
	if (len < offsetof(struct element, part))
		return;
	memset(&e, 0, sizeof(e));
	memcpy(&e, p, len < sizeof(e) ? len : sizeof(e));
	d->type = le32(e.type) == 5 ? BCD_BOOT : le32(e.type) == 6 ? BCD_PARTITION : BCD_OTHER;
	if (d->type != BCD_PARTITION)
		return;
	if (len < sizeof(e) || le32(e.style) > 1) {
		d->type = BCD_NONE;
		return;
	}
	d->gpt = !le32(e.style);
	memcpy(&start, e.part, sizeof(start));
	memcpy(&signature, e.disk, sizeof(signature));
	if (d->gpt) {
		guid_text(e.part, d->part);
		guid_text(e.disk, d->disk);
	} else {
		d->start = le64(start);
		d->signature = le32(signature);
	}
}

static void element_device(const struct regf *h, const char *entry, const char *element,
			   struct bcd_device *d)
{
	struct regf_data data;
	char key[160];
	uint32_t at, value;

	*d = (struct bcd_device){.type = BCD_NONE};
	snprintf(key, sizeof(key), "Objects\\%s\\Elements\\%s", entry, element);
	if (regf_find(h, h->root, key, &at) || regf_value(h, at, "Element", &value) ||
	    regf_data(h, value, &data))
		return;
	if (data.p && !data.bad.n)
		bcd_device(data.p, data.len, d);
	regf_data_free(&data);
}

void bcd_read(const struct regf *h, struct bcd *b)
{
	/* {bootmgr}; its default object; of that: its path, its device, and that of Windows */
	static const char manager[] =
		"Objects\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements\\23000003";
	char key[160];

	*b = (struct bcd){.entry = ""};
	if (regf_text(h, manager, "Element", b->entry, sizeof(b->entry)) || !*b->entry) {
		b->entry[0] = '\0';
		return;
	}
	snprintf(key, sizeof(key), "Objects\\%s\\Elements\\12000002", b->entry);
	if (regf_text(h, key, "Element", b->path, sizeof(b->path)))
		b->path[0] = '\0';
	element_device(h, b->entry, "11000001", &b->device);
	element_device(h, b->entry, "21000001", &b->system);
}
