/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Windows was about to do, whether its volume was encrypted, and how disks and networks were
 * called. Sources: MoveFileEx() for PendingFileRenameOperations; "Component Based Servicing" keys as
 * DISM's documentation and Windows' own logs name them; M. Suhanov and others on MountedDevices.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "recover/facts.h"
#include "vdiskck/core/text.h"

enum { TEXT = 512, KEY = 256, SHOWN = 2 };

static unsigned count_strings(const struct regf_data *d)
{
	unsigned n = 0;

	for (uint32_t i = 0; i + 1 < d->len; i += 2)
		n += (d->p[i] || d->p[i + 1]) && (!i || !(d->p[i - 2] || d->p[i - 1]));
	return n;
}

/* Pairs: a file, and its new name; without one it is deleted, so strings do not come in twos. */
static void renames(struct fact_source *s)
{
	static const char *const value[] = {"PendingFileRenameOperations",
					    "PendingFileRenameOperations2"};
	char key[KEY], text[TEXT];
	uint32_t cell;

	if (fact_key(s, "Control\\Session Manager", key, sizeof(key), &cell))
		return;
	for (int i = 0; i < 2; i++) {
		struct regf_data d;

		if (regf_key_data(s->h, cell, value[i], &d))
			continue;
		if (d.len > 2)
			fact_add(s, "pending renames", key, value[i], "%u names: %s",
				 count_strings(&d), regf_data_text(&d, text, sizeof(text)));
		regf_data_free(&d);
	}
	if (!regf_key_text(s->h, cell, "SetupExecute", text, sizeof(text)) && *text)
		fact_add(s, "pending at next start", key, "SetupExecute", "%s", text);
}

/*
 * "autochk *" checks each volume that is dirty. Lines that chkdsk adds for the next start name one,
 * with /p, /r or /m; chkntfs /x leaves some out with /k:LETTER. Source: Microsoft's documentation
 * of chkntfs and of BootExecute.
 */
static void disk_check(struct fact_source *s)
{
	static const char program[] = "autocheck autochk ", name[] = "BootExecute";
	char key[KEY], text[TEXT];
	uint32_t cell;

	if (fact_key(s, "Control\\Session Manager", key, sizeof(key), &cell) ||
	    regf_key_text(s->h, cell, name, text, sizeof(text)))
		return;
	for (char *line = text, *next; line; line = next) {
		const char *options = line + strlen(program);

		next = strstr(line, " | ");
		if (next) {
			*next = '\0';
			next += 3;
		}
		if (strncasecmp(line, program, strlen(program)) || !strcmp(options, "*"))
			continue;
		if (!strncasecmp(options, "/k:", 3))
			fact_add(s, "chkdsk leaves out", key, name, "%s", options);
		else
			fact_add(s, "chkdsk is scheduled", key, name, "%s", options);
	}
}

static void setup(struct fact_source *s)
{
	uint32_t running;
	char text[TEXT] = "";

	if (!regf_u32(s->h, "Setup", "SystemSetupInProgress", &running) && running) {
		regf_text(s->h, "Setup", "CmdLine", text, sizeof(text));
		fact_add(s, "pending setup", "Setup", "SystemSetupInProgress", "%s", text);
	}
}

static void bitlocker(struct fact_source *s)
{
	char key[KEY];
	uint32_t cell, status;

	if (!fact_key(s, "Control\\BitlockerStatus", key, sizeof(key), &cell) &&
	    !regf_key_u32(s->h, cell, "BootStatus", &status))
		fact_add(s, "BitLocker", key, "BootStatus", "%s",
			 status ? "the system volume was protected when it started last"
				: "the system volume was not protected when it started last");
}

struct listing {
	struct fact_source *s;
	const char *key; /* as users name it */
};

/*
 * MountedDevices: a disk's signature and the offset of a partition (MBR), "DMIO:ID:" and the GUID of a
 * partition (GPT), or the path of a device.
 */
