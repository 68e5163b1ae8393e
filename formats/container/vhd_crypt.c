/* SPDX-License-Identifier: Apache-2.0 */
/* XenServer's encryption of a VHD: which keys fit, and data sectors. See crypto/xen_vhd.c. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/unit.h"
#include "crypto/xen_vhd.h"
#include "formats/container/vhd.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/sum.h"
#include "vdiskck/core/text.h"

int vhd_unlock(struct layer *l)
{
	const struct vhd_batmap_header *b = &((struct vhd *)l->priv)->batmap;
	struct vhd *v = l->priv;
	const struct key *k = NULL;
	char uuid[GUID_TEXT];
	int r = -ENOKEY;

	guid_text_be(v->footer.uuid, uuid);
	while ((r == -ENOKEY || r == -EKEYREJECTED) &&
	       (k = keys_next(l->s->keys, k, KEY_KEYFILE | KEY_VOLUME_KEY, uuid, NULL)))
		r = xen_vhd_open(&v->cipher, b->key_nonce, b->key_hash, k->data, k->len);
	l->locked = r;
	return r;
}

int vhd_crypt_open(struct layer *l)
{
	struct vhd *v = l->priv;
	const struct vhd_batmap_header *b = &v->batmap;
	bool hash = !all_zero(b->key_hash, sizeof(b->key_hash));
	int r;

	if (!v->has_batmap)
		return 0;
	/* No checksum covers the cookie. A hash is not there by chance, nor is none of a key. */
	if (hash != (b->key_cookie != 0))
		finding_fact(l, VHD_KEY_COOKIE,
			     &(struct fact){.at = v->batmap_at +
						  offsetof(struct vhd_batmap_header, key_cookie),
					    .at_len = 1,
					    .stored = strf("%u", b->key_cookie),
					    .expected = hash ? "1" : "0"},
			     hash ? "the disk is not marked as encrypted, but has a key hash"
				  : "the disk is marked as encrypted, but has no key hash");
	v->encrypted = hash;
	if (!hash)
		return 0;
	r = vhd_unlock(l);
	return r == -ENOKEY || r == -EKEYREJECTED ? 0 : r;
}

int vhd_decrypt(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad,
		size_t from)
{
	struct vhd *v = l->priv;
	size_t whole = len & ~(size_t)(VHD_SECTOR - 1);
	int r = sector_decrypt(v->cipher, off, buf, whole);

	if (r)
		return r;
	unit_blank(bad, from, off, buf, len, 16, 0, VHD_SECTOR);
	if (whole == len)
		return 0;
	memset((uint8_t *)buf + whole, 0, len - whole);
	return ranges_add(bad, off + whole, len - whole, GRADE_LOST, VHD_BLOCK_TRUNCATED);
}

int vhd_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
{
	const struct vhd *v = l->priv;
	struct extent run;

	*off = at;
	*len = UINT64_MAX - at;
	if (!v->encrypted || layer_map(l, at, &run))
		return 0;
	*len = run.len;
	return run.kind == EXTENT_DATA && run.in == l->below;
}

static void hex_text(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", p[i]);
}

void vhd_crypt_info(const struct layer *l, struct json *to)
{
	const struct vhd *v = l->priv;
	char text[2 * XEN_VHD_HASH + 1];

	if (!v->encrypted)
		return;
	js_str(to, "encryption", "xenserver");
	js_str(to, "cipher", "aes-xts-plain");
	js_bool(to, "locked", !v->cipher);
	js_str(to, "opened_by", "keyfile, volume-key: 32 or 64 bytes");
	hex_text(v->batmap.key_hash, XEN_VHD_HASH, text);
	js_str(to, "key_hash", text);
	hex_text(v->batmap.key_nonce, XEN_VHD_HASH, text);
	js_str(to, "key_nonce", text);
}
