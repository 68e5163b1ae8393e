/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite, the only wrapper: a new database that is written once, fast.
 *
 * A process that dies leaves the last transaction that ended: the journal undoes what came after.
 * The first error stays, and makes everything behind it do nothing: callers look at the end.
 */
#ifndef VDISKCK_DB_H
#define VDISKCK_DB_H

#include <stddef.h>
#include <stdint.h>

struct session;
struct db;
struct db_put;

/* db_create() - a new, empty database at @path; NULL after session_err() */
struct db *db_create(struct session *s, const char *path);
/* db_exec() - statements without results */
void db_exec(struct db *db, const char *sql);
/* db_error() - 0, or -errno of the first error, which was said when it came */
int db_error(const struct db *db);
/*
 * db_close() - end a transaction that is open, and write all of it out to the disk
 * Returns 0 or -errno, said. @db may be NULL.
 */
int db_close(struct db *db);

/*
 * db_prepare() - a statement that puts rows; db_done() frees it. Never NULL but without memory.
 * db_text() ...: value @i of the next row, from 1. What is not set is NULL. Text lives until
 * db_row(), which puts the row.
 */
struct db_put *db_prepare(struct db *db, const char *sql);
void db_text(struct db_put *p, int i, const char *text); /* NULL: no value */
/* db_utf8() - the same for @len bytes that are known to be UTF-8, and live until db_row() */
void db_utf8(struct db_put *p, int i, const char *text, size_t len);
void db_u64(struct db_put *p, int i, uint64_t v);
void db_row(struct db_put *p);
void db_done(struct db_put *p);

#endif
