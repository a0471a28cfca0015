/* The events of a release, person by person, for the tables: from the columns of its domains and what linkage made of
 * their rows. */
#ifndef DAEMON_CORE_RELEASE_PARTS_H
#define DAEMON_CORE_RELEASE_PARTS_H

#include "daemon/core/event_rows.h"
#include "daemon/link/link.h"
#include "daemon/stats/stats.h"

/* One domain's rows in memory; both NULL where it has none. */
struct release_rows {
	struct link_pool *pool;
	struct event_rows *events; /* as many */
};

/* The rows of each person of a domain side by side. */
struct person_rows {
	struct release_rows rows;
	uint32_t n_persons;
	uint32_t *first; /* of each person in `at`, and the end; owned */
	uint32_t *at;    /* rows; owned */
};

struct release_parts {
	unsigned n_dimensions;
	struct person_rows domains[STUDY_MAX_DOMAINS];
	unsigned n_domains;
	size_t n_parts;
	uint64_t n_events;
};

void release_parts_init(struct release_parts *parts, unsigned n_dimensions);
void release_parts_deinit(struct release_parts *parts);
/* Add the persons of one more domain. Borrows the rows. Errors: NOMEM. */
enum rc release_parts_add(struct release_parts *parts, const struct release_rows *rows,
			  const struct link_result *result) MUST_CHECK;

/* stats_parts.size and .read of what was added; `ctx` is the parts. */
size_t release_parts_size(void *ctx, size_t part);
void release_parts_read(void *ctx, size_t part, struct stats_event *ret);

#endif
