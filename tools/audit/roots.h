/* The roots that a log had on its way, for those sizes that a later entry may speak of. */
#ifndef TOOLS_AUDIT_ROOTS_H
#define TOOLS_AUDIT_ROOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "proto/tlog.h"

/* All zero to begin with. */
struct roots {
	struct tlog_stack stack; /* of every entry so far */
	bool keeping;
	uint64_t from; /* size that kept[0] is the root of */
	struct tlog_hash *kept;
	size_t n, cap;
};

void roots_deinit(struct roots *roots);
/* Keep the roots from the next entry on; what was kept stays. */
void roots_keep(struct roots *roots);
/* Nothing will be asked any more before roots_keep() is called again. */
void roots_drop(struct roots *roots);
/* Take the next entry. Errors: NOMEM. */
enum rc roots_append(struct roots *roots, const void *entry, size_t len) MUST_CHECK;
/* The root of that size; NULL = it was not kept. */
const struct tlog_hash *roots_at(const struct roots *roots, uint64_t size);

#endif
