/* throughcared: parse options, load the configuration, split into front and core, run both, reap.
 *
 * The fork comes before threads, before the store is opened and before any key is read, so that neither process ever
 * has a page of the other's. The parent is the core: it is the one that systemd stops, and the last to end. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/conf.h"
#include "daemon/base/confine.h"
#include "daemon/base/log.h"
#include "daemon/core/core.h"
#include "daemon/front/front.h"
#include "proto/rc.h"

enum { PIPE_SOCKET_BYTES = 1 << 20, REAP_S = 30 };

struct options {
	const char *conf_path, *port_file;
	bool check, check_store;
	struct restore_options restore;
};

static void print_help(FILE *out)
{
	fprintf(out, "Usage: throughcared -c FILE [--check | --check-store | --restore BACKUP [--accept-loss]]\n"
		     "The linkage unit's daemon. It runs in the foreground and logs to standard error.\n\n"
		     "  -c, --config FILE    configuration file\n"
		     "      --check          check configuration, keys, study and store, then exit\n"
		     "      --check-store    read all of the store, say what is lost of it, then exit; not while the daemon runs\n"
		     "      --restore BACKUP make the store, which must not be there, from a backup, then exit\n"
		     "      --accept-loss    restore although more was signed than the backup has; the log will say so\n"
		     "      --charged N:RHO  releases and millionths of rho charged by now, where that is known from others only\n"
		     "      --port-file FILE write the port that was bound to FILE (with listen: ADDRESS:0)\n"
		     "      --help-config    list the options of the configuration file\n"
		     "      --help           this text\n"
		     "      --version        version\n\n"
		     "SIGTERM drains and stops; SIGHUP reads the revocation list, the access file and the server's certificate and\n"
		     "key again, which are also read when they change.\n\n"
		     "Examples: throughcared -c keys/daemon/throughcared.yaml\n"
		     "          throughcared -c keys/daemon/throughcared.yaml --restore 20260131T020000Z-0000000512.backup\n");
}

static bool parse_charged(const char *text, struct ledger_mark *ret)
{
	int end = 0;
	bool ok = sscanf(text, "%9" SCNu32 ":%18" SCNu64 "%n", &ret->n_releases, &ret->rho_total_micro, &end) == 2;
	return ok && text[end] == '\0' && text[strspn(text, "0123456789:")] == '\0';
}

/* Ends the program for --help and the like, and for mistakes. */
static struct options parse_options(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 'k'},
		{"check-store", no_argument, NULL, 's'},
		{"restore", required_argument, NULL, 'r'},
		{"accept-loss", no_argument, NULL, 'a'},
		{"charged", required_argument, NULL, 'g'},
		{"port-file", required_argument, NULL, 'p'},
		{"help-config", no_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	struct options options = {0};

	for (int c; (c = getopt_long(argc, argv, "c:", long_options, NULL)) != -1;)
		switch (c) {
		case 'c':
			options.conf_path = optarg;
			break;
		case 'k':
			options.check = true;
			break;
		case 's':
			options.check_store = true;
			break;
		case 'r':
			options.restore.path = optarg;
			break;
		case 'a':
			options.restore.accept_loss = true;
			break;
		case 'g':
			options.restore.has_charged = true;
			if (!parse_charged(optarg, &options.restore.charged)) {
				fprintf(stderr, "throughcared: --charged: expected RELEASES:MILLIONTHS, such as 3:1500000\n");
				exit(rc_exit_code(RC_USAGE));
			}
			break;
		case 'p':
			options.port_file = optarg;
			break;
		case 'o':
			conf_print_help(stdout);
			exit(0);
		case 'h':
			print_help(stdout);
			exit(0);
		case 'v':
			printf("throughcared %s\n", TC_VERSION);
			exit(0);
		default:
			fprintf(stderr, "Try throughcared --help.\n");
			exit(rc_exit_code(RC_USAGE));
		}
	if (options.conf_path == NULL || optind != argc) {
		fprintf(stderr, "throughcared: expected -c FILE and nothing else. Try throughcared --help.\n");
		exit(rc_exit_code(RC_USAGE));
	}
	if ((options.restore.accept_loss || options.restore.has_charged) && options.restore.path == NULL) {
		fprintf(stderr, "throughcared: --accept-loss and --charged go with --restore. Try throughcared --help.\n");
		exit(rc_exit_code(RC_USAGE));
	}
	return options;
}

