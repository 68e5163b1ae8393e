/* SPDX-License-Identifier: Apache-2.0 */
/* The sections of report.html, and what they share. */
#ifndef VDISKCK_REPORT_INTERNAL_H
#define VDISKCK_REPORT_INTERNAL_H

#include "vdiskck/report_html.h"

enum {
	PER_GROUP = 200, /* findings of one kind in the page; report.json has all */
	COLUMNS = 64,	 /* of the disk map: still 4 pixels wide on a phone */
	ROWS_MAX = 16,	 /* ditto: a screenful */
};

/* report_put.c */
/* html_text() - safe as text and inside quotes; what would move or reorder text becomes \xHH */
void html_text(FILE *f, const char *s);
/* html_size() - "4 KiB" */
void html_size(FILE *f, uint64_t bytes);
/* html_range() - "0x60c, 4 B" */
void html_range(FILE *f, uint64_t off, uint64_t len);
/* html_value() - a JSON value on one line: "a; b", or "key a, key b" */
void html_value(FILE *f, const char *key, struct json *v);
/* html_command() - a command line that shows the same: @words up to NULL, quoted for a shell */
void html_command(FILE *f, const char *const *words);
/* html_get() - a string member, "" if there is none; html_get_u64() - likewise, 0 */
const char *html_get(const struct json *obj, const char *key);
uint64_t html_get_u64(const struct json *obj, const char *key);

/* html_shut() - why a layer is not open, "" if it is; formats have a "state" of their own, too */
const char *html_shut(const struct json *layer);

extern const char report_script[]; /* <script>, for the end of the page */
extern const char report_style[];  /* the page up to the end of its <style> */

/* Each writes its section, or nothing where there is nothing to say. */
void report_stack(FILE *f, const struct report *r);
void report_map(FILE *f, const struct report *r);
void report_damage(FILE *f, const struct report *r);
void report_files(FILE *f, const struct report *r);
void report_boot(FILE *f, const struct report *r);
void report_causes(FILE *f, const struct report *r);
void report_systems(FILE *f, const struct report *r);
void report_logs(FILE *f, const struct report *r);
void report_findings(FILE *f, const struct report *r);
void report_saved(FILE *f, const struct report *r);
void report_coverage(FILE *f, const struct report *r);
void report_method(FILE *f, const struct report *r);

#endif
