/* SPDX-License-Identifier: Apache-2.0 */
/* What a Linux kernel and an initramfs prove about themselves. */
#ifndef VDISKCK_RECOVER_LINUX_IMAGE_H
#define VDISKCK_RECOVER_LINUX_IMAGE_H

#include "vdiskck/core/layer.h"

enum linux_image_state {
	LINUX_IMAGE_FITS,    /* its checksum is that of its bytes */
	LINUX_IMAGE_DIFFERS, /* it is not, or what is packed breaks off */
	LINUX_IMAGE_NO_SUM,  /* nothing in it can be checked, or not by us */
	LINUX_IMAGE_NONE,    /* it does not begin as such a file does */
};

struct linux_image {
	enum linux_image_state state;
	uint64_t at, len; /* the part that was checked, or where it failed */
	char text[96];	  /* what speaks for the state: "CRC-32 of the kernel" */
};

/*
 * linux_kernel_check() - a bzImage: its CRC-32; signed ones have it over the unsigned file
 * linux_initramfs_check() - cpio archives and packed ones in a row: the checksums of the packing
 * Up to 256 MiB are read, and 512 MiB unpacked; of more, nothing is said. 0 or -errno.
 * Source: Linux, Documentation/arch/x86/boot.rst ("The CRC-32 of the kernel"),
 * Documentation/driver-api/early-userspace/buffer-format.rst.
 */
int linux_kernel_check(struct layer *file, struct linux_image *im);
int linux_initramfs_check(struct layer *file, struct linux_image *im);

#endif
