/* libs: tc_core tc_proto */
/* Progress of a release: every step has a name of its own, and times are those of the steps they were spent in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "daemon/core/release_progress.h"

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RELEASE_N_STEPS; i++) {
		assert_non_null(release_step_name(i));
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(release_step_name(i), release_step_name(j));
	}
}

static void spend(long ms)
{
	const struct timespec t = {.tv_nsec = ms * 1000000};

	nanosleep(&t, NULL);
}

static void test_times(void **state)
{
	struct release_progress progress;

	(void)state;
	release_progress_begin(&progress);
	assert_int_equal(progress.step, LINK_STEP_RECORDS);
	release_progress_step(&progress, LINK_STEP_MODEL);
	spend(30);
	release_progress_step(&progress, RELEASE_COUNTING);
	assert_int_equal(progress.step, RELEASE_COUNTING);
	int64_t model = progress.step_ms[LINK_STEP_MODEL];
	assert_true(model >= 29);
	assert_int_equal(progress.step_ms[RELEASE_COUNTING], 0);
	/* A second domain comes back to a step: its times add up. */
	release_progress_step(&progress, LINK_STEP_MODEL);
	spend(30);
	release_progress_log(&progress, 1);
	assert_true(progress.step_ms[LINK_STEP_MODEL] >= model + 29);
	assert_int_equal(progress.step_ms[RELEASE_PUBLISHING], 0);
	assert_true(release_progress_seconds(&progress) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests_name("release_progress", tests, NULL, NULL);
}
