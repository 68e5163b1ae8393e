/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images in several files: NAME.001 NAME.002 ..., from .000 or .001, two to four digits, as FTK
 * Imager, EnCase, dd and split(1) leave them. All parts but the last have one size, so the place
 * of each is known even when a part is missing or was cut short in copying.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "vdiskck/core/source_internal.h"

enum { DIGITS_MIN = 2, DIGITS_MAX = 4 };

/* How many digits the number of the first part has; 0: not the name of a first part. */
static int part_digits(const char *path)
{
	size_t len = strlen(path), digits = 0;

	while (digits < len && isdigit((unsigned char)path[len - digits - 1]))
		digits++;
	if (digits < DIGITS_MIN || digits > DIGITS_MAX || len < digits + 2 ||
	    path[len - digits - 1] != '.' || path[len - digits - 2] == '/')
		return 0;
	return strtoul(path + len - digits, NULL, 10) <= 1 ? (int)digits : 0;
}

static int part_open(const struct opener *o, const char *path, struct part *p)
{
	int r;

	*p = (struct part){.fd = -1};
	r = o->open(o, path, &p->fd, &p->st);
	if (r == -EMFILE) {
		/* A thousand parts need more than the usual 1024 descriptors. */
		struct rlimit lim;

		if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
			lim.rlim_cur = lim.rlim_max;
			setrlimit(RLIMIT_NOFILE, &lim);
			r = o->open(o, path, &p->fd, &p->st);
		}
	}
	if (r) {
		p->fd = -1;
		return r;
	}
	p->size = (uint64_t)p->st.st_size;
	if (S_ISBLK(p->st.st_mode) && ioctl(p->fd, BLKGETSIZE64, &p->size)) {
		r = -errno;
		close(p->fd);
		p->fd = -1;
	}
	return r;
}

static int single_open(struct source *f, const struct opener *o, const char *path)
{
	f->part = calloc(1, sizeof(*f->part));
	if (!f->part)
		return -ENOMEM;
	f->n = 1;
	return part_open(o, path, &f->part[0]);
}

int split_open(struct source *f, const struct opener *o, const char *path)
{
	size_t digits = (size_t)part_digits(path), stem = strlen(path) - digits, max = 1, there = 0;
	char *name;
	int r = 0;

	if (!digits)
		return single_open(f, o, path);
	for (size_t i = 0; i < digits; i++)
		max *= 10;
	name = malloc(stem + DIGITS_MAX + 1);
	f->part = calloc(max, sizeof(*f->part));
	if (!name || !f->part) {
		free(name);
		return -ENOMEM;
	}
	/* f->n counts up to the last part that is there; @i is the number in the name. */
	for (size_t i = 0, n = 0; !r && i < max; i++) {
		struct part p;

		snprintf(name, stem + DIGITS_MAX + 1, "%.*s%0*zu", (int)stem, path, (int)digits, i);
		r = part_open(o, name, &p);
		f->part[n] = p;
		if (!r) {
			there++;
			f->n = n + 1;
		} else if (r == -ENOENT && i == 0) {
			r = 0;
			continue; /* numbered from 1 */
		} else if (r == -ENOENT || (there && r != -ENOMEM && r != -EMFILE)) {
			r = 0;
		}
		n++;
	}
	free(name);
	if (!r && !there)
		r = -ENOENT;
	return r;
}

static int size_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The size that most parts before the last have; the larger one in doubt. */
static int usual_size(const struct source *f, uint64_t *usual)
{
	uint64_t *size = malloc(f->n * sizeof(*size));
	size_t n = 0, best = 0;

	if (!size)
		return -ENOMEM;
	for (size_t i = 0; i + 1 < f->n; i++)
		if (f->part[i].fd >= 0)
			size[n++] = f->part[i].size;
	qsort(size, n, sizeof(*size), size_cmp);
	/* Only the last is there: the others can't have been smaller. */
	*usual = f->part[f->n - 1].size;
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i; k < n && size[k] == size[i]; k++)
			;
		if (k - i >= best) {
			best = k - i;
			*usual = size[i];
		}
	}
	free(size);
	return 0;
}

int split_place(struct source *f, uint64_t *size)
{
	uint64_t usual = 0, off = 0;
	bool larger = false;
	int r = usual_size(f, &usual);

	for (size_t i = 0; i + 1 < f->n; i++)
		larger |= f->part[i].fd >= 0 && f->part[i].size > usual;
	for (size_t i = 0; !r && i < f->n; i++) {
		struct part *p = &f->part[i];

		p->off = off;
		/* Parts of any size: nothing says that a smaller one was cut short. */
		p->len = i + 1 == f->n || (larger && p->fd >= 0) ? p->size : usual;
		if (__builtin_add_overflow(off, p->len, &off))
			return -EFBIG;
		if (p->len > p->size)
			r = ranges_add(&f->lost, p->off + p->size, p->len - p->size, GRADE_LOST,
				       SOURCE_PART_MISSING);
	}
	f->uneven = larger;
	*size = off;
	return r;
}
