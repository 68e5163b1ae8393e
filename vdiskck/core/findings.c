/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/findings.h"

#include <ctype.h>
#include <pthread.h>
#include <string.h>

static const struct entry {
	const char *name;
	enum severity severity;
	const char *meaning, *advice;
} entries[FINDING_COUNT] = {
#define F(name, severity, meaning, advice) [name] = {#name, severity, meaning, advice},
#include "vdiskck/core/findings.def"
#undef F
};

static char names[FINDING_COUNT][48];
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

#define F(name, severity, meaning, advice)                                                         \
	_Static_assert(sizeof(#name) <= sizeof(names[0]), "name too long: " #name);
#include "vdiskck/core/findings.def"
#undef F

static void names_make(void)
{
	for (size_t i = 0; i < FINDING_COUNT; i++) {
		const char *c = entries[i].name;

		for (size_t k = 0; c[k]; k++)
			names[i][k] = c[k] == '_' ? '-' : (char)tolower((unsigned char)c[k]);
	}
}

const char *finding_name(enum finding_id id)
{
	pthread_once(&names_once, names_make);
	return names[id];
}

enum severity finding_severity(enum finding_id id)
{
	return entries[id].severity;
}

const char *finding_meaning(enum finding_id id)
{
	return entries[id].meaning;
}

const char *finding_advice(enum finding_id id)
{
	return entries[id].advice;
}

enum finding_id finding_lookup(const char *name)
{
	for (size_t i = 0; i < FINDING_COUNT; i++)
		if (!strcmp(finding_name((enum finding_id)i), name))
			return (enum finding_id)i;
	return FINDING_COUNT;
}

const char *severity_name(enum severity s)
{
	static const char *const name[] = {"info", "blemish", "damage", "info"};

	return name[s];
}
