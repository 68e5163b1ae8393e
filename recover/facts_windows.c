/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the SOFTWARE and SYSTEM hives. Sources: "Registry Keys and Values" of Microsoft's documentation
 * of the parts concerned; H. Carvey, "Windows Registry Forensics", for ShutdownTime and the like.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/log/log.h"
#include "recover/facts.h"
#include "recover/hive.h"
#include "vdiskck/core/text.h"

enum { TEXT = 512, DRIVERS = 4096, KEY = 256 };

/* Facts that are one value each, in the order shown. */
struct simple {
	const char *name, *key, *value;
};

static const struct simple in_software[] = {
	{"edition", "Microsoft\\Windows NT\\CurrentVersion", "EditionID"},
	{"build lab", "Microsoft\\Windows NT\\CurrentVersion", "BuildLabEx"},
	{"registered owner", "Microsoft\\Windows NT\\CurrentVersion", "RegisteredOwner"},
};

static const struct simple in_system[] = {
	{"crash dump file", "Control\\CrashControl", "DumpFile"},
	{"small crash dumps in", "Control\\CrashControl", "MinidumpDir"},
	{"paging files", "Control\\Session Manager\\Memory Management", "PagingFiles"},
	{"runs at boot", "Control\\Session Manager", "BootExecute"},
	{"boot options", "Control", "SystemStartOptions"},
	{"boot device", "Control", "FirmwareBootDevice"},
};

static void add_simple(struct fact_source *s, const struct simple *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[TEXT], key[KEY];
		uint32_t cell;

		if (!fact_key(s, v[i].key, key, sizeof(key), &cell) &&
		    !regf_key_text(s->h, cell, v[i].value, text, sizeof(text)) && *text)
			fact_add(s, v[i].name, key, v[i].value, "%s", text);
	}
}

static void version(struct fact_source *s)
{
	static const char key[] = "Microsoft\\Windows NT\\CurrentVersion";
	char product[96] = "", build[32] = "", release[32] = "", revision[16] = "";
	uint32_t cell, number;
	int64_t when;
	char time[TIME_TEXT];

	if (regf_find(s->h, s->h->root, key, &cell))
		return;
	regf_key_text(s->h, cell, "ProductName", product, sizeof(product));
	regf_key_text(s->h, cell, "CurrentBuild", build, sizeof(build));
	if (regf_key_text(s->h, cell, "DisplayVersion", release, sizeof(release)))
		regf_key_text(s->h, cell, "ReleaseId", release, sizeof(release));
	if (!regf_key_u32(s->h, cell, "UBR", &number))
		snprintf(revision, sizeof(revision), ".%" PRIu32, number);
	if (!*product)
		return;
	snprintf(s->f->os, sizeof(s->f->os), "%s%s%s%s%s%s", product, *release ? ", " : "", release,
		 *build ? ", build " : "", build, revision);
	fact_add(s, "operating system", key, "ProductName", "%s", s->f->os);
	if (!regf_key_u32(s->h, cell, "InstallDate", &number)) {
		when = number;
		fact_add(s, "installed", key, "InstallDate", "%s", time_text(when, 0, time));
	}
}

/* Minutes that are added to local time to make it UTC. */
static void time_zone(struct fact_source *s)
{
	char key[KEY], name[128] = "";
	uint32_t cell, word;
	int32_t bias;

	if (fact_key(s, "Control\\TimeZoneInformation", key, sizeof(key), &cell))
		return;
	if (regf_key_text(s->h, cell, "TimeZoneKeyName", name, sizeof(name)) || !*name)
		regf_key_text(s->h, cell, "StandardName", name, sizeof(name));
	if (!regf_key_u32(s->h, cell, "ActiveTimeBias", &word) ||
	    !regf_key_u32(s->h, cell, "Bias", &word)) {
		bias = -(int32_t)word;
		if (bias < -24 * 60 || bias > 24 * 60)
			return;
		fact_add(s, "time zone", key, NULL, "%s%sUTC%c%02d:%02d", name, *name ? ", " : "",
			 bias < 0 ? '-' : '+', (bias < 0 ? -bias : bias) / 60,
			 (bias < 0 ? -bias : bias) % 60);
	} else if (*name) {
		fact_add(s, "time zone", key, NULL, "%s", name);
	}
}

static void shutdown_time(struct fact_source *s)
{
	char key[KEY], text[TIME_TEXT];
	struct regf_data d;
	uint32_t cell;
	le64_t ft;

	if (fact_key(s, "Control\\Windows", key, sizeof(key), &cell) ||
	    regf_key_data(s->h, cell, "ShutdownTime", &d))
		return;
	if (d.len == sizeof(ft) && !d.bad.n) {
		struct log_time t;

		memcpy(&ft, d.p, sizeof(ft));
		t = log_filetime(le64(ft));
		if (t.known)
			fact_add(s, "last shutdown", key, "ShutdownTime", "%s",
				 time_text(t.sec, 0, text));
	}
	regf_data_free(&d);
}

