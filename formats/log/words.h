/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event of Windows says in words. Its record has values only; the text is in the message
 * tables of its provider, which somebody else has to find: recover/providers.h does, on the
 * log's own volume.
 */
#ifndef VDISKCK_FORMATS_LOG_WORDS_H
#define VDISKCK_FORMATS_LOG_WORDS_H

#include "formats/log/log.h"

struct msgtable;
struct log_provider {
	const struct msgtable *messages;
	const struct msgtable *parameters; /* of %%nnnn in values; NULL: none */
};

struct log_words {
	/*
	 * The tables of the provider @name: of @id (a GUID, or NULL), of its source in @channel's log
	 * (empty: in any). NULL: none is known. Called from any thread; the answer stays.
	 */
	const struct log_provider *(*find)(struct log_words *w, struct log_text channel,
					   struct log_text name, const uint8_t *id);
};

enum { WORDS_INSERTS = 99 /* %1 to %99 */ };

/* words_provider() - e->provider's tables; NULL: none */
const struct log_provider *words_provider(struct log_words *w, const struct log_event *e,
					  const uint8_t *id);
/*
 * words_put() - message @id of the provider with the values @v in it, appended to @out
 * What is no text in UTF-8 stays as it is; blanks and line ends behind it are cut. False: there is
 * no such message.
 */
bool words_put(struct buf *out, const struct log_provider *p, uint32_t id, const struct log_text *v,
	       size_t n);

#endif
