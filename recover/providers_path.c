/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of programs, as values of the registry have them, as paths of the volume. */
#include <stdio.h>
#include <string.h>

#include "recover/providers.h"

static const struct {
	const char *name, *is;
} places[] = {
	{"%SystemRoot%", "/Windows"},
	{"%windir%", "/Windows"},
	{"\\SystemRoot", "/Windows"},
	{"%SystemDrive%", ""},
	{"%ProgramFiles%", "/Program Files"},
	{"%ProgramFiles(x86)%", "/Program Files (x86)"},
	{"%ProgramW6432%", "/Program Files"},
	{"%CommonProgramFiles%", "/Program Files/Common Files"},
	{"%ProgramData%", "/ProgramData"},
	{"\\??\\", ""},
};

const char *providers_path(const char *named, char *out, size_t cap)
{
	const char *root = NULL;

	named += strspn(named, " \"");
	for (size_t i = 0; i < sizeof(places) / sizeof(*places) && !root; i++)
		if (!strncasecmp(named, places[i].name, strlen(places[i].name))) {
			root = places[i].is;
			named += strlen(places[i].name);
		}
	/* A drive's letter says nothing here: what is meant is on this volume, or not to be had. */
	if (named[0] && named[1] == ':') {
		root = "";
		named += 2;
	}
	/* A name alone is looked for where programs of the system are. */
	if (!root && *named != '\\' && *named != '/')
		root = strncasecmp(named, "system32", 8) ? "/Windows/System32" : "/Windows";
	snprintf(out, cap, "%s%s%s", root ? root : "", *named == '\\' || *named == '/' ? "" : "/",
		 named);
	for (char *p = out; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	for (size_t n = strlen(out); n && (out[n - 1] == ' ' || out[n - 1] == '"'); n--)
		out[n - 1] = '\0';
	return out;
}
