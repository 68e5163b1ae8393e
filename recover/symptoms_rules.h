/* SPDX-License-Identifier: Apache-2.0 */
/* A rule as the table has it: between symptoms.c and symptoms_file.c. */
#ifndef VDISKCK_RECOVER_SYMPTOMS_RULES_H
#define VDISKCK_RECOVER_SYMPTOMS_RULES_H

#include <stddef.h>

struct symptom_rule {
	const char *source, *provider, *ids, *text, *meaning;
};

/* symptoms_use() - rules to be tried before the built-in ones; @v and @text are freed later */
void symptoms_use(struct symptom_rule *v, size_t n, char *text);

#endif
