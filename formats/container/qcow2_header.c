/* SPDX-License-Identifier: Apache-2.0 */
/* The qcow2 header and its extensions: every field is bounded here, before anything uses it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/container/qcow2_parts.h"
#include "vdiskck/core/session.h"
#include "vdiskck/core/span.h"
#include "vdiskck/core/text.h"

#define FIELD(f) offsetof(struct qcow2_header, f), sizeof(((struct qcow2_header *)0)->f)
#define FACT(f, ...)                                                                               \
	(&(struct fact){.at = offsetof(struct qcow2_header, f),                                    \
			.at_len = sizeof(((struct qcow2_header *)0)->f),                           \
			__VA_ARGS__})

char *qcow2_text_read(struct qcow2 *q, uint64_t at, size_t len, struct ranges *bad)
{
	char *text = calloc(1, len + 1);

	if (text && layer_read(q->l->below, at, text, len, bad)) {
		free(text);
		text = NULL;
	}
	return text;
}

/* What every version has. */
static int common_read(struct qcow2 *q, const struct qcow2_header *h)
{
	uint32_t magic = be32(h->magic);

	q->version = be32(h->version);
	q->cluster_bits = be32(h->cluster_bits);
	q->size = be64(h->size);
	q->crypt_method = be32(h->crypt_method);
	q->l1_size = be32(h->l1_size);
	q->l1_off = be64(h->l1_table_offset);
	q->refcount_table_off = be64(h->refcount_table_offset);
	q->refcount_table_clusters = be32(h->refcount_table_clusters);
	q->nb_snapshots = be32(h->nb_snapshots);
	q->snapshots_off = be64(h->snapshots_offset);
	q->backing_off = be64(h->backing_file_offset);
	if (q->version < 2)
		return -EBADMSG;
	if (q->version > 3) {
		finding_fact(q->l, QCOW2_VERSION,
			     FACT(version, .stored = strf("%" PRIu32, q->version)),
			     "qcow2 version %" PRIu32 " is not known", q->version);
		return -EOPNOTSUPP;
	}
	if (q->cluster_bits < QCOW2_CLUSTER_BITS_MIN || q->cluster_bits > QCOW2_CLUSTER_BITS_MAX) {
		finding_fact(q->l, QCOW2_CLUSTER_SIZE,
			     FACT(cluster_bits, .stored = strf("%" PRIu32, q->cluster_bits),
				  .expected = "9 to 21"),
			     "clusters of 2^%" PRIu32 " bytes can't be", q->cluster_bits);
		return -EBADMSG;
	}
	if (magic != QCOW2_MAGIC)
		finding_fact(q->l, QCOW2_MAGIC_LOST,
			     FACT(magic, .stored = strf("0x%08" PRIx32, magic),
				  .expected = "0x514649fb"),
			     "the magic is lost, the rest of the header is plausible");
	q->cluster_size = UINT64_C(1) << q->cluster_bits;
	return 0;
}

static void version3_read(struct qcow2 *q, const struct qcow2_header *h)
{
	uint32_t order = be32(h->refcount_order);

	q->incompat = be64(h->incompatible_features);
	q->compat = be64(h->compatible_features);
	q->autoclear = be64(h->autoclear_features);
	q->header_length = be32(h->header_length);
	if (q->header_length < QCOW2_V3_HEADER || q->header_length > q->cluster_size ||
	    q->header_length % 8) {
		finding_fact(q->l, QCOW2_HEADER_LENGTH,
			     FACT(header_length, .stored = strf("%" PRIu32, q->header_length),
				  .expected = "104 to one cluster, in steps of 8"),
			     "a header of %" PRIu32 " bytes can't be; read as one of %d",
			     q->header_length, QCOW2_V3_HEADER);
		q->header_length = QCOW2_V3_HEADER;
	}
	if (q->header_length > offsetof(struct qcow2_header, compression_type))
		q->compression = h->compression_type;
	if (order > 6)
		finding_fact(q->l, QCOW2_REFCOUNT_ORDER,
			     FACT(refcount_order, .stored = strf("%" PRIu32, order),
				  .expected = "at most 6"),
			     "refcounts of 2^%" PRIu32 " bits can't be", order);
	else
		q->refcount_bits = 1u << order;
	q->extended_l2 = q->incompat & QCOW2_INCOMPAT_EXTENDED_L2;
}

