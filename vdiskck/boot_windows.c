/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows: boot manager and BCD on the boot volume, then on the system volume loader, kernel, HAL,
 * the SYSTEM hive with the drivers that start at boot, SOFTWARE, the session manager.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/fs/fs.h"
#include "formats/log/regf.h"
#include "formats/stack.h"
#include "recover/bcd.h"
#include "vdiskck/boot.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/text.h"

enum { DRIVERS_SHOWN = 8, DRIVERS_MAX = 512, NAME = 512 };

bool boot_is_windows(struct layer *fs)
{
	static const char *const path[] = {"/Windows/System32/config", "/Windows/System32/drivers",
					   "/Windows/System32/ntoskrnl.exe"};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(path) / sizeof(*path); i++) {
		struct fs_entry *e;

		n += !fs_find(fs, path[i], &e);
		fs_entry_free(e);
	}
	return n >= 2;
}

struct device_search {
	const struct bcd_device *d;
	struct layer *part; /* the partition that it names; or NULL */
	bool disk;	    /* the disk itself is this one */
};

static bool info_is(const struct json *info, const char *key, const char *want)
{
	const char *have = js_get(info, key) ? js_text(js_get(info, key)) : NULL;

	return have && !strcasecmp(have, want);
}

static int find_device(void *arg, struct layer *l)
{
	struct device_search *s = arg;
	struct json *info;
	uint64_t start;

	if ((l->ops->kind != LAYER_VOLUME && l->ops->kind != LAYER_MAP) || !l->ops->info ||
	    l->state)
		return 0;
	info = js_object();
	l->ops->info(l, info);
	if (l->ops->kind == LAYER_MAP)
		s->disk |= s->d->gpt && info_is(info, "disk_guid", s->d->disk);
	else if (s->d->gpt ? info_is(info, "guid", s->d->part)
			   : js_get(info, "start") && js_to_u64(js_get(info, "start"), &start) &&
				     start == s->d->start)
		s->part = l;
	js_free(info);
	return 0;
}

static int has_windows(void *arg, struct layer *l)
{
	(void)arg;
	return l->ops->kind == LAYER_FILESYSTEM && !l->state && l->ops->fs && boot_is_windows(l);
}

/* Is the partition of the default entry in this image, and is it the one with Windows on it? */
static void bcd_device_link(struct boot *b, const struct bcd *c, const struct layer *root,
			    struct layer *bcd_fs, const char *place)
{
	const char *path = place + strlen(bcd_fs->path) + 1;
	const struct bcd_device *d = c->system.type == BCD_NONE ? &c->device : &c->system;
	struct device_search s = {.d = d};
	const struct layer *on = root;

	if (d->type == BCD_NONE) {
		boot_add(
			b, "boot device", BOOT_OPEN, place,
			"the default entry names none that can be read: `bcdedit` on another machine "
			"would tell");
		return;
	}
	if (d->type != BCD_PARTITION) {
		boot_add(
			b, "boot device", BOOT_OPEN, place,
			"the default entry names no partition, but what the firmware or a search finds");
		return;
	}
	stack_walk(b->r->source, find_device, &s);
	while (on && on != s.part)
		on = on->below;
	if (on)
		boot_add(b, "boot device", BOOT_HOLDS, on->path,
			 "the partition of the default entry, and Windows is on it");
	else if (s.part && stack_walk(s.part, has_windows, NULL))
		boot_add(b, "boot device", BOOT_HOLDS, s.part->path,
			 "the partition of the default entry, with another Windows on it");
	else if (s.part)
		boot_wrong(b, BOOT_NAMES, "boot device", bcd_fs, path,
			   "the default entry's partition is %s, but Windows is on another one",
			   s.part->path);
	else if (d->gpt && !s.disk)
		boot_add(b, "boot device", BOOT_OPEN, place,
			 "partition %s of disk %s, which is not this one: that disk would tell",
			 d->part, d->disk);
	else if (d->gpt)
		boot_wrong(b, BOOT_NAMES, "boot device", bcd_fs, path,
			   "partition %s, which this disk does not have", d->part);
	else
		boot_add(b, "boot device", BOOT_OPEN, place,
			 "a partition at 0x%" PRIx64 " of the disk with signature %08" PRIx32
			 ", which none here is: that disk would tell",
			 d->start, d->signature);
}

