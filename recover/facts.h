/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operating system says about itself in its own files: its name and version, its time zone,
 * when it was shut down, what starts with it, what it was about to do. Each fact with the place
 * where it stands, so that `vdiskck cat` shows it again.
 */
#ifndef VDISKCK_RECOVER_FACTS_H
#define VDISKCK_RECOVER_FACTS_H

#include "formats/log/regf.h"

enum { FACT_VALUE = 1024, FACTS_MAX = 512 };

struct os_fact {
	const char *name; /* "time zone" */
	char *value;	  /* from disk: escaped where it is written */
	char *place;	  /* FILE, as users name it: "LAYER:/path:\\key:value" */
};

struct os_facts {
	struct os_fact *v;
	size_t n;
	char os[200];	    /* in short: "Windows Server 2019 Standard, build 17763.107"; "" none */
	char computer[128]; /* its name; or "" */
};

/*
 * facts_read() - what the Windows or Linux on file system @fs says; none there: no facts
 * @all: false: f->os and f->computer only. 0 or -ENOMEM. facts_free() whatever it returns.
 */
int facts_read(struct layer *fs, bool all, struct os_facts *f);
void facts_free(struct os_facts *f);
/* json_fact() - the "fact" record */
struct json;
struct json *json_fact(const struct os_fact *f);

/* For facts_windows.c and facts_state.c: a hive that facts are taken from. */
struct fact_source {
	struct os_facts *f;
	const struct regf *h;
	const char *file; /* "LAYER:/Windows/System32/config/SYSTEM" */
	const char *set;  /* "ControlSet001", the current one; "" of other hives */
	int err;	  /* -ENOMEM */
};
/* fact_add() - @key, @value: where in the hive; @value NULL: the key itself */
void fact_add(struct fact_source *s, const char *name, const char *key, const char *value,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* fact_key() - "SET\KEY" into @out; the cell of that key. 0 or -ENOENT. */
int fact_key(const struct fact_source *s, const char *key, char *out, size_t cap, uint32_t *cell);
/* facts_state.c: what was pending, disks and networks by name */
void facts_system_state(struct fact_source *s);
void facts_software_state(struct fact_source *s);
/* facts_windows.c */
int facts_windows(struct layer *fs, bool all, struct os_facts *f);
/* facts_linux.c */
int facts_linux(struct layer *fs, bool all, struct os_facts *f);

#endif
