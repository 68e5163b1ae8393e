/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/symptoms.h"

#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/glob.h"

static const struct rule {
	const char *source, *provider, *ids, *text, *meaning;
} rules[] = {
#define S(source, provider, ids, text, meaning) {source, provider, ids, text, meaning},
#include "recover/symptoms.def"
#undef S
};

enum { RULES = sizeof(rules) / sizeof(rules[0]), TEXT = 512 };

/* "7,11,17-20" */
static bool in_list(const char *ids, uint64_t id)
{
	while (*ids) {
		char *end;
		uint64_t first = strtoull(ids, &end, 10), last = first;

		if (*end == '-')
			last = strtoull(end + 1, &end, 10);
		if (id >= first && id <= last)
			return true;
		ids = *end ? end + 1 : end;
	}
	return false;
}

/* The start of a text, as a string that a glob can be put to: '/' is no separator in it. */
static const char *cut(struct log_text t, char out[TEXT])
{
	size_t n = t.len < TEXT - 1 ? t.len : TEXT - 1;

	for (size_t i = 0; i < n; i++)
		out[i] = t.p[i] == '/' || !t.p[i] ? ' ' : t.p[i];
	out[n] = '\0';
	return out;
}

/* A pattern of the table, in which a '/' is meant as it stands. */
static bool fits(const char *glob, const char *text)
{
	char pattern[128];
	size_t n = strlen(glob) < sizeof(pattern) - 1 ? strlen(glob) : sizeof(pattern) - 1;

	for (size_t i = 0; i < n; i++)
		pattern[i] = glob[i] == '/' ? ' ' : glob[i];
	pattern[n] = '\0';
	return glob_match(pattern, text, GLOB_NOCASE);
}

unsigned symptom_of(const struct log_event *e)
{
	char provider[TEXT], text[TEXT];
	bool windows = !strncmp(e->source, "evt", 3);

	cut(e->provider, provider);
	cut(e->message, text);
	for (unsigned i = 0; i < RULES; i++) {
		const struct rule *r = &rules[i];

		/* Most events are told apart by their kind of log, at no cost. */
		if (windows != !strncmp(r->source, "evt", 3))
			continue;
		if (*r->ids && (!e->has_event_id || !in_list(r->ids, e->event_id)))
			continue;
		if (fits(r->provider, provider) && (!*r->text || fits(r->text, text)))
			return i + 1;
	}
	return 0;
}

const char *symptom_text(unsigned n)
{
	return n && n <= RULES ? rules[n - 1].meaning : "";
}

unsigned symptom_count(void)
{
	return RULES;
}
