/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/triage_parts.h"

#include <stdio.h>
#include <string.h>

/* In the order of the bits. */
static const char *const names[] = {"structures", "data",     "boot",  "logs",
				    "listing",	  "database", "report"};

enum { PARTS = sizeof(names) / sizeof(names[0]) };

_Static_assert(PARTS_ALL == (1 << PARTS) - 1, "every part has a name");

unsigned parts_parse(const char *text, char bad[32])
{
	unsigned parts = 0;

	for (size_t len;; text += len + 1) {
		size_t i = 0;

		len = strcspn(text, ",");
		while (i < PARTS && (strlen(names[i]) != len || memcmp(names[i], text, len)))
			i++;
		if (i == PARTS) {
			snprintf(bad, 32, "%.*s", (int)(len < 31 ? len : 31), text);
			return 0;
		}
		parts |= 1u << i;
		if (!text[len])
			return parts;
	}
}

const char *parts_text(unsigned parts, char out[96])
{
	size_t n = 0;

	*out = '\0';
	for (size_t i = 0; i < PARTS; i++)
		if (parts & 1u << i)
			n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? ", " : "", names[i]);
	return out;
}
