/* What each process gives up before it meets anything hostile: privileges first, then files and system calls.
 *
 * The front is left without any file and without a way to make a connection, the core without any socket and with the
 * folders it writes to, the reader of the server's certificate and key with the folders of those two, to read, and none
 * can start a program. What a process has open stays open: that is all it works on.
 */
#ifndef DAEMON_BASE_CONFINE_H
#define DAEMON_BASE_CONFINE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/conf.h"
#include "proto/rc.h"

/* In a build with a sanitizer: at its end LeakSanitizer clones, traces its own process and reads /proc, and a report
 * starts a program. Such a process stays traceable and keeps its files and system calls; the tests say so. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CONFINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CONFINE_SANITIZED 1
#endif
#endif
#ifndef CONFINE_SANITIZED
#define CONFINE_SANITIZED 0
#endif

enum confine_role {
	CONFINE_FRONT,
	CONFINE_CORE,
	CONFINE_READER, /* of the server's certificate and key */
};

/* Raise the limit on locked memory as far as this process may, so that filters and keys can be locked after privileges
 * are gone. Best effort: what could not be locked is reported where it is locked (conf.memory_lock). */
void confine_raise_memlock(void);

/* Become `user` ("" = stay who we are) with its groups only, for good; no new privileges, no core dump, not
 * traceable by others. Call it once, before threads, after everything that needs privileges is open.
 * Errors: CONFIG (no such user), FORBIDDEN (the system refused, or privileges could be had back). */
enum rc confine_process(const char *user, struct diag *diag) MUST_CHECK;

/* Keep the right to read what is another user's, where this process has it, and no other of root's, for good. Errors:
 * FORBIDDEN. */
enum rc confine_capabilities(struct diag *diag) MUST_CHECK;

/* A folder that stays reachable by name. */
struct confine_folder {
	const char *path;
	bool writable; /* files in it may be made, written, renamed and removed */
};

/* Folder of a file that may be replaced by another of its name. */
void confine_folder_of(const char *path, char ret_folder[CONF_PATH_CAP]);

/* From now on this thread, and every one it starts, reaches files in these folders alone (Landlock), for good. After
 * confine_process, before threads. *ret_active is false where the kernel has no Landlock or the build has a sanitizer,
 * which is no error. Errors: FORBIDDEN (a folder is not there, or the kernel refused). */
enum rc confine_files(const struct confine_folder *folders, size_t n, bool *ret_active, struct diag *diag) MUST_CHECK;

/* From now on this thread, and every one it starts, makes only the system calls that its role needs (seccomp), for
 * good; another fails with EPERM. After confine_process and confine_files, before threads. *ret_active is false in a
 * build without libseccomp or with a sanitizer. Errors: FORBIDDEN (the kernel refused). */
enum rc confine_system_calls(enum confine_role role, bool *ret_active, struct diag *diag) MUST_CHECK;

#endif
