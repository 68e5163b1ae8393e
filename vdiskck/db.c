/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/db.h"

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

struct db {
	struct session *s;
	sqlite3 *sql;
	char *path;
	int err;
};

struct db_put {
	struct db *db;
	sqlite3_stmt *st; /* NULL after an error */
};

/* The first error is said; what follows from it is not. */
static void fail(struct db *db, int code)
{
	int system = db->sql ? sqlite3_system_errno(db->sql) : 0;
	const char *what = db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(code);

	if (db->err)
		return;
	if ((code & 0xff) == SQLITE_FULL)
		db->err = -ENOSPC;
	else if ((code & 0xff) == SQLITE_NOMEM)
		db->err = -ENOMEM;
	else
		db->err = system ? -system : -EIO;
	session_err(db->s, db->err, "%s could not be written: %s", db->path, what);
}

static int open_new(struct db *db)
{
	int r = sqlite3_open_v2(db->path, &db->sql,
				SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				NULL);

	if (r != SQLITE_OK)
		fail(db, r);
	sqlite3_extended_result_codes(db->sql, 1);
	/*
	 * Nothing waits for the disk until the end: a process that is killed has still given its
	 * pages to the kernel. Sorting must not look for a folder for temporary files.
	 */
	db_exec(db,
		"PRAGMA page_size=32768; PRAGMA journal_mode=DELETE; PRAGMA synchronous=OFF; PRAGMA temp_store=MEMORY;"
		"PRAGMA cache_size=-8000");
	return db->err;
}

struct db *db_create(struct session *s, const char *path)
{
	struct db *db = calloc(1, sizeof(*db));

	if (db)
		db->path = strdup(path);
	if (!db || !db->path) {
		session_err(s, -ENOMEM, "%s", path);
		free(db);
		return NULL;
	}
	db->s = s;
	if (open_new(db)) {
		sqlite3_close(db->sql);
		free(db->path);
		free(db);
		return NULL;
	}
	return db;
}

void db_exec(struct db *db, const char *sql)
{
	int r = db->err ? SQLITE_OK : sqlite3_exec(db->sql, sql, NULL, NULL, NULL);

	if (r != SQLITE_OK)
		fail(db, r);
}

int db_error(const struct db *db)
{
	return db->err;
}

int db_close(struct db *db)
{
	int r, err;

	if (!db)
		return 0;
	if (!sqlite3_get_autocommit(db->sql))
		db_exec(db, "COMMIT");
	r = sqlite3_close(db->sql);
	if (r != SQLITE_OK)
		fail(db, r);
	err = db->err;
	free(db->path);
	free(db);
	return err;
}

struct db_put *db_prepare(struct db *db, const char *sql)
{
	struct db_put *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		fail(db, SQLITE_NOMEM);
		return NULL;
	}
	p->db = db;
	r = db->err ? SQLITE_OK
		    : sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, &p->st, NULL);
	if (r != SQLITE_OK)
		fail(db, r);
	return p;
}

/* As in JSON: what is no UTF-8 is written as \xHH. */
void db_text(struct db_put *p, int i, const char *text)
{
	size_t len = text ? strlen(text) : 0, cap = 4 * len + 1;
	char *safe;

	if (!p || !p->st || !text)
		return;
	if (utf8_valid(text)) {
		sqlite3_bind_text64(p->st, i, text, len, SQLITE_STATIC, SQLITE_UTF8);
		return;
	}
	safe = malloc(cap);
	if (!safe) {
		fail(p->db, SQLITE_NOMEM);
		return;
	}
	name_escape(text, len, safe, cap);
	sqlite3_bind_text64(p->st, i, safe, strlen(safe), free, SQLITE_UTF8);
}

void db_utf8(struct db_put *p, int i, const char *text, size_t len)
{
	if (p && p->st)
		sqlite3_bind_text64(p->st, i, text, len, SQLITE_STATIC, SQLITE_UTF8);
}

/* What SQLite's integers do not hold is text. */
void db_u64(struct db_put *p, int i, uint64_t v)
{
	char text[24];

	if (!p || !p->st)
		return;
	if (v <= INT64_MAX) {
		sqlite3_bind_int64(p->st, i, (sqlite3_int64)v);
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu64, v);
	sqlite3_bind_text(p->st, i, text, -1, SQLITE_TRANSIENT);
}

void db_row(struct db_put *p)
{
	int r;

	if (!p || !p->st)
		return;
	r = p->db->err ? SQLITE_DONE : sqlite3_step(p->st);
	if (r != SQLITE_DONE)
		fail(p->db, r);
	sqlite3_reset(p->st);
	sqlite3_clear_bindings(p->st);
}

void db_done(struct db_put *p)
{
	if (p)
		sqlite3_finalize(p->st);
	free(p);
}