static struct conf load_configuration(const struct options *options)
{
	struct conf conf;
	struct diag diag = {""};

	enum rc rc = conf_load(options->conf_path, &conf, &diag);
	if (rc == RC_OK && options->port_file != NULL &&
	    (size_t)snprintf(conf.port_file, sizeof conf.port_file, "%s", options->port_file) >= sizeof conf.port_file)
		rc = diag_set(&diag, RC_USAGE, "--port-file: the path is too long");
	if (rc != RC_OK) {
		fprintf(stderr, "throughcared: %s\n", diag.text);
		exit(rc_exit_code(rc));
	}
	return conf;
}

static int check(const struct conf *conf)
{
	struct diag diag = {""};

	enum rc rc = front_check(conf, &diag);
	if (rc == RC_OK)
		rc = core_check(conf, &diag);
	if (rc != RC_OK) {
		fprintf(stderr, "throughcared: %s\n", diag.text[0] ? diag.text : rc_text(rc));
		return rc_exit_code(rc);
	}
	printf("configuration, keys, study and store are in order\n");
	return 0;
}

static int restore(const struct conf *conf, const struct restore_options *options)
{
	struct diag diag = {""};

	enum rc rc = core_restore(conf, options, &diag);
	if (rc != RC_OK)
		fprintf(stderr, "throughcared: %s\n", diag.text);
	return rc_exit_code(rc);
}

/* Start the front as our child. Returns its process and our end of the pipe; in the child it does not return. */
static pid_t start_front(const struct conf *conf, int *ret_pipe_fd)
{
	static const int bytes = PIPE_SOCKET_BYTES;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
		log_error("cannot make the pipe: %s", strerror(errno));
		exit(rc_exit_code(RC_IO));
	}
	for (int i = 0; i < 2; i++) /* as far as the system allows; less is only slower */
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
	pid_t pid = fork();
	if (pid < 0) {
		log_error("cannot fork: %s", strerror(errno));
		exit(rc_exit_code(RC_NOMEM));
	}
	if (pid == 0) {
		close(fds[0]);
		prctl(PR_SET_NAME, "tc-front", 0UL, 0UL, 0UL);
		exit(front_run(conf, fds[1]));
	}
	close(fds[1]);
	*ret_pipe_fd = fds[0];
	return pid;
}

static int run_core(const struct conf *conf, int pipe_fd)
{
	log_init_from("core", conf->log_level, conf->log);
	confine_raise_memlock();
	return core_run(conf, pipe_fd);
}

/* Wait for the front, which ends when its pipe does. One that hangs is killed. */
static int reap(pid_t pid)
{
	static const struct timespec pause = {0, 20 * 1000 * 1000};
	int status;

	for (int i = 0; i < REAP_S * 50; i++) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : rc_exit_code(RC_INTERNAL);
		if (got < 0 && errno != EINTR)
			return rc_exit_code(RC_INTERNAL);
		nanosleep(&pause, NULL);
	}
	log_error("the front did not end; killing it");
	kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	return rc_exit_code(RC_INTERNAL);
}

int main(int argc, char **argv)
{
	struct options options = parse_options(argc, argv);
	struct conf conf = load_configuration(&options);
	int pipe_fd = -1;

	if (options.check)
		return check(&conf);
	if (options.check_store)
		return rc_exit_code(core_check_store(&conf));
	if (options.restore.path != NULL)
		return restore(&conf, &options.restore);
	log_init_from("main", conf.log_level, conf.log);
	signal(SIGPIPE, SIG_IGN); /* a process that has gone shows as an error of write() */
	pid_t front = start_front(&conf, &pipe_fd);
	int core_status = run_core(&conf, pipe_fd);
	close(pipe_fd);
	int front_status = reap(front);
	/* A front that cannot start (a port that is taken, a key file that is not private) ends the core as well. */
	if (front_status == rc_exit_code(RC_CONFIG) || core_status == 0)
		return front_status;
	return core_status;
}
