/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/rank.h"

#include <stddef.h>

#include "vdiskck/core/glob.h"

/*
 * The first rule that matches a path decides. Case never matters: on Linux, too, a name that
 * differs in case only is most likely a copy. A volume may be a machine's root, its /boot or its
 * EFI system partition: rules for the latter two begin at their roots.
 *
 * Windows: the boot path of the Windows loader (boot manager, BCD, loader, kernel, HAL, the
 * SYSTEM hive, boot-start drivers); without SOFTWARE, SAM and SECURITY it starts, but nobody can
 * log on. Which drivers start at boot stands in the SYSTEM hive; those named here do on
 * every stock system. Linux: firmware, boot loader, kernel, initramfs, init, what it mounts.
 */
static const struct rule {
	const char *glob;
	enum rank rank;
} rules[] = {
	/* What the file system keeps for itself has such names; some folders of Windows do, too. */
	{"/", RANK_VOLUME},
	{"/$orphans/**", RANK_USER},
	{"/$Recycle.Bin/**", RANK_USER},
	{"/$Win*/**", RANK_SYSTEM},
	{"/$SysReset/**", RANK_SYSTEM},
	{"/$*", RANK_VOLUME},
	/* EFI system partition, boot partition of BIOS machines */
	{"/EFI/**", RANK_BOOT},
	{"/bootmgr", RANK_BOOT},
	{"/BOOTNXT", RANK_BOOT},
	{"/Boot/**", RANK_BOOT},
	{"/ntldr", RANK_BOOT},
	{"/NTDETECT.COM", RANK_BOOT},
	{"/boot.ini", RANK_BOOT},
	/* Windows */
	{"/Windows/System32/winload.*", RANK_BOOT},
	{"/Windows/System32/winresume.*", RANK_BOOT},
	{"/Windows/System32/Boot/**", RANK_BOOT},
	{"/Windows/System32/ntoskrnl.exe", RANK_BOOT},
	{"/Windows/System32/hal.dll", RANK_BOOT},
	{"/Windows/System32/ntdll.dll", RANK_BOOT},
	{"/Windows/System32/ci.dll", RANK_BOOT},
	{"/Windows/System32/kd*.dll", RANK_BOOT},
	{"/Windows/System32/bootvid.dll", RANK_BOOT},
	{"/Windows/System32/mcupdate_*.dll", RANK_BOOT},
	{"/Windows/System32/pshed.dll", RANK_BOOT},
	{"/Windows/System32/smss.exe", RANK_BOOT},
	{"/Windows/System32/csrss.exe", RANK_BOOT},
	{"/Windows/System32/wininit.exe", RANK_BOOT},
	{"/Windows/System32/winlogon.exe", RANK_BOOT},
	{"/Windows/System32/services.exe", RANK_BOOT},
	{"/Windows/System32/lsass.exe", RANK_BOOT},
	{"/Windows/System32/win32k*.sys", RANK_BOOT},
	{"/Windows/System32/c_*.nls", RANK_BOOT},
	{"/Windows/System32/l_intl.nls", RANK_BOOT},
	{"/Windows/System32/CodeIntegrity/**", RANK_BOOT},
	{"/Windows/System32/config/SYSTEM*", RANK_BOOT},
	{"/Windows/System32/config/SOFTWARE*", RANK_BOOT},
	{"/Windows/System32/config/SAM*", RANK_BOOT},
	{"/Windows/System32/config/SECURITY*", RANK_BOOT},
	{"/Windows/System32/config/DEFAULT*", RANK_BOOT},
	{"/Windows/System32/config/ELAM*", RANK_BOOT},
	{"/Windows/System32/config/DRIVERS*", RANK_BOOT},
	{"/Windows/System32/drivers/acpi*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/pci*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/msisadrv.sys", RANK_BOOT},
	{"/Windows/System32/drivers/vdrvroot.sys", RANK_BOOT},
	{"/Windows/System32/drivers/partmgr.sys", RANK_BOOT},
	{"/Windows/System32/drivers/spaceport.sys", RANK_BOOT},
	{"/Windows/System32/drivers/vol*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/mountmgr.sys", RANK_BOOT},
	{"/Windows/System32/drivers/*ide*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/ata*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/*stor*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/*scsi*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/vio*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/vmbus*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/xen*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/disk.sys", RANK_BOOT},
	{"/Windows/System32/drivers/classpnp.sys", RANK_BOOT},
	{"/Windows/System32/drivers/fltmgr.sys", RANK_BOOT},
	{"/Windows/System32/drivers/fileinfo.sys", RANK_BOOT},
	{"/Windows/System32/drivers/ntfs.sys", RANK_BOOT},
	{"/Windows/System32/drivers/fvevol.sys", RANK_BOOT},
	{"/Windows/System32/drivers/ks*.sys", RANK_BOOT},
	{"/Windows/System32/drivers/cng.sys", RANK_BOOT},
	{"/Windows/System32/drivers/ndis.sys", RANK_BOOT},
	{"/Windows/System32/drivers/tcpip.sys", RANK_BOOT},
	{"/Windows/System32/drivers/wdf*.sys", RANK_BOOT},
	/* Linux: /boot on a volume of its own, then on the root */
	{"/vmlinu[xz]*", RANK_BOOT},
	{"/initr*", RANK_BOOT},
	{"/grub/**", RANK_BOOT},
	{"/grub2/**", RANK_BOOT},
	{"/loader/**", RANK_BOOT},
	{"/extlinux/**", RANK_BOOT},
	{"/syslinux/**", RANK_BOOT},
	{"/ldlinux.sys", RANK_BOOT},
	{"/etc/fstab", RANK_BOOT},
	{"/etc/crypttab", RANK_BOOT},
	{"/etc/default/grub", RANK_BOOT},
	{"/etc/passwd", RANK_BOOT},
	{"/etc/shadow", RANK_BOOT},
	{"/etc/pam.d/**", RANK_BOOT},
	{"/etc/ld.so.*", RANK_BOOT},
	{"/etc/systemd/**", RANK_BOOT},
	{"/etc/inittab", RANK_BOOT},
	{"/etc/init.d/**", RANK_BOOT},
	{"/**/lib/systemd/**", RANK_BOOT},
	{"/**/lib/modules/**", RANK_BOOT},
	{"/**/lib/firmware/**", RANK_BOOT},
	{"/**/lib*/**/libc.so*", RANK_BOOT},
	{"/**/lib*/**/libc-2*.so", RANK_BOOT},
	{"/**/lib*/**/ld-*.so*", RANK_BOOT},
	{"/sbin/*", RANK_BOOT},
	{"/usr/sbin/init", RANK_BOOT},
	{"/bin/sh", RANK_BOOT},
	{"/usr/bin/sh", RANK_BOOT},
	{"/**/bin/bash", RANK_BOOT},
	{"/**/bin/dash", RANK_BOOT},
	{"/**/bin/mount", RANK_BOOT},
	{"/**/bin/systemctl", RANK_BOOT},
	/* Logs */
	{"/**/*.evtx", RANK_LOGS},
	{"/**/*.evt", RANK_LOGS},
	{"/**/*.etl", RANK_LOGS},
	{"/**/*.journal*", RANK_LOGS},
	{"/Windows/System32/winevt/**", RANK_LOGS},
	{"/Windows/System32/LogFiles/**", RANK_LOGS},
	{"/Windows/Logs/**", RANK_LOGS},
	{"/Windows/Panther/**", RANK_LOGS},
	{"/Windows/Minidump/**", RANK_LOGS},
	{"/Windows/MEMORY.DMP", RANK_LOGS},
	{"/Windows/*.log", RANK_LOGS},
	{"/Windows/INF/*.log", RANK_LOGS},
	{"/Windows/Prefetch/**", RANK_LOGS},
	{"/Windows/AppCompat/**", RANK_LOGS},
	{"/Windows/System32/sru/**", RANK_LOGS},
	{"/ProgramData/Microsoft/Windows/WER/**", RANK_LOGS},
	{"/ProgramData/Microsoft/Windows Defender/Support/**", RANK_LOGS},
	{"/inetpub/logs/**", RANK_LOGS},
	{"/var/log/**", RANK_LOGS},
	{"/var/crash/**", RANK_LOGS},
	{"/var/lib/systemd/coredump/**", RANK_LOGS},
	{"/var/spool/cron/**", RANK_LOGS},
	{"/log/**", RANK_LOGS}, /* /var on a volume of its own */
	{"/journal/**", RANK_LOGS},
	{"/**/.*_history", RANK_LOGS},
	/* The system */
	{"/Windows/**", RANK_SYSTEM},
	{"/Program Files*/**", RANK_SYSTEM},
	{"/ProgramData/**", RANK_SYSTEM},
	{"/Recovery/**", RANK_SYSTEM},
	{"/System Volume Information/**", RANK_SYSTEM},
	{"/pagefile.sys", RANK_SYSTEM},
	{"/swapfile.sys", RANK_SYSTEM},
	{"/hiberfil.sys", RANK_SYSTEM},
	{"/swapfile", RANK_SYSTEM},
	{"/bin/**", RANK_SYSTEM},
	{"/etc/**", RANK_SYSTEM},
	{"/lib*/**", RANK_SYSTEM},
	{"/opt/**", RANK_SYSTEM},
	{"/sbin/**", RANK_SYSTEM},
	{"/usr/**", RANK_SYSTEM},
	{"/var/**", RANK_SYSTEM},
};

enum rank rank_of(const char *path)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++)
		if (glob_match(rules[i].glob, path, GLOB_NOCASE))
			return rules[i].rank;
	return RANK_USER;
}

const char *rank_name(enum rank r)
{
	static const char *const name[RANKS] = {
		[RANK_BOOT] = "boot-critical", [RANK_VOLUME] = "file system",
		[RANK_LOGS] = "logs",	       [RANK_SYSTEM] = "system",
		[RANK_USER] = "user data",     [RANK_DELETED] = "deleted files",
		[RANK_FREE] = "free space",
	};

	return name[r];
}
