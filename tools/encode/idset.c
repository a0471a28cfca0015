#include "tools/encode/idset.h"

#include <stdlib.h>

struct idset {
	uint64_t *slots; /* 0 = free; the digest 0 is kept in `zero` */
	size_t n, cap;   /* cap is a power of two */
	bool zero;
};

enum { FIRST_CAP = 1024 };

enum rc idset_new(struct idset **ret)
{
	struct idset *set = calloc(1, sizeof *set);
	if (set == NULL)
		return RC_NOMEM;
	set->cap = FIRST_CAP;
	set->slots = calloc(set->cap, sizeof *set->slots);
	if (set->slots == NULL) {
		free(set);
		return RC_NOMEM;
	}
	*ret = set;
	return RC_OK;
}

void idset_free(struct idset *set)
{
	if (set == NULL)
		return;
	free(set->slots);
	free(set);
}

/* The ids are digests already, so their low bits are as good as a hash. */
static bool put(uint64_t *slots, size_t cap, uint64_t id)
{
	size_t i = (size_t)id & (cap - 1);
	while (slots[i] != 0 && slots[i] != id)
		i = (i + 1) & (cap - 1);
	bool new = slots[i] == 0;
	slots[i] = id;
	return new;
}

static enum rc grow(struct idset *set)
{
	uint64_t *slots = calloc(set->cap * 2, sizeof *slots);
	if (slots == NULL)
		return RC_NOMEM;
	for (size_t i = 0; i < set->cap; i++) {
		if (set->slots[i] != 0)
			put(slots, set->cap * 2, set->slots[i]);
	}
	free(set->slots);
	set->slots = slots;
	set->cap *= 2;
	return RC_OK;
}

enum rc idset_add(struct idset *set, uint64_t id, bool *ret_new)
{
	if (id == 0) {
		*ret_new = !set->zero;
		set->zero = true;
		return RC_OK;
	}
	if (set->n >= set->cap / 8 * 7) {
		enum rc rc = grow(set);
		if (rc != RC_OK)
			return rc;
	}
	*ret_new = put(set->slots, set->cap, id);
	set->n += *ret_new;
	return RC_OK;
}
