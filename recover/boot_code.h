/* SPDX-License-Identifier: Apache-2.0 */
/* What BIOS starts: the code in sector 0, and of GRUB what that loads. */
#ifndef VDISKCK_RECOVER_BOOT_CODE_H
#define VDISKCK_RECOVER_BOOT_CODE_H

#include "vdiskck/core/layer.h"

enum boot_code_kind {
	BOOT_CODE_NONE, /* zeros: BIOS can't start from here, or need not */
	BOOT_CODE_GRUB,
	BOOT_CODE_WINDOWS, /* starts the first sector of the active partition */
	BOOT_CODE_OTHER,
};

enum { BOOT_CODE_SECTOR = 512, BOOT_CODE_LEN = 440 /* UEFI 2.10, table 5-1 */ };

/* boot_code_kind() - by words that stand in the code of @sector */
enum boot_code_kind boot_code_kind(const uint8_t sector[BOOT_CODE_SECTOR]);
/* boot_code_same() - GRUB: as in the file @want, but for what is set when it is installed */
bool boot_code_same(const uint8_t sector[BOOT_CODE_SECTOR], const uint8_t want[BOOT_CODE_SECTOR]);
/* boot_code_core() - GRUB: the sector that the code loads and starts */
uint64_t boot_code_core(const uint8_t sector[BOOT_CODE_SECTOR]);
/* boot_code_is_core() - does @sector begin GRUB's core.img on a disk (diskboot.img)? */
bool boot_code_is_core(const uint8_t sector[BOOT_CODE_SECTOR]);

/* What GRUB's core.img is found to be: @at, @len are the bytes that show it. */
struct grub_core {
	bool bad;     /* it can't be what must be there */
	bool decided; /* compared with the file that it was made from */
	uint64_t sectors, at, len;
	char text[200];
};

/*
 * boot_code_check_core() - follow the list of sectors in core.img's first one, and look at each
 * @disk: the layer that sectors are counted in. @file: core.img as it was installed from, or NULL.
 * Source: GRUB 2, grub-core/boot/i386/pc/{boot,diskboot}.S, util/setup.c. 0 or -errno.
 */
int boot_code_check_core(struct layer *disk, uint64_t lba, struct layer *file,
			 struct grub_core *core);

#endif
