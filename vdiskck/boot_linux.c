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

/* Deleted files have paths, too. */
static bool is_there(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	bool there = !fs_find(fs, path, &e) && !e->deleted;

	fs_entry_free(e);
	return there;
}

/* What the first entry of the menu starts must be there, on the volume of the menu. */
static void menu(struct boot *b, struct layer *fs, const char *path, struct layer *const *all,
		 size_t n)
{
	char *text = text_of(b, fs, path), *place = NULL;
	bool entry = false;

	if (asprintf(&place, "%s:%s", fs->path, path) < 0)
		place = NULL;
	for (char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char word[32], file[512], arguments[1024] = "", *uuid;
		bool found;

		if (sscanf(line, "%31s %511s %1023[^\n]", word, file, arguments) < 2 ||
		    (strncmp(word, "linux", 5) && strncmp(word, "initrd", 6)) || *file != '/')
			continue;
		found = is_there(fs, file);
		if (!found)
			boot_wrong(b, BOOT_NAMES, "GRUB's entry", fs, path,
				   "it names %s, which is not there", file);
		uuid = !strncmp(word, "linux", 5) ? strstr(arguments, "root=UUID=") : NULL;
		if (uuid && !has_uuid(all, n, uuid + 10, strcspn(uuid + 10, " \t\"")))
			boot_wrong(b, BOOT_NAMES, "GRUB's entry", fs, path,
				   "its root %.*s is on no volume here",
				   (int)strcspn(uuid, " \t\""), uuid);
		else if (found && !entry && !strncmp(word, "linux", 5))
			boot_add(b, "GRUB's entry", BOOT_HOLDS, place, "its first one starts %s",
				 file);
		entry |= !strncmp(word, "linux", 5);
		if (!strncmp(word, "initrd", 6))
			break;
	}
	free(text);
	free(place);
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

struct loaders {
	struct boot *b;
	struct layer *fs;
	unsigned n;
};

static int look_loader(void *arg, const struct fs_entry *e)
{
	struct loaders *k = arg;

	if (e->kind == FS_FILE && k->n < KERNELS &&
	    glob_match("/EFI/**/*.efi", e->path, GLOB_NOCASE)) {
		boot_add_file(k->b, "EFI loader", k->fs, e->path);
		k->n++;
	}
	return k->b->err;
}

/* Every program in an EFI system partition: which one the firmware starts, its own memory says. */
static void loaders(struct boot *b, struct layer *const *fs, size_t n)
{
	struct fs_query q = {.dir = "/EFI", .recursive = true};
	struct loaders k = {.b = b};

	for (size_t i = 0; i < n && !b->err; i++) {
		k.fs = fs[i];
		fs[i]->ops->fs->walk(fs[i], &q, look_loader, &k);
	}
	if (!k.n && !b->bios)
		boot_add(b, "EFI loader", BOOT_OPEN, NULL,
			 "there is none: another disk starts it, or its host");
}

/* On the root's /boot, or on a volume of its own. Is there a kernel, or what starts one? */
static bool kernels(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	static const char *const grub[] = {"/grub/grub.cfg", "/grub2/grub.cfg",
					   "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", NULL};
	struct kernels k = {.b = b};
	bool config = false;

	/* Its own first: there may be another system's on the same disk. */
	for (size_t i = 0; i <= n && !b->err; i++) {
		struct layer *v = i ? fs[i - 1] : root;
		struct fs_query q = {.dir = v == root ? "/boot" : "/"};
		char *place = config || (i && v == root) ? NULL : boot_file(b, v, grub);

		if (place) {
			config = true;
			boot_add_file(b, "GRUB's menu", v, place + strlen(v->path) + 1);
			menu(b, v, place + strlen(v->path) + 1, fs, n);
		}
		free(place);
		k.fs = v;
		if (!i || v != root)
			v->ops->fs->walk(v, &q, look, &k);
	}
	if (!config)
		boot_add(b, "GRUB's menu", BOOT_OPEN, NULL,
			 "no grub.cfg is in this image: another loader, or another disk");
	if (!k.kernels && config)
		boot_wrong(b, BOOT_NAMES, "kernel", root, "/boot", "no kernel is in it");
	else if (!k.kernels)
		boot_add(
			b, "kernel", BOOT_OPEN, root->path,
			"none is in this image: a container's root has none; a machine gets it from "
			"its host, or has it on another disk");
	if (k.kernels && !k.initramfs)
		boot_add(b, "initramfs", BOOT_OPEN, root->path,
			 "there is none: the kernel must do without");
	return k.kernels || config;
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
			boot_wrong(b, BOOT_NAMES, "root device", root, "/etc/fstab",
				   "/ is %s, which no volume here has", device);
		break;
	}
	if (!named)
		boot_add(b, "root device", BOOT_OPEN, place,
			 text ? "fstab does not name /" : "fstab can't be read");
	free(text);
	free(place);
}

