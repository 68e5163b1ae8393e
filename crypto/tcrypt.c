/* SPDX-License-Identifier: Apache-2.0 */
/* The driver tcrypt: TrueCrypt and VeraCrypt volumes, and disks whose system they encrypt. */
#include "crypto/tcrypt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/unit.h"
#include "vdiskck/core/json.h"
#include "vdiskck/core/session.h"

enum {
	UNIT = 512,
	BOOT_SECTORS = 63, /* what a boot loader of TrueCrypt takes */
};

static bool keys_given(const struct layer *below)
{
	return keys_next(below->s->keys, NULL, KEY_PASSPHRASE | KEY_KEYFILE, NULL, NULL) != NULL;
}

bool tcrypt_noise(struct layer *l, uint64_t off)
{
	uint8_t p[UNIT];
	struct ranges bad = {0};
	bool lost;

	if (off > l->size || l->size - off < UNIT)
		return false;
	lost = layer_read(l, off, p, sizeof(p), &bad) || bad.n;
	ranges_free(&bad);
	return !lost && !unit_has_structure(p, sizeof(p));
}

static bool forced(const struct layer *below)
{
	return below->s->opt.format && !strcmp(below->s->opt.format, tcrypt_ops.name);
}

/* --- is it one? --- */

/* Does a partition table of either kind begin with this sector 0? */
static bool is_table(struct layer *below, const uint8_t *mbr)
{
	uint8_t magic[8];
	int used = 0;

	if (mbr[510] != 0x55 || mbr[511] != 0xaa)
		return false;
	if (!layer_read(below, UNIT, magic, sizeof(magic), NULL) && !memcmp(magic, "EFI PART", 8))
		return true;
	/* The boot sector of a file system has code there. */
	for (const uint8_t *e = mbr + 446; e < mbr + 510; e += 16) {
		if (e[0] & 0x7f)
			return false;
		used += e[4] != 0;
	}
	return used > 0;
}

/* The name of a boot loader that asks for a password, or NULL. */
static const char *boot_loader(const uint8_t *mbr)
{
	if (memmem(mbr, 446, "VeraCrypt Boot Loader", 21))
		return "VeraCrypt";
	return memmem(mbr, 446, "TrueCrypt Boot Loader", 21) ? "TrueCrypt" : NULL;
}

/*
 * A disk with system encryption: a partition table, and in sector 62, between it and the first
 * partition, a header. GRUB lies there, too, compressed, but not in this sector alone.
 */
static bool is_system_disk(struct layer *below, const char **loader)
{
	uint64_t off = tcrypt_place_off(TCRYPT_AT_SYSTEM, below->size);
	uint8_t mbr[UNIT];

	*loader = NULL;
	if (below->ops == &tcrypt_ops || off == UINT64_MAX ||
	    layer_read(below, 0, mbr, sizeof(mbr), NULL) || !is_table(below, mbr))
		return false;
	*loader = boot_loader(mbr);
	return *loader || (tcrypt_noise(below, off) && !tcrypt_noise(below, off - UNIT));
}

static int tcrypt_probe(struct layer *below)
{
	const char *loader;

	/* Above the partition table, which then lies on this layer. */
	return is_system_disk(below, &loader) && (loader || keys_given(below)) ? 99 : 0;
}

/* Is there noise where copies of the first header are? */
static bool noise_at_end(struct layer *below)
{
	uint64_t backup = tcrypt_place_off(TCRYPT_AT_BACKUP, below->size);
	uint64_t hidden = tcrypt_place_off(TCRYPT_AT_HIDDEN_BACKUP, below->size);

	return backup != UINT64_MAX && hidden != UINT64_MAX && tcrypt_noise(below, backup) &&
	       tcrypt_noise(below, hidden);
}

/*
 * In what comes out of a cipher no TrueCrypt volume is looked for, be it a layer of its own or a
 * container's: what was never written there decrypts to noise, as any new volume shows, and trying
 * all KDFs on it would cost a minute and end in a false "locked". --format tcrypt asks for it.
 */
static bool decrypts(const struct layer *l)
{
	uint64_t len, off;

	return l->ops->kind == LAYER_CIPHER ||
	       (l->ops->kind == LAYER_CONTAINER && l->ops->ciphertext &&
		l->ops->ciphertext((struct layer *)(uintptr_t)l, 0, &len, &off) == 1);
}

