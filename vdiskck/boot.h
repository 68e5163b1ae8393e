/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain that a machine needs to start, link by link, each with what speaks for or against it.
 * The first broken one is the answer to "what broke?". A link about which nothing is known says so.
 */
#ifndef VDISKCK_BOOT_H
#define VDISKCK_BOOT_H

#include <stdio.h>

#include "vdiskck/run.h"

enum boot_state {
	BOOT_HOLDS,
	BOOT_BROKEN,
	BOOT_DOUBTFUL, /* there, but a check on it failed, or it was rebuilt */
	BOOT_OPEN,     /* not decided: @evidence says what would decide it */
};

enum { BOOT_SYSTEMS = 8, BOOT_NAME = 300 };

/* One of those in the image. */
struct boot_system {
	char os[160];	    /* "Windows Server 2019 (17763)", "Debian GNU/Linux 12" */
	char computer[128]; /* its name; or empty */
};

struct boot_link {
	const char *what; /* "BCD", "kernel" */
	enum boot_state state;
	unsigned system; /* whose it is, from 1; 0: every one needs it */
	bool named;	 /* in the headline */
	char *place;	 /* "LAYER:/path", or a layer; NULL: nowhere */
	char *evidence;	 /* a sentence without its end */
};

struct boot {
	struct run *r;
	struct boot_link *v;
	size_t n;
	struct boot_system system[BOOT_SYSTEMS];
	unsigned systems; /* number of them; while one is examined, it is the last */
	bool hidden;	  /* there is none, but a volume that has lost folders */
	bool bios;	  /* the boot sector has code that starts something */
	bool loader;	  /* boot_windows.c: the BCD named one, and it has a link */
	int err;	  /* -ENOMEM, -EINTR: what stopped it */
};

/* boot_examine() - after checkup(): r->found and r->hit are what it rests on. boot_free(). */
void boot_examine(struct boot *b, struct run *r);
void boot_free(struct boot *b);
/*
 * boot_first() - the first link that is broken, else the first doubtful one; NULL: none
 * @system: of those that it needs, from 1; 0: of all
 */
struct boot_link *boot_first(const struct boot *b, unsigned system);
/* boot_name() - "Windows Server 2019 (17763) on NODE16"; nothing if nothing is known */
const char *boot_name(const struct boot_system *s, char *buf, size_t cap);
const char *boot_state_name(enum boot_state s);
struct json *json_boot(const struct boot *b, const struct boot_link *k);
/* boot_text() - the chain as people read it */
void boot_text(FILE *f, const struct boot *b);

/* For boot_windows.c and boot_linux.c: */
void boot_add(struct boot *b, const char *what, enum boot_state state, const char *place,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* boot_now() - the system that is being examined */
struct boot_system *boot_now(struct boot *b);
/* boot_wrong() - a link that is broken by what no other finding says: so this one does */
void boot_wrong(struct boot *b, enum finding_id id, const char *what, struct layer *fs,
		const char *path, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* boot_file() - is there a file at one of @path (NULL-terminated)? "LAYER:/path" or NULL. */
char *boot_file(struct boot *b, struct layer *fs, const char *const *path);
/* boot_add_file() - a link that is a file: there, whole, and what it proves about itself */
enum boot_state boot_add_file(struct boot *b, const char *what, struct layer *fs, const char *path);
/* boot_program() - what the file @f proves about itself, in @text; nothing if it is no such file */
enum boot_state boot_program(struct boot *b, struct layer *f, const char *what, const char *path,
			     char *text, size_t cap);
/* boot_hive() - the hive at @path, open, as a layer on @file; NULL. layer_free(*file). */
struct layer *boot_hive(struct boot *b, struct layer *fs, const char *path, struct layer **file);
/* boot_is_windows(), boot_is_linux() - is the file system the root of such a system? */
bool boot_is_windows(struct layer *fs);
bool boot_is_linux(struct layer *fs);
/* boot_sector() - the link of a BIOS machine; false: this disk has no such code */
bool boot_sector(struct boot *b);
void boot_windows(struct boot *b, struct layer *root, struct layer *const *fs, size_t n);
void boot_linux(struct boot *b, struct layer *root, struct layer *const *fs, size_t n);

#endif
