/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVTX logs of our own, as Windows writes them: chunks complete in themselves, templates and names
 * inline where they are new in a chunk, their hash tables, all sums. evtxexport reads them.
 * Every third kind of event has another template; what a record says follows from its id.
 */
#ifndef VDISKCK_TESTS_EVTX_BUILD_H
#define VDISKCK_TESTS_EVTX_BUILD_H

#include <stddef.h>
#include <stdint.h>

enum { EVTX_BUILD_KINDS = 4 };

/* One record that is not like the others. Its data is one text. */
struct evtx_event {
	uint64_t id; /* of the record */
	const char *provider, *text;
	uint16_t event_id;
	uint8_t level; /* 1 critical ... 4 information */
};

struct evtx_spec {
	uint64_t first_id;
	unsigned records;
	unsigned seed;	/* of the lengths of texts */
	unsigned spare; /* chunks that are allocated, but not used yet */
	const char *channel;
	uint32_t flags;
	unsigned per_chunk; /* records in a chunk at most; 0: as many as fit */
	const void *extra;  /* one more value for kind 3: a fragment of BinXML, or NULL */
	uint16_t extra_len;
	const struct evtx_event *event; /* by rising id; or NULL */
	size_t n_events;
};

/* evtx_build() - the file; free() it */
uint8_t *evtx_build(const struct evtx_spec *spec, size_t *len);
/* evtx_build_text() - the text that record @id has in its data "text" */
void evtx_build_text(uint64_t id, unsigned seed, char text[200]);
/* evtx_build_time() - the FILETIME of record @id */
uint64_t evtx_build_time(uint64_t id);
/* evtx_build_sums() - make the sums of chunk @i right again, after it was poked */
void evtx_build_sums(uint8_t *file, size_t i);
void evtx_build_header_sum(uint8_t *file);

#endif
