/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What events say in words: the message tables and event manifests that providers carry as resources of
 * their DLLs (and of the .mui files beside them), and how values are put into a message.
 *
 *	struct msgtable *t = msgtable_new();
 *	msgtable_add(t, dll);  msgtable_add(t, mui);	-- files, as layers
 *	if (!msgtable_event(t, guid, 4624, 2, &id))	-- by manifest; classic events: qualifiers << 16 | id
 *		msgtable_text(t, id, 0, &out);
 *	msg_expand(&out, text, values, n, parameters)
 */
#ifndef VDISKCK_FORMATS_LOG_MSGTABLE_H
#define VDISKCK_FORMATS_LOG_MSGTABLE_H

#include "formats/log/log.h"

struct msgtable;
struct msgtable *msgtable_new(void);
void msgtable_free(struct msgtable *t);
/*
 * msgtable_add() - take the message tables and the manifest from the resources of PE file @pe
 * 0, also when there are none; -EBADMSG: no PE file, or its resources are out of bounds.
 */
int msgtable_add(struct msgtable *t, struct layer *pe);
/* msgtable_count() - messages in all languages; msgtable_bytes() - of memory */
size_t msgtable_count(const struct msgtable *t);
size_t msgtable_bytes(const struct msgtable *t);
/* msgtable_also() - what @t does not have is looked up in @of, which stays; 16 of them at most */
void msgtable_also(struct msgtable *t, const struct msgtable *of);
/*
 * msgtable_text() - message @id, appended to @out as UTF-8 with its inserts as they are
 * @language: a Windows language id, 0: any, English before others. False: there is none.
 */
bool msgtable_text(const struct msgtable *t, uint32_t id, unsigned language, struct buf *out);
/* msgtable_event() - which message an event of a manifest has. False: not known, or none. */
bool msgtable_event(const struct msgtable *t, const uint8_t provider[16], unsigned event_id,
		    unsigned version, uint32_t *id);
/* msgtable_manifest() - take a WEVT_TEMPLATE resource that stands by itself; 0 or -EBADMSG */
int msgtable_manifest(struct msgtable *t, const uint8_t *p, size_t len);

/*
 * msg_expand() - a message with values in it, appended to @out; it ends soon after MSG_MAX bytes
 * %1 to %99 (a printf format in ! ! behind it is skipped), %n %t %b %r %% %. %! as FormatMessage() has
 * them; %0 ends the text. %%nnnn, in the message or in a value, is message nnnn of @parameters (may
 * be NULL), and stays if there is none.
 */
enum { MSG_MAX = 128 << 10 };
void msg_expand(struct buf *out, struct log_text message, const struct log_text *values, size_t n,
		const struct msgtable *parameters);

#endif
