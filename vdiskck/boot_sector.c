/* SPDX-License-Identifier: Apache-2.0 */
/* The boot sector of a BIOS machine, and what it starts: GRUB's core.img, or the active partition. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/drivers.h"
#include "formats/fs/fs.h"
#include "formats/part/mbr.h"
#include "formats/stack.h"
#include "recover/boot_code.h"
#include "vdiskck/boot.h"

enum { SECTOR = BOOT_CODE_SECTOR };

static const char what[] = "boot sector";

struct search {
	struct boot *b;
	struct layer *map; /* the partition table, on the disk itself */
	const char *name;  /* of the file that is looked for */
	struct layer *image;
};

static int find_map(void *arg, struct layer *l)
{
	struct search *s = arg;

	if (!s->map && (l->ops == &mbr_ops || l->ops == &gpt_ops) &&
	    l->below == disk_layer(layer_source(l)))
		s->map = l;
	return 0;
}

/* /boot on the root or on a volume of its own; Debian's folder, and Red Hat's. */
static int find_image(void *arg, struct layer *l)
{
	static const char *const folder[] = {"/boot/grub", "/boot/grub2", "/grub", "/grub2"};
	struct search *s = arg;
	char path[64];

	if (l->ops->kind != LAYER_FILESYSTEM || l->state || !l->ops->fs || s->image)
		return 0;
	for (size_t i = 0; i < sizeof(folder) / sizeof(*folder) && !s->image; i++) {
		struct fs_entry *e = NULL;

		snprintf(path, sizeof(path), "%s/i386-pc/%s", folder[i], s->name);
		if (!fs_find(l, path, &e) && !e->deleted && e->size &&
		    l->ops->fs->open_file(l, e, &s->image))
			s->image = NULL;
		fs_entry_free(e);
	}
	return 0;
}

/* What GRUB was installed from; NULL: it is not here. layer_free() it. */
static struct layer *image(struct search *s, const char *name)
{
	s->image = NULL;
	s->name = name;
	stack_walk(layer_source(s->map), find_image, s);
	return s->image;
}

static void broken(struct search *s, uint64_t at, uint64_t len, const char *text)
{
	finding_fact(s->map, BOOT_CODE, &(struct fact){.at = at, .at_len = len}, "%s: %s", what,
		     text);
	boot_add(s->b, what, BOOT_BROKEN, s->map->below->path, "%s [%s]", text,
		 finding_name(BOOT_CODE));
}

static void grub(struct search *s, const uint8_t code[SECTOR])
{
	struct layer *file = image(s, "boot.img");
	uint8_t want[SECTOR];
	struct grub_core core = {0};
	bool fits = !file || file->size < SECTOR || layer_read(file, 0, want, SECTOR, NULL) ||
		    boot_code_same(code, want);
	int r;

	layer_free(file);
	file = image(s, "core.img");
	r = boot_code_check_core(s->map->below, boot_code_core(code), file, &core);
	layer_free(file);
	if (r)
		s->b->err = r;
	else if (!fits)
		broken(s, 0, BOOT_CODE_LEN,
		       "some bytes of GRUB's first sector are not as in boot.img");
	else if (core.bad)
		broken(s, core.at, core.len, core.text);
	else
		boot_add(s->b, what, BOOT_HOLDS, s->map->below->path, "%s", core.text);
}

/* Windows: the one active partition, and the code in its first sector. */
static void windows(struct search *s)
{
	struct layer *disk = s->map->below;
	uint8_t vbr[SECTOR] = {0};
	const struct mbr_entry *active = NULL;
	struct mbr_view v;
	unsigned n = 0;
	int r = mbr_look(disk, &v);

	for (int i = 0; i < 4 && !r; i++)
		if (v.m.entry[i].status == 0x80) {
			active = &v.m.entry[i];
			n++;
		}
	if (n != 1) {
		finding_fact(s->map, BOOT_NAMES, &(struct fact){.at = MBR_ENTRY_AT, .at_len = 64},
			     "%s: %u partitions are active, and must be one", what, n);
		boot_add(s->b, what, BOOT_BROKEN, disk->path,
			 "that of Windows, but %u partitions are active instead of one [%s]", n,
			 finding_name(BOOT_NAMES));
		return;
	}
	if (!r && le32(active->start) < disk->size / SECTOR)
		r = layer_read(disk, (uint64_t)le32(active->start) * SECTOR, vbr, SECTOR, NULL);
	if (r)
		s->b->err = r;
	else if (memmem(vbr, SECTOR, "BOOTMGR", 7) || memmem(vbr, SECTOR, "NTLDR", 5))
		boot_add(s->b, what, BOOT_HOLDS, disk->path,
			 "that of Windows, and so is the active partition's at sector %" PRIu32,
			 le32(active->start));
	else
		boot_add(s->b, what, BOOT_DOUBTFUL, disk->path,
			 "that of Windows, but the active partition at sector %" PRIu32
			 " does not begin with its code",
			 le32(active->start));
}

bool boot_sector(struct boot *b)
{
	struct search s = {.b = b};
	uint8_t code[SECTOR], next[SECTOR];
	int r;

	stack_walk(b->r->source, find_map, &s);
	if (!s.map || s.map->below->size < 2 * SECTOR)
		return false;
	r = layer_read(s.map->below, 0, code, SECTOR, NULL);
	if (!r)
		r = layer_read(s.map->below, SECTOR, next, SECTOR, NULL);
	if (r) {
		b->err = r;
		return false;
	}
	switch (boot_code_kind(code)) {
	case BOOT_CODE_GRUB: grub(&s, code); return true;
	case BOOT_CODE_WINDOWS:
		/* The protective MBR of a GPT has such code, too, and nothing uses it. */
		if (s.map->ops == &mbr_ops)
			windows(&s);
		return s.map->ops == &mbr_ops;
	case BOOT_CODE_NONE:
	case BOOT_CODE_OTHER: break;
	}
	/* GRUB puts its second stage behind sector 0 of an MBR disk: without the first, nobody starts it. */
	if (!boot_code_is_core(next))
		return false;
	broken(&s, 0, BOOT_CODE_LEN,
	       "GRUB's core.img follows in sector 1, but its first sector is lost: other bytes are there");
	return true;
}
