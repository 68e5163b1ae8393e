/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/checkup.h"
#include "vdiskck/commands.h"
#include "vdiskck/damage.h"
#include "vdiskck/out_text.h"

int cmd_check(const struct args *a)
{
	struct run r;
	int status;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	run_init(&r, a);
	r.hold = true;
	if (!run_open(&r)) {
		run_confine(&r, NULL, NULL);
		checkup(&r, NULL);
	}
	status = run_status(&r);
	if (!a->json) {
		progress_wipe(&r.progress);
		collect_sort(&r.found);
		if (!a->quiet)
			text_findings(stdout, &r);
		if (!a->quiet)
			damage_text(stdout, &r);
		text_verdict(stdout, &r, status);
	}
	return run_end(&r, status);
}
