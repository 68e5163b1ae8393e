/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/boot_code.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vdiskck/core/endian.h"

enum {
	SECTOR = BOOT_CODE_SECTOR,
	CORE_LBA = 0x5c,    /* boot.S: kernel_sector */
	CODE = 0x68,	    /* before it stands what setup.c sets, or the file system's */
	OTHER_VERSION = 64, /* bytes that differ: these are of another GRUB */
	FIRST_LIST =
		0x1f4, /* diskboot.S: { start, sectors, segment }; the next one stands before it */
	LIST = 12,
	LISTS = 32,	     /* more do not fit beside the code */
	CORE_SECTORS = 8192, /* 4 MiB; real ones have some 100 */
	PATCHED = 32, /* of the second sector: setup.c writes the length of its redundancy there */
	FEW = 8,      /* sectors that differ; more is another version of GRUB */
};

static bool has(const uint8_t *p, size_t len, const char *text, size_t n)
{
	return memmem(p, len, text, n);
}

enum boot_code_kind boot_code_kind(const uint8_t s[SECTOR])
{
	static const char grub[] = "GRUB \0Geom\0Hard Disk\0Read\0 Error";
	static const char *const windows[] = {"Missing operating system", "Invalid partition table",
					      "Error loading operating system", "TCPA"};
	static const uint8_t zeros[BOOT_CODE_LEN];

	if (!memcmp(s, zeros, BOOT_CODE_LEN))
		return BOOT_CODE_NONE;
	if (has(s, BOOT_CODE_LEN, grub, sizeof(grub) - 1))
		return BOOT_CODE_GRUB;
	for (size_t i = 0; i < sizeof(windows) / sizeof(*windows); i++)
		if (has(s, BOOT_CODE_LEN, windows[i], strlen(windows[i])))
			return BOOT_CODE_WINDOWS;
	return BOOT_CODE_OTHER;
}

bool boot_code_same(const uint8_t s[SECTOR], const uint8_t want[SECTOR])
{
	unsigned differ = 0;

	for (size_t i = CODE; i < BOOT_CODE_LEN; i++)
		differ += s[i] != want[i];
	return !differ || differ > OTHER_VERSION;
}

uint64_t boot_code_core(const uint8_t s[SECTOR])
{
	le64_t lba;

	memcpy(&lba, s + CORE_LBA, sizeof(lba));
	return le64(lba);
}

bool boot_code_is_core(const uint8_t s[SECTOR])
{
	/* push %dx, push %si, mov $..., %si; and what it prints */
	return !memcmp(s, "\x52\x56\xbe", 3) && has(s, SECTOR, "loading\0.", 9) &&
	       has(s, SECTOR, "Geom\0Read\0 Error", 16);
}

static void say(struct grub_core *c, uint64_t at, uint64_t len, const char *text)
{
	c->bad = true;
	c->at = at;
	c->len = len;
	snprintf(c->text, sizeof(c->text), "%s", text);
}

struct walk {
	struct layer *disk, *file;
	struct grub_core *c;
	uint64_t differ, first; /* sectors that are not those of @file; where the first is */
	uint64_t zero;		/* the last sector of zeros; 0: none */
};

/* One sector of core.img, number @n of it. */
static int look(struct walk *w, uint64_t lba, uint64_t n)
{
	uint8_t s[SECTOR], want[SECTOR];
	struct ranges bad = {0};
	uint64_t off = n * SECTOR;
	int r = layer_read(w->disk, lba * SECTOR, s, SECTOR, &bad);

	if (!r && bad.n)
		say(w->c, lba * SECTOR, SECTOR, "a sector of GRUB's core.img can't be read");
	ranges_free(&bad);
	if (r || w->c->bad)
		return r;
	/* It is packed: no sector of it is all zeros, but for what pads the last one. */
	if (w->zero)
		say(w->c, w->zero * SECTOR, SECTOR, "GRUB's core.img has a sector of zeros");
	else if (!s[0] && !memcmp(s, s + 1, SECTOR - 1))
		w->zero = lba;
	if (!w->file || off >= w->file->size)
		return 0;
	memset(want, 0, sizeof(want));
	r = layer_read(w->file, off, want,
		       w->file->size - off < SECTOR ? (size_t)(w->file->size - off) : SECTOR, NULL);
	if (n == 1)
		memcpy(want, s, PATCHED);
	/* Behind the file's end, in its last sector, its redundancy begins. */
	if (!r && memcmp(s, want,
			 w->file->size - off < SECTOR ? (size_t)(w->file->size - off) : SECTOR)) {
		w->first = w->differ++ ? w->first : lba;
	}
	return r;
}

static void judge(struct walk *w)
{
	struct grub_core *c = w->c;

	if (c->bad)
		return;
	if (w->differ && w->differ <= FEW) {
		say(c, w->first * SECTOR, SECTOR, "");
		snprintf(c->text, sizeof(c->text),
			 "%" PRIu64 " of GRUB's %" PRIu64
			 " sectors %s not as in core.img, the first is %" PRIu64,
			 w->differ, c->sectors, w->differ == 1 ? "is" : "are", w->first);
		return;
	}
	c->decided = w->file && !w->differ;
	snprintf(c->text, sizeof(c->text), "GRUB, with %" PRIu64 " sectors of core.img%s",
		 c->sectors,
		 c->decided  ? ", as in the file it was made from"
		 : w->differ ? "; the file on the volume is of another version"
			     : "; nothing is there to compare them with");
}

int boot_code_check_core(struct layer *disk, uint64_t lba, struct layer *file, struct grub_core *c)
{
	struct walk w = {disk, file, c, 0, 0, 0};
	uint64_t sectors = disk->size / SECTOR;
	uint8_t first[SECTOR];
	int r = 0;

	*c = (struct grub_core){.sectors = 1};
	if (!lba || lba >= sectors) {
		say(c, CORE_LBA, 8,
		    "GRUB's first sector names a second one behind the end of the disk");
		return 0;
	}
	r = layer_read(disk, lba * SECTOR, first, SECTOR, NULL);
	if (r)
		return r;
	if (!boot_code_is_core(first)) {
		say(c, lba * SECTOR, SECTOR, "GRUB's core.img is not where its first sector says");
		return 0;
	}
	for (unsigned i = 0; i < LISTS && !r && !c->bad; i++) {
		uint64_t at = lba * SECTOR + FIRST_LIST - i * LIST;
		const uint8_t *list = first + FIRST_LIST - i * LIST;
		le64_t start;
		le16_t n;

		memcpy(&start, list, sizeof(start));
		memcpy(&n, list + 8, sizeof(n));
		if (!le16(n))
			break;
		if (le64(start) >= sectors || le16(n) > sectors - le64(start) ||
		    c->sectors + le16(n) > CORE_SECTORS) {
			say(c, at, LIST,
			    "core.img's list of sectors goes past the end of the disk");
			break;
		}
		for (uint64_t k = 0; k < le16(n) && !r && !c->bad; k++)
			r = look(&w, le64(start) + k, c->sectors++);
	}
	if (!r && !c->bad && c->sectors == 1)
		say(c, lba * SECTOR + FIRST_LIST, LIST, "core.img's list of sectors is empty");
	if (!r)
		judge(&w);
	return r;
}
