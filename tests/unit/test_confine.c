/* libs: tc_base */
/* Dropping privileges, each case in a child of its own, since none can be undone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/confine.h"

/* Exit status of `fn` in a child. */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int stay_and_check(void)
{
	struct rlimit core;

	if (confine_process("", NULL) != RC_OK)
		return 1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 2;
	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
		return 3;
	return 0;
}

static void test_no_new_privileges_and_no_core(void **state)
{
	assert_int_equal(in_child(stay_and_check), 0);
}

static int become_nobody(void)
{
	gid_t groups[32];

	if (confine_process("nobody", NULL) != RC_OK)
		return 1;
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0 || getegid() == 0)
		return 2;
	if (setuid(0) == 0 || seteuid(0) == 0 || setgid(0) == 0)
		return 3;
	int n = getgroups(32, groups);
	for (int i = 0; i < n; i++)
		if (groups[i] == 0)
			return 4;
	if (open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0)
		return 5;
	/* Once more is no error: we are that user already. */
	return confine_process("nobody", NULL) == RC_OK ? 0 : 6;
}

static int cannot_become_root(void)
{
	struct diag diag = {""};

	if (confine_process("nobody", NULL) != RC_OK)
		return 1;
	if (confine_process("root", &diag) != RC_FORBIDDEN)
		return 2;
	return strstr(diag.text, "cannot become user root") != NULL ? 0 : 3;
}

static void test_privileges_are_dropped_for_good(void **state)
{
	if (geteuid() != 0) {
		print_message("not root: cannot try to become another user\n");
		skip();
	}
	assert_int_equal(in_child(become_nobody), 0);
	assert_int_equal(in_child(cannot_become_root), 0);
}

static int become_unknown(void)
{
	struct diag diag = {""};

	if (confine_process("no-such-user-here", &diag) != RC_CONFIG)
		return 1;
	return strstr(diag.text, "no-such-user-here") != NULL ? 0 : 2;
}

static void test_unknown_user(void **state)
{
	assert_int_equal(in_child(become_unknown), 0);
}

static int raise_memlock(void)
{
	struct rlimit before, after;

	if (getrlimit(RLIMIT_MEMLOCK, &before) != 0)
		return 1;
	confine_raise_memlock();
	if (getrlimit(RLIMIT_MEMLOCK, &after) != 0)
		return 2;
	return after.rlim_cur >= before.rlim_cur && (after.rlim_cur == after.rlim_max) ? 0 : 3;
}

static void test_memlock_is_raised_as_far_as_may_be(void **state)
{
	assert_int_equal(in_child(raise_memlock), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_new_privileges_and_no_core),
		cmocka_unit_test(test_privileges_are_dropped_for_good),
		cmocka_unit_test(test_unknown_user),
		cmocka_unit_test(test_memlock_is_raised_as_far_as_may_be),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
