/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A long examination in parts, one for each thing that is done with each layer. What a finished part
 * reported is kept with the state of a scrub; a run that goes on reports it again, and leaves the
 * part out. So nothing is done twice, and the whole says what one run would have said.
 *
 * Findings that come outside of parts (a layer that was read, and noticed something) are kept as of
 * each checkpoint. What is reported once more, because a driver says it when first asked, is dropped.
 */
#ifndef VDISKCK_PARTS_H
#define VDISKCK_PARTS_H

#include "vdiskck/run.h"

struct parts;

enum { PARTS_FINDINGS = 10000 }; /* that are kept; with more, a stopped scrub begins anew */

/* parts_new() - keep what @r finds from now on, as r->parts; NULL: no memory */
struct parts *parts_new(struct run *r);
/* parts_free() - @p may be NULL */
void parts_free(struct parts *p);
/*
 * parts_begin() - has an earlier run done @what with @l? True: leave it out
 * @bad: gets what it had found to be bad of the layer; may be NULL. @p may be NULL: no.
 */
bool parts_begin(struct parts *p, const char *what, struct layer *l, struct ranges *bad);
/* parts_end() - it is done. @bad: as above. The state is saved. */
void parts_end(struct parts *p, const char *what, struct layer *l, const struct ranges *bad);
/* parts_close() - all parts are done, or it was stopped: what is found from now on is not kept */
void parts_close(struct parts *p);
/* parts_on_end() - call @fn after each part that was done */
void parts_on_end(struct parts *p, void (*fn)(void *arg), void *arg);

/* parts_put() - all that is final, as members of @j */
void parts_put(struct parts *p, struct json *j);
/*
 * parts_get() - take that over, and report it again
 * 0, -EBADMSG: it does not fit this image; -ENOBUFS: more was found than is kept.
 */
int parts_get(struct parts *p, const struct json *j);

#endif
