/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BitLocker volumes, Vista to Windows 11, To Go too.
 *
 * The metadata stands three times on the volume; any copy that holds opens it, and when the
 * volume header that names them is gone, they are found by their signature.
 */
#include "crypto/bitlocker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/prim.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/text.h"

enum {
	SEARCH = 96 << 20, /* where discovery looks for a block without a header: Windows puts the
			       * first one behind 33 MiB, in all volumes seen before 48 */
};

static int bitlocker_probe(struct layer *below)
{
	uint8_t sector[512];
	struct fve_boot boot;

	if (layer_read(below, 0, sector, sizeof(sector), NULL))
		return 0;
	fve_boot_parse(sector, &boot);
	return !boot.found ? 0 : boot.to_go || boot.vista ? 85 : 95;
}

/* Discovery found nothing else in @below: is there metadata without a volume header? */
static int bitlocker_search(struct layer *below)
{
	uint64_t off;
	int slot;

	return fve_search(below, 0, SEARCH, &off, &slot) == 1 ? 80 : 0;
}

static int set_cipher(struct layer *l, const uint8_t *fvek, size_t len)
{
	struct bitlocker *b = l->priv;
	int r = fve_cipher_open(b, fvek, len);

	b->open = !r;
	return r;
}

/* Does the start of the plaintext look like a volume? Decides for a raw FVEK, and sector size. */
static bool plaintext_looks_right(struct layer *l)
{
	static const struct {
		size_t off;
		const char *magic;
	} known[] = {
		{3, "NTFS    "}, {3, "EXFAT   "}, {3, "ReFS"}, {0x36, "FAT1"}, {0x52, "FAT32"}};
	uint8_t sector[512];

	if (layer_read(l, 0, sector, sizeof(sector), NULL))
		return false;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!memcmp(sector + known[i].off, known[i].magic, strlen(known[i].magic)))
			return true;
	return false;
}

static int set_sector(struct layer *l, uint32_t sector)
{
	struct bitlocker *b = l->priv;

	l->sector = b->sector = sector;
	free(b->region);
	b->region = NULL;
	b->n_regions = 0;
	return fve_regions_make(l);
}

/*
 * With the cipher set up: is the sector size that the volume header states right? The plaintext
 * tells, when it is a file system's that we know. 1: it looks right, 0: it can't be told, or -errno.
 */
static int settle_sector(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint32_t stated = b->boot.sector, other = b->sector == 512 ? 4096 : 512;
	int r;

	if (plaintext_looks_right(l))
		return 1;
	r = set_sector(l, other);
	if (!r && plaintext_looks_right(l)) {
		if (stated)
			finding(l, FVE_SECTOR_SIZE, 11, 2,
				"the volume header says sectors of %" PRIu32
				" bytes, but they have %" PRIu32,
				stated, other);
		return 1;
	}
	if (!r)
		r = set_sector(l, stated ? stated : 512);
	return r;
}

/* Raw FVEKs have nothing to prove themselves by but what they decrypt. */
static int unlock_fvek(struct layer *l, const char *volume)
{
	struct bitlocker *b = l->priv;
	const struct key *k = NULL;
	int r = -ENOKEY;

	while ((k = keys_next(l->s->keys, k, KEY_FVEK, volume, NULL))) {
		int one = k->len == fve_fvek_len(b->method) ? set_cipher(l, k->data, k->len)
							    : -EKEYREJECTED;

		if (!one)
			one = settle_sector(l);
		if (one == 1)
			return 0;
		fve_cipher_close(b);
		b->open = false;
		if (one == -ENOMEM)
			return one;
		r = -EKEYREJECTED;
	}
	return r;
}

static int bitlocker_unlock(struct layer *l)
{
	struct bitlocker *b = l->priv;
	uint8_t fvek[FVE_FVEK_MAX];
	char volume[GUID_TEXT];
	size_t len;
	int r, raw;

	guid_text_le(fve_copy_dataset(&b->copy[b->used])->id, volume);
	raw = unlock_fvek(l, volume);
	if (!raw || raw == -ENOMEM)
		return raw;
	r = fve_unlock(l, volume, fvek, &len);
	if (!r)
		r = set_cipher(l, fvek, len);
	prim_wipe(fvek, sizeof(fvek));
	if (r)
		return r == -ENOKEY ? raw : r;
	r = settle_sector(l);
	if (!r && !b->boot.sector)
		finding(l, FVE_SECTOR_SIZE, 11, 2,
			"the sector size is not known: 512 bytes are assumed");
	return r < 0 ? r : 0;
}

