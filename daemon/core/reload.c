/* Reloading: see reload.h.
 *
 * Order. Authorities and revocation lists are in force first and logged afterwards: waiting for a disk would let in who
 * should be out; whom new authorities let in is not answered before (renewals.c). An access file, which may let
 * somebody in, is logged first and in force afterwards. */
#include "daemon/core/reload.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"
#include "daemon/base/renewal.h"
#include "daemon/core/renewals.h"
#include "proto/access.h"
#include "proto/yaml_tree.h"

struct reload {
	struct core *core;
	void (*send)(void *ctx, enum pipe_type type, const void *data, size_t len);
	void *ctx;
	struct watched_file files[RENEWAL_FILE_COUNT]; /* the server's pair is another process's: no path */
	unsigned n_trusted_due; /* messages of the front that say which authorities are in force */
	int64_t list_again_ms;  /* 0 = the log has taken all that the revocation list names */
};

enum { LATER_MS = 2000 };

/* ---- the access file ---- */

/* Errors: INVALID, and then what is wrong with the file; others are not the file's fault. */
static enum rc parse_access(struct core *core, struct watched_file *file, struct buffer *text, struct access **ret,
			    enum renewal_fault *ret_fault, struct diag *diag)
{
	enum rc rc = watched_read(file, text, diag);

	*ret_fault = rc == RC_INVALID ? RENEWAL_UNREADABLE : RENEWAL_GOOD;
	if (rc != RC_OK)
		return rc;
	rc = access_parse(file->path, (const char *)text->data, text->len, core->study, ret, diag);
	if (rc == RC_OK || rc == RC_NOMEM)
		return rc;
	*ret_fault = RENEWAL_MALFORMED;
	return RC_INVALID;
}

static struct watched_file access_watched(const struct core *core)
{
	return (struct watched_file){.path = core->conf->access_file, .max_bytes = YAML_MAX_BYTES};
}

enum rc reload_check_access(struct core *core, struct diag *diag)
{
	struct watched_file file = access_watched(core);
	struct access *access = NULL;
	enum renewal_fault fault;
	struct buffer text;

	if (file.path[0] == '\0')
		return RC_OK;
	buffer_init(&text);
	enum rc rc = parse_access(core, &file, &text, &access, &fault, diag);
	access_free(access);
	buffer_deinit(&text);
	return rc == RC_OK || rc == RC_NOMEM ? rc : RC_CONFIG;
}

/* What is to be logged of a change. */
struct change {
	struct core *core;
	struct entry_draft *drafts;
	size_t n, cap;
};

static enum rc add_draft(struct change *change, enum entry_kind kind, json_t *fields)
{
	if (fields == NULL)
		return RC_NOMEM;
	if (change->n == change->cap) {
		size_t cap = change->cap == 0 ? 16 : 2 * change->cap;
		struct entry_draft *grown = reallocarray(change->drafts, cap, sizeof *grown);
		if (grown == NULL) {
			json_decref(fields);
			return RC_NOMEM;
		}
		change->drafts = grown;
		change->cap = cap;
	}
	change->drafts[change->n++] = (struct entry_draft){kind, fields};
	return RC_OK;
}

/* Unless making them failed with `rc`: log the drafts in one transaction, then let the summary of the log know. NULL:
 * they take the last room. */
static enum rc log_change(struct change *change, enum rc rc, const struct store_reserve *leave)
{
	struct core *core = change->core;

	if (rc == RC_OK && change->n > 0)
		rc = core_log_entries(core, change->drafts, change->n, leave);
	pthread_mutex_lock(&core->lock);
	for (size_t i = 0; i < change->n && rc == RC_OK; i++)
		rc = history_replay(&core->history, 0, change->drafts[i].kind, 0, change->drafts[i].fields);
	pthread_mutex_unlock(&core->lock);
	for (size_t i = 0; i < change->n; i++)
		json_decref(change->drafts[i].fields);
	free(change->drafts);
	return rc;
}

static enum rc compare_rule(struct change *change, const struct access_rule *rule)
{
	uint8_t digest[32];
	const struct certificate_rule *before =
		certificates_find(&change->core->history.certificates, rule->fingerprint);
	json_t *fields = access_rule_json(rule);

	enum rc rc = fields == NULL ? RC_NOMEM : certificates_rule_digest(fields, digest);
	if (rc != RC_OK || (before != NULL && memcmp(before->digest, digest, sizeof digest) == 0)) {
		json_decref(fields);
		return rc;
	}
	if (json_object_set_new(fields, "change", json_string(before == NULL ? "added" : "changed")) != 0) {
		json_decref(fields);
		return RC_NOMEM;
	}
	return add_draft(change, ENTRY_CERTIFICATE, fields);
}

