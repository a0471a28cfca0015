/* throughcare keys ca | cert | revoke: the certificate authority's commands. A client's certificate is checked by the
 * very function with which the daemon reads it (proto/route.h), so that what is issued is also accepted. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "proto/day.h"
#include "proto/route.h"
#include "tools/keys.h"
#include "tools/options.h"

enum { SECONDS_A_DAY = 86400, CLOCK_SKEW_S = 3600, MAX_URIS = 8, URI_CAP = 128 };

enum rc keys_issue_client(const struct authority *authority, const struct client_request *request, const char *prefix,
			  struct diag *diag)
{
	static const enum role roles[] = {ROLE_SUBMITTER, ROLE_ANALYST, ROLE_AUDITOR, ROLE_OPERATOR};
	static const uint8_t no_fingerprint[32];
	char text[MAX_URIS][URI_CAP];
	const char *uris[MAX_URIS];
	struct identity identity;
	size_t n = 0;

	if (strlen(request->client) >= sizeof identity.client ||
	    (request->source != NULL && strlen(request->source) >= sizeof identity.source))
		return diag_set(diag, RC_INVALID, "a client's or source's name is longer than %zu bytes",
				sizeof identity.client - 1);
	snprintf(text[n++], URI_CAP, "urn:throughcare:client:%s", request->client);
	for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
		if ((request->roles & roles[i]) != 0)
			snprintf(text[n++], URI_CAP, "urn:throughcare:role:%s", role_name(roles[i]));
	}
	if (request->source != NULL && request->source[0] != '\0')
		snprintf(text[n++], URI_CAP, "urn:throughcare:source:%s", request->source);
	for (size_t i = 0; i < n; i++)
		uris[i] = text[i];
	enum rc rc = identity_from_uris(uris, n, no_fingerprint, &identity, diag);
	if (rc != RC_OK)
		return rc;
	struct certificate_request r = {.common_name = request->client,
					.uris = uris,
					.n_uris = n,
					.not_before = request->not_before,
					.not_after = request->not_after,
					.csr_path = request->csr_path};
	return authority_issue(authority, &r, prefix, diag);
}

int keys_ca(int argc, char **argv)
{
	const char *name = "Throughcare authority";
	uint64_t days = KEYS_CA_DAYS;
	bool help = false;
	const struct option_row rows[] = {
		{"name", 'n', OPTION_TEXT, &name, .argument = "NAME", .help = "common name of the authority"},
		{"days", 0, OPTION_NUMBER, &days, .min = 1, .max = KEYS_MAX_DAYS, .argument = "N",
		 .help = "validity of the authority and of its revocation list"},
	};
	const struct option_table table = {.command = "throughcare keys ca",
					   .usage = "DIR [--name NAME] [--days N]",
					   .about = "Make a certificate authority in DIR: ca.crt, ca.key and an empty "
						    "revocation list, revoked.crl.",
					   .example = "throughcare keys ca ca --name 'Linkage unit of Example'",
					   OPTION_ROWS(rows),
					   .min_operands = 1,
					   .max_operands = 1};
	struct diag diag = {""};
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	if (mkdir(argv[at], 0700) != 0 && errno != EEXIST)
		rc = diag_set(&diag, RC_IO, "%s: %s", argv[at], strerror(errno));
	if (rc == RC_OK)
		rc = authority_create(argv[at], name, (uint32_t)days, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("authority in %s: ca.crt, ca.key, revoked.crl\n", argv[at]);
	return 0;
}

/* ---- cert ---------------------------------------------------------------------------------------------------- */

struct cert_options {
	const char *ca, *client, *source, *prefix, *not_before, *not_after, *csr;
	struct option_list roles, servers;
	uint64_t days;
};

