/* libs: tc_base */
/* Dropping privileges, files and system calls: each case in a child of its own, since none can be undone. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

/* ---- files and system calls ---- */

/* What a child found that should not be: the number of the step, 0 = nothing. NOT_HERE where the system or the build
 * cannot confine, which the tests say. */
enum { NOT_HERE = 77 };

static void expect_confined(int (*fn)(void))
{
	int status = in_child(fn);
	if (status == NOT_HERE) {
		print_message("this kernel or this build cannot confine: nothing to try\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static bool can_make(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static int no_files(void)
{
	bool active = false;
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC); /* control, and one that is open stays so */
	char byte;

	if (fd < 0)
		return 1;
	if (confine_process("", NULL) != RC_OK || confine_files(NULL, 0, &active, NULL) != RC_OK)
		return 2;
	if (!active)
		return NOT_HERE;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return 3;
	if (can_make("/tmp/throughcare-confine"))
		return 4;
	return read(fd, &byte, 1) == 1 ? 0 : 5;
}

static int own_folders(void)
{
	char own[] = "/tmp/tc-confine-XXXXXX", other[] = "/tmp/tc-confine-XXXXXX", path[64], to[64];
	bool active = false;

	if (mkdtemp(own) == NULL || mkdtemp(other) == NULL)
		return 1;
	struct confine_folder folders[] = {{own, true}, {"/etc", false}};
	if (confine_process("", NULL) != RC_OK || confine_files(folders, 2, &active, NULL) != RC_OK)
		return 2;
	if (!active)
		return NOT_HERE;
	snprintf(path, sizeof path, "%s/new", own);
	snprintf(to, sizeof to, "%s/renamed", own);
	if (!can_make(path) || rename(path, to) != 0 || truncate(to, 0) != 0 || unlink(to) != 0)
		return 3;
	if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 || open("/etc/passwd", O_RDWR | O_CLOEXEC) >= 0)
		return 4;
	snprintf(path, sizeof path, "%s/new", other);
	if (can_make(path) || open("/proc/self/maps", O_RDONLY | O_CLOEXEC) >= 0 || rmdir(other) == 0)
		return 5;
	return 0;
}

static int folder_that_is_not_there(void)
{
	struct confine_folder folder = {"/no/such/folder", true};
	struct diag diag = {""};
	bool active = false;

	enum rc rc = confine_files(&folder, 1, &active, &diag);
	if (rc == RC_OK)
		return active ? 1 : NOT_HERE;
	return rc == RC_FORBIDDEN && strstr(diag.text, "/no/such/folder") != NULL && !active ? 0 : 2;
}

static bool is_refused(long result)
{
	return result == -1 && errno == EPERM;
}

/* What neither process may do. */
static int try_all_forbidden(void)
{
	static char *const none[] = {NULL};

	if (!is_refused(fork()))
		return 10;
	if (!is_refused(execve("/bin/true", none, none)))
		return 11;
	if (!is_refused(ptrace(PTRACE_TRACEME, 0, NULL, NULL)))
		return 12;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		return 13;
	if (!is_refused(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64})))
		return 14;
	if (!is_refused(syscall(SYS_io_uring_setup, 8, NULL)))
		return 15;
	if (!is_refused(chmod("/tmp", 01777)) || !is_refused(mkdir("/tmp/throughcare-confine.d", 0700)))
		return 16;
	void *memory = malloc(32 << 20); /* what they need still works */
	if (memory == NULL)
		return 17;
	free(memory);
	return 0;
}