static int tcrypt_seek(struct layer *below)
{
	for (const struct layer *l = below; l; l = l->below)
		if (decrypts(l))
			return 0;
	if (!keys_given(below))
		return 0;
	return tcrypt_noise(below, 0) ? 40 : noise_at_end(below) ? 35 : 0;
}

/* The places where a header can be. */
static unsigned places(struct layer *l)
{
	const struct tcrypt *t = l->priv;
	unsigned mask = 0;

	for (int p = 0; p < TCRYPT_PLACES; p++) {
		uint64_t off = tcrypt_place_off((enum tcrypt_place)p, l->below->size);
		bool seen = false;

		for (int q = 0; q < p; q++)
			seen |= mask >> q & 1 && tcrypt_place_off(q, l->below->size) == off;
		/* In a volume sector 62 is filled with noise, too. */
		if (p == TCRYPT_AT_SYSTEM ? !t->whole : t->whole)
			seen = true;
		if (off != UINT64_MAX && !seen && tcrypt_noise(l->below, off))
			mask |= 1u << p;
	}
	return mask;
}

/* What it finds out about the header is reported when a key fits, which happens only once. */
static int tcrypt_unlock(struct layer *l)
{
	struct tcrypt *t = l->priv;
	struct tcrypt_hit bad;
	int r = tcrypt_search(l, places(l), &t->hit);

	if (r)
		return r;
	r = tcrypt_prefer_copy(l, &bad);
	if (!r)
		r = tcrypt_apply(l);
	if (!r)
		r = tcrypt_cipher_open(&t->cipher, t->hit.alg, t->hit.h->keys);
	if (!r) {
		t->open = true;
		t->doubt = !t->hit.keys_ok;
		tcrypt_report_copy(l, &bad);
	}
	prim_secret_free(bad.h);
	return r;
}

static int tcrypt_open(struct layer *l)
{
	struct tcrypt *t = calloc(1, sizeof(*t));
	const char *loader;
	int r;

	if (!t)
		return -ENOMEM;
	l->priv = t;
	l->size = l->below->size;
	t->whole = is_system_disk(l->below, &loader);
	r = tcrypt_unlock(l);
	if (r != -ENOKEY && r != -EKEYREJECTED)
		return r;
	if (t->whole) {
		/* The table and what is not encrypted can be read all the same, without us. */
		finding_fact(
			l, TCRYPT_SYSTEM_LOCKED, &(struct fact){.at = 62 * UNIT, .at_len = UNIT},
			loader ? "the disk starts with the boot loader of %s, but no key opens "
				 "its header"
			       : "sector 62 looks like a header of TrueCrypt or VeraCrypt%s, "
				 "but none of the keys opens it",
			loader ? loader : "");
		return -ENOENT;
	}
	/* Only where noise begins with the first byte is it worth saying that no key fits. */
	return forced(l->below) || tcrypt_noise(l->below, 0) ? r : -ENOENT;
}

/* --- data --- */

static int tcrypt_map(struct layer *l, uint64_t off, struct extent *run)
{
	const struct tcrypt *t = l->priv;
	uint64_t at = t->whole ? off : t->start + off;

	if (!t->open) {
		run->kind = EXTENT_LOST;
		run->why = LAYER_LOCKED;
		run->len = l->size - off;
	} else if (at >= l->below->size) {
		run->kind = EXTENT_LOST;
		run->why = TCRYPT_TRUNCATED;
		run->len = l->size - off;
	} else {
		run->kind = EXTENT_DATA;
		run->in = l->below;
		run->at = at;
		run->len = l->size - off;
		if (run->len > l->below->size - at)
			run->len = l->below->size - at;
	}
	return 0;
}

/* [at, at + len) of the layer below, all of it encrypted, for byte @off. */
static int read_encrypted(struct layer *l, uint64_t at, uint64_t off, uint8_t *p, size_t len,
			  struct ranges *bad)
{
	struct tcrypt *t = l->priv;
	bool cbc = t->hit.alg->mode == TCRYPT_CBC;
	size_t from = bad ? bad->n : 0, echo = cbc ? PRIM_BLOCK * TCRYPT_PARTS : 0;
	uint64_t have = at < l->below->size ? l->below->size - at : 0;
	size_t n = have < len ? (size_t)have & ~(size_t)(UNIT - 1) : len;
	int r = layer_read_as(l->below, at, p, n, off, bad);

