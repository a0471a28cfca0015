/* Persons in parts; release_parts.h says what for. A part is so many persons of one domain that its events stay in a
 * processor's cache while they are sorted and counted. */
#include "daemon/core/release_parts.h"

#include <stdlib.h>
#include <string.h>

enum {
	PART_PERSONS = 1024,
	ROWS_AHEAD = 8, /* rows of a person lie anywhere: memory is asked for so many before they are read */
};

void release_parts_init(struct release_parts *parts, unsigned n_dimensions)
{
	memset(parts, 0, sizeof *parts);
	parts->n_dimensions = n_dimensions;
}

void release_parts_deinit(struct release_parts *parts)
{
	for (unsigned d = 0; d < parts->n_domains; d++) {
		free(parts->domains[d].first);
		free(parts->domains[d].at);
	}
	memset(parts, 0, sizeof *parts);
}

/* Rows by person, stable: count, add up, place. */
static void place_rows(struct person_rows *domain, const struct link_result *result)
{
	uint32_t *first = domain->first, n = 0;

	for (uint32_t row = 0; row < result->n_rows; row++) {
		if (result->person[row] != UINT32_MAX)
			first[result->person[row]]++;
	}
	for (uint32_t person = 0; person <= result->n_persons; person++) {
		uint32_t count = first[person];
		first[person] = n;
		n += count;
	}
	for (uint32_t row = 0; row < result->n_rows; row++) {
		if (result->person[row] != UINT32_MAX)
			domain->at[first[result->person[row]]++] = row;
	}
	/* Each begins now where the next one did. */
	memmove(&first[1], &first[0], result->n_persons * sizeof *first);
	first[0] = 0;
}

static size_t parts_of(const struct person_rows *domain)
{
	return ((size_t)domain->n_persons + PART_PERSONS - 1) / PART_PERSONS;
}

enum rc release_parts_add(struct release_parts *parts, const struct release_rows *rows,
			  const struct link_result *result)
{
	struct person_rows *domain = &parts->domains[parts->n_domains];
	*domain = (struct person_rows){.rows = *rows, .n_persons = result->n_persons};
	domain->first = calloc((size_t)result->n_persons + 1, sizeof *domain->first);
	domain->at = malloc(((size_t)result->n_rows + 1) * sizeof *domain->at);
	if (domain->first == NULL || domain->at == NULL) {
		free(domain->first);
		free(domain->at);
		return RC_NOMEM;
	}
	place_rows(domain, result);
	parts->n_domains++;
	parts->n_parts += parts_of(domain);
	parts->n_events += domain->first[result->n_persons];
	return RC_OK;
}

/* Persons *ret_first … *ret_end − 1 of a domain. */
static const struct person_rows *find_part(const struct release_parts *parts, size_t part, uint32_t *ret_first,
					   uint32_t *ret_end)
{
	const struct person_rows *domain = parts->domains;
	for (; part >= parts_of(domain); domain++)
		part -= parts_of(domain);
	*ret_first = (uint32_t)part * PART_PERSONS;
	*ret_end = domain->n_persons - *ret_first < PART_PERSONS ? domain->n_persons : *ret_first + PART_PERSONS;
	return domain;
}

size_t release_parts_size(void *ctx, size_t part)
{
	uint32_t first, end;
	const struct person_rows *domain = find_part(ctx, part, &first, &end);
	return domain->first[end] - domain->first[first];
}

static void read_row(const struct release_parts *parts, const struct release_rows *rows, uint32_t row,
		     struct stats_event *ret)
{
	struct event_row event = event_rows_at(rows->events, row);
	*ret = (struct stats_event){
		.source = link_pool_source(rows->pool, row), .event = event.event, .day = event.day};
	memcpy(ret->codes, event.codes, parts->n_dimensions);
	memcpy(ret->record_id, link_pool_record_id(rows->pool, row), sizeof ret->record_id);
}

void release_parts_read(void *ctx, size_t part, struct stats_event *ret)
{
	uint32_t person, end;
	const struct release_parts *parts = ctx;
	const struct person_rows *domain = find_part(parts, part, &person, &end);
	uint32_t last = domain->first[end];

	for (; person < end; person++) {
		for (uint32_t i = domain->first[person]; i < domain->first[person + 1]; i++) {
			if (i + ROWS_AHEAD < last)
				__builtin_prefetch(link_pool_record_id(domain->rows.pool, domain->at[i + ROWS_AHEAD]));
			read_row(parts, &domain->rows, domain->at[i], ret);
			/* Numbered within the part: no two parts are looked at together. */
			ret->person = person;
			ret++;
		}
	}
}
