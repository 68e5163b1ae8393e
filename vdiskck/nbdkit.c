/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer of an image as a network block device: a plugin for nbdkit, nbdkit-plugin(3).
 *
 *   nbdkit vdiskck image=node.vhd at=vhd/mbr/p2/bitlocker keys=keys.txt
 *
 * Everything is read through libvdiskck, so what damage, chains and ciphers mean is decided where
 * it always is. Lost bytes have no value: whoever reads one gets EIO (lost=zero: zeros).
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "crypto/header.h"
#include "crypto/keys.h"
#include "formats/stack.h"
#include "vdiskck/core/text.h"
#include "vdiskck/out_json.h"
#include "vdiskck/run.h"
#include "vdiskck/version.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum {
	CHAIN_MAX = 64,	   /* folders, headers */
	EXTENTS_MAX = 512, /* runs of one answer: the client asks again for what is behind them */
	PREFERRED = 4096,
};

/* What was asked for. One image is served by one process. */
static struct config {
	char *image, *at, *keys, *bad_map, *format;
	char *chain[CHAIN_MAX + 1], *header[CHAIN_MAX + 1]; /* NULL-terminated */
	size_t n_chain, n_header;
	bool rebuild;
	bool lost_zero;
} config;

static struct session session;
static struct layer *source;
/* Naming a layer may discover what stands on a snapshot: connections come one by one. */
static pthread_mutex_t stack_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_error(void *arg, const char *line)
{
	char text[1024];

	(void)arg;
	name_escape(line, strlen(line), text, sizeof(text));
	nbdkit_error("%s", text);
}

static void on_finding(void *arg, const struct finding *f)
{
	char text[1024];

	(void)arg;
	name_escape(f->message, strlen(f->message), text, sizeof(text));
	nbdkit_debug("%s: %s: %s", f->layer->path, finding_name(f->id), text);
}

/* nbdkit goes to / when it becomes a daemon; what a chain needs may be opened after that. */
static int set_path(char **to, const char *key, const char *value)
{
	if (*to) {
		nbdkit_error("%s is given twice", key);
		return -1;
	}
	*to = nbdkit_absolute_path(value);
	return *to ? 0 : -1;
}

/* An image may be an nbd:// address; keys may come from a descriptor. */
static int set_text(char **to, const char *key, const char *value)
{
	if (*to) {
		nbdkit_error("%s is given twice", key);
		return -1;
	}
	*to = strdup(value);
	if (!*to)
		nbdkit_error("%s: out of memory", key);
	return *to ? 0 : -1;
}

static int set_keys(const char *value)
{
	if (!strcmp(value, "-") && !nbdkit_stdio_safe()) {
		nbdkit_error(
			"keys=-: standard input is not to be read now: keys=FILE or keys=fd:N");
		return -1;
	}
	return strcmp(value, "-") != 0 && strncmp(value, "fd:", 3) != 0
		       ? set_path(&config.keys, "keys", value)
		       : set_text(&config.keys, "keys", value);
}

static int set_lost(const char *value)
{
	if (strcmp(value, "zero") != 0 && strcmp(value, "error") != 0) {
		nbdkit_error("lost=%s: it is error (EIO) or zero", value);
		return -1;
	}
	config.lost_zero = *value == 'z';
	return 0;
}

static int plugin_config(const char *key, const char *value)
{
	if (!strcmp(key, "image"))
		return strstr(value, "://") ? set_text(&config.image, key, value)
					    : set_path(&config.image, key, value);
	if (!strcmp(key, "at") || !strcmp(key, "layer"))
		return set_text(&config.at, key, value);
	if (!strcmp(key, "keys"))
		return set_keys(value);
	if (!strcmp(key, "bad-map"))
		return set_path(&config.bad_map, key, value);
	if (!strcmp(key, "format"))
		return set_text(&config.format, key, value);
	if (!strcmp(key, "lost"))
		return set_lost(value);
	if (!strcmp(key, "rebuild")) {
		int yes = nbdkit_parse_bool(value);

		config.rebuild = yes > 0;
		return yes < 0 ? -1 : 0;
	}
	if (!strcmp(key, "header") && config.n_header < CHAIN_MAX)
		return set_text(&config.header[config.n_header++], key, value);
	if (!strcmp(key, "chain") && config.n_chain < CHAIN_MAX)
		return set_path(&config.chain[config.n_chain++], key, value);
	nbdkit_error("%s %s",
		     config.n_chain == CHAIN_MAX || config.n_header == CHAIN_MAX
			     ? "too often:"
			     : "unknown parameter",
		     key);
	return -1;
}

