/* libs: tc_stats tc_proto */
/* wraps: malloc calloc realloc reallocarray aligned_alloc strdup strndup */
/* wraps: sha256 sha256_new sha256_copy sha256_labelled */
/* No memory at the Nth call of a release: the first of a study, one that carries periods forward, and what is made of a
 * body. It fails and gives nothing, or it is the whole release, byte for byte; never one with something left out. */
#define FAIL_MEMORY
#include "tests/unit/fail_nth.h"

#include <stdio.h>
#include <string.h>

#include "proto/json.h"
#include "tests/unit/stats_fixture.h"

enum { PERSONS = 100, EVERY_CALL_TO = 100 };

struct release_case {
	struct study *study;
	struct stats_event events[2 * PERSONS];
	size_t n_events;
	json_t *previous; /* NULL in the first */
	json_t *facts;
	json_t *body; /* what the run gave */
	struct buffer out, expected;
	bool is_known;
};

static void case_init(struct release_case *c, enum study_disclosure_method method)
{
	static const uint16_t bands[] = {30, 90};
	uint64_t random = 7;
	memset(c, 0, sizeof *c);
	buffer_init(&c->out);
	buffer_init(&c->expected);
	c->study = fixture_study();
	c->facts = json_pack("{s:{s:i, s:i}, s:[s, s]}", "cut", "batches", 3, "records", 200, "versions", "a", "b");
	assert_non_null(c->facts);
	c->study->disclosure.method = method;
	c->study->tables[0] = c->study->tables[F_BY_BOTH];
	c->study->n_tables = 1;
	fixture_measure(c->study, "return", MEASURE_RETURN, 2, bands);
	fixture_table(c->study, "return_by_quarter", PERIOD_QUARTER, 1, 1, 0);
	c->study->tables[c->study->n_tables - 1].measure = 1;
	for (uint32_t person = 0; person < PERSONS; person++) {
		int32_t day = fixture_day("2024-01-01") + (int32_t)(fixture_random(&random) % 366);
		struct stats_event e = fixture_event(person, F_RELEASE, day);
		e.codes[0] = (uint8_t)(fixture_random(&random) % 3);
		e.codes[1] = (uint8_t)(1 + fixture_random(&random) % 2);
		c->events[c->n_events++] = e;
		if (person % 3 != 0)
			c->events[c->n_events++] = fixture_event(person, person % 3 == 1 ? F_START : F_RECEPTION,
								 day + 1 + (int32_t)(fixture_random(&random) % 60));
	}
}

static void case_deinit(struct release_case *c)
{
	json_decref(c->previous);
	json_decref(c->facts);
	free(c->study);
	buffer_deinit(&c->out);
	buffer_deinit(&c->expected);
}

static enum rc make(struct release_case *c, uint32_t number, const char *as_of, json_t **ret)
{
	const struct stats_params params = {.release = number,
					    .as_of = fixture_day(as_of),
					    .prf = fixture_prf,
					    .secret_injected = true,
					    .previous = c->previous,
					    .facts = c->facts};
	return stats_release(c->study, c->events, c->n_events, &params, ret);
}

static enum rc release_run(void *ctx)
{
	struct release_case *c = ctx;
	json_decref(c->body);
	c->body = NULL;
	return c->previous == NULL ? make(c, 1, "2024-08-15", &c->body) : make(c, 2, "2024-11-15", &c->body);
}

static bool is_as_expected(struct release_case *c)
{
	if (!c->is_known) {
		c->is_known = true;
		buffer_append(&c->expected, c->out.data, c->out.len);
		return c->out.len > 500;
	}
	return c->out.len == c->expected.len && memcmp(c->out.data, c->expected.data, c->out.len) == 0;
}

static bool release_check(void *ctx, enum rc rc)
{
	struct release_case *c = ctx;
	if (rc != RC_OK)
		return c->body == NULL;
	buffer_reset(&c->out);
	return json_canonical(c->body, &c->out) == RC_OK && is_as_expected(c);
}

