/* SPDX-License-Identifier: Apache-2.0 */
/* Partition types of the MBR, as far as they are still met. Source: fdisk's list. */
#include "formats/part/mbr.h"

static const char *const types[256] = {
	[0x01] = "FAT12",
	[0x04] = "FAT16, small",
	[0x05] = "extended",
	[0x06] = "FAT16",
	[0x07] = "NTFS, exFAT or HPFS",
	[0x0b] = "FAT32",
	[0x0c] = "FAT32, LBA",
	[0x0e] = "FAT16, LBA",
	[0x0f] = "extended, LBA",
	[0x11] = "FAT12, hidden",
	[0x12] = "OEM recovery",
	[0x14] = "FAT16, small, hidden",
	[0x16] = "FAT16, hidden",
	[0x17] = "NTFS, hidden",
	[0x1b] = "FAT32, hidden",
	[0x1c] = "FAT32, LBA, hidden",
	[0x1e] = "FAT16, LBA, hidden",
	[0x27] = "Windows recovery",
	[0x39] = "Plan 9",
	[0x41] = "PReP boot",
	[0x42] = "Windows dynamic disk",
	[0x63] = "GNU Hurd or System V",
	[0x82] = "Linux swap or Solaris",
	[0x83] = "Linux",
	[0x84] = "hibernation",
	[0x85] = "extended, Linux",
	[0x8e] = "Linux LVM",
	[0xa5] = "FreeBSD",
	[0xa6] = "OpenBSD",
	[0xa8] = "Darwin UFS",
	[0xa9] = "NetBSD",
	[0xab] = "Darwin boot",
	[0xaf] = "HFS or HFS+",
	[0xbe] = "Solaris boot",
	[0xbf] = "Solaris",
	[0xda] = "data without a file system",
	[0xde] = "Dell utility",
	[0xea] = "Linux extended boot",
	[0xee] = "GPT protective",
	[0xef] = "EFI system",
	[0xfb] = "VMware VMFS",
	[0xfc] = "VMware swap",
	[0xfd] = "Linux RAID",
};

const char *mbr_type(uint8_t type)
{
	return types[type];
}