/* From one hour ago for so many days, or as the two dates say: the first second of a day to the last. */
static enum rc choose_validity(const struct cert_options *o, int64_t *ret_from, int64_t *ret_to, struct diag *diag)
{
	int64_t now = (int64_t)time(NULL), from = now - CLOCK_SKEW_S, to = now + (int64_t)o->days * SECONDS_A_DAY;
	int32_t day;

	if (o->not_after != NULL) {
		if (day_parse(o->not_after, &day) != RC_OK)
			return diag_set(diag, RC_USAGE, "--not-after: expected a date, YYYY-MM-DD");
		to = (int64_t)day * SECONDS_A_DAY + SECONDS_A_DAY - 1;
		if (from > to)
			from = to - SECONDS_A_DAY;
	}
	if (o->not_before != NULL) {
		if (day_parse(o->not_before, &day) != RC_OK)
			return diag_set(diag, RC_USAGE, "--not-before: expected a date, YYYY-MM-DD");
		from = (int64_t)day * SECONDS_A_DAY;
		if (o->not_after == NULL)
			to = from + (int64_t)o->days * SECONDS_A_DAY;
	}
	if (from >= to)
		return diag_set(diag, RC_USAGE, "the validity would end before it begins");
	*ret_from = from;
	*ret_to = to;
	return RC_OK;
}

static enum rc issue_server(const struct authority *authority, const struct cert_options *o, int64_t from, int64_t to,
			    struct diag *diag)
{
	struct certificate_request r = {.common_name = o->servers.item[0],
					.hosts = o->servers.item,
					.n_hosts = o->servers.n,
					.not_before = from,
					.not_after = to,
					.csr_path = o->csr};

	if (o->client != NULL || o->roles.n > 0 || o->source != NULL)
		return diag_set(diag, RC_USAGE, "a certificate is either a server's or a client's");
	return authority_issue(authority, &r, o->prefix, diag);
}

static enum rc issue_client(const struct authority *authority, const struct cert_options *o, int64_t from, int64_t to,
			    struct diag *diag)
{
	struct client_request r = {
		.client = o->client, .source = o->source, .not_before = from, .not_after = to, .csr_path = o->csr};

	if (o->client == NULL)
		return diag_set(diag, RC_USAGE, "expected --client NAME or --server HOST");
	for (size_t i = 0; i < o->roles.n; i++) {
		unsigned role = role_parse(o->roles.item[i]);
		if (role == 0)
			return diag_set(diag, RC_USAGE,
					"--role: expected submitter, analyst, auditor or operator, not '%.40s'",
					o->roles.item[i]);
		r.roles |= role;
	}
	return keys_issue_client(authority, &r, o->prefix, diag);
}

static enum rc issue(const struct cert_options *o, struct diag *diag)
{
	struct authority *authority = NULL;
	int64_t from = 0, to = 0;

	enum rc rc = choose_validity(o, &from, &to, diag);
	if (rc == RC_OK)
		rc = authority_open(o->ca, &authority, diag);
	if (rc == RC_OK)
		rc = o->servers.n > 0 ? issue_server(authority, o, from, to, diag)
				      : issue_client(authority, o, from, to, diag);
	authority_close(authority);
	return rc;
}