	if (!r)
		r = tcrypt_decrypt(t->cipher, t->unit + (at - t->start) / UNIT, p, n);
	if (!r)
		unit_blank(bad, from, off, p, n, PRIM_BLOCK, echo, UNIT);
	memset(p + n, 0, len - n);
	if (!r && n < len)
		r = ranges_add(bad, off + n, len - n, GRADE_LOST, TCRYPT_TRUNCATED);
	if (!r && n && t->doubt)
		r = ranges_add(bad, off, n, GRADE_DOUBTFUL, TCRYPT_KEYS_CRC);
	return r;
}

/* @off and @len are multiples of UNIT, unless a disk ends within one. */
static int read_units(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct tcrypt *t = l->priv;
	uint64_t end = t->start + t->len;
	uint8_t *p = buf;
	int r = 0;

	if (!t->whole)
		return read_encrypted(l, t->start + off, off, buf, len, bad);
	while (!r && len) {
		bool plain = off < t->start || off >= end;
		uint64_t stop = off < t->start ? t->start : off < end ? end : UINT64_MAX;
		size_t n = stop - off < len ? (size_t)(stop - off) : len;

		r = plain ? layer_read_as(l->below, off, p, n, off, bad)
			  : read_encrypted(l, off, off, p, n, bad);
		off += n;
		p += n;
		len -= n;
	}
	return r;
}

static int tcrypt_read(struct layer *l, uint64_t off, void *buf, size_t len, struct ranges *bad)
{
	const struct tcrypt *t = l->priv;

	if (!t->open) {
		memset(buf, 0, len);
		return ranges_add(bad, off, len, GRADE_LOST, LAYER_LOCKED);
	}
	return unit_read(l, UNIT, off, buf, len, bad, read_units);
}

/* Only once it is open: without a key, nothing says that noise is a volume at all. */
static int tcrypt_ciphertext(struct layer *l, uint64_t at, uint64_t *len, uint64_t *off)
{
	const struct tcrypt *t = l->priv;

	*len = UINT64_MAX - at;
	if (!t->open || (at >= t->start && at - t->start >= t->len))
		return 0;
	if (at < t->start) {
		*len = t->start - at;
		return 0;
	}
	*len = t->len - (at - t->start);
	*off = t->whole ? at : at - t->start;
	return 1;
}

static int tcrypt_decrypt_as(struct layer *l, uint64_t at, void *buf, size_t len)
{
	const struct tcrypt *t = l->priv;

	if (!t->open || at < t->start || (at - t->start) % UNIT || len % UNIT)
		return -ENOENT;
	return tcrypt_decrypt(t->cipher, t->unit + (at - t->start) / UNIT, buf, len);
}

/* --- check --- */

static bool same_volume(const struct tcrypt_header *a, const struct tcrypt_header *b)
{
	return !memcmp(a->keys, b->keys, sizeof(a->keys)) && be64(a->start) == be64(b->start) &&
	       be64(a->volume_size) == be64(b->volume_size) &&
	       be64(a->hidden_size) == be64(b->hidden_size);
}

static void check_copy(struct layer *l, const struct tcrypt_hit *copy)
{
	const struct tcrypt *t = l->priv;

	if (!copy->crc_ok || !copy->keys_ok)
		finding(l, TCRYPT_BACKUP_BAD, copy->off, TCRYPT_HEADER,
			"the %s opens, but the CRC of its %s is wrong",
			tcrypt_place_name(copy->place), copy->crc_ok ? "keys" : "fields");
	else if (!same_volume(t->hit.h, copy->h))
		finding(l, TCRYPT_COPIES_DIFFER, copy->off, TCRYPT_HEADER,
			"the %s and the %s are whole, but describe different volumes",
			tcrypt_place_name(t->hit.place), tcrypt_place_name(copy->place));
}

