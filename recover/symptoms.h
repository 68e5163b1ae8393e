/* SPDX-License-Identifier: Apache-2.0 */
/* Events that tell why a machine died, by the rules of symptoms.def. */
#ifndef VDISKCK_RECOVER_SYMPTOMS_H
#define VDISKCK_RECOVER_SYMPTOMS_H

#include "formats/log/log.h"

/* symptom_of() - number of the first rule that @e fits, from 1; 0: none. Safe from any thread. */
unsigned symptom_of(const struct log_event *e);
/* symptom_text() - what rule @n means */
const char *symptom_text(unsigned n);
/*
 * symptoms_load() - rules from a file in the form of symptoms.def, tried before those
 * Replaces those of an earlier call. Before threads start. 0, or -errno with a line in @err that
 * names file and line; nothing is changed then. symptoms_unload() - forget them.
 */
int symptoms_load(const char *path, char *err, size_t cap);
void symptoms_unload(void);
/* symptom_count() - how many rules there are: @n is 1 to that */
unsigned symptom_count(void);

#endif
