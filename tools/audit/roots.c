#include "tools/audit/roots.h"

#include <stdlib.h>
#include <string.h>

void roots_deinit(struct roots *roots)
{
	free(roots->kept);
	memset(roots, 0, sizeof *roots);
}

void roots_keep(struct roots *roots)
{
	if (!roots->keeping)
		roots->from = roots->stack.size + 1;
	roots->keeping = true;
}

void roots_drop(struct roots *roots)
{
	free(roots->kept);
	roots->kept = NULL;
	roots->n = roots->cap = 0;
	roots->keeping = false;
}

enum rc roots_append(struct roots *roots, const void *entry, size_t len)
{
	struct tlog_hash leaf = tlog_leaf_hash(entry, len);

	if (roots->keeping && roots->n == roots->cap) {
		size_t cap = roots->cap == 0 ? 64 : 2 * roots->cap;
		struct tlog_hash *grown = reallocarray(roots->kept, cap, sizeof *grown);
		if (grown == NULL)
			return RC_NOMEM;
		roots->kept = grown;
		roots->cap = cap;
	}
	tlog_stack_append(&roots->stack, &leaf);
	if (roots->keeping)
		roots->kept[roots->n++] = tlog_stack_root(&roots->stack);
	return RC_OK;
}

const struct tlog_hash *roots_at(const struct roots *roots, uint64_t size)
{
	return roots->keeping && size >= roots->from && size - roots->from < roots->n ? &roots->kept[size - roots->from]
										      : NULL;
}
