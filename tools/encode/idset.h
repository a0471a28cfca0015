/* A set of 64-bit digests, to find what comes twice in a file.
 *
 * Up to IDSET_MAX_CAP slots stay in memory. When they are full they are sorted into a temporary file without a name,
 * and one byte an element of filter stays behind (a blocked Bloom filter: Putze, Sanders and Singler 2007), which sends
 * all but a few in a hundred new digests past the file. So a file of n rows takes 16 MB and a byte a row, and the
 * answer is exact. */
#ifndef TOOLS_ENCODE_IDSET_H
#define TOOLS_ENCODE_IDSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum { IDSET_MAX_CAP = 1 << 21 };

struct idset;
/* `max_cap` is a power of two, at least 1024 and at most IDSET_MAX_CAP: fewer are for tests. */
enum rc idset_new(size_t max_cap, struct idset **ret) MUST_CHECK;
void idset_free(struct idset *set);
/* Begin to load where a digest would be, some tens of additions ahead. */
void idset_prefetch(const struct idset *set, uint64_t id);
/* Where the temporary file goes: TMPDIR, or /tmp. Borrowed from the environment. */
const char *idset_folder(void);
/* Add a digest, which is as good as random; *ret_new is false when it was there. Errors: NOMEM, IO and NOSPACE (both of
 * the temporary file: errno says why). */
enum rc idset_add(struct idset *set, uint64_t id, bool *ret_new) MUST_CHECK;

#endif
