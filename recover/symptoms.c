/* SPDX-License-Identifier: Apache-2.0 */
#include "recover/symptoms.h"

#include <stdlib.h>
#include <string.h>

#include "recover/symptoms_rules.h"
#include "vdiskck/core/glob.h"

static const struct symptom_rule rules[] = {
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

/* What the user brought; numbers behind those of the built-in ones. Set before threads start. */
static struct {
	struct symptom_rule *v;
	size_t n;
	char *text;
} own;

void symptoms_use(struct symptom_rule *v, size_t n, char *text)
{
	free(own.v);
	free(own.text);
	own.v = v;
	own.n = n;
	own.text = text;
}

void symptoms_unload(void)
{
	symptoms_use(NULL, 0, NULL);
}

static bool is_windows(const char *source)
{
	return !strncmp(source, "evt", 3);
}

static bool rule_fits(const struct symptom_rule *r, const struct log_event *e, const char *provider,
		      const char *text)
{
	/* Most events are told apart by their kind of log, at no cost. "*" stands for Linux's. */
	if (is_windows(e->source) != is_windows(r->source) ||
	    (strcmp(r->source, "*") && !glob_match(r->source, e->source, GLOB_NOCASE)))
		return false;
	if (*r->ids && (!e->has_event_id || !in_list(r->ids, e->event_id)))
		return false;
	return fits(r->provider, provider) && (!*r->text || fits(r->text, text));
}

unsigned symptom_of(const struct log_event *e)
{
	char provider[TEXT], text[TEXT];

	cut(e->provider, provider);
	cut(e->message, text);
	for (unsigned i = 0; i < own.n; i++)
		if (rule_fits(&own.v[i], e, provider, text))
			return RULES + i + 1;
	for (unsigned i = 0; i < RULES; i++)
		if (rule_fits(&rules[i], e, provider, text))
			return i + 1;
	return 0;
}

const char *symptom_text(unsigned n)
{
	if (n > RULES && n - RULES <= own.n)
		return own.v[n - RULES - 1].meaning;
	return n && n <= RULES ? rules[n - 1].meaning : "";
}

unsigned symptom_count(void)
{
	return RULES + (unsigned)own.n;
}
