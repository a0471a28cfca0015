/* The daemon's configuration: see conf.h. One sorted table is the only place that knows an option; reading, checking,
 * defaults and help all walk it, so that they cannot disagree. Nothing is guessed: an unknown option, a value out of
 * range or a host name where a number is needed is an error with its line. */
#include "daemon/base/conf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "proto/bytes.h"
#include "proto/day.h"
#include "proto/yaml_tree.h"

enum option_type {
	OPTION_PATH,
	OPTION_TEXT, /* printable, no space */
	OPTION_LISTEN,
	OPTION_U32,
	OPTION_SIZE, /* u64, with K, M, G or T (powers of 1024) */
	OPTION_CHOICE,
	OPTION_LOCK, /* bool: require | try */
	OPTION_DAY,
};

struct option {
	const char *name;
	enum option_type type;
	size_t offset, cap;       /* in struct conf */
	uint64_t min, max;        /* numbers */
	const char *choices;      /* "a | b" */
	const char *default_text; /* NULL = must be given */
	bool reloadable;
	const char *help;
};

#define FIELD(field) offsetof(struct conf, field), sizeof(((struct conf *)0)->field)
#define PATH(name, default_text, help)                                                                                 \
	{                                                                                                              \
#name, OPTION_PATH, FIELD(name), 0, 0, NULL, default_text, false, help                                 \
	}
#define TEXT(name, default_text, help)                                                                                 \
	{                                                                                                              \
#name, OPTION_TEXT, FIELD(name), 0, 0, NULL, default_text, false, help                                 \
	}
#define U32(name, min, max, default_text, help)                                                                        \
	{                                                                                                              \
#name, OPTION_U32, FIELD(name), min, max, NULL, default_text, false, help                              \
	}
#define SIZE(name, min, max, default_text, help)                                                                       \
	{                                                                                                              \
#name, OPTION_SIZE, FIELD(name), min, max, NULL, default_text, false, help                             \
	}
#define CHOICE(name, choices, default_text, help)                                                                      \
	{                                                                                                              \
#name, OPTION_CHOICE, FIELD(name), 0, 0, choices, default_text, false, help                            \
	}

enum { KI = 1 << 10, MI = 1 << 20 };
#define TI ((uint64_t)1 << 40)

