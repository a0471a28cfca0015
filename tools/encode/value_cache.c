#include "tools/encode/value_cache.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { WAYS = 2, MIN_SETS = 64, MAX_SETS = 1 << 20, ALIGNMENT = 64, LARGE_PAGE = 2 << 20 };

struct value_cache {
	uint8_t *entries; /* n_sets · WAYS + 1: the last is for values that are not kept */
	size_t stride, n_sets;
	unsigned turn; /* which way is given up next */
};

enum rc value_cache_new(size_t n_words, size_t n_bytes, struct value_cache **ret)
{
	struct value_cache *cache = calloc(1, sizeof *cache);
	if (cache == NULL)
		return RC_NOMEM;
	size_t size = sizeof(struct value_entry) + n_words * sizeof(uint64_t);
	cache->stride = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	cache->n_sets = MIN_SETS;
	while (cache->n_sets < MAX_SETS && 2 * cache->n_sets * WAYS * cache->stride <= n_bytes)
		cache->n_sets *= 2;
	size_t total = (cache->n_sets * WAYS + 1) * cache->stride;
	if (posix_memalign((void **)&cache->entries, total >= LARGE_PAGE ? LARGE_PAGE : ALIGNMENT, total) != 0) {
		free(cache);
		return RC_NOMEM;
	}
	/* Large pages where there are any: a look-up then misses no page table too. */
	(void)madvise(cache->entries, total, MADV_HUGEPAGE);
	memset(cache->entries, 0, total);
	*ret = cache;
	return RC_OK;
}

void value_cache_free(struct value_cache *cache)
{
	if (cache == NULL)
		return;
	explicit_bzero(cache->entries, (cache->n_sets * WAYS + 1) * cache->stride);
	free(cache->entries);
	free(cache);
}

static struct value_entry *at(const struct value_cache *cache, size_t i)
{
	return (struct value_entry *)(void *)(cache->entries + i * cache->stride);
}

static uint64_t load(const char *from)
{
	uint64_t word;
	memcpy(&word, from, sizeof word);
	return word;
}

/* The last n ≤ 8 bytes of a value, by loads of fixed length. */
static uint64_t load_last(const char *from, size_t n)
{
	uint32_t low, high;
	if (n == sizeof(uint64_t))
		return load(from);
	if (n >= sizeof low) {
		memcpy(&low, from, sizeof low);
		memcpy(&high, from + n - sizeof high, sizeof high);
		return (uint64_t)high << 32 | low;
	}
	return n == 0 ? 0
		      : (uint64_t)(uint8_t)from[0] << 16 | (uint64_t)(uint8_t)from[n / 2] << 8 | (uint8_t)from[n - 1];
}

static uint64_t mix(uint64_t h, uint64_t word)
{
	unsigned __int128 m = (unsigned __int128)(h ^ word) * 0xD6E8FEB86659FD93u;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Multiply and fold, eight bytes at a time. Who chooses values can at worst make the cache slow for himself. */
static uint32_t hash_value(const char *value, size_t len)
{
	uint64_t h = 0x9E3779B97F4A7C15u ^ len;
	for (; len > sizeof h; value += sizeof h, len -= sizeof h)
		h = mix(h, load(value));
	h = mix(h, load_last(value, len));
	h ^= h >> 32;
	return (uint32_t)h == 0 ? 1 : (uint32_t)h;
}

uint32_t value_cache_hash(const struct value_cache *cache, const char *value, size_t len)
{
	uint32_t hash = len <= VALUE_CACHE_MAX_LEN ? hash_value(value, len) : 1;
	const uint8_t *set = cache->entries + (hash & (cache->n_sets - 1)) * WAYS * cache->stride;
	__builtin_prefetch(set);
	__builtin_prefetch(set + ALIGNMENT);
	__builtin_prefetch(set + cache->stride);
	return hash;
}

struct value_entry *value_cache_find(struct value_cache *cache, uint32_t hash, const char *value, size_t len,
				     bool *ret_known)
{
	*ret_known = false;
	if (len > VALUE_CACHE_MAX_LEN)
		return at(cache, cache->n_sets * WAYS);
	size_t set = (hash & (cache->n_sets - 1)) * WAYS;
	for (size_t way = 0; way < WAYS; way++) {
		struct value_entry *e = at(cache, set + way);
		if (e->hash == hash && e->len == len && memcmp(e->value, value, len) == 0) {
			*ret_known = true;
			return e;
		}
	}
	struct value_entry *e = at(cache, set);
	if (e->hash != 0)
		e = at(cache, set + (cache->turn++ & 1));
	e->hash = 0;
	return e;
}

void value_cache_keep(struct value_entry *entry, uint32_t hash, const char *value, size_t len)
{
	if (len > VALUE_CACHE_MAX_LEN)
		return;
	entry->hash = hash;
	entry->len = (uint8_t)len;
	if (len != 0)
		memcpy(entry->value, value, len);
}
