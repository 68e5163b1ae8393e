/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NBD export as a source: the disk of a running guest, or an image that only its server can
 * read. One connection, for qemu-nbd takes no second one unless told; libnbd lets one thread at a
 * time use it. Nothing is ever written: we send READ, BLOCK_STATUS and DISC, no other command.
 */
#include <ctype.h>
#include <errno.h>
#include <libnbd.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vdiskck/core/session.h"
#include "vdiskck/core/source_internal.h"

enum {
	READ_MAX = 32 << 20,  /* what every server takes (NBD protocol, "Size constraints") */
	ASK_MAX = 1u << 31,   /* of status at once; the protocol has 32 bits */
	EXTENTS = 4096,	      /* kept of an answer */
	ALIGN_MAX = 64 << 10, /* the largest minimum block size (same section) */
	SMALL = 64
		<< 10, /* requests below that, no further behind one another, are read ahead of */
	AHEAD = 512 << 10,
	FLAG_ZERO = 2,	/* base:allocation, NBD_STATE_ZERO */
	FLAG_DIRTY = 1, /* qemu:dirty-bitmap, NBD_STATE_DIRTY */
	CONTEXT_LEN = 512,
};

struct nbd_export {
	struct nbd_handle *h;
	uint64_t size;
	size_t align; /* requests must start and end at multiples of that */
	char dirty[CONTEXT_LEN];

	/*
	 * Bytes behind the last small request. Discovery looks at some bytes of every sector, each a
	 * round trip of milliseconds, and under TLS of the 40 that a delayed ACK takes.
	 */
	pthread_mutex_t ahead_lock;
	uint64_t last; /* the end of the last small request */
	uint64_t ahead_at;
	size_t ahead_len;
	uint8_t *ahead;

	/* The last answer about zeros: what follows @from, one after the other. */
	pthread_mutex_t lock;
	uint64_t from;
	struct known {
		uint64_t end;
		bool zero;
	} known[EXTENTS];
	size_t n;
};

bool source_is_export(const char *path)
{
	static const char *const scheme[] = {
		"nbd:", "nbds:", "nbd+unix:", "nbds+unix:", "nbd+vsock:", "nbds+vsock:"};

	for (size_t i = 0; i < sizeof(scheme) / sizeof(*scheme); i++)
		if (!strncmp(path, scheme[i], strlen(scheme[i])) &&
		    !strncmp(path + strlen(scheme[i]), "//", 2))
			return true;
	return false;
}

/* What libnbd says of its last call in this thread. */
static int failed(struct session *s, const char *uri)
{
	int r = nbd_get_errno();

	session_err(s, 0, "%s: %s", uri, nbd_get_error() ? nbd_get_error() : "NBD");
	return r ? -r : -EIO;
}

/* The ca-cert.pem in the folder that @uri names. false: it names none, or one too long. */
static bool authority_of(const char *uri, char path[PATH_MAX])
{
	const char *p = strstr(uri, "tls-certificates=");
	size_t n = 0, max = PATH_MAX - sizeof("/ca-cert.pem");

	if (!p)
		return false;
	for (p += strlen("tls-certificates="); *p && *p != '&' && n < max; p++) {
		char hex[3] = {p[0] == '%' ? p[1] : '\0', p[0] == '%' && p[1] ? p[2] : '\0', '\0'};
		bool coded = isxdigit((unsigned char)hex[0]) && isxdigit((unsigned char)hex[1]);

		path[n++] = coded ? (char)strtoul(hex, NULL, 16) : *p;
		p += coded ? 2 : 0;
	}
	strcpy(path + n, "/ca-cert.pem");
	return n && n < max;
}

/*
 * Without an authority's certificate libnbd talks to whoever answers. With TLS somebody must vouch
 * for the server: that certificate, in the folder that the URI names or in one of those where
 * libnbd looks for it by itself (libnbd(3), "Certificate authority"), or a key that both have.
 */
static bool is_vouched_for(const char *uri)
{
	const char *home = getenv("HOME");
	char path[PATH_MAX];

	if (strncmp(uri, "nbds", 4) || strstr(uri, "tls-psk-file="))
		return true;
	if (strstr(uri, "tls-certificates="))
		return authority_of(uri, path) && !access(path, R_OK);
	snprintf(path, sizeof(path), "%s/.pki/libnbd/ca-cert.pem", home ? home : "");
	return !access(path, R_OK) || !access("/etc/pki/libnbd/ca-cert.pem", R_OK);
}

