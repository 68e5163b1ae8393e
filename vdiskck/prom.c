/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' text format 0.0.4: HELP and TYPE once for each name, no time stamps, base units, a
 * newline at the end. Labels name the image and its place, nothing of what the guest stores.
 */
#include "vdiskck/prom.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vdiskck/core/json.h"
#include "vdiskck/folder.h"
#include "vdiskck/seal.h"
#include "vdiskck/version.h"

/* A label's value: backslash, quote and newline are escaped; so are other control characters. */
static void put_label(FILE *f, const char *name, const char *value, const char *before)
{
	fprintf(f, "%s%s=\"", before, name);
	for (; value && *value; value++) {
		if (*value == '\\' || *value == '"')
			fputc('\\', f);
		if (*value == '\n')
			fputs("\\n", f);
		else if ((unsigned char)*value < ' ' || *value == 0x7f)
			fputc('?', f);
		else
			fputc(*value, f);
	}
	fputc('"', f);
}

static void metric(FILE *f, const char *name, const char *type, const char *help)
{
	fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void labels(FILE *f, const char *name, const struct json *j, const char *more,
		   const char *value)
{
	const char *id = js_text(js_get(j, "id")), *file = js_text(js_get(j, "name"));

	fprintf(f, "%s{", name);
	put_label(f, "image", id && *id ? id : file, "");
	put_label(f, "name", file, ",");
	put_label(f, "format", js_text(js_get(j, "format")), ",");
	put_label(f, "storage", js_text(js_get(j, "storage")), ",");
	if (more)
		put_label(f, more, value, ",");
	fputs("} ", f);
}

static uint64_t number(const struct json *j, const char *key)
{
	uint64_t v = 0;

	js_to_u64(js_get(j, key), &v);
	return v;
}

static uint64_t sum(const struct json *j, const char *key)
{
	const struct json *passes = js_get(j, "passes");
	uint64_t v = 0;

	for (size_t i = 0; i < js_len(passes); i++)
		v += number(js_at(passes, i), key);
	return v;
}

static void one(FILE *f, const struct json *j, const char *name, const char *type, const char *help,
		uint64_t value)
{
	metric(f, name, type, help);
	labels(f, name, j, NULL, NULL);
	fprintf(f, "%" PRIu64 "\n", value);
}

static void ratio(FILE *f, const struct json *j, const char *name, const char *help, uint64_t part,
		  uint64_t all)
{
	metric(f, name, "gauge", help);
	labels(f, name, j, NULL, NULL);
	fprintf(f, "%.6f\n", all ? (double)part / (double)all : 1.0);
}

static void put_leaves(FILE *f, const struct json *j)
{
	static const char *const verdict[] = {"intact",	   "rot",	"misplaced", "changed",
					      "suspect",   "explained", "written",   "unreadable",
					      "transient", "unsealed"};
	const char *name = "vdiskck_scrub_leaf_bytes";

	metric(f, name, "gauge",
	       "Bytes of the sealed layers by verdict of the newest scrub, in leaves of 65536.");
	for (size_t i = 0; i < sizeof(verdict) / sizeof(*verdict); i++) {
		labels(f, name, j, "verdict", verdict[i]);
		fprintf(f, "%" PRIu64 "\n", sum(j, verdict[i]) * SEAL_LEAF);
	}
}

static void put_findings(FILE *f, const struct json *j)
{
	static const char *const severity[] = {"info", "blemish", "damage"};
	const struct json *n = js_get(js_get(j, "last"), "findings");
	const char *name = "vdiskck_findings";

	metric(f, name, "gauge", "Findings of the newest complete scrub.");
	for (size_t i = 0; i < 3; i++) {
		labels(f, name, j, "severity", severity[i]);
		fprintf(f, "%" PRIu64 "\n", number(n, severity[i]));
	}
}

static void put_all(FILE *f, const struct json *j)
{
	uint64_t leaves = sum(j, "end") - sum(j, "first"), next = sum(j, "next") - sum(j, "first");
	bool complete = number(j, "complete");
	uint64_t sealed = leaves - sum(j, "unsealed") - sum(j, "unreadable");

	metric(f, "vdiskck_build_info", "gauge", "The program that wrote this.");
	/* With the image's labels: files of many images lie in one folder, and no two may have one series. */
	labels(f, "vdiskck_build_info", j, "version", VDISKCK_VERSION);
	fputs("1\n", f);
	one(f, j, "vdiskck_scrub_last_start_timestamp_seconds", "gauge",
	    "When the newest scrub began.", number(j, "begun"));
	one(f, j, "vdiskck_scrub_last_success_timestamp_seconds", "gauge",
	    "When the newest complete scrub began; 0: never.", number(j, "verified"));
	one(f, j, "vdiskck_scrub_duration_seconds", "gauge", "Of the newest scrub so far.",
	    number(j, "seconds"));
	ratio(f, j, "vdiskck_scrub_progress_ratio", "Of the newest scrub.",
	      complete ? leaves : next, leaves);
	one(f, j, "vdiskck_scrub_verified_bytes_total", "counter",
	    "Bytes of data that were read and compared, by all scrubs.",
	    number(j, "verified_bytes"));
	one(f, j, "vdiskck_scrub_generation", "gauge", "Of the seal, the newest.",
	    number(js_at(js_get(j, "passes"), 0), "generation"));
	if (!js_get(j, "last"))
		return;
	one(f, j, "vdiskck_scrub_exit_status", "gauge",
	    "Of the newest complete scrub: 0 intact, 1 blemished, 2 damaged, 3 undecided.",
	    number(js_get(j, "last"), "exit"));
	put_findings(f, j);
	if (!complete)
		return;
	metric(f, "vdiskck_coverage_ratio", "gauge", "Part of the layer that the seal covers.");
	labels(f, "vdiskck_coverage_ratio", j, "evidence", "hash");
	fprintf(f, "%.6f\n", leaves ? (double)sealed / (double)leaves : 1.0);
	put_leaves(f, j);
}

int prom_write(const char *path, struct json *state)
{
	char *beside = NULL;
	FILE *f = NULL;
	int r = asprintf(&beside, "%s.%d", path, (int)getpid()) < 0 ? -ENOMEM : 0;

	if (!r) {
		f = fopen(beside, "wxe");
		r = f ? 0 : -errno;
	}
	if (f) {
		put_all(f, state);
		if (fflush(f) || fchmod(fileno(f), 0644) || fsync(fileno(f)))
			r = -errno;
		if (fclose(f) && !r)
			r = -errno;
		if (!r && rename(beside, path))
			r = -errno;
		if (r)
			unlink(beside);
	}
	free(beside);
	js_free(state);
	return r;
}
