/* libs: tc_proto */
/* labels: quick */
/* Rules about witnesses, and what a change of study makes of a release that waits for those of the one before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "proto/witness_rule.h"

static struct tlog_vkey key_of(char who)
{
	struct tlog_vkey key;
	uint8_t public_key[32];
	char name[] = "w.example/?";

	name[sizeof name - 2] = who;
	memset(public_key, who, sizeof public_key);
	assert_int_equal(tlog_witness_make(name, public_key, &key), RC_OK);
	return key;
}

static struct witness_rule rule_of(unsigned needed, const char *who)
{
	struct witness_rule rule = {.needed = (uint8_t)needed};

	for (; *who != '\0'; who++)
		rule.keys[rule.n++] = key_of(*who);
	return rule;
}

static void add(struct witness_history *history, unsigned needed, const char *who, int64_t t)
{
	struct witness_rule rule = rule_of(needed, who);
	json_t *json = needed == 0 ? NULL : witness_rule_json(&rule);

	assert_int_equal(witness_history_add(history, json, t), RC_OK);
	json_decref(json);
}

static bool covers(unsigned n, const char *who, unsigned m, const char *other)
{
	struct witness_rule a = rule_of(n, who), b = rule_of(m, other);

	return witness_rule_covers(&a, &b);
}

/* Against all sets of signers. */
static void test_covers(void **state)
{
	static const char *const sets[] = {"", "a", "ab", "abc", "bcd", "abcd", "de", "abcde"};
	int n_covering = 0;

	for (size_t i = 0; i < 8; i++) {
		for (size_t k = 0; k < 8; k++) {
			for (unsigned n = sets[i][0] != '\0'; n <= strlen(sets[i]); n++) {
				for (unsigned m = sets[k][0] != '\0'; m <= strlen(sets[k]); m++) {
					bool always = true;
					for (unsigned signers = 0; signers < 32; signers++) {
						unsigned of_a = 0, of_b = 0;
						for (const char *c = sets[i]; *c != '\0'; c++)
							of_a += signers >> (*c - 'a') & 1;
						for (const char *c = sets[k]; *c != '\0'; c++)
							of_b += signers >> (*c - 'a') & 1;
						always = always && (of_a < n || of_b >= m);
					}
					assert_int_equal(covers(n, sets[i], m, sets[k]), always);
					n_covering += always;
				}
			}
		}
	}
	assert_true(n_covering > 20);
}

static void test_the_same_name_with_another_key_is_another(void **state)
{
	struct witness_rule a = rule_of(1, "a"), b = rule_of(1, "a");

	b.keys[0].public_key[0] ^= 1;
	assert_true(witness_rule_covers(&a, &a));
	assert_false(witness_rule_covers(&b, &a));
}

static void test_swapped_witnesses(void **state)
{
	enum { T = 1000000 };
	struct witness_history h = {.n = 0};

	assert_int_equal(witness_history_get(&h, h.in_force)->needed, 0);
	assert_true(witness_history_may_carry(&h, 0, T));
	add(&h, 2, "abc", T);
	size_t waits_for = h.in_force;
	assert_true(witness_history_may_carry(&h, waits_for, T));
	assert_true(witness_history_may_carry(&h, 0, T));
	/* As many of others. */
	add(&h, 2, "def", T + 100);
	assert_int_equal(witness_history_get(&h, waits_for)->needed, 2);
	assert_false(witness_history_may_carry(&h, waits_for, T + 100 + WITNESS_CHANGE_S - 1));
	assert_null(witness_history_stand_in(&h, waits_for, T + 100 + WITNESS_CHANGE_S - 1));
	assert_true(witness_history_may_carry(&h, waits_for, T + 100 + WITNESS_CHANGE_S));
	assert_non_null(witness_history_stand_in(&h, waits_for, T + 100 + WITNESS_CHANGE_S));
	/* A study that names the same, whatever else it says, does not begin anew; one that names others does. */
	add(&h, 3, "fed", T + 200);
	assert_true(witness_history_may_carry(&h, waits_for, T + 100 + WITNESS_CHANGE_S));
	add(&h, 1, "def", T + 300);
	assert_false(witness_history_may_carry(&h, waits_for, T + 100 + WITNESS_CHANGE_S)); /* fewer */
	assert_non_null(witness_history_stand_in(&h, waits_for, T + 100 + WITNESS_CHANGE_S));
	add(&h, 2, "defg", T + 400);
	assert_false(witness_history_may_carry(&h, waits_for, T + 399 + WITNESS_CHANGE_S));
	/* Too few of them to stand in, and none. */
	add(&h, 1, "d", T + 500);
	assert_null(witness_history_stand_in(&h, waits_for, T + 500 + 2 * WITNESS_CHANGE_S));
	add(&h, 0, "", T + 600);
	assert_null(witness_history_stand_in(&h, waits_for, T + 600 + 2 * WITNESS_CHANGE_S));
	assert_false(witness_history_may_carry(&h, waits_for, T + 600 + 2 * WITNESS_CHANGE_S));
	/* Back to those of before, at once. */
	add(&h, 2, "abc", T + 700);
	assert_true(witness_history_may_carry(&h, waits_for, T + 700));
	witness_history_deinit(&h);
}

static void test_what_is_no_rule(void **state)
{
	struct witness_history h = {.n = 0};
	json_t *json = json_pack("{s:i, s:[]}", "needed", 1, "keys");

	assert_int_equal(witness_history_add(&h, json, 5), RC_INVALID);
	assert_int_equal(h.n, 0);
	json_decref(json);
	witness_history_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_the_same_name_with_another_key_is_another),
		cmocka_unit_test(test_swapped_witnesses),
		cmocka_unit_test(test_what_is_no_rule),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
