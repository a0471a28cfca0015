/* libs: tc_core tc_keys tc_proto */
/* The mark of the ledger never falls, in neither of its figures, and is made anew where it cannot be read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/core/ledger_mark.h"

static void raise_to(const struct conf *conf, struct ledger_mark to, struct ledger_mark expected)
{
	struct ledger_mark is = {0};
	assert_int_equal(ledger_mark_raise(conf, &to), RC_OK);
	assert_int_equal(ledger_mark_read(conf, &is), RC_OK);
	assert_int_equal(is.n_releases, expected.n_releases);
	assert_int_equal(is.rho_total_micro, expected.rho_total_micro);
}

static void test_never_falls(void **state)
{
	(void)state;
	char folder[] = "/tmp/test_ledger_mark.XXXXXX", path[sizeof folder + 16];
	struct conf *conf = calloc(1, sizeof *conf);
	struct ledger_mark is;
	assert_non_null(conf);
	assert_non_null(mkdtemp(folder));
	snprintf(conf->signer_state, sizeof conf->signer_state, "%s/state", folder);
	snprintf(path, sizeof path, "%s/state.ledger", folder);

	assert_int_equal(ledger_mark_read(conf, &is), RC_NOTFOUND);
	raise_to(conf, (struct ledger_mark){1, 500}, (struct ledger_mark){1, 500});
	raise_to(conf, (struct ledger_mark){2, 300}, (struct ledger_mark){2, 500});
	raise_to(conf, (struct ledger_mark){1, 700}, (struct ledger_mark){2, 700});
	raise_to(conf, (struct ledger_mark){0, 0}, (struct ledger_mark){2, 700});
	assert_int_equal(truncate(path, 30), 0);
	assert_int_equal(ledger_mark_read(conf, &is), RC_DAMAGED);
	raise_to(conf, (struct ledger_mark){1, 100}, (struct ledger_mark){1, 100});

	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
	free(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_never_falls)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
