/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_CASE_DB_INTERNAL_H
#define VDISKCK_CASE_DB_INTERNAL_H

#include "vdiskck/case_db.h"
#include "vdiskck/db.h"

struct case_db {
	struct db *db;
	struct db_put *run, *event, *recovered;
	struct line *text; /* of the columns of an event, with escapes undone */
	bool open;	   /* the transaction of a part */
};

/* case_db_part() - what came before is one part, what follows another */
void case_db_part(struct case_db *d);

#endif
