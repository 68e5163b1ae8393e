/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed number of threads that share the work [0, n). */
#ifndef VDISKCK_CORE_POOL_H
#define VDISKCK_CORE_POOL_H

#include <stddef.h>

/*
 * pool_run() - call @fn(arg, i) once for every i in [0, n), on up to @threads threads
 * Indices are handed out in order. The first error stops further ones and is returned.
 * The caller's thread works too; with one thread no other is made.
 */
int pool_run(unsigned threads, size_t n, int (*fn)(void *arg, size_t i), void *arg);
/*
 * pool_run_in_order() - the same, and @done(arg, i) for each in turn, one at a time, on any thread
 * @ahead: work i begins no earlier than @done(i - @ahead) returned, so @ahead slots are enough for
 * results. The first error of either stops both.
 */
int pool_run_in_order(unsigned threads, size_t n, size_t ahead, int (*fn)(void *arg, size_t i),
		      int (*done)(void *arg, size_t i), void *arg);

#endif
