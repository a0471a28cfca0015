/* Landlock: which files a process can still reach by name; see confine.h. Spoken to by bare system calls, since
 * the C library has no wrappers for it.
 *
 * Everything that this kernel can withhold is withheld, then given back for the folders named: a right that a later
 * kernel learns to withhold is a line in access_of_version. */
#include "daemon/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#include <sys/syscall.h>
#endif

#if defined(SYS_landlock_create_ruleset) && !CONFINE_SANITIZED

/* Newer than the headers of the oldest distribution we build on. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

static const __u64 access_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const __u64 access_write = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |
				  LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_TRUNCATE;

/* All rights that a kernel of this version of Landlock can withhold. */
static __u64 access_of_version(long version)
{
	__u64 access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
		       LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
		       LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
		       LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		       LANDLOCK_ACCESS_FS_MAKE_SYM;

	if (version >= 2)
		access |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		access |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 5)
		access |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return access;
}

static enum rc allow_folder(int ruleset, __u64 handled, const struct confine_folder *folder, struct diag *diag)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = (access_read | (folder->writable ? access_write : 0)) & handled,
		.parent_fd = open(folder->path, O_PATH | O_DIRECTORY | O_CLOEXEC),
	};

	if (rule.parent_fd < 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot confine the process to %s: %s", folder->path,
				strerror(errno));
	long err = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0U);
	int saved = errno;
	close(rule.parent_fd);
	if (err != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot confine the process to %s: %s", folder->path,
				strerror(saved));
	return RC_OK;
}

enum rc confine_files(const struct confine_folder *folders, size_t n, bool *ret_active, struct diag *diag)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1) {
		*ret_active = false;
		return RC_OK;
	}
	struct landlock_ruleset_attr attr = {.handled_access_fs = access_of_version(version)};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0U);
	if (ruleset < 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot confine the process to its files: %s", strerror(errno));
	enum rc rc = RC_OK;
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = allow_folder(ruleset, attr.handled_access_fs, &folders[i], diag);
	if (rc == RC_OK && syscall(SYS_landlock_restrict_self, ruleset, 0U) != 0)
		rc = diag_set(diag, RC_FORBIDDEN, "cannot confine the process to its files: %s", strerror(errno));
	close(ruleset);
	if (rc == RC_OK)
		*ret_active = true;
	return rc;
}

#else

enum rc confine_files(const struct confine_folder *folders, size_t n, bool *ret_active, struct diag *diag)
{
	*ret_active = false;
	return RC_OK;
}

#endif