static int begin(struct session *s, struct nbd_export *x, const char *uri)
{
	const char *name = s->opt.bitmap;
	int64_t size, align;

	if (!is_vouched_for(uri)) {
		session_err(
			s, 0,
			"%s: nothing vouches for the server: name the folder with the ca-cert.pem "
			"of its authority, ?tls-certificates=DIR, or a key, ?tls-psk-file=FILE",
			uri);
		return -EACCES;
	}
	if (name)
		snprintf(x->dirty, sizeof(x->dirty), "%s%s",
			 strchr(name, ':') ? "" : "qemu:dirty-bitmap:", name);
	x->h = nbd_create();
	/* Certificates and keys for TLS are the user's, who named them in the URI. */
	if (!x->h || nbd_set_uri_allow_local_file(x->h, true) ||
	    nbd_add_meta_context(x->h, LIBNBD_CONTEXT_BASE_ALLOCATION) ||
	    (name && nbd_add_meta_context(x->h, x->dirty)) || nbd_connect_uri(x->h, uri))
		return failed(s, uri);
	size = nbd_get_size(x->h);
	align = nbd_get_block_size(x->h, LIBNBD_SIZE_MINIMUM);
	if (size < 0 || align < 0)
		return failed(s, uri);
	x->size = (uint64_t)size;
	x->align = align > 1 ? (size_t)align : 1;
	if (x->align > ALIGN_MAX || x->align & (x->align - 1))
		return session_err(s, -EPROTO, "%s: blocks of %zu bytes", uri, x->align);
	return 0;
}

int export_open(struct session *s, const char *uri, struct part *p)
{
	struct nbd_export *x = calloc(1, sizeof(*x));
	int r = x ? 0 : -ENOMEM;

	*p = (struct part){.fd = -1};
	if (r)
		return session_err(s, r, "%s", uri);
	pthread_mutex_init(&x->lock, NULL);
	pthread_mutex_init(&x->ahead_lock, NULL);
	r = begin(s, x, uri);
	if (r) {
		export_close(x);
		return r;
	}
	p->nbd = x;
	p->size = x->size;
	return 0;
}