int keys_cert(int argc, char **argv)
{
	struct cert_options o = {.days = KEYS_CERTIFICATE_DAYS};
	const struct option_row rows[] = {
		{"ca", 0, OPTION_TEXT, &o.ca, .argument = "DIR", .required = true, .help = "folder of the authority"},
		{"client", 'c', OPTION_TEXT, &o.client, .argument = "NAME",
		 .help = "opaque name of the client; no natural person's, since the audit log shows it"},
		{"role", 'r', OPTION_LIST, &o.roles, .argument = "ROLE",
		 .help = "submitter, analyst, auditor or operator; may be given again"},
		{"source", 's', OPTION_TEXT, &o.source, .argument = "SOURCE",
		 .help = "the study's source that a submitter sends for"},
		{"server", 0, OPTION_LIST, &o.servers, .argument = "HOST",
		 .help = "a server's certificate for this host name or address; may be given again"},
		{"days", 0, OPTION_NUMBER, &o.days, .min = 1, .max = KEYS_MAX_DAYS, .argument = "N",
		 .help = "validity"},
		{"not-before", 0, OPTION_TEXT, &o.not_before, .argument = "DATE", .help = "first day of validity"},
		{"not-after", 0, OPTION_TEXT, &o.not_after, .argument = "DATE", .help = "last day, instead of --days"},
		{"request", 0, OPTION_TEXT, &o.csr, .argument = "FILE",
		 .help = "certify the key of this certificate signing request (PEM), of which nothing else is taken"},
		{"output", 'o', OPTION_TEXT, &o.prefix, .argument = "PREFIX", .required = true,
		 .help = "writes PREFIX.crt and, without --request, PREFIX.key"},
	};
	const struct option_table table = {
		.command = "throughcare keys cert",
		.usage = "--ca DIR (--client NAME --role ROLE... | --server HOST...) -o PREFIX",
		.about = "Make a key and a certificate. Operator with analyst or auditor, and submitter with auditor, "
			 "are refused.",
		.example = "throughcare keys cert --ca ca --client prison-1 --role submitter --source prison -o "
			   "prison/client",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = issue(&o, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	if (o.csr != NULL)
		printf("certificate in %s.crt\n", o.prefix);
	else
		printf("certificate in %s.crt, its key in %s.key\n", o.prefix, o.prefix);
	return 0;
}

int keys_request(int argc, char **argv)
{
	const char *name = NULL, *prefix = NULL;
	const struct option_row rows[] = {
		{"client", 'c', OPTION_TEXT, &name, .argument = "NAME", .required = true,
		 .help = "opaque name of the client; the authority decides what the certificate says"},
		{"output", 'o', OPTION_TEXT, &prefix, .argument = "PREFIX", .required = true,
		 .help = "writes PREFIX.csr and PREFIX.key"},
	};
	const struct option_table table = {
		.command = "throughcare keys request",
		.usage = "--client NAME -o PREFIX",
		.about = "Make a client's key, which stays with it, and the request that goes to the authority.",
		.example = "throughcare keys request --client prison-1 -o client\n"
			   "throughcare keys cert --ca ca --request client.csr --client prison-1 --role submitter "
			   "--source prison -o client     (the authority)",
		OPTION_ROWS(rows)};
	struct diag diag = {""};
	bool help = false;
	int at = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = authority_make_request(name, prefix, &diag);
	if (rc != RC_OK)
		return keys_fail(rc, &diag);
	printf("request in %s.csr, its key in %s.key\n", prefix, prefix);
	return 0;
}

int keys_revoke(int argc, char **argv)
{
	const char *ca = NULL;
	const struct option_row rows[] = {
		{"ca", 0, OPTION_TEXT, &ca, .argument = "DIR", .required = true, .help = "folder of the authority"},
	};
	const struct option_table table = {
		.command = "throughcare keys revoke",
		.usage = "--ca DIR CERTIFICATE...",
		.about = "Enter certificates into the authority's revocation list. The daemon takes the new list on "
			 "SIGHUP.",
		.example = "throughcare keys revoke --ca ca prison/client.crt && systemctl reload throughcared",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = SIZE_MAX};
	struct authority *authority = NULL;
	struct diag diag = {""};
	bool help = false;
	int at = 0, is_new = 0;

	enum rc rc = options_parse(&table, argc, argv, &at, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	rc = authority_open(ca, &authority, &diag);
	for (; rc == RC_OK && at < argc; at++) {
		rc = authority_revoke(authority, argv[at], &is_new, &diag);
		if (rc == RC_OK)
			printf("%s: %s\n", argv[at], is_new ? "revoked" : "was revoked before");
	}
	authority_close(authority);
	return rc == RC_OK ? 0 : keys_fail(rc, &diag);
}
