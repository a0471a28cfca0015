/* Positions of tokens that were hashed before. Names repeat: a few thousand bigrams make up a register, so that almost
 * every token is found here and costs a look-up instead of a keyed hash. Bounded; a full cache starts anew. */
#ifndef TOOLS_ENCODE_CACHE_H
#define TOOLS_ENCODE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct cache;
/* `n_bytes` is what the cache may take; 80 KiB at least, 2.5 MiB at most. Errors: NOMEM. */
enum rc cache_new(size_t n_bytes, struct cache **ret) MUST_CHECK;
void cache_free(struct cache *cache); /* wipes: it is a dictionary of the secret */

/* The k positions of a token, NULL when they are not known. Borrowed until the next cache_put(). */
const uint32_t *cache_get(const struct cache *cache, const uint8_t *token, size_t len, uint32_t k);
/* Remember; copies. Long tokens, and everything when memory is short, are left out silently: it is only a cache. */
void cache_put(struct cache *cache, const uint8_t *token, size_t len, uint32_t k, const uint32_t *positions);

#endif
