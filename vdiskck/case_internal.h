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
	int marker;		    /* INCOMPLETE, locked; -1: not open */
	struct case_file *manifest; /* once it was begun */
};

#define CASE_MARKER "INCOMPLETE"

/*
 * case_again() - remove what an earlier run made that did not get to its end
 * c->marker is open. Returns 0 when nothing is left but the marker, or -errno, said.
 */
int case_again(struct case_dir *c, const char *image);
/* case_image() - how an image is told from another in a marker; to be freed, NULL: no memory */
char *case_image(const char *image);

#endif
