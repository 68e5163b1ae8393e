/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "vdiskck/commands.h"
#include "vdiskck/core/text.h"
#include "vdiskck/extract.h"
#include "vdiskck/out_text.h"

static int extract(struct extract *x)
{
	const struct args *a = x->r->a;
	struct filespec *fs = calloc(a->n_rest, sizeof(*fs));
	struct volumes vs = {0};
	size_t n = 0;
	int err = fs ? volumes_find(x->r, &vs) : -ENOMEM;

	for (; n < a->n_rest && !err; n++)
		err = filespec_parse(x->r, &vs, a->rest[n], false, &fs[n]);
	if (!err)
		err = out_tree_open(&x->tree, &x->r->s, a->output);
	if (!err) {
		run_confine(x->r, NULL, (const char *[]){a->output, NULL});
		err = extract_files(x, fs, n);
	}
	x->r->failed |= err != 0;
	x->r->lost += x->lost;
	while (n)
		filespec_free(&fs[--n]);
	free(fs);
	volumes_free(&vs);
	return err;
}

static void text_end(struct extract *x)
{
	char size[SIZE_TEXT];

	progress_wipe(&x->r->progress);
	collect_sort(&x->r->found);
	if (x->r->a->quiet)
		return;
	text_findings(stderr, x->r);
	if (!x->files && !x->folders && !x->links)
		return;
	printf("%" PRIu64 " files (%s), %" PRIu64 " folders and %" PRIu64 " links went to ",
	       x->files, size_text(x->bytes, size), x->folders, x->links);
	text_put(stdout, x->r->a->output);
	if (x->damaged)
		printf("; %" PRIu64 " are damaged or doubtful", x->damaged);
	if (x->left)
		printf("; %" PRIu64 " could not be written", x->left);
	puts("; manifest.jsonl says where each byte came from");
}

int cmd_extract(const struct args *a)
{
	struct extract x;
	struct run r;
	int status = INTACT, err;

	if (!a->n_rest)
		return usage_hint(a, "which FILE? / is all of a volume");
	if (!a->output)
		return usage_hint(a, "where to? -o DIR");
	extract_init(&x, &r);
	x.deleted = a->deleted;
	x.all = a->all;
	x.records = a->json;
	x.quiet = a->quiet;
	err = run_begin(&r, a);
	if (!err)
		err = extract(&x);
	if (x.damaged || x.left || (x.trees && volumes_damaged(&r)))
		status = DAMAGED;
	else if (err || r.failed)
		status = UNDECIDABLE;
	if (!a->json)
		text_end(&x);
	extract_fini(&x);
	return run_end(&r, status);
}
