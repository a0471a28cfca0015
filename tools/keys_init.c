/* throughcare keys init: the whole key set of docs/protocol.md for one study, ready to run.
 *
 * It is made in a folder beside the wanted one and renamed at the end, so that there is a whole key set or none. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "keys/linkage_secret.h"
#include "proto/bytes.h"
#include "proto/route.h"
#include "proto/study.h"
#include "proto/tlog.h"
#include "tools/keys.h"
#include "tools/options.h"
#include "tools/whole_file.h"

struct init {
	const char *folder, *study_path, *listen, *origin;
	struct option_list hosts;
	uint64_t days;
	char work[PATH_MAX]; /* where the set is made */
	char default_origin[TLOG_ORIGIN_CAP];
	struct buffer text; /* of the study */
	struct study *study;
	struct authority *authority;
	char key_check[STUDY_MAX_DOMAINS][2 * LINKAGE_KEY_CHECK_LEN + 1];
};

static enum rc path_in(const struct init *init, char out[PATH_MAX], const char *a, const char *b, const char *c,
		       struct diag *diag)
{
	if (snprintf(out, PATH_MAX, "%s/%s%s%s", init->work, a, b, c) >= PATH_MAX)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", init->folder);
	return RC_OK;
}

static enum rc make_folder(const struct init *init, const char *name, struct diag *diag)
{
	char path[PATH_MAX];

	enum rc rc = path_in(init, path, name, "", "", diag);
	if (rc == RC_OK && mkdir(path, 0700) != 0)
		rc = diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	return rc;
}

/* Sources get folders of their own beside these. */
static const char *const fixed_names[] = {"ca", "daemon", "custodians", "analyst", "auditor", "operator"};

static enum rc check_names(const struct init *init, struct diag *diag)
{
	for (unsigned i = 0; i < init->study->n_sources; i++) {
		for (size_t j = 0; j < sizeof fixed_names / sizeof fixed_names[0]; j++) {
			if (strcmp(init->study->sources[i].name, fixed_names[j]) == 0)
				return diag_set(
					diag, RC_CONFLICT,
					"%s: a source named '%s' would share a folder of the key set; make its keys "
					"with 'throughcare keys cert'",
					init->study_path, fixed_names[j]);
		}
	}
	return RC_OK;
}

/* Absent or empty: nothing is ever overwritten. */
static enum rc check_folder(const char *folder, struct diag *diag)
{
	DIR *dir = opendir(folder);
	int n = 0;

	if (dir == NULL)
		return errno == ENOENT ? RC_OK : diag_set(diag, RC_IO, "%s: %s", folder, strerror(errno));
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(dir);
	return n == 0 ? RC_OK : diag_set(diag, RC_CONFLICT, "%s: is there already and is not overwritten", folder);
}

/* ---- study --------------------------------------------------------------------------------------------------- */

static enum rc make_linkage_secrets(struct init *init, struct diag *diag)
{
	uint8_t check[LINKAGE_KEY_CHECK_LEN];
	char path[PATH_MAX];
	enum rc rc = RC_OK;

	for (unsigned i = 0; rc == RC_OK && i < init->study->n_domains; i++) {
		const struct study_domain *domain = &init->study->domains[i];
		if (domain->has_key_check)
			fprintf(stderr,
				"throughcare keys: domain '%s' was pinned to another linkage secret; the copy is "
				"pinned to a new one\n",
				domain->name);
		rc = path_in(init, path, "custodians/", domain->name, ".secret", diag);
		if (rc == RC_OK)
			rc = keys_make_linkage(path, domain->name, check, diag);
		if (rc == RC_OK)
			hex_encode(check, sizeof check, init->key_check[i]);
	}
	return rc;
}

/* The domain whose key check stands first at or after `from` in the file; -1 when there is none. */
static int next_domain(const struct study *study, size_t from)
{
	int best = -1;

	for (int i = 0; i < study->n_domains; i++) {
		size_t at = study->domains[i].key_check_offset;
		if (at >= from && study->domains[i].key_check_length > 0 &&
		    (best < 0 || at < study->domains[best].key_check_offset))
			best = i;
	}
	return best;
}

