/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: the only wrapper of json-c. Objects keep the order in which members were added.
 * Running out of memory while building aborts the program: an output record is small, and
 * there is nothing better to print.
 */
#ifndef VDISKCK_CORE_JSON_H
#define VDISKCK_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

struct json *js_object(void);
struct json *js_array(void);
void js_free(struct json *j);

/* Members of an object; @s may be any bytes: what is not UTF-8 is written as \xHH text. */
void js_str(struct json *obj, const char *key, const char *s);
void js_strf(struct json *obj, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void js_u64(struct json *obj, const char *key, uint64_t v);
void js_int(struct json *obj, const char *key, int64_t v);
void js_real(struct json *obj, const char *key, double v); /* infinity, not-a-number: null */
void js_bool(struct json *obj, const char *key, bool v);
/* js_put() - @v becomes a member, owned by @obj */
void js_put(struct json *obj, const char *key, struct json *v);
/* js_add(), js_add_str() - append to an array */
void js_add(struct json *arr, struct json *v);
void js_add_str(struct json *arr, const char *s);

/* js_line() - one line of text without newline; owned by @j, until its next call */
const char *js_line(struct json *j);

/* Reading. NULL, 0 or false when the member is missing or of another kind. */
enum json_kind { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
/*
 * js_parse() - parse untrusted text, up to @len or a NUL
 * NULL if it is no object or array, more follows it, or it nests deeper than 32.
 */
struct json *js_parse(const char *text, size_t len);
enum json_kind js_kind(const struct json *j);
struct json *js_get(const struct json *obj, const char *key); /* borrowed */
const char *js_text(const struct json *j); /* a string's bytes, or how a scalar is written */
bool js_to_u64(const struct json *j, uint64_t *v); /* a number, or a string of digits */
size_t js_len(const struct json *arr);
struct json *js_at(const struct json *arr, size_t i); /* borrowed */
/* js_each() - call @fn for every member of @obj in order */
void js_each(const struct json *obj, void (*fn)(void *arg, const char *key, struct json *v),
	     void *arg);

#endif
