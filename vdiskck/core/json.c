/* SPDX-License-Identifier: Apache-2.0 */
#include "vdiskck/core/json.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vdiskck/core/text.h"

/* struct json is never defined: it is json-c's object under another name. */
static struct json_object *raw(const struct json *j)
{
	return (struct json_object *)(uintptr_t)j;
}

static struct json *wrap(struct json_object *o)
{
	if (!o)
		abort();
	return (struct json *)o;
}

struct json *js_object(void)
{
	return wrap(json_object_new_object());
}

struct json *js_array(void)
{
	return wrap(json_object_new_array());
}

void js_free(struct json *j)
{
	json_object_put(raw(j));
}

void js_put(struct json *obj, const char *key, struct json *v)
{
	json_object_object_add(raw(obj), key, raw(v));
}

void js_add(struct json *arr, struct json *v)
{
	json_object_array_add(raw(arr), raw(v));
}

static struct json *string(const char *s)
{
	size_t cap = 4 * strlen(s) + 1;
	struct json *j;
	char *safe;

	if (utf8_valid(s))
		return wrap(json_object_new_string(s));
	safe = malloc(cap);
	if (!safe)
		abort();
	j = wrap(json_object_new_string(name_escape(s, strlen(s), safe, cap)));
	free(safe);
	return j;
}

void js_str(struct json *obj, const char *key, const char *s)
{
	js_put(obj, key, string(s));
}

void js_strf(struct json *obj, const char *key, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	js_str(obj, key, text);
}

void js_u64(struct json *obj, const char *key, uint64_t v)
{
	js_put(obj, key, wrap(json_object_new_uint64(v)));
}

void js_int(struct json *obj, const char *key, int64_t v)
{
	js_put(obj, key, wrap(json_object_new_int64(v)));
}

void js_real(struct json *obj, const char *key, double v)
{
	char text[400]; /* DBL_MAX has 309 digits before its point */

	/* JSON has no word for infinity or not-a-number. */
	if (!isfinite(v)) {
		js_put(obj, key, NULL);
		return;
	}
	snprintf(text, sizeof(text), "%.3f", v);
	js_put(obj, key, wrap(json_object_new_double_s(v, text)));
}

void js_bool(struct json *obj, const char *key, bool v)
{
	js_put(obj, key, wrap(json_object_new_boolean(v)));
}

void js_add_str(struct json *arr, const char *s)
{
	js_add(arr, string(s));
}

const char *js_line(struct json *j)
{
	return json_object_to_json_string_ext(raw(j), JSON_C_TO_STRING_PLAIN |
							      JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* Does nothing follow the value, up to the end or a NUL (a JSON area on disk is padded)? */
static bool only_space(struct json_tokener *t, const char *text, size_t len)
{
	size_t i = json_tokener_get_parse_end(t);

	while (i < len && (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')))
		i++;
	return i >= len || !text[i];
}

struct json *js_parse(const char *text, size_t len)
{
	struct json_tokener *t = json_tokener_new_ex(32);
	struct json_object *o = NULL;

	if (!t)
		return NULL;
	if (len < INT32_MAX)
		o = json_tokener_parse_ex(t, text, (int)len);
	if (json_tokener_get_error(t) != json_tokener_success || !only_space(t, text, len)) {
		json_object_put(o);
		o = NULL;
	}
	json_tokener_free(t);
	return (struct json *)o;
}

enum json_kind js_kind(const struct json *j)
{
	switch (json_object_get_type(raw(j))) {
	case json_type_boolean: return JSON_BOOL;
	case json_type_double:
	case json_type_int: return JSON_NUMBER;
	case json_type_string: return JSON_STRING;
	case json_type_array: return JSON_ARRAY;
	case json_type_object: return JSON_OBJECT;
	default: return JSON_NULL;
	}
}

struct json *js_get(const struct json *obj, const char *key)
{
	struct json_object *v = NULL;

	if (js_kind(obj) != JSON_OBJECT)
		return NULL;
	json_object_object_get_ex(raw(obj), key, &v);
	return (struct json *)v;
}

const char *js_text(const struct json *j)
{
	return j ? json_object_get_string(raw(j)) : NULL;
}

bool js_to_u64(const struct json *j, uint64_t *v)
{
	if (js_kind(j) == JSON_STRING)
		return !number_parse(js_text(j), v, NULL);
	if (json_object_get_type(raw(j)) != json_type_int || json_object_get_int64(raw(j)) < 0)
		return false;
	*v = json_object_get_uint64(raw(j));
	return true;
}

size_t js_len(const struct json *arr)
{
	return js_kind(arr) == JSON_ARRAY ? json_object_array_length(raw(arr)) : 0;
}

struct json *js_at(const struct json *arr, size_t i)
{
	return i < js_len(arr) ? (struct json *)json_object_array_get_idx(raw(arr), i) : NULL;
}

void js_each(const struct json *obj, void (*fn)(void *arg, const char *key, struct json *v),
	     void *arg)
{
	if (js_kind(obj) != JSON_OBJECT)
		return;
	json_object_object_foreach (raw(obj), key, v)
		fn(arg, key, (struct json *)v);
}
