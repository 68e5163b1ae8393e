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
	bool nowhere;	   /* /dev/null: what was read needs no system call */
	bool passes;	   /* out_file_pass() works: a pipe, or nowhere */
	int drain[2];	   /* nowhere: the pipe between a file and it, if @passes */
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
/*
 * out_file_pass() - the next @len bytes are those at @at of the file @fd, and need not be seen
 * The kernel hands them on without a copy. @passed: how many went out; if fewer than @len, with 0
 * returned, @fd did not give the next one: read and write it. Returns as out_file_write().
 */
int out_file_pass(struct out_file *o, int fd, uint64_t at, uint64_t len, uint64_t *passed);
/* out_file_lane() - @lane is another way into nowhere, for a thread that passes, too. To be closed. */
int out_file_lane(const struct out_file *o, struct out_file *lane);
/* out_file_close() - give the file its size, and close it; 0 or -errno, nothing is said */
int out_file_close(struct out_file *o);

#endif
