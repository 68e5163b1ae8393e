/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/scrub_label.h"

#include <string.h>

#include "vdiskck/core/json.h"
#include "vdiskck/core/source.h"
#include "vdiskck/image_id.h"
#include "vdiskck/run.h"

static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void label_put(struct layer *source, const char *path, struct json *j)
{
	struct layer *disk = disk_layer(source);
	const char *folder = source_folder(source, 0);
	bool export = source_is_remote(source);
	char id[SEAL_ID];

	image_id(disk, id);
	js_str(j, "image", path);
	js_str(j, "name", export ? path : last_name(path));
	js_str(j, "id", id);
	js_str(j, "format", disk->ops->name);
	js_str(j, "storage", folder && !export ? last_name(folder) : "");
}