static enum rc compare_removed(struct change *change, const struct access *access)
{
	const struct certificates *known = &change->core->history.certificates;
	enum rc rc = RC_OK;

	for (size_t i = 0; i < known->n_rules && rc == RC_OK; i++) {
		const struct certificate_rule *before = &known->rules[i];
		char fingerprint[65];
		if (access_find_rule(access, before->key) != NULL)
			continue;
		hex_encode(before->key, sizeof before->key, fingerprint);
		bool is_policy = before->oid[0] != '\0';
		rc = add_draft(change, ENTRY_CERTIFICATE,
			       json_pack("{s:s, s:s}", "change", "removed", is_policy ? "policy" : "fp",
					 is_policy ? before->oid : fingerprint));
	}
	return rc;
}

/* Log what another access file changes. */
static enum rc log_access(struct core *core, const struct access *access, const void *text, size_t len)
{
	struct change change = {.core = core};
	uint8_t digest[32];
	char hex[65];
	enum rc rc = RC_OK;

	sha256(text, len, digest);
	if (memcmp(digest, core->history.access_digest, sizeof digest) == 0)
		return RC_OK;
	hex_encode(digest, sizeof digest, hex);
	for (size_t i = 0; i < access->n_rules && rc == RC_OK; i++)
		rc = compare_rule(&change, &access->rules[i]);
	for (size_t i = 0; i < access->n_policies && rc == RC_OK; i++)
		rc = compare_rule(&change, &access->policies[i]);
	if (rc == RC_OK)
		rc = compare_removed(&change, access);
	if (rc == RC_OK)
		rc = add_draft(&change, ENTRY_ACCESS,
			       json_pack("{s:s, s:I, s:I, s:s}", "digest", hex, "certificates",
					 (json_int_t)access->n_rules, "policies", (json_int_t)access->n_policies,
					 "other_certificates", access->refuse_others ? "refuse" : "as-certified"));
	return log_change(&change, rc, NULL);
}

/* No access file is the same as an empty one; that there was one before is logged. */
static enum rc log_no_access(struct core *core)
{
	static const struct access none;
	static const uint8_t zero[32];

	if (memcmp(core->history.access_digest, zero, sizeof zero) == 0)
		return RC_OK;
	return log_access(core, &none, "", 0);
}

static void renew_access(struct reload *reload)
{
	struct access *access = NULL;
	enum renewal_fault fault;
	struct buffer text;
	struct diag diag = {""};

	buffer_init(&text);
	struct watched_file *file = &reload->files[RENEWAL_ACCESS];
	enum rc rc = parse_access(reload->core, file, &text, &access, &fault, &diag);
	if (rc == RC_OK)
		rc = log_access(reload->core, access, text.data, text.len);
	watched_result(file, rc);
	if (rc == RC_OK) {
		reload->send(reload->ctx, PIPE_ACCESS, text.data, text.len);
		renewals_good(reload->core, RENEWAL_ACCESS);
	} else {
		log_error("access file: %s; the one before stays in force",
			  diag.text[0] != '\0' ? diag.text : rc_text(rc));
	}
	if (rc == RC_INVALID && fault != RENEWAL_GOOD)
		renewals_refuse(reload->core, RENEWAL_ACCESS, fault, fault == RENEWAL_MALFORMED ? &text : NULL);
	access_free(access);
	buffer_deinit(&text);
}

/* ---- the clients' authorities and their revocation lists ---- */

/* The front judges what is in it. */
static void send_file(struct reload *reload, enum renewal_file which, enum pipe_type type, const char *what)
{
	struct watched_file *file = &reload->files[which];
	struct buffer pem;
	struct diag diag = {""};

	buffer_init(&pem);
	enum rc rc = watched_read(file, &pem, &diag);
	watched_result(file, rc);
	if (rc == RC_OK && pem.len > 0) {
		log_info("%s: read again", what);
		reload->send(reload->ctx, type, pem.data, pem.len);
		reload->n_trusted_due += which == RENEWAL_AUTHORITIES;
	} else {
		log_error("%s: %s; the one before stays in force", what,
			  diag.text[0] != '\0' ? diag.text : "it is empty");
		if (rc == RC_OK)
			renewals_refuse(reload->core, which, RENEWAL_MALFORMED, &pem);
		else if (rc == RC_INVALID)
			renewals_refuse(reload->core, which, RENEWAL_UNREADABLE, NULL);
	}
	buffer_deinit(&pem);
}