/* The pinned text must say what was meant: parse it again and look. */
static enum rc check_pinned(const struct init *init, const struct buffer *pinned, struct diag *diag)
{
	struct study *study = NULL;
	char hex[2 * LINKAGE_KEY_CHECK_LEN + 1];

	enum rc rc = study_parse(init->study_path, (const char *)pinned->data, pinned->len, &study, diag);
	if (rc != RC_OK)
		return rc;
	for (unsigned i = 0; rc == RC_OK && i < study->n_domains; i++) {
		hex_encode(study->domains[i].key_check, sizeof study->domains[i].key_check, hex);
		if (!study->domains[i].has_key_check || strcmp(hex, init->key_check[i]) != 0)
			rc = diag_set(diag, RC_INTERNAL, "%s: the key check of domain '%s' could not be pinned",
				      init->study_path, study->domains[i].name);
	}
	study_free(study);
	return rc;
}

/* Copy the study with the key check of every domain in its place; every other byte, comments included, stays. */
static enum rc write_study(const struct init *init, struct diag *diag)
{
	struct buffer pinned;
	char path[PATH_MAX];
	size_t done = 0;

	enum rc rc = path_in(init, path, "study.yaml", "", "", diag);
	if (rc != RC_OK)
		return rc;
	buffer_init(&pinned);
	for (int i; (i = next_domain(init->study, done)) >= 0;) {
		const struct study_domain *domain = &init->study->domains[i];
		if (domain->key_check_offset + domain->key_check_length > init->text.len)
			break;
		buffer_append(&pinned, init->text.data + done, domain->key_check_offset - done);
		buffer_append(&pinned, init->key_check[i], strlen(init->key_check[i]));
		done = domain->key_check_offset + domain->key_check_length;
	}
	buffer_append(&pinned, init->text.data + done, init->text.len - done);
	rc = pinned.failed ? RC_NOMEM : check_pinned(init, &pinned, diag);
	if (rc == RC_OK)
		rc = whole_file_create(path, pinned.data, pinned.len, diag);
	buffer_deinit(&pinned);
	return rc;
}

/* ---- certificates -------------------------------------------------------------------------------------------- */

static enum rc make_client(const struct init *init, const char *name, unsigned role, const char *source,
			   struct diag *diag)
{
	int64_t now = (int64_t)time(NULL);
	struct client_request request = {.client = name,
					 .source = source,
					 .roles = role,
					 .not_before = now - 3600,
					 .not_after = now + (int64_t)init->days * 86400};
	char prefix[PATH_MAX];

	enum rc rc = make_folder(init, name, diag);
	if (rc == RC_OK)
		rc = path_in(init, prefix, name, "/client", "", diag);
	return rc == RC_OK ? keys_issue_client(init->authority, &request, prefix, diag) : rc;
}

static enum rc make_server(const struct init *init, struct diag *diag)
{
	int64_t now = (int64_t)time(NULL);
	const char *hosts[3 + OPTION_LIST_MAX] = {"localhost", "127.0.0.1", "::1"};
	struct certificate_request request = {.common_name = "throughcared",
					      .hosts = hosts,
					      .n_hosts = 3,
					      .not_before = now - 3600,
					      .not_after = now + (int64_t)init->days * 86400};
	char prefix[PATH_MAX];

	for (size_t i = 0; i < init->hosts.n; i++)
		hosts[request.n_hosts++] = init->hosts.item[i];
	enum rc rc = path_in(init, prefix, "daemon/tls", "", "", diag);
	return rc == RC_OK ? authority_issue(init->authority, &request, prefix, diag) : rc;
}

static enum rc make_certificates(struct init *init, struct diag *diag)
{
	char path[PATH_MAX], name[STUDY_NAME_CAP + 32];