/* Once all is encrypted, the field that holds the watermark holds the volume's size. */
static void report_truncation(struct layer *l)
{
	const struct bitlocker *b = l->priv;
	const struct fve_copy *u = &b->copy[b->used];
	uint64_t size = b->state == FVE_ENCRYPTED ? le64(fve_copy_header(u)->state_offset) : 0;

	if (u->verdict == FVE_GOOD && size > l->size)
		finding_fact(l, FVE_TRUNCATED,
			     &(struct fact){.at = u->off + 0x10,
					    .at_len = 8,
					    .stored = strf("%" PRIu64 " bytes", size),
					    .expected = strf("%" PRIu64, l->size)},
			     "the volume has %" PRIu64 " bytes, of which the last %" PRIu64
			     " are missing",
			     size, size - l->size);
}

static int bitlocker_open(struct layer *l)
{
	struct bitlocker *b = calloc(1, sizeof(*b));
	const struct fve_header *h;
	uint8_t sector[512];
	int r;

	if (!b)
		return -ENOMEM;
	l->priv = b;
	l->size = l->below->size;
	r = layer_read(l->below, 0, sector, sizeof(sector), NULL);
	if (!r) {
		fve_boot_parse(sector, &b->boot);
		r = fve_copies_read(l);
	}
	if (r)
		return r;
	fve_copies_report(l);
	h = fve_copy_header(&b->copy[b->used]);
	if (b->header_lost)
		b->boot.sector = 0; /* of a header that names nothing, this proves nothing either */
	b->sector = b->boot.sector ? b->boot.sector : 512;
	l->sector = b->sector;
	b->method = le16(fve_copy_dataset(&b->copy[b->used])->method);
	b->state = le16(h->state);
	b->watermark = b->state == FVE_DECRYPTED ? 0
		       : le64(h->state_offset)	 ? le64(h->state_offset)
						 : UINT64_MAX;
	if (b->boot.eow)
		r = fve_eow_read(l);
	if (!r)
		r = fve_regions_make(l);
	if (r)
		return r;
	if (b->state == FVE_DECRYPTED) {
		b->open = true;
		return 0;
	}
	report_truncation(l);
	if (!fve_fvek_len(b->method)) {
		finding_fact(l, FVE_METHOD,
			     &(struct fact){.at = b->copy[b->used].off + sizeof(*h) + 0x24,
					    .at_len = 2,
					    .len = l->size,
					    .stored = strf("0x%04x", b->method)},
			     "encryption method 0x%04x is not known", b->method);
		return -EOPNOTSUPP;
	}
	return bitlocker_unlock(l);
}

static int bitlocker_check(struct layer *l)
{
	struct bitlocker *b = l->priv;

	for (int i = 0; i < FVE_COPIES; i++) {
		struct fve_copy *c = &b->copy[i];

		if (!c->bytes || !c->usable || c->verdict == FVE_NO_SIGNATURE)
			continue;
		session_checked(l->s, c->size);
		if (b->vmk && c->verdict == FVE_GOOD && !fve_hash_fits(c, b->vmk)) {
			c->verdict = FVE_BAD_HASH;
			finding(l, FVE_COPY_HASH, c->off, c->size,
				"metadata copy %d at 0x%" PRIx64
				": its CRC fits, its encrypted SHA-256 does not",
				i + 1, c->off);
		}
	}
	return 0;
}

static void bitlocker_close(struct layer *l)
{
	struct bitlocker *b = l->priv;

	if (!b)
		return;
	for (int i = 0; i < FVE_COPIES; i++)
		fve_copy_free(&b->copy[i]);
	fve_cipher_close(b);
	fve_eow_free(&b->eow);
	prim_secret_free(b->vmk);
	free(b->region);
	free(b);
}

const struct layer_ops bitlocker_ops = {
	.name = "bitlocker",
	.kind = LAYER_CIPHER,
	.probe = bitlocker_probe,
	.search = bitlocker_search,
	.open = bitlocker_open,
	.unlock = bitlocker_unlock,
	.read = bitlocker_read,
	.map = bitlocker_map,
	.check = bitlocker_check,
	.info = bitlocker_info,
	.structure = bitlocker_structure,
	.ciphertext = bitlocker_ciphertext,
	.decrypt_as = bitlocker_decrypt_as,
	.close = bitlocker_close,
};
