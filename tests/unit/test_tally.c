/* libs: tc_stats tc_proto */
/* labels: quick threads */
/* Counting by several threads: the body of a release is the same to the byte however events are cut into parts and
 * whoever counts them, with either method of noise; what goes wrong in one part stops all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/json.h"
#include "tests/unit/stats_fixture.h"

enum { PERSONS = 600, MAX_EVENTS = 4 * PERSONS };

struct cut {
	struct study *study;
	struct stats_event events[MAX_EVENTS]; /* ascending by person */
	size_t n_events;
	size_t starts[PERSONS + 1]; /* of the parts, and the end */
	struct stats_parts parts;
	atomic_size_t n_read;
};

static size_t part_size(void *ctx, size_t part)
{
	const struct cut *cut = ctx;

	return cut->starts[part + 1] - cut->starts[part];
}

static void part_read(void *ctx, size_t part, struct stats_event *ret)
{
	const struct cut *cut = ctx;
	size_t n = part_size(ctx, part);

	for (size_t i = 0; i < n; i++) /* backwards: the order within a part is of no account */
		ret[i] = cut->events[cut->starts[part + 1] - 1 - i];
}

static void add_person(struct cut *cut, uint32_t person, uint64_t *random)
{
	int32_t day = fixture_day("2024-01-01") + (int32_t)(fixture_random(random) % 200);

	for (unsigned spell = 0; spell < 1 + person % 2; spell++) {
		struct stats_event e = fixture_event(person, F_RELEASE, day);
		e.codes[0] = (uint8_t)(fixture_random(random) % 3);
		e.codes[1] = (uint8_t)(1 + fixture_random(random) % 2);
		e.record_id[0] = (uint8_t)fixture_random(random);
		cut->events[cut->n_events++] = e;
		if (person % 3 != 0)
			cut->events[cut->n_events++] =
				fixture_event(person, F_START, day + (int32_t)(fixture_random(random) % 60));
		day += 120;
	}
}

static struct cut *cut_new(enum study_disclosure_method method)
{
	struct cut *cut = calloc(1, sizeof *cut);
	uint64_t random = 11;

	assert_non_null(cut);
	cut->study = fixture_study();
	cut->study->disclosure.method = method;
	for (uint32_t person = 0; person < PERSONS; person++)
		add_person(cut, person, &random);
	cut->parts = (struct stats_parts){
		.size = part_size, .read = part_read, .ctx = cut, .n_threads = 1, .n_read = &cut->n_read};
	return cut;
}

static void cut_free(struct cut *cut)
{
	free(cut->study);
	free(cut);
}

/* Parts of so many persons each, and an empty one at the end. */
static void cut_into(struct cut *cut, uint32_t persons)
{
	cut->parts.n = 0;
	for (size_t i = 0; i < cut->n_events; i++) {
		if (i == 0 || cut->events[i].person / persons != cut->events[i - 1].person / persons)
			cut->starts[cut->parts.n++] = i;
	}
	cut->starts[cut->parts.n] = cut->n_events;
	if (cut->parts.n < PERSONS)
		cut->starts[++cut->parts.n] = cut->n_events;
}

static const struct stats_params *params_of_test(void)
{
	static struct stats_params params;

	params = (struct stats_params){
		.release = 1, .as_of = fixture_day("2025-06-30"), .prf = fixture_prf, .secret_injected = true};
	return &params;
}

static char *canonical(json_t *body)
{
	struct buffer b;

	buffer_init(&b);
	assert_int_equal(json_canonical(body, &b), RC_OK);
	buffer_append(&b, "", 1);
	json_decref(body);
	return (char *)b.data;
}

static void check_method(enum study_disclosure_method method)
{
	static const uint32_t persons[] = {PERSONS, 100, 7, 1};
	struct cut *cut = cut_new(method);
	json_t *body = NULL;

	assert_int_equal(stats_release(cut->study, cut->events, cut->n_events, params_of_test(), &body), RC_OK);
	char *expected = canonical(body);
	assert_true(strlen(expected) > 500);
	for (size_t i = 0; i < sizeof persons / sizeof persons[0]; i++) {
		cut_into(cut, persons[i]);
		for (unsigned n_threads = 0; n_threads <= 3; n_threads++) {
			cut->parts.n_threads = n_threads;
			atomic_store(&cut->n_read, 0);
			assert_int_equal(stats_release_parts(cut->study, &cut->parts, params_of_test(), &body), RC_OK);
			char *text = canonical(body);
			assert_string_equal(text, expected);
			assert_int_equal(atomic_load(&cut->n_read), cut->parts.n);
			free(text);
		}
	}
	free(expected);
	cut_free(cut);
}

static void test_parts_and_threads_do_not_matter(void **state)
{
	(void)state;
	check_method(DISCLOSURE_KEYED_NOISE);
	check_method(DISCLOSURE_CELL_KEY);
	check_method(DISCLOSURE_NONE);
}

static void test_no_parts(void **state)
{
	struct cut *cut = cut_new(DISCLOSURE_KEYED_NOISE);
	json_t *none = NULL, *body = NULL;

	(void)state;
	assert_int_equal(stats_release(cut->study, NULL, 0, params_of_test(), &none), RC_OK);
	assert_int_equal(stats_release_parts(cut->study, &cut->parts, params_of_test(), &body), RC_OK);
	assert_true(json_equal(none, body));
	json_decref(none);
	json_decref(body);
	cut_free(cut);
}

static void test_what_stops_all(void **state)
{
	struct cut *cut = cut_new(DISCLOSURE_KEYED_NOISE);
	atomic_bool cancel;
	json_t *body = NULL;

	(void)state;
	cut_into(cut, 10);
	cut->parts.n_threads = 3;
	cut->events[cut->n_events / 2].event = 77;
	assert_int_equal(stats_release_parts(cut->study, &cut->parts, params_of_test(), &body), RC_INVALID);
	cut->events[cut->n_events / 2].event = F_RELEASE;
	atomic_init(&cancel, true);
	cut->parts.cancel = &cancel;
	assert_int_equal(stats_release_parts(cut->study, &cut->parts, params_of_test(), &body), RC_STOPPING);
	assert_null(body);
	atomic_store(&cancel, false);
	assert_int_equal(stats_release_parts(cut->study, &cut->parts, params_of_test(), &body), RC_OK);
	json_decref(body);
	cut_free(cut);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts_and_threads_do_not_matter),
		cmocka_unit_test(test_no_parts),
		cmocka_unit_test(test_what_stops_all),
	};
	return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}