/* The default entry of the BCD: what the boot manager is to load. */
static void bcd_entry(struct boot *b, const struct regf *h, struct layer *root,
		      struct layer *bcd_fs, const char *place)
{
	const char *file = place + strlen(bcd_fs->path) + 1;
	struct bcd c;
	char path[sizeof(c.path)];

	bcd_read(h, &c);
	if (!*c.entry) {
		boot_wrong(b, BOOT_NAMES, "BCD", bcd_fs, file,
			   "the boot manager has no default entry");
		return;
	}
	if (!*c.path) {
		boot_wrong(b, BOOT_NAMES, "BCD", bcd_fs, file,
			   "its default entry %s names no loader", c.entry);
		return;
	}
	boot_add(b, "BCD", BOOT_HOLDS, place, "its default entry %s loads %s", c.entry, c.path);
	if (c.device.type != BCD_NONE || c.system.type != BCD_NONE)
		bcd_device_link(b, &c, root, bcd_fs, place);
	snprintf(path, sizeof(path), "%s", c.path);
	for (char *p = path; *p; p++)
		*p = *p == '\\' ? '/' : *p;
	boot_add_file(b, "loader", root, path);
	b->loader = true;
}

/* Boot manager and BCD: on whichever volume has them. */
static void boot_volume(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	static const char *const manager[] = {"/EFI/Microsoft/Boot/bootmgfw.efi",
					      "/EFI/Boot/bootx64.efi", "/bootmgr", NULL};
	static const char *const bcd[] = {"/EFI/Microsoft/Boot/BCD", "/Boot/BCD", NULL};
	bool found_manager = false, found_bcd = false;

	for (size_t i = 0; i < n; i++) {
		char *place = found_manager ? NULL : boot_file(b, fs[i], manager);
		struct layer *hive, *file;

		if (place) {
			found_manager = true;
			boot_add_file(b, "boot manager", fs[i], place + strlen(fs[i]->path) + 1);
		}
		free(place);
		place = found_bcd ? NULL : boot_file(b, fs[i], bcd);
		if (!place)
			continue;
		found_bcd = true;
		hive = boot_hive(b, fs[i], place + strlen(fs[i]->path) + 1, &file);
		if (hive)
			bcd_entry(b, regf_of(hive), root, fs[i], place);
		else
			boot_wrong(b, BOOT_FILE, "BCD", fs[i], place + strlen(fs[i]->path) + 1,
				   "no registry hive can be read in it");
		layer_free(file);
		free(place);
	}
	if (!found_manager && !found_bcd)
		boot_add(b, "boot manager", BOOT_OPEN, NULL,
			 "no boot volume is in this image: look at the machine's other disk");
}

struct drivers {
	struct boot *b;
	struct layer *fs;
	const struct regf *h;
	const char *hive; /* where it is */
	unsigned n, broken;
};

/* \SystemRoot\System32\drivers\x.sys, system32\drivers\x.sys, nothing at all: drivers\NAME.sys. */
static void driver_path(const char *image, const char *name, char *out, size_t cap)
{
	static const char *const root[] = {"\\SystemRoot\\", "\\??\\C:\\Windows\\",
					   "%SystemRoot%\\"};

	for (size_t i = 0; i < sizeof(root) / sizeof(*root); i++)
		if (!strncasecmp(image, root[i], strlen(root[i])))
			image += strlen(root[i]);
	if (*image)
		snprintf(out, cap, "/Windows/%s", image);
	else
		snprintf(out, cap, "/Windows/System32/drivers/%s.sys", name);
	for (char *p = out; *p; p++)
		*p = *p == '\\' ? '/' : *p;
}

static bool is_absent(struct layer *fs, const char *path)
{
	struct fs_entry *e = NULL;
	int r = fs_find(fs, path, &e);

	fs_entry_free(e);
	return r == -ENOENT || r == -ENOTDIR;
}

