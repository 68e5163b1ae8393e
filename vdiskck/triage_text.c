/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "formats/stack.h"
#include "vdiskck/core/text.h"
#include "vdiskck/damage.h"
#include "vdiskck/out_json.h"
#include "vdiskck/out_text.h"
#include "vdiskck/triage.h"

static unsigned columns(void)
{
	const char *env = getenv("COLUMNS");
	struct winsize w;
	uint64_t n;

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col)
		return w.ws_col;
	return env && !number_parse(env, &n, NULL) && n >= 40 && n < 1000 ? (unsigned)n : 80;
}

/* Only asked for, never set: the program's own texts are the same in every locale. */
static bool is_utf8(void)
{
	locale_t l = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
	bool utf8 = l && !strcmp(nl_langinfo_l(CODESET, l), "UTF-8");

	if (l)
		freelocale(l);
	return utf8;
}

struct printed {
	const struct layer *source;
	bool chain; /* this time, the files that the image rests on */
};

static int print_layer(void *arg, struct layer *l)
{
	const struct printed *p = arg;
	const char *state = layer_state_name(l);
	char size[SIZE_TEXT];
	int indent = 2;

	if ((layer_source(l) != p->source) != p->chain)
		return 0;
	for (const struct layer *b = l->below; b; b = b->below)
		indent += 2;
	printf("%*s", indent, "");
	text_put(stdout, l->path);
	printf("  %s, %s%s%s", layer_kind_name(l->ops->kind), size_text(l->size, size),
	       state ? ", " : "", state ? state : "");
	if (l->parent) {
		fputs(", on ", stdout);
		text_put(stdout, l->parent->below->path);
	}
	putchar('\n');
	return 0;
}

static void print_stack(struct layer *source)
{
	puts("\nthe stack:");
	stack_walk(source, print_layer, &(struct printed){source, false});
	stack_walk(source, print_layer, &(struct printed){source, true});
}

/* Which volumes the lost bytes belong to. */
static void print_hit(const struct impact *hit)
{
	for (size_t i = 0; i < hit->n; i++) {
		const struct impact_layer *il = &hit->v[i];
		uint64_t lost = ranges_bytes(&il->hit, GRADE_LOST);
		uint64_t doubtful = ranges_bytes(&il->hit, GRADE_DOUBTFUL);
		char size[SIZE_TEXT];

		if (il->l->ops->kind != LAYER_VOLUME || !(lost || doubtful))
			continue;
		fputs("            ", stdout);
		text_put(stdout, il->l->path);
		if (lost)
			printf(": %s lost", size_text(lost, size));
		if (doubtful)
			printf("%s %s doubtful", lost ? "," : ":", size_text(doubtful, size));
		printf(", the first at 0x%" PRIx64 " of it\n", il->hit.v[0].off);
	}
}

void triage_text(struct triage *t, int status)
{
	static const char *const sgr[] = {"\033[1;32m", "\033[1;33m", "\033[1;31m", "\033[1;35m"};
	bool colour = text_colour(stdout);

	progress_wipe(&t->r.progress);
	printf("%s%s: ", colour ? sgr[status] : "", verdict_name((enum verdict)status));
	text_put(stdout, t->r.a->image);
	printf("%s: ", colour ? "\033[0m" : "");
	text_put(stdout, t->headline);
	putchar('\n');
	if (t->r.a->quiet)
		return;
	if (t->r.found.n && (t->r.a->verbose || finding_severity(t->r.found.v[0].id) != INFO)) {
		putchar('\n');
		text_findings(stdout, &t->r);
	}
	if (t->r.hit.n)
		putchar('\n');
	damage_text(stdout, &t->r);
	causes_text(stdout, &t->causes);
	boot_text(stdout, &t->boot);
	systems_text(stdout, &t->systems);
	timeline_text(stdout, &t->logs);
	if (t->map.n)
		putchar('\n');
	diskmap_print(stdout, &t->map, columns(), t->blocks, colour);
	print_hit(&t->hit);
	if (t->r.source)
		print_stack(t->r.source);
	printf("\nthe report: ");
	text_put(stdout, t->r.a->output);
	puts("/report.html");
}

bool triage_terminal(void)
{
	return isatty(STDOUT_FILENO) && is_utf8();
}
