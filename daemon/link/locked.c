#include "daemon/link/locked.h"

#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

enum rc locked_map(size_t bytes, enum link_memory memory, atomic_bool *not_locked, void **ret)
{
	void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapped == MAP_FAILED)
		return RC_NOMEM;
	if (bytes >= HUGE_PAGE)
		madvise(mapped, bytes, MADV_HUGEPAGE); /* for speed alone: nothing is lost where there are none */
	if (madvise(mapped, bytes, MADV_DONTDUMP) != 0)
		atomic_store(not_locked, true);
	if (memory != LINK_MEMORY_PLAIN && mlock(mapped, bytes) != 0) {
		if (memory == LINK_MEMORY_MUST_LOCK) {
			munmap(mapped, bytes);
			return RC_IO;
		}
		atomic_store(not_locked, true);
	}
	*ret = mapped;
	return RC_OK;
}

void locked_unmap(void *memory, size_t bytes)
{
	if (memory == NULL)
		return;
	explicit_bzero(memory, bytes);
	munmap(memory, bytes);
}
