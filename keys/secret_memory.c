/* Memory for keys: a page between two that fault, so that an overrun of a neighbour neither reads nor writes it.
 * It stays out of core dumps, and a forked child has no copy: the front process is forked from the same program and
 * must never hold a key, not even by accident. Locking may be refused by RLIMIT_MEMLOCK; that is reported, not hidden.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "keys/key_file.h"

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void *secret_memory_new(size_t len, bool *ret_locked)
{
	size_t page = page_size();

	if (len > page)
		return NULL;
	uint8_t *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	uint8_t *data = map + page;
	if (mprotect(data, page, PROT_READ | PROT_WRITE) != 0 || madvise(data, page, MADV_DONTDUMP) != 0 ||
	    madvise(data, page, MADV_DONTFORK) != 0) {
		munmap(map, 3 * page);
		return NULL;
	}
	*ret_locked = mlock(data, page) == 0;
	return data;
}

void secret_memory_free(void *memory)
{
	size_t page = page_size();

	if (memory == NULL)
		return;
	explicit_bzero(memory, page);
	munmap((uint8_t *)memory - page, 3 * page);
}

struct secret_key {
	uint8_t bytes[32];
	bool locked;
};

enum rc secret_key_new(const uint8_t bytes[32], struct secret_key **ret)
{
	bool locked = false;
	struct secret_key *key = secret_memory_new(sizeof *key, &locked);

	if (key == NULL)
		return RC_NOMEM;
	memcpy(key->bytes, bytes, sizeof key->bytes);
	key->locked = locked;
	*ret = key;
	return RC_OK;
}

const uint8_t *secret_key_bytes(const struct secret_key *key)
{
	return key->bytes;
}

bool secret_key_is_locked(const struct secret_key *key)
{
	return key->locked;
}

void secret_key_free(struct secret_key *key)
{
	secret_memory_free(key);
}
