/* SPDX-License-Identifier: Apache-2.0 */
/* Events that tell why a machine died, by the rules of symptoms.def. */
#ifndef VDISKCK_RECOVER_SYMPTOMS_H
#define VDISKCK_RECOVER_SYMPTOMS_H

#include "formats/log/log.h"

/* symptom_of() - number of the first rule that @e fits, from 1; 0: none. Safe from any thread. */
unsigned symptom_of(const struct log_event *e);
/* symptom_text() - what rule @n means */
const char *symptom_text(unsigned n);
/* symptom_count() - how many rules there are: @n is 1 to that */
unsigned symptom_count(void);

#endif
