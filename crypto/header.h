/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metadata that lies in a file of its own: detached LUKS headers and backups of headers, the
 * dm-integrity metadata of data on another device. The user names it: --header [LAYER=]FILE.
 */
#ifndef VDISKCK_CRYPTO_HEADER_H
#define VDISKCK_CRYPTO_HEADER_H

#include "vdiskck/core/layer.h"

enum header_kind { HEADER_NONE, HEADER_LUKS1, HEADER_LUKS2, HEADER_INTEGRITY };

/* header_kind() - what starts @l, as far as --header takes it */
enum header_kind header_kind(struct layer *l);
/*
 * header_for() - the file of --header that holds the header of @below, of this kind; or NULL
 * @named: only one given for this very layer, or only one given for any that has none of its own
 */
const char *header_for(struct layer *below, enum header_kind kind, bool named);
/* header_open() - open such a file, read-only; 0 or -errno after session_err() */
int header_open(struct session *s, const char *file, struct layer **meta);
/* headers_used() - false after session_err(): a --header fits no layer of the stack */
bool headers_used(struct layer *source);

#endif
