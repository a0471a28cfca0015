/* libs: tc_keys tc_proto */
/* A token's module that does not answer, or ends its process: seal_key_read is in test_seal_key_sources.py. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "keys/token_internal.h"

static enum rc try_module(const char *path, unsigned timeout_ms, struct diag *diag)
{
	static const uint8_t wrapped[TOKEN_WRAPPED_LEN] = {1};
	struct secret_key *key = NULL;
	char uri[256];
	snprintf(uri, sizeof uri, "pkcs11:token=unit;object=seal?module-path=%s", path);
	enum rc rc = token_unwrap(uri, wrapped, timeout_ms, &key, diag);
	assert_null(key);
	/* Whatever became of the process that called it, it is gone. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return rc;
}

/* Loading it never ends: nobody opens the other end of the pipe. */
static void test_a_module_that_hangs(void **state)
{
	char folder[] = "/tmp/test_token.XXXXXX", path[64];
	struct diag diag = {""};
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/module.so", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	enum rc rc = try_module(path, 1100, &diag);
	unlink(path);
	rmdir(folder);
	if (rc == RC_CONFIG) { /* a build without p11-kit */
		print_message("%s\n", diag.text);
		skip();
	}
	assert_int_equal(rc, RC_KEY);
	assert_non_null(strstr(diag.text, "has not answered in 1 s"));
}

static void test_no_module(void **state)
{
	struct diag diag = {""};
	enum rc rc = try_module("/nonexistent/module.so", TOKEN_TIMEOUT_MS, &diag);
	if (rc == RC_CONFIG) {
		print_message("%s\n", diag.text);
		skip();
	}
	assert_int_equal(rc, RC_KEY);
	assert_non_null(strstr(diag.text, "cannot be loaded"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_module_that_hangs),
		cmocka_unit_test(test_no_module),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
