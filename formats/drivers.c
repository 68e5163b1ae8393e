/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/drivers.h"

#include <string.h>

const struct layer_ops *const container_drivers[] = {
	&vhd_ops,
	&qcow2_ops,
	&foreign_vhdx_ops,
	&foreign_vmdk_ops,
	&foreign_vdi_ops,
	&foreign_qcow1_ops,
	&foreign_qed_ops,
	&foreign_parallels_ops,
	&foreign_bochs_ops,
	&foreign_dmg_ops,
	&foreign_cloop_ops,
	&foreign_ewf_ops,
	&foreign_aff_ops,
	&foreign_wim_ops,
	&foreign_ova_ops,
	&foreign_xz_ops,
	&foreign_gzip_ops,
	&foreign_bzip2_ops,
	&foreign_zstd_ops,
	&foreign_zip_ops,
	NULL,
};

const struct layer_ops *const cipher_drivers[] = {
	&luks2_ops, &luks1_ops, &bitlocker_ops, &integrity_ops, &verity_ops, &tcrypt_ops, NULL,
};

const struct layer_ops *const map_drivers[] = {
	&gpt_ops, &mbr_ops, &lvm2_ops, &md_ops, &scan_ops, NULL,
};

const struct layer_ops *const filesystem_drivers[] = {
	&ntfs_ops, &ext4_ops, &regf_ops, &exfat_ops, &fat_ops, NULL,
};

const struct layer_ops *const log_drivers[] = {
	&evtx_ops,     &evt_ops, &journal_ops, &wer_ops,      &textlog_ops, &utmp_ops, &dump_ops,
	&prefetch_ops, &usn_ops, &kdump_ops,   &schedule_ops, &logfile_ops, NULL,
};

const struct layer_ops *driver_find(const char *name)
{
	static const struct layer_ops *const *const kinds[] = {
		container_drivers, cipher_drivers, map_drivers, filesystem_drivers, log_drivers};

	if (!strcmp(name, raw_ops.name))
		return &raw_ops;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++)
		for (size_t i = 0; kinds[k][i]; i++)
			if (!strcmp(name, kinds[k][i]->name))
				return kinds[k][i];
	return NULL;
}
