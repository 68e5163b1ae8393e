/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "vdiskck/commands.h"
#include "vdiskck/version.h"

static const struct command commands[] = {
	{"triage", CMD_TRIAGE, cmd_triage, "IMAGE -o CASE",
	 "What broke, what it cost, what survives: a verdict and a report in the folder CASE.",
	 false},
	{"info", CMD_INFO, cmd_info, "IMAGE", "The stack as a tree: layers, sizes, chain, volumes.",
	 false},
	{"check", CMD_CHECK, cmd_check, "IMAGE [--data]", "Verify every structure in every layer.",
	 false},
	{"locate", CMD_LOCATE, cmd_locate,
	 "IMAGE --offset N[+LEN] | --at LAYER:N[+LEN] | --file FILE[:N[+LEN]] | --map MAPFILE",
	 "One address in every layer, down to the image byte and up to what it is.", false},
	{"ls", CMD_LS, cmd_ls, "IMAGE [FILE...]", "The files of a file system, deleted ones too.",
	 false},
	{"cat", CMD_CAT, cmd_cat, "IMAGE FILE", "The bytes of one file, to standard output.",
	 false},
	{"extract", CMD_EXTRACT, cmd_extract, "IMAGE FILE... -o DIR",
	 "Files and trees, deleted and damaged ones too, with a manifest.", false},
	{"export", CMD_EXPORT, cmd_export, "IMAGE [--at LAYER] -o FILE",
	 "A layer as raw bytes, with a ddrescue map of what is lost beside it.", false},
	{"logs", CMD_LOGS, cmd_logs, "IMAGE -o DIR",
	 "Every log that survives: as it was, and parsed into events.", false},
	{"seal", CMD_SEAL, cmd_seal, "IMAGE -o SEAL | SEAL --show|--root|--verify",
	 "Record sector checksums, to be compared with later.", false},
	{"scrub", CMD_SCRUB, cmd_scrub, "IMAGE [--seal SEAL]...",
	 "Verify against a seal, and against all that the image proves about itself.", false},
	{"status", CMD_STATUS, cmd_status, "DIR [--older-than DAYS]",
	 "The state of scheduled scrubs, for a monitoring system.", false},
	{"merge", CMD_MERGE, cmd_merge, "DIR [-o SEAL]",
	 "The shards of a planned seal or scrub put together.", false},
	{"explain", CMD_EXPLAIN, cmd_explain, "[ID...]",
	 "What a finding means and what to do; without ID, all of them.", true},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void print_usage(FILE *f)
{
	fputs("usage: vdiskck COMMAND IMAGE [options]\n\n", f);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\nvdiskck COMMAND --help shows its options; vdiskck(1) is the manual.\n", f);
}

static int unknown_command(const char *typed)
{
	const char *words[COMMANDS + 1] = {NULL}, *like;

	for (size_t i = 0; i < COMMANDS; i++)
		words[i] = commands[i].name;
	like = nearest_word(typed, words);
	fprintf(stderr, "vdiskck: no command %s%s%s (vdiskck --help lists them)\n", typed,
		like ? "; did you mean " : "", like ? like : "");
	return 3;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	struct args a;
	int r;

	if (!name) {
		print_usage(stderr);
		return 3;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		print_usage(stdout);
		return 0;
	}
	if (!strcmp(name, "--version")) {
		puts("vdiskck " VDISKCK_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(name, commands[i].name))
			continue;
		r = options_parse(&commands[i], argc - 1, argv + 1, &a);
		if (!r)
			r = commands[i].run(&a);
		else
			r = r < 0 ? 3 : 0;
		options_free(&a);
		return r;
	}
	return unknown_command(name);
}
