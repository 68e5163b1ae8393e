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

#endif