static int plugin_config_complete(void)
{
	if (config.image)
		return 0;
	nbdkit_error("which image? image=FILE is needed");
	return -1;
}

/* The layer of an export name; the empty one is that of at=, or else the disk. */
static struct layer *find(const char *name)
{
	struct layer *l;

	if (!*name)
		name = config.at ? config.at : "";
	l = *name ? stack_find(source, name) : disk_layer(source);
	if (!l)
		nbdkit_error("no layer %s (vdiskck info shows them)", name);
	else if (l->state || l->locked)
		nbdkit_error("%s can't be read: it is %s", l->path, layer_state_name(l));
	else
		return l;
	return NULL;
}

/* Before nbdkit leaves the terminal: what is wrong with image, keys or layer is said there. */
static int plugin_get_ready(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none); /* memory holds keys */
	session_init(&session);
	session.on_error = on_error;
	session.on_finding = on_finding;
	session.opt.chain = (const char *const *)config.chain;
	session.opt.header = (const char *const *)config.header;
	session.opt.bad_map = config.bad_map;
	session.opt.rebuild = config.rebuild;
	session.opt.format = config.format;
	if (config.keys && keys_load(&session, config.keys, &session.keys))
		return -1;
	if (stack_open(&session, config.image, &source) || !headers_used(source))
		return -1;
	return find("") ? 0 : -1;
}

static void plugin_unload(void)
{
	layer_free(source);
	keys_free(session.keys);
	session_fini(&session);
	for (size_t i = 0; i < config.n_chain; i++)
		free(config.chain[i]);
	for (size_t i = 0; i < config.n_header; i++)
		free(config.header[i]);
	free(config.image);
	free(config.at);
	free(config.keys);
	free(config.bad_map);
	free(config.format);
}

static int list_layer(void *arg, struct layer *l)
{
	char what[64];

	if (l->state || l->locked || !l->size)
		return 0;
	snprintf(what, sizeof(what), "%s, %" PRIu64 " bytes", l->ops->name, l->size);
	return nbdkit_add_export(arg, l == source ? "" : l->path, what);
}

static int plugin_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	int r;

	(void)readonly;
	(void)is_tls;
	pthread_mutex_lock(&stack_lock);
	r = stack_walk(source, list_layer, exports);
	pthread_mutex_unlock(&stack_lock);
	return r;
}

static void *plugin_open(int readonly)
{
	struct layer *l;

	(void)readonly;
	pthread_mutex_lock(&stack_lock);
	l = find(nbdkit_export_name());
	pthread_mutex_unlock(&stack_lock);
	return l;
}

static const char *plugin_export_description(void *handle)
{
	const struct layer *l = handle;

	return nbdkit_strdup_intern(l->path);
}

static int64_t plugin_get_size(void *handle)
{
	const struct layer *l = handle;

	if (l->size <= INT64_MAX)
		return (int64_t)l->size;
	nbdkit_error("%s: larger than NBD can serve", l->path);
	return -1;
}

static int plugin_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
			     uint32_t *maximum)
{
	const struct layer *l = handle;

	*minimum = 1;
	*preferred = l->sector > PREFERRED ? l->sector : PREFERRED;
	*maximum = UINT32_MAX;
	return 0;
}

/* Nobody writes: connections never see different bytes. */
static int plugin_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static int plugin_can_cache(void *handle)
{
	(void)handle;
	return NBDKIT_CACHE_NONE;
}

