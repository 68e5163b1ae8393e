/* SPDX-License-Identifier: Apache-2.0 */
/* The image that the tests of qcow2 begin with, and what they ask of it. */
#ifndef VDISKCK_TESTS_QCOW2_CASE_H
#define VDISKCK_TESTS_QCOW2_CASE_H

#include "tests/lib/qcow2_build.h"

enum { QCOW2_CASE_CLUSTER = 4096 };

/* qcow2_good() - 1 MiB: 'A' at 0, 'B' at 0x1000, nothing at 0x2000, 'C' packed at 0x3000 */
struct qcow2_build qcow2_good(void);
void qcow2_open(const struct qcow2_build *b);
void qcow2_assert_bytes(const struct qcow2_build *b, uint64_t off, size_t len, int fill);
/* qcow2_assert_doubtful() - all of it is there, and all of it is doubtful for this reason */
void qcow2_assert_doubtful(const struct qcow2_build *b, uint64_t off, size_t len, int fill,
			   enum finding_id why);

#endif
