/* The record ids seen in one batch: an open-addressing set, since one batch may not name a record twice.
 *
 * Ids are chosen by the sender, so the place of an id is keyed by random numbers of this set: nobody can prepare ids
 * that fall onto each other. Memory grows with the ids really received (at most 21 bytes for each, 43 just after
 * growing). */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/batch_frame.h"

struct id_set {
	uint8_t (*slots)[RECORD_ID_LEN]; /* all zero = free */
	size_t n, n_slots;               /* n_slots is a power of two */
	bool has_zero;                   /* the all-zero id itself */
	uint64_t key[3];
};

enum { FIRST_SLOTS = 1024 };

static const uint8_t no_id[RECORD_ID_LEN];

enum rc id_set_new(struct id_set **ret)
{
	struct id_set *set = calloc(1, sizeof *set);
	if (set == NULL)
		return RC_NOMEM;
	if (getrandom(set->key, sizeof set->key, 0) != (ssize_t)sizeof set->key) {
		free(set);
		return RC_CRYPTO;
	}
	*ret = set;
	return RC_OK;
}

void id_set_free(struct id_set *set)
{
	if (set == NULL)
		return;
	free(set->slots);
	free(set);
}

/* A keyed multiply-add on the two halves, mixed once more; three secret words. */
static size_t place_of(const struct id_set *set, const uint8_t *id)
{
	uint64_t a, b;
	memcpy(&a, id, sizeof a);
	memcpy(&b, id + sizeof a, sizeof b);
	unsigned __int128 v = (unsigned __int128)(set->key[0] | 1) * a + (unsigned __int128)(set->key[1] | 1) * b;
	uint64_t h = (uint64_t)(v >> 64) ^ (uint64_t)v;
	h = (h ^ set->key[2]) * 0x9e3779b97f4a7c15u;
	return (size_t)(h >> 20) & (set->n_slots - 1);
}

/* The slot that holds `id`, or the free one where it belongs. */
static uint8_t *slot_of(struct id_set *set, const uint8_t *id)
{
	size_t i = place_of(set, id);
	while (memcmp(set->slots[i], no_id, RECORD_ID_LEN) != 0 && memcmp(set->slots[i], id, RECORD_ID_LEN) != 0)
		i = (i + 1) & (set->n_slots - 1);
	return set->slots[i];
}

static enum rc grow(struct id_set *set)
{
	uint8_t(*old)[RECORD_ID_LEN] = set->slots;
	size_t n_old = set->n_slots, n_slots = n_old ? 2 * n_old : FIRST_SLOTS;
	uint8_t(*slots)[RECORD_ID_LEN] = calloc(n_slots, RECORD_ID_LEN);

	if (slots == NULL)
		return RC_NOMEM;
	set->slots = slots;
	set->n_slots = n_slots;
	for (size_t i = 0; i < n_old; i++) {
		if (memcmp(old[i], no_id, RECORD_ID_LEN) != 0)
			memcpy(slot_of(set, old[i]), old[i], RECORD_ID_LEN);
	}
	free(old);
	return RC_OK;
}

enum rc id_set_add(struct id_set *set, const uint8_t id[RECORD_ID_LEN])
{
	if (memcmp(id, no_id, RECORD_ID_LEN) == 0) {
		if (set->has_zero)
			return RC_CONFLICT;
		set->has_zero = true;
		return RC_OK;
	}
	if (4 * (set->n + 1) > 3 * set->n_slots) {
		enum rc rc = grow(set);
		if (rc != RC_OK)
			return rc;
	}
	uint8_t *slot = slot_of(set, id);
	if (memcmp(slot, no_id, RECORD_ID_LEN) != 0)
		return RC_CONFLICT;
	memcpy(slot, id, RECORD_ID_LEN);
	set->n++;
	return RC_OK;
}