static void send_authorities(struct reload *reload)
{
	send_file(reload, RENEWAL_AUTHORITIES, PIPE_AUTHORITIES, "clients' authorities");
}

static void send_revoked(struct reload *reload)
{
	send_file(reload, RENEWAL_REVOCATIONS, PIPE_REVOKED, "revocation list");
}

enum rc reload_trusted(struct reload *reload, const struct pipe_trusted *trusted)
{
	const struct pipe_trusted *before = &reload->core->renewals.trusted;

	if (reload->n_trusted_due == 0)
		return RC_PROTOCOL;
	reload->n_trusted_due--;
	bool are_others =
		before->n != 0 && (before->n != trusted->n || memcmp(before->authorities, trusted->authorities,
								     trusted->n * sizeof trusted->authorities[0]) != 0);
	renewals_trusted(reload->core, trusted);
	/* The list of a new authority may have been there before it: only now can anything be made of it. */
	if (are_others && reload->files[RENEWAL_REVOCATIONS].path[0] != '\0')
		send_revoked(reload);
	return RC_OK;
}

void reload_renewed(struct reload *reload, const struct pipe_renewed *renewed)
{
	if (renewed->file == RENEWAL_AUTHORITIES && reload->n_trusted_due > 0)
		reload->n_trusted_due--;
	if (renewed->fault == RENEWAL_LATER)
		watched_result(&reload->files[renewed->file], RC_NOMEM);
	else
		renewals_take(reload->core, renewed);
}

void reload_listed(struct reload *reload, const struct pipe_listed *listed)
{
	struct core *core = reload->core;
	const struct store_reserve leave = core_entry_reserve(core);
	struct change change = {.core = core};
	char authority[65], serial[2 * PIPE_SERIAL_CAP + 1];
	enum rc rc = RC_OK;

	hex_encode(listed->authority, sizeof listed->authority, authority);
	for (size_t i = 0; i < listed->n && rc == RC_OK; i++) {
		const struct pipe_serial *s = &listed->serials[i];
		if (certificates_is_revoked(&core->history.certificates, listed->authority, s->bytes, s->len))
			continue;
		hex_encode(s->bytes, s->len, serial);
		rc = add_draft(
			&change, ENTRY_CERTIFICATE,
			json_pack("{s:s, s:s, s:s}", "change", "revoked", "authority", authority, "serial", serial));
	}
	rc = log_change(&change, rc, &leave);
	if (rc != RC_OK) {
		log_error("revoked certificates cannot be logged yet: %s", rc_text(rc));
		reload->list_again_ms = monotonic_ms() + LATER_MS;
	}
}

/* ---- all ---- */

enum rc reload_new(struct core *core, void (*send)(void *ctx, enum pipe_type type, const void *data, size_t len),
		   void *ctx, struct reload **ret)
{
	struct reload *reload = calloc(1, sizeof *reload);

	if (reload == NULL)
		return RC_NOMEM;
	reload->core = core;
	reload->send = send;
	reload->ctx = ctx;
	reload->n_trusted_due = 1; /* what the front started with */
	for (int i = 0; i < RENEWAL_FILE_COUNT; i++)
		reload->files[i] = (struct watched_file){.path = "", .max_bytes = PIPE_MAX_FILE};
	reload->files[RENEWAL_AUTHORITIES].path = core->conf->tls_client_ca;
	reload->files[RENEWAL_REVOCATIONS].path = core->conf->tls_revocation_list;
	reload->files[RENEWAL_ACCESS] = access_watched(core);
	enum rc rc = core->conf->access_file[0] == '\0' ? log_no_access(core) : RC_OK;
	if (rc != RC_OK) {
		free(reload);
		return rc;
	}
	*ret = reload;
	return RC_OK;
}

void reload_free(struct reload *reload)
{
	free(reload);
}

static void run_one(struct reload *reload, enum renewal_file file, bool asked, void (*renew)(struct reload *reload))
{
	if (reload->files[file].path[0] != '\0' && (asked || watched_has_changed(&reload->files[file])))
		renew(reload);
}

void reload_run(struct reload *reload, bool asked)
{
	/* A list comes after its authority. */
	run_one(reload, RENEWAL_AUTHORITIES, asked, send_authorities);
	run_one(reload, RENEWAL_REVOCATIONS, asked, send_revoked);
	run_one(reload, RENEWAL_ACCESS, asked, renew_access);
	if (reload->list_again_ms != 0 && monotonic_ms() >= reload->list_again_ms) {
		reload->list_again_ms = 0;
		reload->send(reload->ctx, PIPE_LIST_AGAIN, NULL, 0);
	}
	renewals_run(reload->core);
}
