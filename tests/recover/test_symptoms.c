/* SPDX-License-Identifier: Apache-2.0 */
/* Events that tell of trouble, and those that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recover/symptoms.h"

static const char *said(const char *source, const char *provider, uint64_t id, const char *message)
{
	struct log_event e = {.source = source,
			      .provider = {provider, strlen(provider)},
			      .message = {message, strlen(message)},
			      .event_id = id,
			      .has_event_id = id != 0};

	return symptom_text(symptom_of(&e));
}

static void events_of_windows_are_told_by_provider_and_id(void **state)
{
	(void)state;
	assert_non_null(strstr(said("evtx", "disk", 153, ""), "took too long"));
	assert_non_null(strstr(said("evtx", "Ntfs", 55, ""), "corrupt"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-Ntfs", 55, ""), "corrupt"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-Kernel-Power", 41, ""), "without"));
	assert_non_null(strstr(said("evtx", "Microsoft-Windows-WHEA-Logger", 18, ""), "hardware"));
	assert_non_null(strstr(said("evt", "EventLog", 6008, ""), "not expected"));
	assert_string_equal(said("evtx", "disk", 1, ""), "");
	assert_string_equal(said("evtx", "Microsoft-Windows-WHEA-Logger", 21, ""), "");
	assert_string_equal(said("evtx", "Service Control Manager", 7036, ""), "");
	/* The words of a Linux kernel in an event of Windows are somebody's text. */
	assert_string_equal(said("evtx", "App", 9, "I/O error"), "");
}