static void crash_control(struct fact_source *s)
{
	static const char *const kind[] = {
		"no crash dump is written",
		"a complete crash dump is written",
		"a crash dump of the kernel is written",
		"a small crash dump is written",
		NULL,
		NULL,
		NULL,
		"a crash dump is written, its size chosen by Windows",
	};
	char key[KEY];
	uint32_t cell, dump, restart = 1;

	if (fact_key(s, "Control\\CrashControl", key, sizeof(key), &cell) ||
	    regf_key_u32(s->h, cell, "CrashDumpEnabled", &dump))
		return;
	regf_key_u32(s->h, cell, "AutoReboot", &restart);
	fact_add(s, "after a stop error", key, "CrashDumpEnabled", "%s%s",
		 dump < sizeof(kind) / sizeof(*kind) && kind[dump] ? kind[dump]
								   : "an unknown kind of dump",
		 restart ? ", and Windows restarts" : ", and Windows stays");
}

struct services {
	struct fact_source *s;
	unsigned n, boot, automatic;
	char drivers[DRIVERS], services[DRIVERS];
};

static void append(char *list, const char *name)
{
	size_t n = strlen(list);

	snprintf(list + n, DRIVERS - n, "%s%s", n ? " " : "", name);
}

static int service(void *arg, uint32_t cell)
{
	enum { KERNEL_DRIVER = 1, FILE_SYSTEM_DRIVER = 2, BOOT_START = 0, AUTO_START = 2 };
	struct services *v = arg;
	const struct regf *h = v->s->h;
	char name[REGF_NAME_MAX];
	uint32_t start, type;

	regf_key_name(h, cell, name);
	if (regf_key_u32(h, cell, "Start", &start) || regf_key_u32(h, cell, "Type", &type))
		return 0;
	v->n++;
	if (start == BOOT_START && type & (KERNEL_DRIVER | FILE_SYSTEM_DRIVER)) {
		v->boot++;
		append(v->drivers, name);
	} else if (start == AUTO_START && !(type & (KERNEL_DRIVER | FILE_SYSTEM_DRIVER))) {
		v->automatic++;
		append(v->services, name);
	}
	return 0;
}

static void services(struct fact_source *s)
{
	struct services v = {.s = s};
	char key[KEY];
	uint32_t cell;

	if (fact_key(s, "Services", key, sizeof(key), &cell))
		return;
	regf_each_subkey(s->h, cell, service, &v);
	fact_add(s, "boot-start drivers", key, NULL, "%u: %s", v.boot, v.drivers);
	fact_add(s, "services at start", key, NULL, "%u of %u services and drivers: %s",
		 v.automatic, v.n, v.services);
}

static void computer(struct fact_source *s)
{
	char key[KEY], domain[128] = "";
	uint32_t cell;

	if (!fact_key(s, "Control\\ComputerName\\ComputerName", key, sizeof(key), &cell) &&
	    !regf_key_text(s->h, cell, "ComputerName", s->f->computer, sizeof(s->f->computer)) &&
	    *s->f->computer)
		fact_add(s, "computer name", key, "ComputerName", "%s", s->f->computer);
	if (!fact_key(s, "Services\\Tcpip\\Parameters", key, sizeof(key), &cell) &&
	    !regf_key_text(s->h, cell, "Domain", domain, sizeof(domain)) && *domain)
		fact_add(s, "domain", key, "Domain", "%s", domain);
}

static void control_set(struct fact_source *s, char set[24])
{
	uint32_t current = 1, good = 0, failed = 0;

	regf_u32(s->h, "Select", "Current", &current);
	regf_u32(s->h, "Select", "LastKnownGood", &good);
	regf_u32(s->h, "Select", "Failed", &failed);
	snprintf(set, 24, "ControlSet%03" PRIu32, current % 1000);
	s->set = set;
	if (failed)
		fact_add(s, "control set", "Select", "Failed",
			 "%" PRIu32 "; %" PRIu32 " is called failed, and %" PRIu32
			 " the last known good",
			 current, failed, good);
}

static void system_hive(struct fact_source *s, bool all)
{
	char set[24];

	control_set(s, set);
	computer(s);
	if (!all)
		return;
	time_zone(s);
	shutdown_time(s);
	crash_control(s);
	add_simple(s, in_system, sizeof(in_system) / sizeof(*in_system));
	facts_system_state(s);
	services(s);
	s->set = "";
}

static void software_hive(struct fact_source *s, bool all)
{
	version(s);
	if (!all)
		return;
	add_simple(s, in_software, sizeof(in_software) / sizeof(*in_software));
	facts_software_state(s);
}

int facts_windows(struct layer *fs, bool all, struct os_facts *f)
{
	static const char *const hive[] = {"/Windows/System32/config/SOFTWARE",
					   "/Windows/System32/config/SYSTEM"};

	for (int i = 0; i < 2; i++) {
		struct fact_source s = {.f = f, .set = ""};
		struct layer *file, *l;
		char name[1024];
		int r = hive_open(fs, hive[i], &file, &l);

		snprintf(name, sizeof(name), "%s:%s", fs->path, hive[i]);
		s.file = name;
		if (!r) {
			s.h = regf_of(l);
			/* Whatever else is lost: it is one. */
			if (!*f->os)
				snprintf(f->os, sizeof(f->os), "Windows");
			if (i)
				system_hive(&s, all);
			else
				software_hive(&s, all);
		}
		layer_free(file);
		if (r == -ENOMEM || s.err)
			return -ENOMEM;
	}
	return 0;
}