/* What state the last writer left the image in. */
static void state_report(struct qcow2 *q)
{
	if (q->incompat & QCOW2_INCOMPAT_DIRTY)
		finding(q->l, QCOW2_DIRTY, FIELD(incompatible_features),
			"the image was not closed cleanly; its refcounts may be out of date");
	if (q->incompat & QCOW2_INCOMPAT_CORRUPT)
		finding(q->l, QCOW2_CORRUPT, FIELD(incompatible_features),
			"QEMU marked the image as corrupt");
	if (q->compression > 1)
		finding_fact(q->l, QCOW2_COMPRESSION,
			     FACT(compression_type, .stored = strf("%u", q->compression),
				  .expected = "0 or 1"),
			     "compression type %u is not known: compressed clusters are lost",
			     q->compression);
}

/* No table is allocated by what the header claims; still the disk must be addressable. */
static int size_bound(struct qcow2 *q)
{
	unsigned bits = qcow2_l1_bits(q);
	uint64_t most = (uint64_t)QCOW2_L1_MAX << bits, entries = q->l1_size;

	q->l->size = q->size;
	if (q->size <= most)
		return 0;
	q->l->size = entries < QCOW2_L1_MAX ? entries << bits : most;
	finding_fact(q->l, QCOW2_SIZE,
		     FACT(size, .stored = strf("0x%" PRIx64, q->size),
			  .expected = strf("at most 0x%" PRIx64, most)),
		     "a disk of 0x%" PRIx64 " bytes can't be with this cluster size", q->size);
	return entries && entries <= QCOW2_L1_MAX ? 0 : -EBADMSG;
}

int qcow2_header_read(struct qcow2 *q)
{
	struct qcow2_header h;
	int r = layer_read(q->l->below, 0, &h, sizeof(h), NULL);

	if (r)
		return r;
	if (q->file_size < QCOW2_V2_HEADER)
		return -EBADMSG;
	r = common_read(q, &h);
	if (r)
		return r;
	q->header_length = QCOW2_V2_HEADER;
	q->refcount_bits = 16;
	if (q->version == 3) {
		q->refcount_bits = 0;
		version3_read(q, &h);
	}
	q->l2_entry = q->extended_l2 ? 16 : 8;
	q->l2_bits = q->cluster_bits - (q->extended_l2 ? 4 : 3);
	r = size_bound(q);
	if (!r)
		state_report(q);
	return r;
}

static int text_take(char **to, struct span data)
{
	free(*to);
	*to = strndup((const char *)data.p, data.len);
	return *to ? 0 : -ENOMEM;
}

static int features_take(struct qcow2 *q, struct span data)
{
	free(q->features);
	q->n_features = data.len / sizeof(*q->features);
	q->features = malloc(q->n_features * sizeof(*q->features) + 1);
	if (!q->features)
		return -ENOMEM;
	memcpy(q->features, data.p, q->n_features * sizeof(*q->features));
	return 0;
}

static void short_extension(struct qcow2 *q, struct span data, uint64_t need)
{
	finding_fact(q->l, QCOW2_EXTENSION,
		     &(struct fact){.at = data.addr,
				    .at_len = data.len,
				    .stored = strf("%zu bytes", data.len),
				    .expected = strf("%" PRIu64 " bytes", need)},
		     "the header extension at 0x%" PRIx64 " is too short for what it is",
		     data.addr);
}