/* One service: does it start at boot, and is its driver there? */
static int service(void *arg, uint32_t key)
{
	struct drivers *d = arg;
	char name[REGF_NAME_MAX], image[NAME] = "", path[REGF_NAME_MAX + NAME];
	uint32_t value,
		number[3] = {UINT32_MAX, 0, UINT32_MAX}; /* ErrorControl need not be there */
	struct regf_data data;
	struct boot trial = {.r = d->b->r};
	le32_t word;

	regf_key_name(d->h, key, name);
	for (int i = 0; i < 4; i++) {
		static const char *const want[] = {"Start", "Type", "ErrorControl", "ImagePath"};

		if (regf_value(d->h, key, want[i], &value) || regf_data(d->h, value, &data))
			continue;
		if (i == 3) {
			regf_data_text(&data, image, sizeof(image));
		} else if (data.len == 4) {
			memcpy(&word, data.p, 4);
			number[i] = le32(word);
		}
		regf_data_free(&data);
	}
	if (number[0] != 0 || !(number[1] & 3) || d->n == DRIVERS_MAX)
		return 0;
	d->n++;
	driver_path(image, name, path, sizeof(path));
	if (number[2] <= 1 && is_absent(d->fs, path)) {
		if (++d->broken <= DRIVERS_SHOWN)
			boot_add(d->b, "boot-start driver", BOOT_DOUBTFUL, d->hive,
				 "%s: %s is not there; Windows goes on without it, unless the disk "
				 "needs it (ErrorControl %" PRIu32 ")",
				 name, path, number[2]);
		return d->b->err;
	}
	if (boot_add_file(&trial, "boot-start driver", d->fs, path) != BOOT_HOLDS && trial.n &&
	    ++d->broken <= DRIVERS_SHOWN)
		boot_add(d->b, "boot-start driver", trial.v[0].state, trial.v[0].place, "%s: %s",
			 name, trial.v[0].evidence);
	if (trial.err)
		d->b->err = trial.err;
	boot_free(&trial);
	return d->b->err;
}

static void drivers(struct boot *b, struct layer *fs, const struct regf *h, const char *place)
{
	struct drivers d = {.b = b, .fs = fs, .h = h, .hive = place};
	const char *path = place + strlen(fs->path) + 1;
	char key[64];
	uint32_t set, services;

	if (regf_u32(h, "Select", "Current", &set) || set > 999) {
		boot_wrong(b, BOOT_NAMES, "control set", fs, path,
			   "no current control set is named");
		return;
	}
	snprintf(key, sizeof(key), "ControlSet%03" PRIu32 "\\Services", set);
	if (regf_find(h, h->root, key, &services)) {
		boot_wrong(b, BOOT_NAMES, "control set", fs, path, "%s is not there", key);
		return;
	}
	regf_each_subkey(h, services, service, &d);
	if (!d.broken)
		boot_add(b, "boot-start drivers", BOOT_HOLDS, place, "%u of %s, all there", d.n,
			 key);
	snprintf(key, sizeof(key), "ControlSet%03" PRIu32 "\\Control\\ComputerName\\ComputerName",
		 set);
	regf_text(h, key, "ComputerName", boot_now(b)->computer, sizeof(boot_now(b)->computer));
}

/* What its check found, the first of it in words. */
static void hive_damaged(struct boot *b, const char *what, const char *place, uint64_t found,
			 size_t first)
{
	const struct collect *c = &b->r->found;
	const struct entry *e;

	while (first < c->n && finding_severity(c->v[first].id) != DAMAGE)
		first++;
	e = first < c->n ? &c->v[first] : NULL;
	boot_add(b, what, BOOT_BROKEN, place, "%" PRIu64 " damage%s%s%s%s%s%s%s%s", found,
		 found == 1 ? "" : "s", e ? ": " : "", e ? e->message : "",
		 e && e->path ? ", at " : "", e && e->path ? e->path : "", e ? " [" : "",
		 e ? finding_name(e->id) : "", e ? "]" : "");
}

/* A hive as a link: findings of its check count. */
static struct layer *hive_link(struct boot *b, const char *what, struct layer *fs, const char *path,
			       struct layer **file)
{
	uint64_t before = b->r->s.count[DAMAGE], found;
	size_t first = b->r->found.n;
	struct layer *l = boot_hive(b, fs, path, file);
	char place[NAME];
	int r = l ? l->ops->check(l) : 0;

