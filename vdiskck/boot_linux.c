/* SPDX-License-Identifier: Apache-2.0 */
/* Linux: kernel and initramfs, GRUB's configuration, fstab and what it mounts, init. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "recover/small_file.h"
#include "vdiskck/boot.h"
#include "vdiskck/core/glob.h"
#include "vdiskck/core/json.h"

enum { KERNELS = 64 };

bool boot_is_linux(struct layer *fs)
{
	static const char *const path[] = {"/etc/fstab", "/etc/os-release", "/usr/lib/os-release",
					   "/etc/passwd", "/sbin/init"};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(path) / sizeof(*path); i++) {
		struct fs_entry *e;

		n += !fs_find(fs, path[i], &e);
		fs_entry_free(e);
	}
	return n >= 2;
}

static char *text_of(struct boot *b, struct layer *fs, const char *path)
{
	return small_file(fs, path, &b->err);
}

struct kernels {
	struct boot *b;
	struct layer *fs;
	unsigned kernels, initramfs;
};

static int look(void *arg, const struct fs_entry *e)
{
	struct kernels *k = arg;
	const char *name = strrchr(e->path, '/') + 1;
	bool kernel = glob_match("vmlinu[xz]*", name, 0), initramfs = glob_match("initr*", name, 0);

	if (e->kind != FS_FILE || !(kernel || initramfs) || k->kernels + k->initramfs == KERNELS)
		return 0;
	boot_add_file(k->b, kernel ? "kernel" : "initramfs", k->fs, e->path);
	k->kernels += kernel;
	k->initramfs += initramfs;
	return k->b->err;
}

/* On the root's /boot, or on a volume of its own. */
static void kernels(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	static const char *const grub[] = {"/grub/grub.cfg", "/grub2/grub.cfg",
					   "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", NULL};
	struct kernels k = {.b = b};
	bool config = false;

	for (size_t i = 0; i < n && !b->err; i++) {
		struct fs_query q = {.dir = fs[i] == root ? "/boot" : "/"};
		char *place = config ? NULL : boot_file(b, fs[i], grub);

		if (place) {
			config = true;
			boot_add_file(b, "GRUB's menu", fs[i], place + strlen(fs[i]->path) + 1);
		}
		free(place);
		k.fs = fs[i];
		fs[i]->ops->fs->walk(fs[i], &q, look, &k);
	}
	if (!config)
		boot_add(b, "GRUB's menu", BOOT_OPEN, NULL,
			 "no grub.cfg is in this image: another loader, or another disk");
	if (!k.kernels)
		boot_add(b, "kernel", BOOT_BROKEN, root->path, "no kernel is in /boot");
	if (k.kernels && !k.initramfs)
		boot_add(b, "initramfs", BOOT_OPEN, root->path,
			 "there is none: the kernel must do without");
}

/* Is a file system with this UUID in the image? */
static bool has_uuid(struct layer *const *fs, size_t n, const char *uuid, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		struct json *info = js_object();
		const char *have = NULL;
		bool same;

		if (fs[i]->ops->info)
			fs[i]->ops->info(fs[i], info);
		if (js_get(info, "uuid"))
			have = js_text(js_get(info, "uuid"));
		same = have && strlen(have) == len && !strncasecmp(have, uuid, len);
		js_free(info);
		if (same)
			return true;
	}
	return false;
}

/* The line of fstab that mounts "/". */
static void root_device(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	char *text = text_of(b, root, "/etc/fstab"), *place = NULL;
	bool named = false;

	if (asprintf(&place, "%s:/etc/fstab", root->path) < 0)
		place = NULL;
	for (char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char device[256], at[256];

		if (sscanf(line, "%255s %255s", device, at) != 2 || *device == '#' ||
		    strcmp(at, "/"))
			continue;
		named = true;
		if (strncmp(device, "UUID=", 5))
			boot_add(b, "root device", BOOT_OPEN, place,
				 "/ is %s, a name that only the running system knows", device);
		else if (has_uuid(fs, n, device + 5, strlen(device + 5)))
			boot_add(b, "root device", BOOT_HOLDS, place, "/ is %s, which is here",
				 device);
		else
			boot_add(b, "root device", BOOT_BROKEN, place,
				 "/ is %s, which no volume here has", device);
		break;
	}
	if (!named)
		boot_add(b, "root device", BOOT_OPEN, place,
			 text ? "fstab does not name /" : "fstab can't be read");
	free(text);
	free(place);
}

static void system_name(struct boot *b, struct layer *root)
{
	char *text = text_of(b, root, "/etc/os-release"), *name, *host;

	snprintf(b->os, sizeof(b->os), "Linux");
	name = text ? strstr(text, "PRETTY_NAME=") : NULL;
	if (name) {
		name += strlen("PRETTY_NAME=");
		name += *name == '"';
		snprintf(b->os, sizeof(b->os), "%.*s", (int)(strcspn(name, "\"\n")), name);
	}
	free(text);
	host = text_of(b, root, "/etc/hostname");
	if (host)
		snprintf(b->computer, sizeof(b->computer), "%.*s", (int)strcspn(host, "\n"), host);
	free(host);
}

void boot_linux(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	static const char *const init[] = {"/sbin/init",
					   "/lib/systemd/systemd",
					   "/usr/lib/systemd/systemd",
					   "/etc/init",
					   "/bin/init",
					   NULL};
	char *place;

	system_name(b, root);
	kernels(b, root, fs, n);
	root_device(b, root, fs, n);
	place = boot_file(b, root, init);
	boot_add_file(b, "init", root, place ? place + strlen(root->path) + 1 : "/sbin/init");
	free(place);
}