/* The other lines: without what they must mount, systemd stops in emergency mode. */
static void mounts(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	char *text = text_of(b, root, "/etc/fstab"), *place = NULL;
	unsigned here = 0, absent = 0;

	if (asprintf(&place, "%s:/etc/fstab", root->path) < 0)
		place = NULL;
	for (char *line = text; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
		char device[256], at[256], type[64], options[512];

		if (sscanf(line, "%255s %255s %63s %511s", device, at, type, options) != 4 ||
		    *device == '#' || !strcmp(at, "/") || *at != '/' ||
		    strncmp(device, "UUID=", 5) || strstr(options, "nofail") ||
		    strstr(options, "noauto"))
			continue;
		if (has_uuid(fs, n, device + 5, strlen(device + 5))) {
			here++;
			continue;
		}
		if (absent++ < KERNELS)
			boot_add(
				b, "mount", BOOT_OPEN, place,
				"%s is %s, which no volume here has: the machine's other disks would tell",
				at, device);
	}
	if (here && !absent)
		boot_add(b, "mounts", BOOT_HOLDS, place, "%u more that must be mounted, all here",
			 here);
	free(text);
	free(place);
}

/* A program, or a script; nothing that was overwritten begins so. */
static void init_link(struct boot *b, struct layer *root, const char *path)
{
	struct fs_entry *e = NULL;
	struct layer *f = NULL;
	char head[4] = "";

	if (!fs_find(root, path, &e) && !root->ops->fs->open_file(root, e, &f) && f->size >= 4 &&
	    !layer_read(f, 0, head, 4, NULL) && memcmp(head, "\177ELF", 4) &&
	    memcmp(head, "#!", 2)) {
		boot_wrong(b, BOOT_FILE, "init", root, path,
			   "its first bytes are not those of a program");
	} else {
		boot_add_file(b, "init", root, path);
	}
	layer_free(f);
	fs_entry_free(e);
}

static void system_name(struct boot *b, struct layer *root)
{
	char *text = text_of(b, root, "/etc/os-release"), *name, *host;
	struct boot_system *now = boot_now(b);

	snprintf(now->os, sizeof(now->os), "Linux");
	name = text ? strstr(text, "PRETTY_NAME=") : NULL;
	if (name) {
		name += strlen("PRETTY_NAME=");
		name += *name == '"';
		snprintf(now->os, sizeof(now->os), "%.*s", (int)(strcspn(name, "\"\n")), name);
	}
	free(text);
	host = text_of(b, root, "/etc/hostname");
	if (host)
		snprintf(now->computer, sizeof(now->computer), "%.*s", (int)strcspn(host, "\n"),
			 host);
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
	bool machine;
	char *place;

	system_name(b, root);
	loaders(b, fs, n);
	machine = kernels(b, root, fs, n);
	if (is_there(root, "/etc/fstab")) {
		boot_add_file(b, "fstab", root, "/etc/fstab");
		root_device(b, root, fs, n);
		mounts(b, root, fs, n);
	} else {
		boot_add(b, "fstab", machine ? BOOT_DOUBTFUL : BOOT_OPEN, root->path,
			 "there is none: %s",
			 machine ? "only the kernel's command line can name the root"
				 : "a container needs none");
	}
	place = boot_file(b, root, init);
	if (place || machine)
		init_link(b, root, place ? place + strlen(root->path) + 1 : "/sbin/init");
	else
		boot_add(b, "init", BOOT_OPEN, root->path,
			 "there is none: a container need not have one");
	free(place);
}
