/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/commands.h"
#include "vdiskck/out_text.h"
#include "vdiskck/systems.h"

int cmd_info(const struct args *a)
{
	struct systems found = {0};
	struct run r;
	int status, err;

	if (a->n_rest)
		return usage_hint(a, "one IMAGE at a time, not also %s", a->rest[0]);
	err = run_begin(&r, a);
	if (!err) {
		run_confine(&r, NULL, NULL);
		systems_read(&r, false, &found);
		systems_records(&r, &found);
	}
	status = run_status(&r);
	if (!a->json) {
		if (!err)
			text_stack(stdout, &r);
		systems_names(stdout, &found);
		collect_sort(&r.found);
		if (!a->quiet)
			text_findings(stdout, &r);
		if (status)
			text_verdict(stdout, &r, status);
	}
	systems_free(&found);
	return run_end(&r, status);
}
