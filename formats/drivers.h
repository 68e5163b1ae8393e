/* SPDX-License-Identifier: Apache-2.0 */
/* Every driver, by hand, in the order tried: one NULL-terminated array per kind. */
#ifndef VDISKCK_FORMATS_DRIVERS_H
#define VDISKCK_FORMATS_DRIVERS_H

#include "vdiskck/core/layer.h"

extern const struct layer_ops *const container_drivers[];
extern const struct layer_ops *const cipher_drivers[];
extern const struct layer_ops *const map_drivers[];
extern const struct layer_ops *const filesystem_drivers[];
extern const struct layer_ops *const log_drivers[];

/* Named here only for what must refer to one of them: tests, fuzz targets, --format. */
extern const struct layer_ops vhd_ops, qcow2_ops, raw_ops;
/* Recognised, not read: container/foreign.c */
extern const struct layer_ops foreign_vhdx_ops, foreign_vmdk_ops, foreign_vdi_ops,
	foreign_qcow1_ops, foreign_qed_ops, foreign_parallels_ops, foreign_bochs_ops,
	foreign_dmg_ops, foreign_cloop_ops, foreign_ewf_ops, foreign_aff_ops, foreign_wim_ops,
	foreign_ova_ops, foreign_xz_ops, foreign_gzip_ops, foreign_bzip2_ops, foreign_zstd_ops,
	foreign_zip_ops;
extern const struct layer_ops bitlocker_ops, luks1_ops, luks2_ops;
extern const struct layer_ops integrity_ops, verity_ops;
extern const struct layer_ops bitlocker_ops, luks1_ops, luks2_ops, tcrypt_ops;
extern const struct layer_ops regf_ops;
extern const struct layer_ops fat_ops, exfat_ops;
extern const struct layer_ops journal_ops;
extern const struct layer_ops ntfs_ops;
extern const struct layer_ops mbr_ops, gpt_ops, scan_ops, lvm2_ops, md_ops;
extern const struct layer_ops ext4_ops;
extern const struct layer_ops evtx_ops, evt_ops;
extern const struct layer_ops textlog_ops, utmp_ops, dump_ops, wer_ops, prefetch_ops, usn_ops;
extern const struct layer_ops kdump_ops, schedule_ops, logfile_ops;

/* driver_find() - a driver of any of these kinds by name, or NULL */
const struct layer_ops *driver_find(const char *name);

#endif
