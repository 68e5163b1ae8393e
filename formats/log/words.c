/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/log/words.h"

#include "formats/log/msgtable.h"

const struct log_provider *words_provider(struct log_words *w, const struct log_event *e,
					  const uint8_t *id)
{
	const struct log_provider *p;

	if (!w || (!e->provider.len && !id))
		return NULL;
	p = w->find(w, e->channel, e->provider, id);
	return p && p->messages ? p : NULL;
}

bool words_put(struct buf *out, const struct log_provider *p, uint32_t id, const struct log_text *v,
	       size_t n)
{
	struct buf text = {0};
	size_t from = out->len;
	bool found = msgtable_text(p->messages, id, 0, &text);

	if (found)
		msg_expand(out, (struct log_text){text.p, text.len}, v, n, p->parameters);
	buf_free(&text);
	while (out->len > from && strchr("\r\n\t ", out->p[out->len - 1]))
		out->len--;
	return found && out->len > from;
}
