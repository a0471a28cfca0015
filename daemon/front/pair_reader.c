/* The reader of the server's certificate and key: see pair_reader.h.
 *
 * One message is one packet of a SOCK_SEQPACKET pair, so that none is ever half there: u8 result, and then either u32
 * length of the certificate, certificate, key, or the text of what is wrong. The front says nothing but single bytes:
 * hand it over now. */
#include "daemon/front/pair_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/confine.h"
#include "daemon/base/log.h"
#include "daemon/base/renewal.h"
#include "keys/key_file.h"

enum {
	LOOK_EVERY_MS = 200,
	STAND_STILL_MS = 100,
	MAX_CERTIFICATE_BYTES = 64 * 1024,
	MAX_KEY_BYTES = 16 * 1024,
	MESSAGE_CAP = 1 + 4 + MAX_CERTIFICATE_BYTES + MAX_KEY_BYTES,
};

void server_pair_init(struct server_pair *pair)
{
	buffer_init(&pair->certificate);
	buffer_init(&pair->key);
}

void server_pair_deinit(struct server_pair *pair)
{
	buffer_deinit(&pair->certificate);
	buffer_wipe(&pair->key);
}

/* ---- reading ---- */

struct files {
	const struct conf *conf;
	struct watched_file certificate, key;
};

static struct files files_of(const struct conf *conf)
{
	return (struct files){
		.conf = conf,
		.certificate = {.path = conf->tls_certificate, .max_bytes = MAX_CERTIFICATE_BYTES},
		.key = {.path = conf->tls_key, .max_bytes = MAX_KEY_BYTES},
	};
}

static enum rc read_files(struct files *files, struct server_pair *pair, struct diag *diag)
{
	struct diag why = {""};

	buffer_reset(&pair->certificate);
	buffer_wipe(&pair->key);
	enum rc rc = watched_read(&files->certificate, &pair->certificate, diag);
	watched_result(&files->certificate, rc);
	if (rc == RC_INVALID)
		rc = RC_CONFIG;
	watched_note(&files->key); /* before it is read: what is put there meanwhile is seen the next time */
	if (rc != RC_OK)
		return rc;
	rc = private_file_read(files->key.path, files->key.max_bytes, &pair->key, &why);
	if (rc == RC_TOO_LARGE)
		rc = RC_KEY;
	watched_result(&files->key, rc == RC_KEY ? RC_INVALID : rc);
	return rc == RC_OK ? rc : diag_set(diag, rc, "the TLS key: %s", why.text);
}

enum rc server_pair_read(const struct conf *conf, struct server_pair *ret, struct diag *diag)
{
	struct files files = files_of(conf);

	return read_files(&files, ret, diag);
}

/* ---- the process ---- */

/* False when the front has gone. */
static bool hand_over(int fd, struct files *files)
{
	static uint8_t message[MESSAGE_CAP];
	struct server_pair pair;
	struct diag diag = {""};
	struct writer w;

	server_pair_init(&pair);
	enum rc rc = read_files(files, &pair, &diag);
	writer_init(&w, message, sizeof message);
	write_u8(&w, (uint8_t)rc);
	if (rc == RC_OK) {
		write_u32(&w, (uint32_t)pair.certificate.len);
		write_bytes(&w, pair.certificate.data, pair.certificate.len);
		write_bytes(&w, pair.key.data, pair.key.len);
	} else {
		write_bytes(&w, diag.text, strlen(diag.text));
	}
	server_pair_deinit(&pair);
	ssize_t n = -1;
	while (!w.failed && (n = send(fd, message, writer_len(&w), MSG_NOSIGNAL)) < 0 && errno == EINTR)
		continue;
	explicit_bzero(message, sizeof message);
	return n >= 0;
}

static bool have_changed(const struct files *files)
{
	return watched_has_changed(&files->certificate) || watched_has_changed(&files->key);
}

/* Wait until nobody touches them any more, but not for ever. */
static void let_stand_still(const struct files *files)
{
	static const struct timespec moment = {0, STAND_STILL_MS * 1000 * 1000L};
	struct files now = *files;

	for (int i = 0; i < 20; i++) {
		watched_note(&now.certificate);
		watched_note(&now.key);
		nanosleep(&moment, NULL);
		if (!have_changed(&now))
			return;
	}
}

static void look(int fd, const struct conf *conf)
{
	struct files files = files_of(conf);
	uint8_t asked;

	for (;;) {
		struct pollfd front = {.fd = fd, .events = POLLIN};
		int n = poll(&front, 1, LOOK_EVERY_MS);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			if (recv(fd, &asked, 1, 0) != 1 || !hand_over(fd, &files))
				return;
		} else if (have_changed(&files)) {
			let_stand_still(&files);
			if (!hand_over(fd, &files))
				return;
		}
	}
}