static int mounted(void *arg, uint32_t value)
{
	static const char letter[] = "\\DosDevices\\";
	const struct listing *v = arg;
	char name[REGF_NAME_MAX], text[TEXT], guid[GUID_TEXT];
	struct regf_data d;
	le32_t signature;
	le64_t off;

	regf_value_name(v->s->h, value, name);
	if (strncmp(name, letter, sizeof(letter) - 1) || regf_data(v->s->h, value, &d))
		return 0;
	if (d.bad.n) {
		snprintf(text, sizeof(text), "lost");
	} else if (d.len == 12) {
		memcpy(&signature, d.p, 4);
		memcpy(&off, d.p + 4, 8);
		snprintf(text, sizeof(text),
			 "the partition at byte %" PRIu64 " of the disk with signature %08" PRIx32,
			 le64(off), le32(signature));
	} else if (d.len == 24 && !memcmp(d.p, "DMIO:ID:", 8)) {
		snprintf(text, sizeof(text), "the GPT partition %s", guid_text_le(d.p + 8, guid));
	} else {
		utf16_text(d.p ? (const void *)d.p : "", d.len / 2, 0, text, sizeof(text));
	}
	fact_add(v->s, "drive letter", v->key, name, "%s %s", name + sizeof(letter) - 1, text);
	regf_data_free(&d);
	return v->s->err;
}

static void mounts(struct fact_source *s)
{
	struct listing v = {s, "MountedDevices"};
	uint32_t cell;

	if (!regf_find(s->h, s->h->root, v.key, &cell))
		regf_each_value(s->h, cell, mounted, &v);
}

/* Services\Tcpip\Parameters\Interfaces\{GUID}, and the connection's name in Control\Network. */
static int interface(void *arg, uint32_t cell)
{
	static const char *const address[] = {"IPAddress", "DhcpIPAddress"};
	static const char class[] = "Control\\Network\\{4D36E972-E325-11CE-BFC1-08002BE10318}";
	const struct listing *v = arg;
	char id[REGF_NAME_MAX], key[KEY + REGF_NAME_MAX], name[128] = "", text[TEXT];
	uint32_t connection;

	regf_key_name(v->s->h, cell, id);
	snprintf(key, sizeof(key), "%s\\%s\\%s\\Connection", v->s->set, class, id);
	if (!regf_find(v->s->h, v->s->h->root, key, &connection))
		regf_key_text(v->s->h, connection, "Name", name, sizeof(name));
	snprintf(key, sizeof(key), "%s\\%s", v->key, id);
	for (int i = 0; i < 2; i++)
		if (!regf_key_text(v->s->h, cell, address[i], text, sizeof(text)) && *text &&
		    strcmp(text, "0.0.0.0"))
			fact_add(v->s, "network connection", key, address[i], "%s%s%s",
				 *name ? name : id, i ? ", by DHCP: " : ": ", text);
	return v->s->err;
}

static void interfaces(struct fact_source *s)
{
	char key[KEY];
	struct listing v = {s, key};
	uint32_t cell;

	if (!fact_key(s, "Services\\Tcpip\\Parameters\\Interfaces", key, sizeof(key), &cell))
		regf_each_subkey(s->h, cell, interface, &v);
}

void facts_system_state(struct fact_source *s)
{
	renames(s);
	disk_check(s);
	setup(s);
	bitlocker(s);
	mounts(s);
	interfaces(s);
}

static int network(void *arg, uint32_t cell)
{
	const struct listing *v = arg;
	char id[REGF_NAME_MAX], key[KEY + REGF_NAME_MAX], name[128];

	regf_key_name(v->s->h, cell, id);
	snprintf(key, sizeof(key), "%s\\%s", v->key, id);
	if (!regf_key_text(v->s->h, cell, "ProfileName", name, sizeof(name)) && *name)
		fact_add(v->s, "network name", key, "ProfileName", "%s", name);
	return v->s->err;
}

/* Keys that are there while something waits for a restart, and gone when nothing does. */
static const struct {
	const char *key, *says;
} waiting[] = {
	{"Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootPending",
	 "updates of components want a restart (CBS)"},
	{"Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\RebootInProgress",
	 "updates of components were being finished by a restart (CBS)"},
	{"Microsoft\\Windows\\CurrentVersion\\Component Based Servicing\\PackagesPending",
	 "packages are installed in part (CBS)"},
	{"Microsoft\\Windows\\CurrentVersion\\WindowsUpdate\\Auto Update\\RebootRequired",
	 "Windows Update wants a restart"},
};

void facts_software_state(struct fact_source *s)
{
	struct listing v = {s, "Microsoft\\Windows NT\\CurrentVersion\\NetworkList\\Profiles"};
	uint32_t cell;

	for (size_t i = 0; i < sizeof(waiting) / sizeof(*waiting); i++)
		if (!regf_find(s->h, s->h->root, waiting[i].key, &cell))
			fact_add(s, "pending restart", waiting[i].key, NULL, "%s", waiting[i].says);
	if (!regf_find(s->h, s->h->root, v.key, &cell))
		regf_each_subkey(s->h, cell, network, &v);
}