void export_close(struct nbd_export *x)
{
	if (!x)
		return;
	if (x->h && nbd_aio_is_ready(x->h) == 1)
		nbd_shutdown(x->h, 0);
	nbd_close(x->h);
	free(x->ahead);
	pthread_mutex_destroy(&x->ahead_lock);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

size_t export_sector(const struct nbd_export *x)
{
	return x->align;
}

static ssize_t read_whole(struct nbd_export *x, void *buf, size_t n, uint64_t at)
{
	if (!nbd_pread(x->h, buf, n, at, 0))
		return (ssize_t)n;
	errno = nbd_get_errno();
	if (nbd_aio_is_ready(x->h) != 1)
		errno = ENOTCONN;
	else if (!errno || errno == EINTR)
		errno = EIO;
	return -1;
}

/* What was read ahead, from @at on: how much of it is there, up to @n bytes. */
static size_t take_ahead(const struct nbd_export *x, void *buf, size_t n, uint64_t at)
{
	uint64_t skip = at - x->ahead_at;

	if (at < x->ahead_at || skip >= x->ahead_len)
		return 0;
	n = n < x->ahead_len - skip ? n : x->ahead_len - (size_t)skip;
	memcpy(buf, x->ahead + skip, n);
	return n;
}

/* A small request close behind the last one. 0: not read ahead; what fails is asked for as it is. */
static size_t pread_ahead(struct nbd_export *x, void *buf, size_t n, uint64_t at)
{
	size_t got, len = x->size - at < AHEAD ? (size_t)(x->size - at) : AHEAD;

	if (n >= SMALL || at % x->align)
		return 0;
	pthread_mutex_lock(&x->ahead_lock);
	got = take_ahead(x, buf, n, at);
	if (!got && at && at >= x->last && at - x->last < SMALL) {
		if (!x->ahead)
			x->ahead = malloc(AHEAD);
		x->ahead_at = at;
		x->ahead_len = x->ahead && read_whole(x, x->ahead, len, at) > 0 ? len : 0;
		got = take_ahead(x, buf, n, at);
	}
	x->last = at + n;
	pthread_mutex_unlock(&x->ahead_lock);
	return got;
}

void export_forget(struct nbd_export *x)
{
	pthread_mutex_lock(&x->ahead_lock);
	x->ahead_len = 0;
	pthread_mutex_unlock(&x->ahead_lock);
}

ssize_t export_pread(struct nbd_export *x, void *buf, size_t n, uint64_t at)
{
	size_t ahead = at & (x->align - 1), len = x->align;
	uint8_t *block;
	ssize_t got;

	n = n < READ_MAX ? n : READ_MAX;
	got = (ssize_t)pread_ahead(x, buf, n, at);
	if (got)
		return got;
	if (!ahead && n >= x->align)
		return read_whole(x, buf, n & ~(x->align - 1), at);
	/* A part of one block. The last one of the disk may be short. */
	block = malloc(len);
	if (!block) {
		errno = ENOMEM;
		return -1;
	}
	len = len < x->size - (at - ahead) ? len : (size_t)(x->size - (at - ahead));
	n = n < len - ahead ? n : len - ahead;
	got = read_whole(x, block, len, at - ahead);
	if (got > 0)
		memcpy(buf, block + ahead, n);
	free(block);
	return got > 0 ? (ssize_t)n : got;
}

struct answer {
	struct nbd_export *x;
	const char *context;
	struct ranges *dirty; /* NULL: zeros, into @x */
	uint64_t at;	      /* behind what was answered so far */
	int err;
};

static int on_extents(void *arg, const char *context, uint64_t off, uint32_t *entry, size_t n,
		      int *error)
{
	struct answer *a = arg;
	struct nbd_export *x = a->x;

	(void)error;
	if (strcmp(context, a->context) || off != a->at)
		return 0;
	for (size_t i = 0; i + 1 < n && a->at < x->size; i += 2) {
		uint64_t len = entry[i] < x->size - a->at ? entry[i] : x->size - a->at;

		if (!len || (!a->dirty && x->n == EXTENTS))
			break;
		if (a->dirty && entry[i + 1] & FLAG_DIRTY && !a->err)
			a->err = ranges_add(a->dirty, a->at, len, GRADE_DOUBTFUL, SCRUB_CHANGED);
		a->at += len;
		if (!a->dirty)
			x->known[x->n++] = (struct known){a->at, entry[i + 1] & FLAG_ZERO};
	}
	return 0;
}

/* Ask for the status of what follows a->at. 0, or -errno: nothing was answered. */
static int ask(struct answer *a)
{
	uint64_t from = a->at, left = a->x->size - from;
	nbd_extent_callback fn = {.callback = on_extents, .user_data = a};

	if (nbd_block_status(a->x->h, left < ASK_MAX ? left : ASK_MAX, from, fn, 0))
		return nbd_get_errno() ? -nbd_get_errno() : -EIO;
	return a->err ? a->err : a->at > from ? 0 : -EPROTO;
}

struct stretch export_stretch(struct nbd_export *x, uint64_t off)
{
	struct stretch s = {.off = off, .end = off};
	size_t lo = 0, hi;

	pthread_mutex_lock(&x->lock);
	if (!x->n || off < x->from || off >= x->known[x->n - 1].end) {
		uint64_t from = off & ~(uint64_t)(x->align - 1);
		struct answer a = {.x = x, .context = LIBNBD_CONTEXT_BASE_ALLOCATION, .at = from};

		x->n = 0;
		x->from = from;
		if (nbd_can_meta_context(x->h, a.context) != 1 || ask(&a))
			x->n = 0;
	}
	hi = x->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (x->known[mid].end <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < x->n) {
		s.end = x->known[lo].end;
		s.hole = x->known[lo].zero;
	}
	pthread_mutex_unlock(&x->lock);
	return s;
}

int source_dirty(const struct layer *l, struct ranges *dirty)
{
	const struct source *f = l->ops == &source_ops ? l->priv : NULL;
	struct nbd_export *x = f ? f->part[0].nbd : NULL;
	struct answer a = {.x = x, .dirty = dirty};
	int r = 0;

	if (!x)
		return -EOPNOTSUPP;
	a.context = x->dirty;
	if (nbd_can_meta_context(x->h, x->dirty) != 1)
		return -ENOENT;
	while (!r && a.at < x->size)
		r = session_stopped(l->s) ? -EINTR : ask(&a);
	return r;
}
