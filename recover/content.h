/* SPDX-License-Identifier: Apache-2.0 */
/* What bytes look like that no driver knows: wiped, encrypted, text, or something else. */
#ifndef VDISKCK_RECOVER_CONTENT_H
#define VDISKCK_RECOVER_CONTENT_H

#include "vdiskck/core/layer.h"

enum { CONTENT_TEXT = 160 };

/*
 * content_look() - what @l looks like, as a part of a sentence, into @text; empty if nothing can be said
 * At most 4096 pages of it are read, evenly spread. 0 or -errno.
 */
int content_look(struct layer *l, char text[CONTENT_TEXT]);

#endif
