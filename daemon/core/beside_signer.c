/* Files beside the signer's state; see beside_signer.h. */
#include "daemon/core/beside_signer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "keys/durable.h"

void beside_signer_path(const struct conf *conf, const char *name, char ret_path[BESIDE_SIGNER_CAP])
{
	if (conf->signer_state[0] != '\0')
		snprintf(ret_path, BESIDE_SIGNER_CAP, "%s.%s", conf->signer_state, name);
	else
		snprintf(ret_path, BESIDE_SIGNER_CAP, "%s.state.%s", conf->log_key, name);
}

static enum rc write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == ENOSPC ? RC_NOSPACE : RC_IO;
	enum rc rc = durable_write(fd, data, len);
	if (rc == RC_OK && fsync(fd) != 0)
		rc = RC_IO;
	if (close(fd) != 0 && rc == RC_OK)
		rc = RC_IO;
	return rc;
}

enum rc beside_signer_write(const struct conf *conf, const char *name, const void *data, size_t len)
{
	char path[BESIDE_SIGNER_CAP], temporary[BESIDE_SIGNER_CAP + 8];
	beside_signer_path(conf, name, path);
	snprintf(temporary, sizeof temporary, "%s.new", path);
	enum rc rc = write_file(temporary, data, len);
	if (rc == RC_OK && rename(temporary, path) != 0)
		rc = RC_IO;
	return rc == RC_OK ? durable_sync_folder(path) : rc;
}
