/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_CASE_INTERNAL_H
#define VDISKCK_CASE_INTERNAL_H

#include "vdiskck/case.h"

struct case_dir {
	struct session *s;
	char *path; /* as the user named it, for messages */
	int fd;	    /* files are opened beneath it, wherever the path leads later */
	bool made;  /* the folder was not there before */
	FILE *log;
};

#endif
