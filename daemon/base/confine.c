/* Dropping privileges: see confine.h. Each step is checked, and the drop itself is proved by trying to undo it, since a
 * setuid() that failed in silence is the classical hole. */
#include "daemon/base/confine.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void confine_raise_memlock(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0)
		return;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Failing leaves the limit as it was; whoever locks memory finds out and says so. */
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

static enum rc become(const char *user, struct diag *diag)
{
	errno = 0;
	const struct passwd *pw = getpwnam(user);
	if (pw == NULL)
		return diag_set(diag, RC_CONFIG, "user: there is no user %s on this system", user);

	uid_t uid = pw->pw_uid;
	gid_t gid = pw->pw_gid;
	if (geteuid() == uid && getuid() == uid)
		return RC_OK;
	if (initgroups(user, gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot become user %s: %s", user, strerror(errno));
	if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
		return diag_set(diag, RC_FORBIDDEN, "privileges could be had back after becoming user %s", user);
	return RC_OK;
}

enum rc confine_process(const char *user, struct diag *diag)
{
	static const struct rlimit none = {0, 0};

	if (user[0] != '\0') {
		enum rc rc = become(user, diag);
		if (rc != RC_OK)
			return rc;
	}
	/* After the change of user, which resets these. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
	    prctl(PR_SET_DUMPABLE, (unsigned long)CONFINE_SANITIZED, 0UL, 0UL, 0UL) != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot confine the process: %s", strerror(errno));
	return RC_OK;
}

enum rc confine_capabilities(struct diag *diag)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &header, data) != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot see the process's capabilities: %s", strerror(errno));
	if (data[0].permitted == 0 && data[1].permitted == 0)
		return RC_OK; /* as under the unit file, whose filter has no such call */
	/* A container's root often has the wider of the two alone. */
	unsigned keep = data[0].permitted & (1U << CAP_DAC_READ_SEARCH);
	if (keep == 0)
		keep = data[0].permitted & (1U << CAP_DAC_OVERRIDE);
	memset(data, 0, sizeof data);
	data[0].permitted = data[0].effective = keep;
	if (syscall(SYS_capset, &header, data) != 0)
		return diag_set(diag, RC_FORBIDDEN, "cannot give up the process's capabilities: %s", strerror(errno));
	return RC_OK;
}

void confine_folder_of(const char *path, char ret_folder[CONF_PATH_CAP])
{
	char copy[CONF_PATH_CAP];

	snprintf(copy, sizeof copy, "%s", path);
	snprintf(ret_folder, CONF_PATH_CAP, "%s", dirname(copy));
}