/* The first lost byte that was asked for, or NULL. */
static const struct range *first_lost(const struct ranges *bad)
{
	for (size_t i = 0; i < bad->n; i++)
		if (bad->v[i].grade == GRADE_LOST)
			return &bad->v[i];
	return NULL;
}

static int plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	struct layer *l = handle;
	struct ranges bad = {0};
	int r = layer_read(l, offset, buf, count, &bad);
	const struct range *lost = config.lost_zero ? NULL : first_lost(&bad);

	(void)flags;
	if (r) {
		nbdkit_error("%s: %s", l->path, strerror(-r));
	} else if (lost) {
		nbdkit_error("%s: %" PRIu64 " bytes at 0x%" PRIx64 " are lost: %s", l->path,
			     lost->len, lost->off, finding_name(lost->why));
		r = -EIO;
	}
	ranges_free(&bad);
	if (r)
		nbdkit_set_error(-r);
	return r ? -1 : 0;
}

/*
 * The run that holds @off, followed down as far as zeros stay zeros: what was never written below
 * a cipher is noise above it. Of a packed run, what is left of it from @off on.
 */
static int plain_run(struct layer *l, uint64_t off, struct extent *run)
{
	uint64_t at = off, left = UINT64_MAX;
	int r;

	do {
		r = layer_map(l, at, run);
		if (r)
			break;
		run->len -= at - run->off;
		run->off = at;
		if (run->len > left)
			run->len = left;
		left = run->len;
		if (run->kind != EXTENT_DATA || run->packed || run->in == l ||
		    l->ops->kind == LAYER_CIPHER || run->at >= run->in->size)
			break;
		l = run->in;
		at = run->at;
	} while (l->ops->kind != LAYER_SOURCE);
	run->off = off;
	return r;
}

static int plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
			  struct nbdkit_extents *extents)
{
	struct layer *l = handle;
	uint64_t end = offset + count;

	for (unsigned n = 0; n < EXTENTS_MAX && offset < end; n++) {
		struct extent run;
		int r = plain_run(l, offset, &run);

		if (r) {
			nbdkit_error("%s: map: %s", l->path, strerror(-r));
			nbdkit_set_error(-r);
			return -1;
		}
		/* Lost is no hole: who skipped it would never hear of it. */
		if (nbdkit_add_extent(
			    extents, offset, run.len,
			    run.kind == EXTENT_ZERO ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0))
			return -1;
		offset += run.len;
		if (flags & NBDKIT_FLAG_REQ_ONE)
			break;
	}
	return 0;
}

static struct nbdkit_plugin plugin = {
	.name = "vdiskck",
	.longname = "vdiskck: damaged, chained and encrypted disk images",
	.version = VDISKCK_VERSION,
	.description = "Any layer of a disk image, read-only; lost bytes answer EIO.",
	.magic_config_key = "image",
	.config_help =
		"[image=]IMAGE    (required) disk image, device or nbd:// address\n"
		"at=LAYER         what to serve: a path of `vdiskck info`; default: the disk\n"
		"keys=FILE|fd:N   keys, as for vdiskck --keys\n"
		"chain=DIR        where parents and further disks may lie; repeatable\n"
		"bad-map=MAPFILE  ddrescue map of the image\n"
		"format=NAME      container format, instead of probing\n"
		"lost=error|zero  what a read of lost bytes gets: EIO (default), or zeros",
	.unload = plugin_unload,
	.config = plugin_config,
	.config_complete = plugin_config_complete,
	.get_ready = plugin_get_ready,
	.list_exports = plugin_list_exports,
	.open = plugin_open,
	.export_description = plugin_export_description,
	.get_size = plugin_get_size,
	.block_size = plugin_block_size,
	.can_multi_conn = plugin_can_multi_conn,
	.can_cache = plugin_can_cache,
	.pread = plugin_pread,
	.extents = plugin_extents,
	.errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