static void release_teardown(void *ctx)
{
	struct release_case *c = ctx;
	json_decref(c->body);
	c->body = NULL;
}

static void releases(const char *name, enum study_disclosure_method method)
{
	struct release_case c;
	char second[64];
	case_init(&c, method);
	struct fail_case f = {.name = name,
			      .run = release_run,
			      .check = release_check,
			      .teardown = release_teardown,
			      .ctx = &c,
			      .dense = EVERY_CALL_TO};
	fail_each(&f);
	/* The next one, in which what was closed is carried forward. */
	assert_int_equal(make(&c, 1, "2024-08-15", &c.previous), RC_OK);
	c.is_known = false;
	buffer_reset(&c.expected);
	snprintf(second, sizeof second, "%s, the second", name);
	f.name = second;
	fail_each(&f);
	case_deinit(&c);
}

static void test_noise(void **state)
{
	releases("release with noise", DISCLOSURE_KEYED_NOISE);
}

static void test_cell_key(void **state)
{
	releases("release with cell keys", DISCLOSURE_CELL_KEY);
}

/* ---- what is made of it ---- */

static enum rc charge_run(void *ctx)
{
	struct release_case *c = ctx;
	uint64_t rho = UINT64_MAX;
	enum rc rc = stats_release_charge(c->study, fixture_day("2024-11-15"), c->previous, &rho);
	buffer_reset(&c->out);
	if (rc == RC_OK)
		buffer_append(&c->out, &rho, sizeof rho);
	return rc == RC_OK && c->out.failed ? RC_NOMEM : rc;
}

static bool charge_check(void *ctx, enum rc rc)
{
	struct release_case *c = ctx;
	if (!c->is_known && rc == RC_OK) {
		c->is_known = true;
		buffer_append(&c->expected, c->out.data, c->out.len);
	}
	return rc != RC_OK || memcmp(c->out.data, c->expected.data, sizeof(uint64_t)) == 0;
}

static enum rc render(struct release_case *c,
		      enum rc (*how)(const json_t *, const struct stats_query *, struct buffer *, struct diag *))
{
	struct stats_query query;
	struct diag diag;
	uint32_t release;
	enum rc rc = stats_query_parse(c->study, "continuity_by_both", "by=sex", &query, &release, &diag);
	buffer_deinit(&c->out);
	return rc == RC_OK ? how(c->previous, &query, &c->out, &diag) : rc;
}

static enum rc jsonstat_run(void *ctx)
{
	return render(ctx, stats_render_jsonstat);
}

static enum rc csv_run(void *ctx)
{
	return render(ctx, stats_render_csv);
}

static enum rc catalogue_run(void *ctx)
{
	struct release_case *c = ctx;
	buffer_deinit(&c->out);
	return stats_render_catalogue(c->study, c->previous, &c->out);
}

static bool render_check(void *ctx, enum rc rc)
{
	return rc != RC_OK || is_as_expected(ctx);
}

static void test_charge_and_rendering(void **state)
{
	static const struct {
		const char *name;
		enum rc (*run)(void *ctx);
	} renderings[] = {{"JSON-stat", jsonstat_run}, {"CSV", csv_run}, {"catalogue", catalogue_run}};
	struct release_case c;
	case_init(&c, DISCLOSURE_KEYED_NOISE);
	assert_int_equal(make(&c, 1, "2024-08-15", &c.previous), RC_OK);
	struct fail_case f = {.name = "charge", .run = charge_run, .check = charge_check, .ctx = &c};
	fail_each(&f);
	for (size_t i = 0; i < sizeof renderings / sizeof renderings[0]; i++) {
		c.is_known = false;
		buffer_reset(&c.expected);
		f = (struct fail_case){.name = renderings[i].name,
				       .run = renderings[i].run,
				       .check = render_check,
				       .ctx = &c,
				       .dense = EVERY_CALL_TO};
		fail_each(&f);
	}
	case_deinit(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise),
		cmocka_unit_test(test_cell_key),
		cmocka_unit_test(test_charge_and_rendering),
	};
	json_set_alloc_funcs(fail_jansson_malloc, free);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