static int tcrypt_check(struct layer *l)
{
	const struct tcrypt *t = l->priv;
	enum tcrypt_place place = TCRYPT_AT_PRIMARY;
	uint64_t off;
	struct tcrypt_hit copy;
	int r;

	if (!t->open)
		return 0;
	session_checked(l->s, TCRYPT_HEADER);
	off = tcrypt_twin(l, &t->hit, &place);
	/* That the first header is bad was said when its backup was taken. */
	if (off == UINT64_MAX || place == TCRYPT_AT_PRIMARY || place == TCRYPT_AT_HIDDEN)
		return 0;
	if (off > l->below->size || l->below->size - off < TCRYPT_HEADER)
		return 0;
	r = tcrypt_retry(l, &t->hit, place, off, &copy);
	session_checked(l->s, TCRYPT_HEADER);
	if (r == -EKEYREJECTED) {
		finding(l, TCRYPT_BACKUP_BAD, off, TCRYPT_HEADER,
			"the %s does not open with the key that opens the %s",
			tcrypt_place_name(place), tcrypt_place_name(t->hit.place));
		return 0;
	}
	if (r)
		return r;
	check_copy(l, &copy);
	prim_secret_free(copy.h);
	return 0;
}

/* --- info --- */

static void tcrypt_info(struct layer *l, struct json *to)
{
	const struct tcrypt *t = l->priv;
	const struct tcrypt_hit *hit = &t->hit;
	const struct tcrypt_header *h = hit->h;

	js_bool(to, "locked", !t->open);
	if (!t->open)
		return;
	js_str(to, "program", h->magic[0] == 'V' ? "VeraCrypt" : "TrueCrypt");
	js_u64(to, "version", be16(h->version));
	js_strf(to, "needs", "%x.%x", be16(h->needed) >> 8, be16(h->needed) & 0xff);
	js_strf(to, "cipher", "%s-%s", hit->alg->name, tcrypt_mode_name(hit->alg->mode));
	if (hit->memory)
		js_strf(to, "kdf", "%s, %" PRIu32 " passes, %" PRIu32 " KiB", hit->kdf, hit->passes,
			hit->memory);
	else
		js_strf(to, "kdf", "%s, %" PRIu32 " iterations", hit->kdf, hit->passes);
	js_str(to, "header", tcrypt_place_name(hit->place));
	js_u64(to, "header_offset", hit->off);
	if (hit->key)
		js_u64(to, "key_number", hit->key);
	js_bool(to, "keyfiles", hit->keyfiles);
	if (hit->pim)
		js_u64(to, "pim", hit->pim);
	js_bool(to, "hidden", tcrypt_is_hidden(hit->place));
	js_bool(to, "system", t->whole);
	js_u64(to, "data_offset", t->start);
	js_u64(to, "data_size", t->len);
	js_u64(to, "sector_size", l->sector);
}

static bool tcrypt_structure(struct layer *l, uint64_t at, char *name, size_t cap, uint64_t *start,
			     uint64_t *len)
{
	const struct tcrypt *t = l->priv;

	if (!t->open)
		return false;
	for (int p = 0; p < TCRYPT_PLACES; p++) {
		uint64_t off = tcrypt_place_off((enum tcrypt_place)p, l->below->size);
		bool old = be16(t->hit.h->version) < 4;

		if (off == UINT64_MAX || at < off || at - off >= TCRYPT_HEADER ||
		    (p == TCRYPT_AT_SYSTEM) != t->whole ||
		    (at >= t->start && at - t->start < t->len))
			continue;
		if (old && p != TCRYPT_AT_PRIMARY && p != TCRYPT_AT_OLD_HIDDEN && !t->whole)
			continue;
		snprintf(name, cap, "%s", tcrypt_place_name((enum tcrypt_place)p));
		*start = off;
		*len = TCRYPT_HEADER;
		return true;
	}
	return false;
}

static void tcrypt_close(struct layer *l)
{
	struct tcrypt *t = l->priv;

	if (!t)
		return;
	tcrypt_cipher_close(t->cipher);
	prim_secret_free(t->hit.h);
	free(t);
}

const struct layer_ops tcrypt_ops = {
	.name = "tcrypt",
	.kind = LAYER_CIPHER,
	.probe = tcrypt_probe,
	.search = tcrypt_seek,
	.open = tcrypt_open,
	.unlock = tcrypt_unlock,
	.read = tcrypt_read,
	.map = tcrypt_map,
	.check = tcrypt_check,
	.info = tcrypt_info,
	.structure = tcrypt_structure,
	.ciphertext = tcrypt_ciphertext,
	.decrypt_as = tcrypt_decrypt_as,
	.close = tcrypt_close,
};