/* clang-format off */
static const struct option options[] = {
	{"access_file", OPTION_PATH, FIELD(access_file), 0, 0, NULL, "", true,
	    "What single certificates, or those with a policy of another authority, may do: roles, source, tables, requests a "
	    "minute (YAML). Read again when it changes, and on SIGHUP. Left out: what certificates say themselves."},
	PATH(backup_directory, "",
	    "Folder for backups (throughcare admin backup), best on another disk; made when absent. Left out: no backups."),
	U32(backup_keep, 1, 10000, "7",
	    "Backups that are kept; older ones are removed after a new one. What was withdrawn lives on in them until then."),
	{"clock_confirmed", OPTION_DAY, FIELD(clock_confirmed), 0, 0, NULL, "", false,
	    "Day up to which somebody has made sure that the clock is right, such as 2026-05-31. Needed only when the daemon "
	    "warns that retention waits, because the clock ran away from the log."},
	SIZE(compare_step_pairs, MI, TI, "128G",
	    "Pairs of records compared between two durable slices of what was found: what a crash has to do again. The "
	    "larger, the faster a first load."),
	CHOICE(confinement, "on | off", "on",
	    "Whether each process gives up the files and system calls it does not need once it is up (Landlock, seccomp, "
	    "where the kernel has them); off only to look for a fault with a tracer."),
	U32(header_timeout_s, 1, 600, "10",
	    "Seconds a client has for the TLS handshake, and again for the whole head of a request, however it trickles."),
	U32(idle_timeout_s, 1, 3600, "60", "Seconds a connection may stay open between two requests."),
	CHOICE(link_kernel, "auto | scalar | avx2 | avx512", "auto",
	    "Comparison code to use; auto takes the widest that the processor has. All give the same result."),
	{"listen", OPTION_LISTEN, FIELD(listen_address), 0, 0, NULL, "127.0.0.1:8443", false,
	    "Address and port to serve on, numeric; port 0 takes any free one."},
	CHOICE(log, "text | json", "text",
	    "Form of the daemon's own log on standard error: lines for people, or a JSON object a line."),
	PATH(log_key, NULL, "Key that signs the audit log (throughcare keys log); mode 0600."),
	CHOICE(log_level, "error | warning | info | debug", "info", "How much goes to the daemon's own log."),
	TEXT(log_origin, NULL, "Name of the audit log in its checkpoints, such as linkage.example.org/log; never change it."),
	SIZE(max_body_bytes, KI, (uint64_t)1 << 30, "64M", "Largest body of one request, as sent."),
	U32(max_connections, 1, 100000, "512", "Connections open at once, of all clients together."),
	U32(max_connections_per_client, 1, 100000, "32", "Connections open at once of one client."),
	SIZE(max_inflight_bytes, KI, TI, "256M",
	    "Bodies being received at once, of all clients together; beyond it a request is answered 503 with Retry-After."),
	U32(max_pairs_per_record, 1, 10000, "256",
	    "Candidate pairs a record that a domain may have on average, beside a million; beyond it comparing stands still. "
	    "A pair takes some 100 bytes of memory while a release is made."),
	{"memory_lock", OPTION_LOCK, FIELD(memory_lock_required), 0, 0, "require | try", "try", false,
	    "Whether the daemon refuses to start when decrypted filters cannot be locked into memory."},
	U32(min_body_bytes_per_s, 1, 1U << 30, "4096",
	    "Slowest pace at which a client may send a body or take an answer; slower ones are cut off."),
	U32(publish_every_hours, 0, 24U * 366, "0",
	    "Hours between two publications; 0 publishes only when the operator says so."),
	PATH(seal_key, NULL, "Key that seals the store (throughcare keys seal); mode 0600."),
	TEXT(seal_key_token, "",
	    "PKCS#11 URI of the token's key under which seal_key is wrapped (throughcare keys seal --token), with module-path "
	    "and pin-source=file:PATH. Left out: seal_key is the key itself."),
	PATH(signer_state, "",
	    "File in which the log's signer keeps the size and root it last signed. Keep it outside the store, so that a "
	    "restored backup cannot fork the log. Left out: beside log_key."),
	PATH(store_directory, NULL, "Folder of the store; made when absent."),
	SIZE(store_map_bytes, (uint64_t)16 * MI, (uint64_t)64 * TI, "1T",
	    "Address space for the store, hence its largest size; costs nothing until used."),
	SIZE(store_min_free_bytes, 0, TI, "256M", "Free disk space that batches and candidate pairs leave."),
	PATH(study, NULL, "The study file."),
	PATH(test_release_secret, "",
	    "For tests: a file with a fixed release secret. Refused unless the study says synthetic: true."),
	PATH(tls_certificate, NULL, "Certificate of the server, PEM, with its chain."),
	{"tls_client_ca", OPTION_PATH, FIELD(tls_client_ca), 0, 0, NULL, NULL, true,
	    "Certificate authorities of the clients, PEM. Read again when it changes, and on SIGHUP; connections of clients whose "
	    "authority has gone end."},
	PATH(tls_key, NULL, "Key of the server certificate, PEM; mode 0600."),
	{"tls_revocation_list", OPTION_PATH, FIELD(tls_revocation_list), 0, 0, NULL, "", true,
	    "Revocation list of the clients' authority, PEM. Read again when it changes, and on SIGHUP; connections of revoked "
	    "clients end."},
	TEXT(user, "", "User to become once everything is open. Left out: no change."),
	PATH(witnesses, "",
	    "File with the public keys of the log's witnesses, one a line (throughcare keys witness). Left out: no "
	    "cosignatures are taken."),
	U32(worker_threads, 0, 256, "0",
	    "Threads for requests, comparison and publication; 0 takes the number of processors."),
};
/* clang-format on */
enum { N_OPTIONS = sizeof options / sizeof options[0] };

static const struct option *find_option(const char *name)
{
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (strcmp(options[i].name, name) == 0)
			return &options[i];
	return NULL;
}

/* ---- values: each setter returns NULL, or what was expected ---- */

