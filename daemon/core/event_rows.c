/* Columns of events; event_rows.h says what for. */
#include "daemon/core/event_rows.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/link/locked.h"

/* A block is one mapping: days, then events, then the codes of each row side by side. */
struct event_rows {
	unsigned n_dimensions;
	enum link_memory memory;
	atomic_bool not_locked;
	uint32_t n;
	uint8_t **blocks;
	size_t n_blocks;
};

enum { EVENTS_AT = EVENT_BLOCK_ROWS * sizeof(int32_t), CODES_AT = EVENTS_AT + EVENT_BLOCK_ROWS };

static size_t block_bytes(const struct event_rows *rows)
{
	return CODES_AT + (size_t)EVENT_BLOCK_ROWS * rows->n_dimensions;
}

enum rc event_rows_new(unsigned n_dimensions, enum link_memory memory, struct event_rows **ret)
{
	struct event_rows *rows = calloc(1, sizeof *rows);
	if (rows == NULL)
		return RC_NOMEM;
	rows->n_dimensions = n_dimensions;
	rows->memory = memory;
	atomic_init(&rows->not_locked, memory == LINK_MEMORY_PLAIN);
	*ret = rows;
	return RC_OK;
}

void event_rows_free(struct event_rows *rows)
{
	if (rows == NULL)
		return;
	for (size_t b = 0; b < rows->n_blocks; b++)
		locked_unmap(rows->blocks[b], block_bytes(rows));
	free(rows->blocks);
	free(rows);
}

static enum rc add_block(struct event_rows *rows)
{
	uint8_t **blocks = realloc(rows->blocks, (rows->n_blocks + 1) * sizeof *blocks);
	void *block;
	if (blocks == NULL)
		return RC_NOMEM;
	rows->blocks = blocks;
	enum rc rc = locked_map(block_bytes(rows), rows->memory, &rows->not_locked, &block);
	if (rc == RC_OK)
		rows->blocks[rows->n_blocks++] = block;
	return rc;
}

enum rc event_rows_add(struct event_rows *rows, const struct batch_chunk *chunk, uint32_t i)
{
	size_t at = rows->n % EVENT_BLOCK_ROWS;
	if (rows->n == UINT32_MAX)
		return RC_TOO_LARGE;
	if (rows->n / EVENT_BLOCK_ROWS == rows->n_blocks) {
		enum rc rc = add_block(rows);
		if (rc != RC_OK)
			return rc;
	}
	uint8_t *block = rows->blocks[rows->n / EVENT_BLOCK_ROWS];
	memcpy(block + at * sizeof(int32_t), &chunk->days[i], sizeof(int32_t));
	block[EVENTS_AT + at] = chunk->events[i];
	for (unsigned d = 0; d < rows->n_dimensions; d++)
		block[CODES_AT + at * rows->n_dimensions + d] = chunk->codes[d][i];
	rows->n++;
	return RC_OK;
}

uint32_t event_rows_n(const struct event_rows *rows)
{
	return rows->n;
}

struct event_row event_rows_at(const struct event_rows *rows, uint32_t row)
{
	const uint8_t *block = rows->blocks[row / EVENT_BLOCK_ROWS];
	size_t at = row % EVENT_BLOCK_ROWS;
	struct event_row ret = {.event = block[EVENTS_AT + at], .codes = block + CODES_AT + at * rows->n_dimensions};
	memcpy(&ret.day, block + at * sizeof ret.day, sizeof ret.day);
	return ret;
}

bool event_rows_are_locked(const struct event_rows *rows)
{
	return !atomic_load(&rows->not_locked);
}