	snprintf(place, sizeof(place), "%s:%s", fs->path, path);
	found = b->r->s.count[DAMAGE] - before;
	if (r)
		b->err = r;
	if (!*file)
		boot_wrong(b, BOOT_FILE, what, fs, path, "it is not there");
	else if (!l)
		boot_wrong(b, BOOT_FILE, what, fs, path, "it can't be read as a registry hive");
	else if (found)
		hive_damaged(b, what, place, found, first);
	else if (regf_of(l)->dirty && !regf_of(l)->replayed)
		boot_add(b, what, BOOT_DOUBTFUL, place,
			 "it was being written, and its logs hold nothing of that");
	else {
		/* Bytes of values are covered by nothing in the hive: the file's own state decides. */
		struct boot trial = {.r = b->r};

		boot_add_file(&trial, what, fs, path);
		if (trial.n)
			boot_add(b, what, trial.v[0].state, place, "%s%s",
				 trial.v[0].state == BOOT_HOLDS ? "every key checked"
								: trial.v[0].evidence,
				 regf_of(l)->replayed ? "; its logs were applied" : "");
		boot_free(&trial);
	}
	return l;
}

static void version(struct boot *b, const struct regf *h)
{
	static const char key[] = "Microsoft\\Windows NT\\CurrentVersion";
	char product[96] = "", build[32] = "";

	regf_text(h, key, "ProductName", product, sizeof(product));
	regf_text(h, key, "CurrentBuild", build, sizeof(build));
	if (*product)
		snprintf(boot_now(b)->os, sizeof(boot_now(b)->os), "%s%s%s%s", product,
			 *build ? " (build " : "", build, *build ? ")" : "");
}

static void pending(struct boot *b, struct layer *fs, const struct regf *h, const char *place)
{
	static const char *const update[] = {"/Windows/WinSxS/pending.xml", NULL};
	char text[NAME], key[96], *xml = boot_file(b, fs, update);
	uint32_t set;

	if (xml)
		boot_add(
			b, "pending operations", BOOT_HOLDS, xml,
			"an update is to be finished at the next start: it fails if its files are hit");
	free(xml);

	if (regf_u32(h, "Select", "Current", &set))
		return;
	snprintf(key, sizeof(key), "ControlSet%03" PRIu32 "\\Control\\Session Manager", set);
	if (!regf_text(h, key, "PendingFileRenameOperations", text, sizeof(text)) && *text)
		boot_add(b, "pending operations", BOOT_HOLDS, place,
			 "files are to be renamed at the next start: an update was not finished");
}

void boot_windows(struct boot *b, struct layer *root, struct layer *const *fs, size_t n)
{
	static const char *const loader[] = {"/Windows/System32/winload.efi",
					     "/Windows/System32/winload.exe", NULL};
	static const char config[] = "/Windows/System32/config/";
	char path[96], place[NAME], *found;
	struct layer *hive, *file;

	snprintf(boot_now(b)->os, sizeof(boot_now(b)->os), "Windows");
	boot_volume(b, root, fs, n);
	/* Without a BCD that names it: the one that there is. */
	found = b->loader ? NULL : boot_file(b, root, loader);
	if (!b->loader)
		boot_add_file(b, "loader", root,
			      found ? found + strlen(root->path) + 1
				    : "/Windows/System32/winload.efi");
	free(found);
	boot_add_file(b, "kernel", root, "/Windows/System32/ntoskrnl.exe");
	boot_add_file(b, "HAL", root, "/Windows/System32/hal.dll");
	snprintf(path, sizeof(path), "%sSYSTEM", config);
	snprintf(place, sizeof(place), "%s:%s", root->path, path);
	hive = hive_link(b, "SYSTEM hive", root, path, &file);
	if (hive) {
		drivers(b, root, regf_of(hive), place);
		pending(b, root, regf_of(hive), place);
	}
	layer_free(file);
	snprintf(path, sizeof(path), "%sSOFTWARE", config);
	hive = hive_link(b, "SOFTWARE hive", root, path, &file);
	if (hive)
		version(b, regf_of(hive));
	layer_free(file);
	boot_add_file(b, "session manager", root, "/Windows/System32/smss.exe");
}
