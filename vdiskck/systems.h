/* SPDX-License-Identifier: Apache-2.0 */
/* The operating systems of an image, and what they say about themselves, for people and records. */
#ifndef VDISKCK_SYSTEMS_H
#define VDISKCK_SYSTEMS_H

#include <stdio.h>

#include "recover/facts.h"
#include "vdiskck/run.h"

/* One of them: on file system @fs. */
struct system {
	struct layer *fs;
	struct os_facts facts;
};

struct systems {
	struct system *v;
	size_t n;
};

/*
 * systems_read() - all that are within r->volume; @all: with their facts, not only their names
 * 0 or -errno, said. systems_free().
 */
int systems_read(struct run *r, bool all, struct systems *s);
void systems_free(struct systems *s);
/* systems_records() - a "system" record for each, and its "fact" records */
void systems_records(struct run *r, const struct systems *s);
/* systems_names() - one line for each: what it is, its computer, where it lies */
void systems_names(FILE *f, const struct systems *s);
/* systems_text() - with all facts */
void systems_text(FILE *f, const struct systems *s);
/* systems_fact() - a fact by name, of the first system that has it; NULL: none */
const struct os_fact *systems_fact(const struct systems *s, const char *name);

#endif
