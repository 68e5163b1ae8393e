/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems that no driver of ours reads: the kernel in libguestfs's appliance does. Three
 * processes take part, so that neither the program nor its sandbox changes when nobody needs it:
 *
 *   the program           a layer as of any driver (guest_fs.c) that asks its helper
 *   its helper            libguestfs, loaded when it starts (guest.c); forked before the sandbox
 *   nbdkit, our plugin    the volume as our layers read it (guest_nbd.c): decrypted, chained,
 *                         rebuilt; lost ranges answer EIO
 *
 * A native driver of XFS, say, takes the volume first, and nothing here is asked for it any more.
 */
#ifndef VDISKCK_GUEST_H
#define VDISKCK_GUEST_H

#include <sys/types.h>

#include "vdiskck/run.h"

enum {
	GUEST_VOLUMES = 16, /* of one run */
	GUEST_PIECE = 1 << 20,
	GUEST_PAGE = 4096,	     /* of the appliance's cache: what a lost byte costs */
	GUEST_REPLY_MAX = 256 << 20, /* the listing of one folder */
	GUEST_PATH_MAX = 1 << 16,
};

/* One question and its answer, on a socket between two processes of one machine and build. */
enum guest_op {
	GUEST_LAUNCH, /* start the appliance. Text: of what went wrong */
	GUEST_MOUNT,  /* text: type of the file system, how it was mounted, version of libguestfs */
	GUEST_CHECK,  /* text: the tool, what it said; err: -EUCLEAN it found damage */
	GUEST_STAT,   /* one struct guest_stat */
	GUEST_LIST,   /* one struct guest_stat for each entry of a folder; err -EIO: not for all */
	GUEST_READ, /* the bytes; fewer at the end of the file. err -EIO: all that were asked for, then
			 a byte for each page, 1 if it is lost */
	GUEST_QUIT, /* clean up and end: no answer, but the socket closes when it is done */
};

struct guest_request {
	uint32_t op, volume;
	uint64_t off;
	uint32_t len;
	uint32_t path_len; /* the path follows, without NUL */
};

struct guest_reply {
	int32_t err;  /* 0 or -errno */
	uint32_t len; /* bytes that follow; texts end in NUL, one behind the other */
};

/* Behind it: the name, and the target of a link, each with its NUL. */
struct guest_stat {
	uint64_t ino, size, blocks; /* of 512 bytes */
	uint32_t mode, links, uid, gid;
	int64_t atime, mtime, ctime;
	uint32_t atime_nsec, mtime_nsec, ctime_nsec;
	uint32_t name_len, target_len; /* without NUL */
};

/* What the helper works on. */
struct guest_job {
	struct run *r;
	struct layer *volume[GUEST_VOLUMES];
	size_t n;
};

/* guest_open() - put a layer on each volume that is to be read this way; 0 or -errno, said */
int guest_open(struct run *r);

/* guest_new() - the helper behind the socket @fd, which is its own from now on; NULL: no memory */
struct guest;
struct guest *guest_new(struct session *s, int fd);
/* guest_get(), guest_put() - one user more, one less: without any, the helper cleans up and ends */
void guest_get(struct guest *g);
void guest_put(struct guest *g);
/*
 * guest_ask() - one question; from any thread, one at a time
 * @reply: for free(), a NUL behind it; may be NULL when it failed. 0, the answer's -errno, -EPIPE
 * when the helper is gone or makes no sense, -EINTR when a stop was asked for: the last one.
 */
int guest_ask(struct guest *g, struct guest_request *q, const char *path, char **reply,
	      size_t *len);
/* guest_launch() - start the appliance; -errno with @why filled */
int guest_launch(struct guest *g, char *why, size_t cap);
/*
 * guest_attach() - mount volume @number of the helper, and put its layer on @below
 * @check: have it checked, too, if it can't be mounted. What is wrong is a finding and the state of
 * the layer; -errno only when the helper is of no more use.
 */
int guest_attach(struct guest *g, struct layer *below, unsigned number, bool check);

/* guest_serve() - the helper: answer until the socket closes. Does not return. */
void guest_serve(const struct guest_job *job, int fd) __attribute__((noreturn));

/*
 * guest_nbd_start() - serve @l on a socket in @folder
 * @socket: its path, GUEST_SOCKET bytes. Returns nbdkit's process, or -errno with @why filled.
 */
enum { GUEST_SOCKET = 108 };
pid_t guest_nbd_start(const struct run *r, const struct layer *l, const char *folder,
		      unsigned number, char socket[GUEST_SOCKET], char *why, size_t cap);

#endif
