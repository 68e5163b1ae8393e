/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/image_id.h"

#include <stdio.h>

#include "vdiskck/core/json.h"

static bool says(struct layer *l, char id[SEAL_ID])
{
	static const char *const key[] = {"uuid", "disk_guid", "volume_id", "disk_signature"};
	struct json *info = js_object();
	const char *value = NULL;

	if (l->ops->info)
		l->ops->info(l, info);
	for (size_t i = 0; i < sizeof(key) / sizeof(*key) && !value; i++)
		if (js_get(info, key[i]))
			value = js_text(js_get(info, key[i]));
	if (value)
		snprintf(id, SEAL_ID, "%s %s", l->ops->name, value);
	js_free(info);
	return value;
}

void image_id(struct layer *l, char id[SEAL_ID])
{
	*id = '\0';
	if (says(l, id))
		return;
	for (struct layer *c = l->child; c; c = c->next)
		if (says(c, id))
			return;
}
