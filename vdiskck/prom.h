/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VDISKCK_PROM_H
#define VDISKCK_PROM_H

struct json;

/*
 * prom_write() - the metrics of a scrub's state (scrub_state.h) for node_exporter's textfile
 * collector, atomically and readable by all. Frees @state. 0 or -errno.
 */
int prom_write(const char *path, struct json *state);

#endif
