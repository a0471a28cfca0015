#include "tools/encode/cache.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_SLOTS = 1 << 10, MAX_SLOTS = 1 << 15, SLOT_WORDS = 16 /* of the arena */, MAX_TOKEN = 64, MAX_BITS = 256 };

struct entry {
	uint32_t hash; /* 0 = free */
	uint32_t k;
	uint32_t len;
	uint32_t at; /* words into the arena: token, then positions */
};

struct cache {
	struct entry *entries;
	uint32_t n_slots; /* a power of two; at most half of them are taken */
	uint32_t n_entries, used;
	uint32_t *arena;
	size_t cap;
};

enum rc cache_new(size_t n_bytes, struct cache **ret)
{
	struct cache *cache = calloc(1, sizeof *cache);
	if (cache == NULL)
		return RC_NOMEM;
	cache->n_slots = MIN_SLOTS;
	while (cache->n_slots < MAX_SLOTS &&
	       2 * (size_t)cache->n_slots * (sizeof *cache->entries + SLOT_WORDS * sizeof *cache->arena) <= n_bytes)
		cache->n_slots *= 2;
	cache->entries = calloc(cache->n_slots, sizeof *cache->entries);
	if (cache->entries == NULL) {
		free(cache);
		return RC_NOMEM;
	}
	*ret = cache;
	return RC_OK;
}

void cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	if (cache->arena != NULL)
		explicit_bzero(cache->arena, cache->cap * sizeof *cache->arena);
	free(cache->arena);
	explicit_bzero(cache->entries, cache->n_slots * sizeof *cache->entries);
	free(cache->entries);
	free(cache);
}

/* FNV-1a. An adversary who chooses names can at worst make the cache slow for himself. */
static uint32_t hash_token(const uint8_t *token, size_t len, uint32_t k)
{
	uint32_t h = 2166136261u ^ k;
	for (size_t i = 0; i < len; i++)
		h = (h ^ token[i]) * 16777619u;
	h ^= h >> 15;
	return h == 0 ? 1 : h;
}

/* The entry of the token, or the free one where it belongs. The table is never more than half full. */
static const struct entry *find(const struct cache *cache, const uint8_t *token, size_t len, uint32_t k, uint32_t hash)
{
	for (uint32_t i = hash & (cache->n_slots - 1);; i = (i + 1) & (cache->n_slots - 1)) {
		const struct entry *e = &cache->entries[i];
		if (e->hash == 0 ||
		    (e->hash == hash && e->k == k && e->len == len && memcmp(cache->arena + e->at, token, len) == 0))
			return e;
	}
}

static size_t token_words(size_t len)
{
	return (len + 3) / 4;
}

const uint32_t *cache_get(const struct cache *cache, const uint8_t *token, size_t len, uint32_t k)
{
	if (len > MAX_TOKEN || k > MAX_BITS || k == 0)
		return NULL;
	const struct entry *e = find(cache, token, len, k, hash_token(token, len, k));
	return e->hash == 0 ? NULL : cache->arena + e->at + token_words(len);
}

static int reserve(struct cache *cache, size_t words)
{
	if (cache->n_entries == cache->n_slots / 2 || cache->used + words > (size_t)cache->n_slots * SLOT_WORDS) {
		memset(cache->entries, 0, cache->n_slots * sizeof *cache->entries);
		cache->n_entries = cache->used = 0;
	}
	if (cache->used + words <= cache->cap)
		return 1;
	size_t cap = cache->cap ? cache->cap * 2 : 4096;
	uint32_t *arena = reallocarray(NULL, cap, sizeof *arena);
	if (arena == NULL)
		return 0;
	if (cache->arena != NULL) {
		memcpy(arena, cache->arena, cache->used * sizeof *arena);
		explicit_bzero(cache->arena, cache->cap * sizeof *arena);
		free(cache->arena);
	}
	cache->arena = arena;
	cache->cap = cap;
	return 1;
}

void cache_put(struct cache *cache, const uint8_t *token, size_t len, uint32_t k, const uint32_t *positions)
{
	size_t words = token_words(len) + k;
	if (len > MAX_TOKEN || k > MAX_BITS || k == 0 || !reserve(cache, words))
		return;
	uint32_t hash = hash_token(token, len, k);
	struct entry *e = &cache->entries[find(cache, token, len, k, hash) - cache->entries];
	if (e->hash != 0)
		return;
	*e = (struct entry){hash, k, (uint32_t)len, cache->used};
	memcpy(cache->arena + cache->used, token, len);
	memcpy(cache->arena + cache->used + token_words(len), positions, k * sizeof *positions);
	cache->used += (uint32_t)words;
	cache->n_entries++;
}
