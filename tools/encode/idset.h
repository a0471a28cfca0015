/* A set of 64-bit digests, to find what comes twice in a file: 16 bytes an element at worst, whatever its length. */
#ifndef TOOLS_ENCODE_IDSET_H
#define TOOLS_ENCODE_IDSET_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"

struct idset;
enum rc idset_new(struct idset **ret) MUST_CHECK;
void idset_free(struct idset *set);
/* Add; *ret_new is false when it was there. Errors: NOMEM. */
enum rc idset_add(struct idset *set, uint64_t id, bool *ret_new) MUST_CHECK;

#endif
