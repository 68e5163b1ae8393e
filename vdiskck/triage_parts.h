/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of triage that can be chosen with --only and left out with --skip. */
#ifndef VDISKCK_TRIAGE_PARTS_H
#define VDISKCK_TRIAGE_PARTS_H

enum triage_part {
	PART_STRUCTURES = 1 << 0, /* verify every structure of every layer */
	PART_DATA = 1 << 1,	  /* read all of the disk; look for records in free space */
	PART_BOOT = 1 << 2,
	PART_LOGS = 1 << 3,
	PART_LISTING = 1 << 4,	/* of all files, in case.sqlite and the timeline */
	PART_DATABASE = 1 << 5, /* case.sqlite */
	PART_REPORT = 1 << 6,	/* report.html */
	PARTS_ALL = (1 << 7) - 1
};

/*
 * parts_parse() - names with commas between them
 * @bad: set to the first name that is none. Returns their bits, 0 after such a name.
 */
unsigned parts_parse(const char *text, char bad[32]);
/* parts_text() - the names of @parts, with ", " between them */
const char *parts_text(unsigned parts, char out[96]);

#endif