static const char *parse_number(const char *text, uint64_t max, bool suffix, uint64_t *ret)
{
	uint64_t v = 0, unit = 1;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (v > (UINT64_MAX - 9) / 10)
			return "a smaller number";
		v = v * 10 + (uint64_t)(*at - '0');
	}
	if (at == text)
		return suffix ? "a number of bytes, such as 64M" : "a whole number";
	if (suffix && *at != '\0') {
		const char *units = "KMGT", *u = strchr(units, *at);
		if (u == NULL)
			return "a number of bytes, such as 64M";
		unit = (uint64_t)1 << (10 * (u - units + 1));
		at++;
	}
	if (*at != '\0')
		return suffix ? "a number of bytes, such as 64M" : "a whole number";
	if (v > max / unit)
		return "a smaller number";
	*ret = v * unit;
	return NULL;
}

static const char *set_listen(struct conf *conf, const char *text)
{
	static const char expected[] = "a numeric address and a port, such as 127.0.0.1:8443 or [::]:8443";
	const char *colon = strrchr(text, ':');
	char host[sizeof conf->listen_address];
	unsigned char address[sizeof(struct in6_addr)];
	uint64_t port;

	if (colon == NULL || parse_number(colon + 1, UINT16_MAX, false, &port) != NULL)
		return expected;
	bool v6 = text[0] == '[';
	size_t len = (size_t)(colon - text);
	if (v6) {
		if (len < 2 || text[len - 1] != ']')
			return expected;
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof host)
		return expected;
	memcpy(host, text, len);
	host[len] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, host, address) != 1)
		return expected;
	memcpy(conf->listen_address, host, len + 1);
	conf->listen_port = (uint16_t)port;
	return NULL;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	for (const char *at = choices; *at != '\0';) {
		size_t n = strcspn(at, " ");
		if (n == len && strncmp(at, text, n) == 0)
			return true;
		at += n;
		at += strspn(at, " |");
	}
	return false;
}

static const char *set_text(char *out, size_t cap, const char *text)
{
	if (strlen(text) >= cap)
		return "a shorter text";
	for (const char *at = text; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			return "printable characters without spaces";
	strcpy(out, text);
	return NULL;
}

/* Relative paths count from the configuration file's folder; credential:NAME is a file that systemd hands to the service
 * (LoadCredential=, LoadCredentialEncrypted=). */
static const char *set_path(char *out, size_t cap, const char *text, const char *folder)
{
	static const char credential[] = "credential:";
	if (strncmp(text, credential, sizeof credential - 1) == 0) {
		const char *name = text + sizeof credential - 1, *credentials = getenv("CREDENTIALS_DIRECTORY");
		if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, "..") == 0 || strcmp(name, ".") == 0)
			return "credential:NAME with a NAME without slashes";
		if (credentials == NULL || credentials[0] != '/')
			return "credential:NAME only where systemd gives credentials (LoadCredential=)";
		return (size_t)snprintf(out, cap, "%s/%s", credentials, name) >= cap ? "a shorter path" : NULL;
	}
	const char *base = text[0] == '\0' || text[0] == '/' ? "" : folder;

	if ((size_t)snprintf(out, cap, "%s%s", base, text) >= cap)
		return "a shorter path";
	return NULL;
}

static const char *set_option(struct conf *conf, const struct option *o, const char *text, const char *folder)
{
	char *field = (char *)conf + o->offset;
	uint64_t v = 0;
	const char *expected;

	switch (o->type) {
	case OPTION_PATH:
		return set_path(field, o->cap, text, folder);
	case OPTION_TEXT:
		return set_text(field, o->cap, text);
	case OPTION_LISTEN:
		return set_listen(conf, text);
	case OPTION_U32:
	case OPTION_SIZE:
		expected = parse_number(text, o->max, o->type == OPTION_SIZE, &v);
		if (expected != NULL)
			return expected;
		if (v < o->min)
			return "a larger number";
		if (o->type == OPTION_SIZE)
			memcpy(field, &v, sizeof v);
		else
			memcpy(field, &(uint32_t){(uint32_t)v}, sizeof(uint32_t));
		return NULL;
	case OPTION_CHOICE:
		if (!is_choice(o->choices, text))
			return o->choices;
		return set_text(field, o->cap, text);
	case OPTION_LOCK:
		if (!is_choice(o->choices, text))
			return o->choices;
		memcpy(field, &(bool){strcmp(text, "require") == 0}, sizeof(bool));
		return NULL;
	case OPTION_DAY:
		if (text[0] != '\0' && day_parse(text, &(int32_t){0}) != RC_OK)
			return "a day, such as 2026-05-31";
		return set_text(field, o->cap, text);
	}
	return "an option of a known type";
}

