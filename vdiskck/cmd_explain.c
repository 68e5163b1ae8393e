/* SPDX-License-Identifier: Apache-2.0 */
/* What findings mean: one, all, or all as the manual page vdiskck-findings(7). */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"
#include "vdiskck/version.h"

static const enum severity order[] = {DAMAGE, UNDECIDED, BLEMISH, INFO};
static const char *const severity_text[] = {
	[INFO] = "info", [BLEMISH] = "blemish", [DAMAGE] = "damage", [UNDECIDED] = "undecided"};
static const char *const severity_means[] = {
	[DAMAGE] = "data or structures are wrong or lost",
	[UNDECIDED] = "something could not be examined, so no verdict covers it",
	[BLEMISH] = "nothing is lost, but something is not as it should be",
	[INFO] = "a fact worth knowing; nothing is wrong",
};

static void json_one(enum finding_id id)
{
	struct json *j = js_object();

	js_str(j, "record", "explanation");
	js_str(j, "id", finding_name(id));
	js_str(j, "severity", severity_name(finding_severity(id)));
	js_bool(j, "undecided", finding_severity(id) == UNDECIDED);
	js_str(j, "meaning", finding_meaning(id));
	js_str(j, "advice", finding_advice(id));
	puts(js_line(j));
	js_free(j);
}

static void explain(enum finding_id id)
{
	enum severity s = finding_severity(id);

	printf("%s (%s: %s)\n", finding_name(id), severity_text[s], severity_means[s]);
	printf("  what it means: %s\n", finding_meaning(id));
	printf("  what to do:    %s\n", finding_advice(id));
}

static void each(enum severity s, void (*fn)(enum finding_id id))
{
	for (int id = 0; id < FINDING_COUNT; id++)
		if (finding_severity((enum finding_id)id) == s)
			fn((enum finding_id)id);
}

static void list_one(enum finding_id id)
{
	printf("  %-32s %s\n", finding_name(id), finding_meaning(id));
}

static void list(void)
{
	for (size_t i = 0; i < 4; i++) {
		printf("%s%s: %s\n", i ? "\n" : "", severity_text[order[i]],
		       severity_means[order[i]]);
		each(order[i], list_one);
	}
}

/*
 * Text within a line of mdoc: a backslash starts an escape. A sentence that ends within a line
 * can't be told from an abbreviation, so the text goes out as it is.
 */
static void mdoc_text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout); /* not a macro */
	for (; *s; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else
			putchar(*s);
	}
}

static void mdoc_one(enum finding_id id)
{
	printf(".It Sy %s\n", finding_name(id));
	mdoc_text(finding_meaning(id));
	puts(".");
	printf(".Em What to do :\n");
	mdoc_text(finding_advice(id));
	puts(".");
}

static void mdoc(void)
{
	puts(".\\\" SPDX-License-Identifier: Apache-2.0\n"
	     ".\\\" Made by `vdiskck explain --mdoc` from vdiskck/core/findings.def\n"
	     ".Dd November 23, 2026\n"
	     ".Dt VDISKCK-FINDINGS 7\n"
	     ".Os\n"
	     ".Sh NAME\n"
	     ".Nm vdiskck-findings\n"
	     ".Nd what the findings of vdiskck mean and what to do about them\n"
	     ".Sh DESCRIPTION\n"
	     "A finding of\n"
	     ".Xr vdiskck 1\n"
	     "states one fact about the evidence, under a name that never changes its meaning.\n"
	     "The verdict of a run follows from the severities of its findings.\n"
	     ".Ic vdiskck explain Ar ID\n"
	     "shows one of the entries below.");
	for (size_t i = 0; i < 4; i++) {
		enum severity s = order[i];

		printf(".Ss %c%s: %s\n.Bl -tag -width Ds\n", toupper(severity_text[s][0]),
		       severity_text[s] + 1, severity_means[s]);
		each(s, mdoc_one);
		puts(".El");
	}
	puts(".Sh SEE ALSO\n.Xr vdiskck 1");
}

/* People type what they saw: in upper case in the source, in brackets in the output. */
static enum finding_id lookup(const char *typed)
{
	char name[64];
	size_t n = 0;

	for (; *typed && n + 1 < sizeof(name); typed++)
		if (!strchr("[]", *typed))
			name[n++] = *typed == '_' ? '-' : (char)tolower((unsigned char)*typed);
	name[n] = '\0';
	return finding_lookup(name);
}

static int unknown(const struct args *a, const char *typed)
{
	const char *words[FINDING_COUNT + 1] = {NULL}, *like;

	for (int id = 0; id < FINDING_COUNT; id++)
		words[id] = finding_name((enum finding_id)id);
	like = nearest_word(typed, words);
	if (like)
		return usage_hint(a, "no finding %s; did you mean %s?", typed, like);
	return usage_hint(a, "no finding %s; `vdiskck explain` lists all", typed);
}

int cmd_explain(const struct args *a)
{
	for (size_t i = 0; i < a->n_rest; i++)
		if (lookup(a->rest[i]) == FINDING_COUNT)
			return unknown(a, a->rest[i]);
	if (a->mdoc)
		mdoc();
	else if (!a->n_rest && a->json)
		for (int id = 0; id < FINDING_COUNT; id++)
			json_one((enum finding_id)id);
	else if (!a->n_rest)
		list();
	for (size_t i = 0; i < a->n_rest; i++) {
		enum finding_id id = lookup(a->rest[i]);

		if (a->json)
			json_one(id);
		else
			explain(id);
	}
	return fflush(stdout) || ferror(stdout) ? 3 : 0;
}
