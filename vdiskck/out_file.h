/* SPDX-License-Identifier: Apache-2.0 */
/* Where export writes: a file with holes, a pipe, a device, or nowhere (/dev/null). */
#ifndef VDISKCK_OUT_FILE_H
#define VDISKCK_OUT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

struct out_file {
	struct session *s; /* to stop while a pipe is full */
	const char *name;  /* for messages */
	int fd;		   /* -1: not open */
	bool sparse;	   /* a regular file: zeros become holes */
	bool nowhere;	   /* /dev/null: not even a system call */
	uint64_t at;	   /* bytes that went out, holes included */
};

/*
 * out_file_open() - open or make the file at @path; "-" is standard output
 * A file or block device that exists is overwritten only with @force, and never if this process
 * has it open: then it is evidence (the image, a parent, a part, a data file). Returns 0, or
 * -errno after session_err(). out_file_close() whatever it returns.
 */
int out_file_open(struct out_file *o, struct session *s, const char *path, bool force);
/* out_file_write() - the next @len bytes; 0, -EINTR when stopped, or -errno; nothing is said */
int out_file_write(struct out_file *o, const uint8_t *p, uint64_t len);
/* out_file_zeros() - the next @len bytes are zeros: a hole if there can be one */
int out_file_zeros(struct out_file *o, uint64_t len);
/* out_file_close() - give the file its size, and close it; 0 or -errno, nothing is said */
int out_file_close(struct out_file *o);

#endif