/* ---- reading ---- */

static enum rc read_file(const char *path, struct buffer *out, struct diag *diag)
{
	enum rc rc = RC_OK;
	struct stat st;
	char piece[8192];
	ssize_t n;

	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return diag_set(diag, RC_IO, "%s: cannot open the configuration file: %s", path, strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		rc = diag_set(diag, RC_IO, "%s: the configuration is not a regular file", path);
		goto out;
	}
	while ((n = read(fd, piece, sizeof piece)) > 0) {
		buffer_append(out, piece, (size_t)n);
		if (out->len > YAML_MAX_BYTES) {
			rc = diag_set(diag, RC_CONFIG, "%s: the configuration file is too large", path);
			goto out;
		}
	}
	if (n < 0 || out->failed)
		rc = diag_set(diag, RC_IO, "%s: cannot read the configuration file", path);
out:
	close(fd);
	return rc;
}

static enum rc config_error(const struct yaml_tree *tree, const struct yaml_node *node, struct diag *diag,
			    const char *expected)
{
	(void)yaml_error(tree, node, diag, "expected %s", expected);
	return RC_CONFIG;
}

/* "did you mean" for a misspelled option: the known name that shares the longest beginning, if that is a few letters.
 */
static const char *nearest_option(const char *name)
{
	const char *best = NULL;
	size_t best_len = 2;

	for (size_t i = 0; i < N_OPTIONS; i++) {
		size_t n = 0;
		while (name[n] != '\0' && name[n] == options[i].name[n])
			n++;
		if (n > best_len) {
			best = options[i].name;
			best_len = n;
		}
	}
	return best;
}

static enum rc read_options(const struct yaml_tree *tree, const char *folder, struct conf *conf, struct diag *diag)
{
	const struct yaml_node *root = yaml_tree_root(tree);

	if (root == NULL || root->kind != YAML_MAPPING)
		return config_error(tree, root, diag, "option: value lines");
	for (const struct yaml_node *node = root->first; node != NULL; node = node->next) {
		const struct option *o = find_option(node->key);
		if (o == NULL) {
			const char *near = nearest_option(node->key);
			(void)yaml_error(tree, node, diag, "there is no such option%s%s%s",
					 near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
			return RC_CONFIG;
		}
		if (node->kind != YAML_SCALAR)
			return config_error(tree, node, diag, "one value");
		const char *expected = set_option(conf, o, node->text, folder);
		if (expected != NULL)
			return config_error(tree, node, diag, expected);
	}
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (options[i].default_text == NULL) {
			const struct yaml_node *node = yaml_get(root, options[i].name);
			if (node == NULL || node->text_len == 0)
				return diag_set(diag, RC_CONFIG, "%s: %s must be given", yaml_tree_name(tree),
						options[i].name);
		}
	return RC_OK;
}

/* What no single option can say. */
static enum rc check_together(const char *name, const struct conf *conf, struct diag *diag)
{
	if (conf->max_connections_per_client > conf->max_connections)
		return diag_set(diag, RC_CONFIG, "%s: max_connections_per_client is above max_connections", name);
	if (conf->max_inflight_bytes < conf->max_body_bytes)
		return diag_set(diag, RC_CONFIG, "%s: max_inflight_bytes is below max_body_bytes", name);
	return RC_OK;
}

enum rc conf_load(const char *path, struct conf *ret, struct diag *diag)
{
	struct conf conf = {0};
	struct buffer text;
	struct yaml_tree *tree = NULL;
	char folder[CONF_PATH_CAP];
	const char *slash = strrchr(path, '/');
	size_t folder_len = slash ? (size_t)(slash - path) + 1 : 0;

