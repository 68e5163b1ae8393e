/* SPDX-License-Identifier: Apache-2.0 */
/* The list of findings as C sees it. The list itself is in findings.def. */
#ifndef VDISKCK_CORE_FINDINGS_H
#define VDISKCK_CORE_FINDINGS_H

#include <stdbool.h>

enum severity { INFO, BLEMISH, DAMAGE, UNDECIDED };

enum finding_id {
#define F(name, severity, meaning, advice) name,
#include "vdiskck/core/findings.def"
#undef F
	FINDING_COUNT
};

/* finding_name() - as users see it: VHD_BAT_PAST_END is "vhd-bat-past-end" */
const char *finding_name(enum finding_id id);
enum severity finding_severity(enum finding_id id);
const char *finding_meaning(enum finding_id id);
const char *finding_advice(enum finding_id id);
/* finding_lookup() - the id of a name as users see it, or FINDING_COUNT */
enum finding_id finding_lookup(const char *name);
/* severity_name() - "info", "blemish", "damage"; what is undecided counts as "info" */
const char *severity_name(enum severity s);

#endif
