/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.html: one file that opens offline, without script, on any screen and on paper.
 * It is a view of the findings and of the disk map; it decides nothing itself.
 */
#ifndef VDISKCK_REPORT_HTML_H
#define VDISKCK_REPORT_HTML_H

#include <stdio.h>

#include "recover/files_hit.h"
#include "recover/impact.h"
#include "vdiskck/boot.h"
#include "vdiskck/causes.h"
#include "vdiskck/collect.h"
#include "vdiskck/core/json.h"
#include "vdiskck/damage_map.h"
#include "vdiskck/diskmap.h"
#include "vdiskck/systems.h"
#include "vdiskck/timeline.h"

enum { RECOVERED_KEPT = 300 };

/* What was written below the case's logs/ and files/. */
struct recovered {
	struct recovered_file {
		char *path;
		uint64_t size;
		char sha256[65];
	} v[RECOVERED_KEPT];
	size_t n;
	uint64_t files, bytes; /* all of them */
};

struct report {
	const char *image;    /* as the user named it */
	const char *verdict;  /* "damaged" ... */
	const char *headline; /* what broke, in a sentence or two */
	bool complete;	      /* false: the run ended before everything was examined */
	bool read_all;	      /* every byte was read, not only mapped */
	struct json *layers;  /* array of layer records, lower ones before what stands on them */
	const struct collect *findings; /* sorted */
	struct json *run;		/* object: facts of the run, in the order shown */
	const struct diskmap *map;
	const char *disk;		 /* the layer that @map shows */
	const struct impact *hit;	 /* what the lost bytes of the disk cost the layers on it */
	const struct files_hit *files;	 /* sorted; NULL: none */
	const struct boot *boot;	 /* NULL or empty: not looked at */
	const struct causes *causes;	 /* NULL: none */
	const struct systems *systems;	 /* likewise */
	const struct timeline *logs;	 /* likewise */
	const struct damage_map *damage; /* each bad range of the disk; NULL: none */
	const struct recovered *saved;	 /* likewise */
	unsigned parts;			 /* enum triage_part; 0: not known */
	bool keys;			 /* keys were given */
	uint64_t checked;		 /* bytes whose structure, checksum or tag was verified */
};

/*
 * report_html() - write the page to @f; errors of @f are the caller's to see
 * Every text is taken to be hostile and escaped, names in the layers' facts included.
 */
void report_html(FILE *f, const struct report *r);

#endif
