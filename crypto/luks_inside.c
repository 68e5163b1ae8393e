/* SPDX-License-Identifier: Apache-2.0 */
/* A LUKS1 header inside a container, which applies the cipher by itself: qcow2. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/luks.h"
#include "vdiskck/core/session.h"

static bool cipher_known(const struct luks *u)
{
	static const uint8_t key[LUKS_KEY_MAX] = {1, 2, 3}; /* no weak one */
	const struct luks_segment *g = &u->segment[0];
	struct sector_spec spec = {g->cipher.name, g->cipher.mode, g->cipher.iv, 512, 512};
	struct sector_cipher *c = NULL;
	int r = -EOPNOTSUPP;

	for (size_t len = 16; r == -EOPNOTSUPP && len <= 64; len += 8)
		r = sector_open(&c, &spec, key, len);
	sector_close(c);
	return r != -EOPNOTSUPP;
}

int luks1_inside_open(struct layer *image, uint64_t off, uint64_t len, struct layer **out)
{
	struct layer *l = layer_new(image->s, &luks1_ops, image->below, image->name);
	struct luks *u = calloc(1, sizeof(*u));
	int r = -ENOMEM;

	*out = NULL;
	if (!l || !u) {
		free(u);
		layer_free(l);
		return r;
	}
	l->priv = u;
	u->meta = image->below;
	u->base = off;
	u->limit = len;
	r = luks1_parse(l);
	if (!r && !cipher_known(u)) {
		finding(l, LUKS_UNSUPPORTED, off + 8, 64, "cipher %s is not known",
			u->segment[0].cipher.text);
		r = -EOPNOTSUPP;
	}
	if (r) {
		layer_free(l);
		return r;
	}
	*out = l;
	return 0;
}

struct sector_cipher *luks_inside_cipher(const struct layer *luks)
{
	const struct luks *u = luks->priv;

	return u->segment[0].c;
}