	enum rc rc = path_in(init, path, "ca", "", "", diag);
	snprintf(name, sizeof name, "Throughcare authority of %s", init->study->name);
	if (rc == RC_OK)
		rc = authority_create(path, name, KEYS_CA_DAYS, diag);
	if (rc == RC_OK)
		rc = authority_open(path, &init->authority, diag);
	if (rc == RC_OK)
		rc = make_server(init, diag);
	if (rc == RC_OK)
		rc = make_client(init, "analyst", ROLE_ANALYST, NULL, diag);
	if (rc == RC_OK)
		rc = make_client(init, "auditor", ROLE_AUDITOR, NULL, diag);
	if (rc == RC_OK)
		rc = make_client(init, "operator", ROLE_OPERATOR, NULL, diag);
	for (unsigned i = 0; rc == RC_OK && i < init->study->n_sources; i++) {
		const char *source = init->study->sources[i].name;
		rc = make_client(init, source, ROLE_SUBMITTER, source, diag);
		if (rc == RC_OK)
			rc = path_in(init, path, source, "/record.key", "", diag);
		if (rc == RC_OK)
			rc = keys_make_file(path, "record", diag);
	}
	return rc;
}

/* ---- daemon -------------------------------------------------------------------------------------------------- */

static enum rc write_configuration(const struct init *init, struct diag *diag)
{
	struct buffer text;
	char path[PATH_MAX];

	buffer_init(&text);
	buffer_printf(&text,
		      "# Configuration of throughcared for study %s, made by `throughcare keys init`.\n"
		      "# Paths are taken from this file's folder. `throughcared --help-config` explains every option.\n"
		      "listen: \"%s\"\n"
		      "tls_certificate: tls.crt\n"
		      "tls_key: tls.key\n"
		      "tls_client_ca: ../ca/ca.crt\n"
		      "tls_revocation_list: ../ca/revoked.crl\n"
		      "study: ../study.yaml\n"
		      "store_directory: store\n"
		      "seal_key: seal.key\n"
		      "log_key: log.key\n"
		      "signer_state: log.key.state\n"
		      "log_origin: \"%s\"\n",
		      init->study->name, init->listen, init->origin);
	enum rc rc = text.failed ? RC_NOMEM : path_in(init, path, "daemon/throughcared.yaml", "", "", diag);
	if (rc == RC_OK)
		rc = whole_file_create(path, text.data, text.len, diag);
	buffer_deinit(&text);
	return rc;
}

static enum rc make_daemon_keys(const struct init *init, struct diag *diag)
{
	char path[PATH_MAX], vkey[TLOG_VKEY_CAP + 1];

	enum rc rc = path_in(init, path, "daemon/seal.key", "", "", diag);
	if (rc == RC_OK)
		rc = keys_make_file(path, "seal", diag);
	if (rc == RC_OK)
		rc = path_in(init, path, "daemon/log.key", "", "", diag);
	if (rc == RC_OK)
		rc = keys_make_log(path, init->origin, vkey, TLOG_VKEY_CAP, diag);
	if (rc == RC_OK)
		rc = path_in(init, path, "log.vkey", "", "", diag);
	if (rc == RC_OK) {
		strcat(vkey, "\n");
		rc = whole_file_create(path, vkey, strlen(vkey), diag);
	}
	return rc == RC_OK ? write_configuration(init, diag) : rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static enum rc make_set(struct init *init, struct diag *diag)
{
	static const char *const folders[] = {"ca", "daemon", "custodians"};
	enum rc rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < sizeof folders / sizeof folders[0]; i++)
		rc = make_folder(init, folders[i], diag);
	if (rc == RC_OK)
		rc = make_linkage_secrets(init, diag);
	if (rc == RC_OK)
		rc = write_study(init, diag);
	if (rc == RC_OK)
		rc = make_certificates(init, diag);
	if (rc == RC_OK)
		rc = make_daemon_keys(init, diag);
	if (rc == RC_OK && rename(init->work, init->folder) != 0)
		rc = diag_set(diag, RC_IO, "%s: %s", init->folder, strerror(errno));
	return rc;
}

static enum rc check_listen(const char *listen, struct diag *diag)
{
	/* The daemon checks it in full; here only that it stays one YAML string. */
	if (listen[0] == '\0' || strpbrk(listen, "\"\\\n\r\t ") != NULL)
		return diag_set(diag, RC_USAGE, "--listen: expected ADDRESS:PORT");
	return RC_OK;
}

