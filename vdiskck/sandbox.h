/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers of hostile bytes need no more than they have open. Once evidence, keys and output are
 * open, the process gives up everything else: an image that finds a way to make us run its code
 * can't start a program, reach the network, read another file or change one outside the output.
 */
#ifndef VDISKCK_SANDBOX_H
#define VDISKCK_SANDBOX_H

#include "vdiskck/core/layer.h"

enum { SANDBOX_TEXT = 256 };

/*
 * sandbox_enter() - from here on, for good
 * @source: the image; files beside it and in --chain folders can still be opened for reading
 *	    (snapshots that are looked into later name parents then). May be NULL.
 * @read:   other files and folders to read from, NULL-terminated; may be NULL
 * @write:  folders to make files in, NULL-terminated; may be NULL. They must exist.
 * @report: what holds and what does not, and why; for -v
 *
 * Files that are open stay as usable as they were. To be called while there is one thread, for
 * Landlock binds only the thread that asks and those that it starts. System calls that only an
 * attack would make (execve, socket, ptrace, mount ...) kill the process; others that are not
 * needed fail with ENOSYS. A build with AddressSanitizer goes without that filter and stays
 * dumpable: its leak check traces the process.
 * Returns 0 if all of it holds, else the -errno of the first thing that does not. No reason to
 * stop: old kernels and containers lack one or the other.
 */
int sandbox_enter(const struct layer *source, const char *const *read, const char *const *write,
		  char report[SANDBOX_TEXT]);

#endif
