/* seccomp: which system calls a process can still make; see confine.h.
 *
 * Lists of what is allowed, not of what is not: a call that nobody thought of is refused. It is refused with EPERM
 * rather than death, so that one that we forgot fails a request and not the linkage unit. None of the lists has a way
 * to run a program, to trace, to map memory that is both new and executable, or to make another process; the front's
 * has none to name a file, the core's none to make a socket, the reader's neither one to write a file or make a socket.
 */
#include "daemon/base/confine.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#if defined(TC_HAVE_SECCOMP) && !CONFINE_SANITIZED

#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* A name that this machine's libseccomp does not know belongs to another architecture, and is left out. */
static const char *const calls_of_both[] = {
	/* memory; mmap and mprotect have rules of their own */
	"brk", "mlock", "mlock2", "munlock", "madvise", "mremap", "munmap",
	/* threads and time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "futex", "get_robust_list", "getcpu", "gettimeofday",
	"membarrier", "nanosleep", "restart_syscall", "rseq", "sched_getaffinity", "sched_yield", "set_robust_list",
	"set_tid_address", "time",
	/* signals and the end */
	"exit", "exit_group", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "sigaltstack", "sigreturn", "tgkill",
	/* who we are */
	"getegid", "geteuid", "getgid", "getpid", "getppid", "getrandom", "getrlimit", "gettid", "getuid", "sysinfo",
	"uname",
	/* descriptors that are open */
	"close", "dup", "epoll_ctl", "epoll_pwait", "epoll_wait", "fcntl", "fcntl64", "fstat", "fstat64", "ioctl",
	"lseek", "_llseek", "poll", "ppoll", "pselect6", "read", "readv", "select", "write", "writev"};

static const char *const calls_of_front[] = {"accept", "accept4",    "getpeername", "getsockname", "getsockopt",
					     "recv",   "recvfrom",   "recvmsg",     "send",        "sendmsg",
					     "sendto", "setsockopt", "shutdown"};

static const char *const calls_of_core[] = {
	/* files, in the folders that confine_files left */
	"access", "faccessat", "faccessat2", "fallocate", "fdatasync", "flock", "fstatat64", "fstatfs", "fstatfs64",
	"fsync", "ftruncate", "ftruncate64", "getdents64", "link", "linkat", "lstat", "msync", "newfstatat", "open",
	"openat", "pread64", "preadv", "pwrite64", "pwritev", "readlink", "readlinkat", "rename", "renameat",
	"renameat2", "stat", "stat64", "statfs", "statfs64", "statx", "sync_file_range", "unlink", "unlinkat",
	/* the front is waited for, and killed when it hangs */
	"kill", "wait4", "waitid", "waitpid"};

static const char *const calls_of_reader[] = {"fstatat64", "lstat", "newfstatat", "open", "openat", "readlink", "recv",
					      "recvfrom",  "send",  "sendto",     "stat", "stat64", "statx"};

static int allow_all(scmp_filter_ctx filter, const char *const *names, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++) {
		int number = seccomp_syscall_resolve_name(names[i]);
		if (number != __NR_SCMP_ERROR && number >= 0)
			err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
	}
	return err;
}

/* Calls that are allowed with some arguments only. */
static int allow_some(scmp_filter_ctx filter, enum confine_role role)
{
	int err = 0;

	for (int i = 0; i < 3 && err == 0; i++) {
		static const char *const maps[] = {"mmap", "mmap2", "mprotect"};
		int number = seccomp_syscall_resolve_name(maps[i]);
		if (number >= 0)
			err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 1,
					       SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	}
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
				       SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)PR_SET_NAME));
	/* The flags of clone3 lie in memory, where a filter cannot look: without it the C library takes clone. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	/* A thread, never a process. */
	if (err == 0 && role == CONFINE_CORE)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	/* A thread may give way to the others. */
	if (err == 0 && role == CONFINE_CORE)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 3,
				       SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS), SCMP_A1(SCMP_CMP_EQ, 0),
				       SCMP_A2(SCMP_CMP_EQ, PRIO_MAX - 1));
	/* Asking the kernel for a limit is allowed, setting one is not. */
	if (err == 0)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
	/* The service manager is told of the end by a datagram over a socket made then; only where there is one. */
	if (err == 0 && role == CONFINE_FRONT && getenv("NOTIFY_SOCKET") != NULL)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, AF_UNIX),
				       SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM));
	return err;
}

enum rc confine_system_calls(enum confine_role role, bool *ret_active, struct diag *diag)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL)
		return RC_NOMEM;
	int err = allow_all(filter, calls_of_both, sizeof calls_of_both / sizeof calls_of_both[0]);
	if (err == 0 && role == CONFINE_FRONT)
		err = allow_all(filter, calls_of_front, sizeof calls_of_front / sizeof calls_of_front[0]);
	if (err == 0 && role == CONFINE_CORE)
		err = allow_all(filter, calls_of_core, sizeof calls_of_core / sizeof calls_of_core[0]);
	if (err == 0 && role == CONFINE_READER)
		err = allow_all(filter, calls_of_reader, sizeof calls_of_reader / sizeof calls_of_reader[0]);
	if (err == 0)
		err = allow_some(filter, role);
	if (err == 0)
		err = seccomp_load(filter);
	seccomp_release(filter);
	if (err != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot confine the process to its system calls: %s",
				strerror(-err));
	*ret_active = true;
	return RC_OK;
}

#else

enum rc confine_system_calls(enum confine_role role, bool *ret_active, struct diag *diag)
{
	*ret_active = false;
	return RC_OK;
}

#endif
