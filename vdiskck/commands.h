/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each command, in the file of its name; each returns the exit status. */
#ifndef VDISKCK_COMMANDS_H
#define VDISKCK_COMMANDS_H

#include "vdiskck/options.h"

int cmd_info(const struct args *a);
int cmd_check(const struct args *a);
int cmd_locate(const struct args *a);
int cmd_ls(const struct args *a);
int cmd_cat(const struct args *a);
int cmd_extract(const struct args *a);
int cmd_export(const struct args *a);
int cmd_explain(const struct args *a);
int cmd_triage(const struct args *a);
int cmd_logs(const struct args *a);
int cmd_seal(const struct args *a);
int cmd_scrub(const struct args *a);
int cmd_status(const struct args *a);
int cmd_merge(const struct args *a);

#endif