/* The folders of a file, and of what it is a link to. */
static size_t add_folders(const char *path, char (*names)[CONF_PATH_CAP], struct confine_folder *folders, size_t n)
{
	char target[PATH_MAX];

	confine_folder_of(path, names[n]);
	folders[n] = (struct confine_folder){names[n], false};
	n++;
	if (realpath(path, target) == NULL || strlen(target) >= CONF_PATH_CAP)
		return n;
	confine_folder_of(target, names[n]);
	folders[n] = (struct confine_folder){names[n], false};
	return n + 1;
}

static enum rc confine(const struct conf *conf, struct diag *diag)
{
	char names[4][CONF_PATH_CAP];
	struct confine_folder folders[4];
	bool files = false, calls = false;

	enum rc rc = confine_capabilities(diag);
	if (rc == RC_OK)
		rc = confine_process("", diag);
	if (rc != RC_OK || strcmp(conf->confinement, "on") != 0)
		return rc;
	size_t n = add_folders(conf->tls_certificate, names, folders, 0);
	n = add_folders(conf->tls_key, names, folders, n);
	rc = confine_files(folders, n, &files, diag);
	return rc == RC_OK ? confine_system_calls(CONFINE_READER, &calls, diag) : rc;
}

/* Whatever else the front has open is not ours: the pipe to the core must end when the front does. */
static void close_others(int fd)
{
	close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
	close_range((unsigned)fd + 1, UINT_MAX, 0);
}

static int reader_run(const struct conf *conf, int fd)
{
	static const int ignored[] = {SIGTERM, SIGINT, SIGHUP};
	struct diag diag = {""};

	prctl(PR_SET_NAME, "tc-pair", 0UL, 0UL, 0UL);
	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN); /* the front's business, with which it ends */
	close_others(fd);
	enum rc rc = confine(conf, &diag);
	if (rc == RC_OK)
		look(fd, conf);
	else
		log_error("the reader of the server's key cannot start: %s", diag.text);
	return rc_exit_code(rc);
}

/* ---- the front's end ---- */

enum rc pair_reader_start(const struct conf *conf, int *ret_fd, struct diag *diag)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return diag_set(diag, RC_IO, "cannot make the socket to the reader of the server's key: %s",
				strerror(errno));
	signal(SIGCHLD, SIG_IGN); /* nobody waits for it */
	pid_t pid = fork();
	if (pid < 0) {
		int err = errno;
		close(fds[0]);
		close(fds[1]);
		return diag_set(diag, RC_NOMEM, "cannot fork: %s", strerror(err));
	}
	if (pid == 0) {
		close(fds[0]);
		exit(reader_run(conf, fds[1]));
	}
	close(fds[1]);
	*ret_fd = fds[0];
	return RC_OK;
}

enum rc pair_reader_ask(int fd)
{
	static const uint8_t one = 1;

	return send(fd, &one, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 || errno == EAGAIN ? RC_OK : RC_IO;
}

static enum rc decode(const uint8_t *message, size_t len, struct server_pair *ret, struct diag *diag)
{
	struct reader r;

	reader_init(&r, message, len);
	unsigned result = read_u8(&r);
	if (r.failed || result >= RC_COUNT)
		return RC_MALFORMED;
	if (result != RC_OK)
		return diag_set(diag, (enum rc)result, "%.*s", (int)(len - 1), (const char *)message + 1);
	size_t certificate_len = read_u32(&r);
	const uint8_t *certificate = read_bytes(&r, certificate_len);
	size_t key_len = reader_left(&r);
	const uint8_t *key = read_bytes(&r, key_len);
	if (reader_end(&r) != RC_OK)
		return RC_MALFORMED;
	buffer_append(&ret->certificate, certificate, certificate_len);
	buffer_append(&ret->key, key, key_len);
	return ret->certificate.failed || ret->key.failed ? RC_NOMEM : RC_OK;
}

enum rc pair_reader_take(int fd, struct server_pair *ret, struct diag *diag)
{
	static uint8_t message[MESSAGE_CAP]; /* one thread; too large for a stack */
	ssize_t n;

	while ((n = recv(fd, message, sizeof message, 0)) < 0 && errno == EINTR)
		continue;
	if (n <= 0)
		return diag_set(diag, RC_STOPPING, "the reader of the server's key has ended");
	enum rc rc = decode(message, (size_t)n, ret, diag);
	explicit_bzero(message, (size_t)n);
	return rc;
}