	if (folder_len >= sizeof folder)
		return diag_set(diag, RC_CONFIG, "the path of the configuration file is too long");
	memcpy(folder, path, folder_len);
	folder[folder_len] = '\0';

	buffer_init(&text);
	enum rc rc = read_file(path, &text, diag);
	if (rc != RC_OK)
		goto out;
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (options[i].default_text != NULL)
			(void)set_option(&conf, &options[i], options[i].default_text, folder);
	rc = yaml_tree_parse(path, (const char *)text.data, text.len, &tree, diag);
	if (rc != RC_OK) {
		rc = RC_CONFIG;
		goto out;
	}
	rc = read_options(tree, folder, &conf, diag);
	if (rc == RC_OK)
		rc = check_together(path, &conf, diag);
	if (rc == RC_OK)
		*ret = conf;
out:
	yaml_tree_free(tree);
	buffer_deinit(&text);
	return rc;
}

/* ---- help ---- */

size_t conf_n_options(void)
{
	return N_OPTIONS;
}

static const char *form_of(const struct option *o)
{
	switch (o->type) {
	case OPTION_PATH:
		return "PATH";
	case OPTION_TEXT:
		return "TEXT";
	case OPTION_LISTEN:
		return "ADDRESS:PORT";
	case OPTION_U32:
		return "NUMBER";
	case OPTION_SIZE:
		return "SIZE";
	case OPTION_CHOICE:
	case OPTION_LOCK:
		return o->choices;
	case OPTION_DAY:
		return "DAY";
	}
	return "?";
}

struct conf_option conf_option(size_t i)
{
	const struct option *o = &options[i];
	return (struct conf_option){o->name, form_of(o), o->default_text, o->reloadable, o->help};
}

bool conf_option_value(const struct conf *conf, size_t i, char out[CONF_VALUE_CAP])
{
	const struct option *o = &options[i];
	const char *field = (const char *)conf + o->offset;
	uint64_t v = 0;
	uint32_t v32 = 0;
	bool required = false;

	switch (o->type) {
	case OPTION_U32:
		memcpy(&v32, field, sizeof v32);
		snprintf(out, CONF_VALUE_CAP, "%" PRIu32, v32);
		return true;
	case OPTION_SIZE:
		memcpy(&v, field, sizeof v);
		snprintf(out, CONF_VALUE_CAP, "%" PRIu64, v);
		return true;
	case OPTION_CHOICE:
		snprintf(out, CONF_VALUE_CAP, "%s", field);
		return true;
	case OPTION_LOCK:
		memcpy(&required, field, sizeof required);
		snprintf(out, CONF_VALUE_CAP, "%s", required ? "require" : "try");
		return true;
	case OPTION_DAY:
		snprintf(out, CONF_VALUE_CAP, "%s", field);
		return field[0] != '\0';
	default:
		return false;
	}
}

/* Text broken at spaces, each line behind eight columns. */
static void print_wrapped(FILE *out, const char *text)
{
	enum { WIDTH = 92 };

	while (*text != '\0') {
		size_t n = strlen(text);
		if (n > WIDTH) {
			n = WIDTH;
			while (n > 0 && text[n] != ' ')
				n--;
		}
		fprintf(out, "        %.*s\n", (int)n, text);
		text += n;
		while (*text == ' ')
			text++;
	}
}

void conf_print_help(FILE *out)
{
	fprintf(out, "Options of the configuration file, one \"option: value\" a line (YAML).\n"
		     "Relative PATHs count from the file's folder; a SIZE may end in K, M, G or T.\n\n");
	for (size_t i = 0; i < N_OPTIONS; i++) {
		struct conf_option o = conf_option(i);
		fprintf(out, "%s: %s", o.name, o.form);
		if (o.default_text == NULL)
			fprintf(out, "    (must be given)");
		else if (o.default_text[0] != '\0')
			fprintf(out, "    (default %s)", o.default_text);
		fprintf(out, "%s\n", o.reloadable ? "    (read again on SIGHUP)" : "");
		print_wrapped(out, o.help);
	}
}