/* What a machine says before it goes down: each of these must have a rule. */
static void every_kind_of_trouble_has_a_rule(void **state)
{
	static const struct {
		const char *source, *provider;
		unsigned id[8];
		const char *message;
	} of[] = {
		{"evtx", "disk", {7, 11, 51, 153, 157}, ""},
		{"evtx", "Ntfs", {55, 98, 130, 137, 140}, ""},
		{"evtx", "Microsoft-Windows-Ntfs", {55, 98, 130, 137, 140}, ""},
		{"evtx", "volmgr", {161}, ""},
		{"evtx", "xenvbd", {1, 129}, ""},
		{"evtx", "xenfilt", {1}, ""},
		{"evtx", "Microsoft-Windows-Kernel-Power", {41}, ""},
		{"evtx", "EventLog", {6008}, ""},
		{"evtx", "BugCheck", {1001}, ""},
		{"evtx", "Microsoft-Windows-WER-SystemErrorReporting", {1001}, ""},
		{"evtx", "Service Control Manager", {7031, 7034}, ""},
		{"evtx", "Microsoft-Windows-Resource-Exhaustion-Detector", {2004}, ""},
		{"evtx", "Microsoft-Windows-BitLocker-Driver", {24620}, ""},
		{"evtx", "Microsoft-Windows-BitLocker-API", {851}, ""},
		{"evtx", "Microsoft-Windows-Kernel-Boot", {29}, ""},
		{"evtx", "Microsoft-Windows-WHEA-Logger", {17, 18, 19, 20}, ""},
		{"evtx", "Microsoft-Windows-Wininit", {1001}, ""},
		{"evtx", "Microsoft-Windows-Kernel-General", {1}, ""},
		{"evtx", "Microsoft-Windows-Time-Service", {35}, ""},
		{"journal", "kernel", {0}, "blk_update_request: I/O error, dev sda, sector 1"},
		{"journal", "kernel", {0}, "Buffer I/O error on dev dm-0, logical block 2"},
		{"text", "kernel", {0}, "EXT4-fs error (device sda1): ext4_lookup:1590"},
		{"text", "kernel", {0}, "EXT4-fs (sda1): Remounting filesystem read-only"},
		{"text", "kernel", {0}, "XFS (sda1): Metadata corruption detected at xfs_agf"},
		{"text",
		 "kernel",
		 {0},
		 "XFS (sda1): Corruption of in-memory data detected.  Shutting down filesystem"},
		{"text", "kernel", {0}, "XFS (dm-0): metadata I/O error in xfs_trans_read_buf_map"},
		{"text", "kernel", {0}, "Out of memory: Killed process 812 (slurmd)"},
		{"text", "kernel", {0}, "slurmd invoked oom-killer: gfp_mask=0x100cca"},
		{"text",
		 "kernel",
		 {0},
		 "INFO: task kworker/0:1:17 blocked for more than 120 seconds."},
		{"text", "kernel", {0}, "mce: [Hardware Error]: Machine check events logged"},
		{"text", "kernel", {0}, "watchdog: BUG: soft lockup - CPU#3 stuck for 22s!"},
		{"journal", "systemd", {0}, "slurmd.service: Failed with result 'exit-code'."},
		{"journal", "systemd", {0}, "Failed to start Slurm node daemon."},
		{"journal", "systemd", {0}, "Time has been changed"},
		{"journal",
		 "systemd-journald",
		 {0},
		 "File /var/log/journal/x/system.journal corrupted or uncleanly shut down, renaming and replacing."},
		{"text",
		 "kernel",
		 {0},
		 "EXT4-fs (sda1): recovery complete after recovering journal"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++)
		for (size_t k = 0; k < 8 && (!k || of[i].id[k]); k++)
			if (!*said(of[i].source, of[i].provider, of[i].id[k], of[i].message))
				fail_msg("%s %u: no rule for \"%s\"", of[i].provider, of[i].id[k],
					 of[i].message);
}

static int load(const char *text, char err[300])
{
	const char *path = "test_symptoms.rules";
	FILE *f = fopen(path, "wb");
	int r;

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	*err = '\0';
	r = symptoms_load(path, err, 300);
	remove(path);
	return r;
}

static void users_bring_rules_that_come_first(void **state)
{
	char err[300];
	unsigned n = symptom_count();

	(void)state;
	assert_int_equal(
		load("# mine\n/* two\nlines */ S(\"evt*\", \"disk\", \"153\", \"\",\n"
		     "  \"the \\\"array\\\" is slow\")\n"
		     "S(\"text\", \"gpu*\", \"\", \"*Xid 79*\", \"a GPU fell off\") // last",
		     err),
		0);
	assert_int_equal(symptom_count(), n + 2);
	assert_string_equal(said("evtx", "disk", 153, ""), "the \"array\" is slow");
	assert_string_equal(said("text", "gpud", 0, "Xid 79, GPU"), "a GPU fell off");
	assert_string_equal(said("journal", "gpud", 0, "Xid 79, GPU"), "");
	assert_non_null(strstr(said("evtx", "disk", 51, ""), "paging"));
	/* A file that is wrong changes nothing. */
	assert_int_not_equal(load("S(", err), 0);
	assert_string_equal(said("evtx", "disk", 153, ""), "the \"array\" is slow");
	symptoms_unload();
	assert_int_equal(symptom_count(), n);
	assert_non_null(strstr(said("evtx", "disk", 153, ""), "took too long"));
}

static void a_wrong_line_is_named(void **state)
{
	static const struct {
		const char *text, *says;
	} of[] = {
		{"\n\nS(\"a\", \"b\", \"7\", \"\")", ":3: ',' must be here"},
		{"S(\"a\", \"b\", \"7-\", \"\", \"m\")", ":1: ids are numbers"},
		{"S(\"a\", \"b\", \"7,\", \"\", \"m\")", ":1: ids are numbers"},
		{"S(\"a\", \"b\", \"x\", \"\", \"m\")", ":1: ids are numbers"},
		{"S(\"a\", \"\", \"\", \"\", \"m\")", ":1: source and provider"},
		{"S(\"a\", \"b\", \"\", \"\", \"\")", ":1: what it means"},
		{"# x\nS(\"a\n\"", ":2: the string does not end on its line"},
		{"S(\"a", ":1: the string does not end"},
		{"\n/* no end", ":2: the comment does not end"},
		{"\nrule", ":2: 'S' must be here"},
		{"S", ":1: it ends where '(' must be"},
	};
	char err[300];

	(void)state;
	for (size_t i = 0; i < sizeof(of) / sizeof(*of); i++) {
		assert_int_not_equal(load(of[i].text, err), 0);
		if (!strstr(err, of[i].says))
			fail_msg("%s\ninstead of %s", err, of[i].says);
	}
	assert_int_not_equal(symptoms_load("no such file", err, sizeof(err)), 0);
	assert_non_null(strstr(err, "No such file"));
	/* Nothing is a rule file, too. */
	assert_int_equal(load("", err), 0);
	/* Any byte wrong, any end: never more than an error. */
	for (size_t cut = 0; cut < 50; cut++) {
		char text[] =
			"S(\"evt*\", \"disk\", \"1-2,3\", \"*a\\\"b*\", \"meaning\") # comment";

		text[cut] = '\0';
		load(text, err);
		text[cut] = '"';
		load(text, err);
		text[cut] = '\\';
		load(text, err);
	}
	symptoms_unload();
}

static void lines_of_linux_are_told_by_their_words(void **state)
{
	(void)state;
	assert_non_null(strstr(
		said("journal", "kernel", 0, "blk_update_request: I/O error, dev xvda"), "device"));
	assert_non_null(strstr(
		said("journal", "kernel", 0, "EXT4-fs error (device dm-0): ext4_find_entry:1455"),
		"ext4"));
	assert_non_null(
		strstr(said("text", "kernel", 0, "Out of memory: Killed process 1"), "memory"));
	assert_non_null(
		strstr(said("journal", "kernel", 0,
			    "INFO: task jbd2/xvda1-8:210 blocked for more than 120 seconds."),
		       "did not answer"));
	assert_non_null(strstr(
		said("journal", "systemd", 0, "Failed to start Apply Kernel Variables."), "unit"));
	assert_string_equal(said("journal", "sshd", 0, "Failed to start talking"), "");
	assert_string_equal(said("journal", "kernel", 0, "EXT4-fs (dm-0): mounted filesystem"), "");
	assert_string_equal(said("journal", "", 0, ""), "");
}

static void every_rule_has_a_meaning(void **state)
{
	(void)state;
	assert_true(symptom_count() > 40);
	for (unsigned i = 1; i <= symptom_count(); i++)
		assert_true(strlen(symptom_text(i)) > 5);
	assert_string_equal(symptom_text(0), "");
	assert_string_equal(symptom_text(symptom_count() + 1), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_of_windows_are_told_by_provider_and_id),
		cmocka_unit_test(every_kind_of_trouble_has_a_rule),
		cmocka_unit_test(users_bring_rules_that_come_first),
		cmocka_unit_test(a_wrong_line_is_named),
		cmocka_unit_test(lines_of_linux_are_told_by_their_words),
		cmocka_unit_test(every_rule_has_a_meaning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
