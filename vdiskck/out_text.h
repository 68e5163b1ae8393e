/* SPDX-License-Identifier: Apache-2.0 */
/* What people read. Names and messages come from disk: nothing of them reaches a terminal raw. */
#ifndef VDISKCK_OUT_TEXT_H
#define VDISKCK_OUT_TEXT_H

#include <stdio.h>

#include "vdiskck/run.h"

/* text_put() - one line of text with all that could move a cursor or reorder text escaped */
void text_put(FILE *f, const char *text);
/* text_colour() - should @f be coloured? A terminal, and no NO_COLOR */
bool text_colour(FILE *f);

/* text_findings() - what was found, by importance; call collect_sort() first */
void text_findings(FILE *f, const struct run *r);
/* text_verdict() - one line: verdict, image, what was found, what it costs */
void text_verdict(FILE *f, const struct run *r, int status);
/* text_verdict_line() - that line without "vdiskck: " and colour, for reports */
const char *text_verdict_line(char *buf, size_t cap, const struct run *r, int status);
/* text_stack() - the layers as a tree, with what each driver has to say */
void text_stack(FILE *f, struct run *r);

#endif
