/* Configuration of throughcared: one YAML file. One sorted table of options gives name, type, default and help; the man
 * page and `throughcared --help-config` print it, and a test fails when an option lacks its text. */
#ifndef DAEMON_BASE_CONF_H
#define DAEMON_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/rc.h"

enum { CONF_PATH_CAP = 1024 };

struct conf {
	/* front */
	char listen_address[64]; /* listen: "127.0.0.1:8443", "[::]:8443"; port 0 = any */
	uint16_t listen_port;
	char tls_certificate[CONF_PATH_CAP], tls_key[CONF_PATH_CAP], tls_client_ca[CONF_PATH_CAP];
	char tls_revocation_list[CONF_PATH_CAP]; /* "" = none */
	char access_file[CONF_PATH_CAP];         /* "" = none: certificates may do what they say themselves */
	uint32_t max_connections, max_connections_per_client;
	uint32_t header_timeout_s, idle_timeout_s;
	uint32_t min_body_bytes_per_s;
	uint64_t max_body_bytes;     /* of one request, as sent */
	uint64_t max_inflight_bytes; /* of all request bodies being received */
	/* core */
	char study[CONF_PATH_CAP];
	char store_directory[CONF_PATH_CAP];
	uint64_t store_map_bytes;      /* LMDB map; large by default, 1 GiB in tests */
	uint64_t store_min_free_bytes; /* refuse batches below this much free disk */
	char backup_directory[CONF_PATH_CAP]; /* "" = no backups */
	uint32_t backup_keep;                 /* newest backups kept */
	char seal_key[CONF_PATH_CAP], log_key[CONF_PATH_CAP];
	char seal_key_token[1024]; /* PKCS#11 URI of the key that opens seal_key; "" = none */
	char signer_state[CONF_PATH_CAP]; /* outside the store directory; "" = beside log_key */
	char log_origin[128];
	char witnesses[CONF_PATH_CAP]; /* "" = none */
	uint32_t worker_threads;                 /* 0 = number of processors */
	char link_kernel[16];                    /* auto, scalar, avx2, avx512 */
	uint64_t compare_step_pairs;             /* between two durable slices */
	uint32_t max_pairs_per_record;           /* bounds the candidate pairs of a domain */
	char clock_confirmed[11];                /* "2026-05-31": the clock is right up to then; "" = nobody says */
	bool memory_lock_required;               /* memory_lock: require | try */
	uint32_t publish_every_hours;            /* 0 = only by the operator */
	char test_release_secret[CONF_PATH_CAP]; /* only with a study that says synthetic: true */
	/* both */
	char user[64];       /* drop privileges to; "" = stay */
	char confinement[4]; /* on, off: seccomp and Landlock, beside the privileges that are always dropped */
	char log[8];         /* text, json */
	char log_level[8];   /* error, warning, info, debug */
	/* not in the file: --port-file, where the front writes the port it got ("" = nowhere) */
	char port_file[CONF_PATH_CAP];
};

/* Read and check a configuration file. Relative paths are taken from the file's folder. Errors: CONFIG, IO; diag has
 * file, line, option and what was expected. */
enum rc conf_load(const char *path, struct conf *ret, struct diag *diag) MUST_CHECK;

/* One option as people see it. */
struct conf_option {
	const char *name;
	const char *form;         /* what a value looks like: "PATH", "SIZE", "require | try" */
	const char *default_text; /* NULL = the option must be given */
	bool reloadable;          /* read again on SIGHUP */
	const char *help;
};
size_t conf_n_options(void);
struct conf_option conf_option(size_t i); /* i < conf_n_options(), sorted by name */
/* What option i stands at, as the file would say it, where that is a number or a choice. False for paths, names and
 * addresses, which are nobody's business but the operator's. */
enum { CONF_VALUE_CAP = 24 };
bool conf_option_value(const struct conf *conf, size_t i, char out[CONF_VALUE_CAP]);
/* All options with form, default and help, for --help-config. */
void conf_print_help(FILE *out);

#endif