static enum rc prepare(struct init *init, struct diag *diag)
{
	size_t len = strlen(init->folder);

	while (len > 1 && init->folder[len - 1] == '/')
		len--;
	enum rc rc = check_listen(init->listen, diag);
	if (rc == RC_OK)
		rc = check_folder(init->folder, diag);
	if (rc == RC_OK)
		rc = keys_read_study(init->study_path, &init->text, &init->study, diag);
	if (rc == RC_OK)
		rc = check_names(init, diag);
	if (rc != RC_OK)
		return rc;
	if (init->origin == NULL) {
		snprintf(init->default_origin, sizeof init->default_origin, "localhost/%s", init->study->name);
		init->origin = init->default_origin;
	}
	if (tlog_name_check(init->origin) != RC_OK || strpbrk(init->origin, "\"\\") != NULL)
		return diag_set(diag, RC_USAGE, "--origin: expected a name without spaces, quotes and plus signs");
	if (snprintf(init->work, sizeof init->work, "%.*s.new-XXXXXX", (int)len, init->folder) >= PATH_MAX)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", init->folder);
	if (mkdtemp(init->work) == NULL) {
		rc = diag_set(diag, RC_IO, "%s: %s", init->folder, strerror(errno));
		init->work[0] = '\0';
	}
	return rc;
}

static void report(const struct init *init)
{
	printf("key set of study '%s' in %s\n"
	       "  study.yaml                 the study with its key checks pinned: for everyone\n"
	       "  log.vkey                   the audit log's public key: for everyone\n"
	       "  custodians/                linkage secrets: for custodians only\n"
	       "  daemon/throughcared.yaml   configuration of the daemon, ready to run\n"
	       "  ",
	       init->study->name, init->folder);
	for (unsigned i = 0; i < init->study->n_sources; i++)
		printf("%s/ ", init->study->sources[i].name);
	printf("analyst/ auditor/ operator/   client certificates\n");
}

int keys_init(int argc, char **argv)
{
	struct init init = {.listen = "127.0.0.1:8443", .days = KEYS_CERTIFICATE_DAYS};
	const struct option_row rows[] = {
		{"study", 's', OPTION_TEXT, &init.study_path, .argument = "FILE", .required = true,
		 .help = "the study"},
		{"host", 0, OPTION_LIST, &init.hosts, .argument = "NAME",
		 .help = "further host name or address of the server; localhost is always in; may be given again"},
		{"listen", 0, OPTION_TEXT, &init.listen, .argument = "ADDRESS:PORT",
		 .help = "where the daemon will listen; port 0 takes any free one"},
		{"origin", 0, OPTION_TEXT, &init.origin, .argument = "NAME",
		 .help = "the audit log's name; left out: localhost/ and the study's name"},
		{"days", 0, OPTION_NUMBER, &init.days, .min = 1, .max = KEYS_CA_DAYS, .argument = "N",
		 .help = "validity of the certificates"},
	};
	const struct option_table table = {
		.command = "throughcare keys init",
		.usage = "DIR --study FILE [OPTION]...",
		.about = "Make a whole key set for development and trials: authority, certificates for the daemon, an "
			 "analyst, an\n"
			 "auditor, an operator and every source of the study, linkage secrets, sealing key, log key "
			 "and a\n"
			 "configuration. In production each party makes its own part with the other keys commands.",
		.example = "throughcare keys init keys --study deploy/study-two-registers.yaml\n"
			   "throughcared -c keys/daemon/throughcared.yaml",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	init.folder = argv[at];
	buffer_init(&init.text);
	rc = prepare(&init, &diag);
	if (rc == RC_OK)
		rc = make_set(&init, &diag);
	if (rc == RC_OK)
		report(&init);
	else if (init.work[0] != '\0')
		nftw(init.work, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	authority_close(init.authority);
	study_free(init.study);
	buffer_deinit(&init.text);
	return rc == RC_OK ? 0 : keys_fail(rc, &diag);
}