static int extension_take(struct qcow2 *q, uint32_t type, struct span data)
{
	const be64_t *v = span_at(data, 0, 2 * sizeof(*v));
	const be32_t *n = span_at(data, 0, sizeof(*n));

	switch (type) {
	case QCOW2_EXT_BACKING_FORMAT: return text_take(&q->backing_format, data);
	case QCOW2_EXT_DATA_FILE: return text_take(&q->data_name, data);
	case QCOW2_EXT_FEATURES: return features_take(q, data);
	case QCOW2_EXT_CRYPTO:
		if (v) {
			q->luks_off = be64(v[0]);
			q->luks_len = be64(v[1]);
			q->luks_at = data.addr;
		} else {
			short_extension(q, data, 16);
		}
		return 0;
	case QCOW2_EXT_BITMAPS:
		v = span_at(data, 8, 2 * sizeof(*v));
		if (v) {
			q->has_bitmaps = true;
			q->nb_bitmaps = be32(*n);
			q->bitmap_dir_len = be64(v[0]);
			q->bitmap_dir_off = be64(v[1]);
		} else {
			short_extension(q, data, 24);
		}
		return 0;
	default: return 0; /* the spec: can be safely ignored */
	}
}

/* The extensions lie between the header and the backing file's name, in the first cluster. */
static int extensions_walk(struct qcow2 *q, struct span area)
{
	while (area.len >= sizeof(struct qcow2_extension)) {
		const struct qcow2_extension *e = span_at(area, 0, sizeof(*e));
		uint32_t type = be32(e->type), len = be32(e->length);
		struct span data = span_from(area, sizeof(*e));
		int r;

		if (type == QCOW2_EXT_END)
			break;
		if (len > data.len) {
			finding_fact(q->l, QCOW2_EXTENSION,
				     &(struct fact){.at = area.addr,
						    .at_len = sizeof(*e),
						    .stored = strf("%" PRIu32 " bytes", len),
						    .expected = strf("at most %zu", data.len)},
				     "the header extension 0x%08" PRIx32
				     " is longer than the space "
				     "for extensions",
				     type);
			break;
		}
		area = span_from(data, ((uint64_t)len + 7) & ~UINT64_C(7));
		data.len = len;
		r = extension_take(q, type, data);
		if (r)
			return r;
	}
	return 0;
}

static const char *feature_name(const struct qcow2 *q, unsigned type, unsigned bit, char *buf,
				size_t cap)
{
	for (size_t i = 0; i < q->n_features; i++) {
		const struct qcow2_feature_name *f = &q->features[i];

		if (f->type == type && f->bit == bit)
			return name_escape(f->name, strnlen(f->name, sizeof(f->name)), buf, cap);
	}
	return "no name is given";
}

static int features_unknown(struct qcow2 *q)
{
	uint64_t unknown = q->incompat & ~QCOW2_INCOMPAT_KNOWN;
	char name[200];

	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(unknown >> bit & 1))
			continue;
		finding_fact(q->l, QCOW2_FEATURE_UNKNOWN,
			     FACT(incompatible_features, .stored = strf("0x%" PRIx64, q->incompat)),
			     "incompatible feature %u is not known: %s", bit,
			     feature_name(q, 0, bit, name, sizeof(name)));
	}
	return unknown ? -EOPNOTSUPP : 0;
}

int qcow2_extensions_read(struct qcow2 *q)
{
	uint64_t end = q->cluster_size < q->file_size ? q->cluster_size : q->file_size;
	char *buf = NULL;
	int r = 0;

	if (q->backing_off >= q->header_length && q->backing_off < end)
		end = q->backing_off;
	if (end > q->header_length) {
		size_t len = (size_t)(end - q->header_length);

		buf = qcow2_text_read(q, q->header_length, len, NULL);
		r = buf ? extensions_walk(
				  q, (struct span){(const uint8_t *)buf, len, q->header_length})
			: -ENOMEM;
		free(buf);
	}
	return r ? r : features_unknown(q);
}
