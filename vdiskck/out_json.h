/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON records of vdiskck(1), as objects. */
#ifndef VDISKCK_OUT_JSON_H
#define VDISKCK_OUT_JSON_H

#include "vdiskck/run.h"

struct json *json_header(const struct args *a);
struct json *json_layer(struct layer *l);
struct json *json_finding(const struct entry *e);
struct json *json_summary(const struct run *r, int status);
/* json_places() - an array of { layer, offset, length } */
struct json *json_places(const struct place *p, size_t n);
struct json *json_place(const char *layer, uint64_t off, uint64_t len);

/* layer_kind_name() - "container"; layer_state_name() - "locked", or NULL when it is open */
const char *layer_kind_name(enum layer_kind k);
const char *layer_state_name(const struct layer *l);
/* layer_info() - what the driver has to say of @l; of bytes that no driver opens, what they look like */
void layer_info(struct layer *l, struct json *to);
/* layer_number() - the number that users may give instead of a volume's path; 0: no volume */
unsigned layer_number(struct layer *l);

#endif
