/* libs: tc_core tc_store tc_link tc_stats tc_audit tc_keys tc_proto */
/* What the daemon judged by and what the log says is one time, also where a second passes in between: the log's rules
 * are checked by the times in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/entry.h"
#include "tests/unit/core_fixture.h"

/* A clock that is a second later whenever it is read. */
static _Atomic int64_t clock_now = 1750000000;

time_t time(time_t *ret)
{
	int64_t now = clock_now++;
	if (ret != NULL)
		*ret = (time_t)now;
	return (time_t)now;
}

static void assert_entry_time(struct cf *f, const char *kind, int64_t expected)
{
	char text[ENTRY_TIME_CAP];
	json_t *entries = cf_entries(f, kind);
	assert_int_equal(entry_time_format(expected, text), RC_OK);
	assert_int_equal(json_array_size(entries), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(entries, 0), "t")), text);
	json_decref(entries);
}

static void test_one_time(void **state)
{
	struct cf f;
	struct cf_answer a;
	int64_t logged = 0;
	cf_init(&f);
	cf_must_open(&f);
	cf_push(&f, CF_PRISON, 0, 30);
	cf_push(&f, CF_TREATMENT, 0, 30);
	assert_int_equal(cf_publish(&f, "{}", &a), 202);
	cf_answer_deinit(&a);
	assert_int_equal(cf_wait_release(&f, 1), LINKER_DONE);
	assert_int_equal(f.core->history.n_releases, 1);
	assert_entry_time(&f, "release_started", f.core->history.releases[0].started_at);
	assert_int_equal(core_log_entry_time(f.core, ENTRY_STOP, NULL, NULL, &logged), RC_OK);
	assert_entry_time(&f, "stop", logged);
	cf_deinit(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
