/* libs: tc_core tc_link tc_proto */
/* Columns of events and the persons made of them: every current row comes out once, with its own event, strata and
 * record key, together with the other rows of its person and of nobody else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "daemon/core/release_parts.h"
#include "tests/unit/link_fixture.h"

enum {
	N_ROWS = EVENT_BLOCK_ROWS + 5000, /* more than one block */
	N_PERSONS = 4000,                 /* several parts */
	N_DIMENSIONS = 3,
};

struct world {
	struct study_domain domain;
	struct release_rows rows;
	struct link_result result;
	uint32_t person[N_ROWS];
	bool seen[N_ROWS];
};

/* What row r says. */
static int32_t day_of(uint32_t r)
{
	return (int32_t)(r * 7 % 20000) - 10000;
}

static uint8_t event_of(uint32_t r)
{
	return (uint8_t)(r % 5);
}

static uint8_t code_of(uint32_t r, unsigned dimension)
{
	return (uint8_t)((r >> dimension) % 7);
}

static void add_row(struct world *w, const struct fixture_row *fixture, uint32_t r)
{
	uint8_t codes[N_DIMENSIONS], event = event_of(r);
	int32_t day = day_of(r);
	uint32_t number;
	struct link_row row = fixture->row;
	struct batch_chunk chunk = {.n_records = 1, .events = &event, .days = &day};

	row.source = (uint16_t)(r % 2);
	memcpy(row.record_id, &r, sizeof r);
	for (unsigned d = 0; d < N_DIMENSIONS; d++) {
		codes[d] = code_of(r, d);
		chunk.codes[d] = &codes[d];
	}
	assert_int_equal(link_pool_add(w->rows.pool, &row, &number), RC_OK);
	assert_int_equal(event_rows_add(w->rows.events, &chunk, 0), RC_OK);
	assert_int_equal(number, r);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	struct link_options options = {.memory = LINK_MEMORY_PLAIN, .n_threads = 1};
	struct fixture_row fixture;
	struct random random = {5};

	fixture_domain(&w->domain, NULL);
	fixture_person(&w->domain, &fixture, 0, 0, 0, 100, 0, 0);
	for (unsigned f = 0; f < w->domain.n_filters; f++)
		fixture.row.filters[f] = fixture.bytes[f];
	assert_int_equal(link_pool_new(&w->domain, &options, &w->rows.pool), RC_OK);
	assert_int_equal(event_rows_new(N_DIMENSIONS, LINK_MEMORY_PLAIN, &w->rows.events), RC_OK);
	for (uint32_t r = 0; r < N_ROWS; r++) {
		add_row(w, &fixture, r);
		/* One row in ten is superseded; person 17 has none, as no linkage would have it. */
		w->person[r] = r % 10 == 3 ? UINT32_MAX : random_below(&random, N_PERSONS);
		if (w->person[r] == 17)
			w->person[r] = 18;
	}
	w->result = (struct link_result){.n_rows = N_ROWS, .n_persons = N_PERSONS, .person = w->person};
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	link_pool_free(w->rows.pool);
	event_rows_free(w->rows.events);
	free(w);
	return 0;
}

static void check_event(struct world *w, const struct stats_event *event, uint32_t *ret_person)
{
	uint32_t r;

	memcpy(&r, event->record_id, sizeof r);
	assert_true(r < N_ROWS && !w->seen[r]);
	w->seen[r] = true;
	assert_int_equal(event->source, r % 2);
	assert_int_equal(event->event, event_of(r));
	assert_int_equal(event->day, day_of(r));
	for (unsigned d = 0; d < STUDY_MAX_DIMENSIONS; d++)
		assert_int_equal(event->codes[d], d < N_DIMENSIONS ? code_of(r, d) : 0);
	*ret_person = w->person[r];
}

/* All parts of all persons; `part_of` is where each was met first. */
static size_t check_part(struct world *w, struct release_parts *parts, size_t part, size_t *part_of)
{
	size_t n = release_parts_size(parts, part);
	struct stats_event *events = calloc(n + 1, sizeof *events);

	assert_non_null(events);
	release_parts_read(parts, part, events);
	for (size_t i = 0; i < n; i++) {
		uint32_t person, before;

		check_event(w, &events[i], &person);
		if (part_of[person] == SIZE_MAX)
			part_of[person] = part;
		assert_int_equal(part_of[person], part);
		memcpy(&before, events[i > 0 ? i - 1 : 0].record_id, sizeof before);
		assert_int_equal(events[i].person == events[i > 0 ? i - 1 : 0].person, person == w->person[before]);
	}
	free(events);
	return n;
}

static void test_each_row_once_with_its_person(void **state)
{
	struct world *w = *state;
	struct release_parts parts;
	size_t n = 0, *part_of = malloc(N_PERSONS * sizeof *part_of);

	assert_non_null(part_of);
	release_parts_init(&parts, N_DIMENSIONS);
	/* Two domains: the same rows twice over. */
	assert_int_equal(release_parts_add(&parts, &w->rows, &w->result), RC_OK);
	size_t half = parts.n_parts;
	assert_int_equal(release_parts_add(&parts, &w->rows, &w->result), RC_OK);
	assert_true(half > 2);
	assert_int_equal(parts.n_parts, 2 * half);
	for (size_t part = 0; part < parts.n_parts; part++) {
		if (part % half == 0) {
			memset(w->seen, 0, sizeof w->seen);
			memset(part_of, 0xff, N_PERSONS * sizeof *part_of);
		}
		n += check_part(w, &parts, part, part_of);
		for (uint32_t r = 0; part % half == half - 1 && r < N_ROWS; r++)
			assert_int_equal(w->seen[r], w->person[r] != UINT32_MAX);
	}
	assert_int_equal(n, parts.n_events);
	release_parts_deinit(&parts);
	free(part_of);
}

static void test_columns(void **state)
{
	struct world *w = *state;
	struct event_rows *none = NULL;

	assert_int_equal(event_rows_n(w->rows.events), N_ROWS);
	assert_false(event_rows_are_locked(w->rows.events));
	struct event_row last = event_rows_at(w->rows.events, N_ROWS - 1);
	assert_int_equal(last.day, day_of(N_ROWS - 1));
	assert_int_equal(event_rows_new(0, LINK_MEMORY_TRY_LOCK, &none), RC_OK);
	assert_int_equal(event_rows_n(none), 0);
	event_rows_free(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_row_once_with_its_person),
		cmocka_unit_test(test_columns),
	};
	return cmocka_run_group_tests_name("release_parts", tests, setup, teardown);
}