static int calls_of_the_front(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	bool active = false;
	char byte = 'x';
	int fds[2], file = open("/dev/null", O_RDONLY | O_CLOEXEC); /* control */

	if (file < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return 1;
	unsetenv("NOTIFY_SOCKET");
	if (confine_process("", NULL) != RC_OK || confine_system_calls(CONFINE_FRONT, &active, NULL) != RC_OK)
		return 2;
	if (!active)
		return NOT_HERE;
	if (!is_refused(open("/dev/null", O_RDONLY)) || !is_refused(openat(AT_FDCWD, "/dev/null", O_RDONLY)) ||
	    !is_refused(creat("/tmp/throughcare-confine", 0600)) || !is_refused(unlink("/tmp/throughcare-confine")))
		return 3;
	if (!is_refused(syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0)) ||
	    !is_refused(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0)))
		return 4;
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)) || !is_refused(socket(AF_UNIX, SOCK_DGRAM, 0)) ||
	    !is_refused(connect(fds[0], (struct sockaddr *)&here, sizeof here)) ||
	    !is_refused(bind(fds[0], (struct sockaddr *)&here, sizeof here)))
		return 5;
	if (!is_refused(kill(getppid(), 0)))
		return 6;
	if (write(fds[0], &byte, 1) != 1 || recv(fds[1], &byte, 1, 0) != 1 || shutdown(fds[0], SHUT_WR) != 0)
		return 7;
	return try_all_forbidden();
}

static int front_with_a_service_manager(void)
{
	bool active = false;

	setenv("NOTIFY_SOCKET", "/run/throughcare-test", 1);
	if (confine_process("", NULL) != RC_OK || confine_system_calls(CONFINE_FRONT, &active, NULL) != RC_OK)
		return 1;
	if (!active)
		return NOT_HERE;
	if (socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0)
		return 2;
	return is_refused(socket(AF_UNIX, SOCK_STREAM, 0)) && is_refused(socket(AF_INET, SOCK_DGRAM, 0)) ? 0 : 3;
}

static void *set_flag(void *arg)
{
	*(bool *)arg = is_refused(socket(AF_INET, SOCK_STREAM, 0)); /* threads inherit it */
	return NULL;
}

static int calls_of_the_core(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char path[] = "/tmp/tc-confine-XXXXXX";
	bool active = false, refused = false;
	pthread_t thread;
	int fds[2], open_socket = socket(AF_INET, SOCK_STREAM, 0); /* control */

	if (open_socket < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return 1;
	if (confine_process("", NULL) != RC_OK || confine_system_calls(CONFINE_CORE, &active, NULL) != RC_OK)
		return 2;
	if (!active)
		return NOT_HERE;
	if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)) || !is_refused(socket(AF_UNIX, SOCK_DGRAM, 0)) ||
	    !is_refused(socketpair(AF_UNIX, SOCK_STREAM, 0, fds)))
		return 3;
	if (!is_refused(connect(open_socket, (struct sockaddr *)&here, sizeof here)) ||
	    !is_refused(bind(open_socket, (struct sockaddr *)&here, sizeof here)) ||
	    !is_refused(listen(open_socket, 1)) || !is_refused(accept(open_socket, NULL, NULL)) ||
	    !is_refused(sendto(open_socket, "x", 1, 0, (struct sockaddr *)&here, sizeof here)))
		return 4;
	int fd = mkstemp(path);
	if (fd < 0 || pwrite(fd, "x", 1, 0) != 1 || fsync(fd) != 0 || unlink(path) != 0)
		return 5;
	if (pthread_create(&thread, NULL, set_flag, &refused) != 0 || pthread_join(thread, NULL) != 0 || !refused)
		return 6;
	return try_all_forbidden();
}

static void test_no_file_can_be_opened(void **state)
{
	expect_confined(no_files);
}

static void test_files_of_its_own_folders_alone(void **state)
{
	expect_confined(own_folders);
	expect_confined(folder_that_is_not_there);
}

static void test_the_front_names_no_file_and_connects_nowhere(void **state)
{
	expect_confined(calls_of_the_front);
	expect_confined(front_with_a_service_manager);
}

static void test_the_core_makes_no_socket(void **state)
{
	expect_confined(calls_of_the_core);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_new_privileges_and_no_core),
		cmocka_unit_test(test_privileges_are_dropped_for_good),
		cmocka_unit_test(test_unknown_user),
		cmocka_unit_test(test_memlock_is_raised_as_far_as_may_be),
		cmocka_unit_test(test_no_file_can_be_opened),
		cmocka_unit_test(test_files_of_its_own_folders_alone),
		cmocka_unit_test(test_the_front_names_no_file_and_connects_nowhere),
		cmocka_unit_test(test_the_core_makes_no_socket),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
