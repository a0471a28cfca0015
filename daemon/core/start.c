/* The checks of a start; start.h says which. The log is the truth: what disagrees with it is refused. */
#include "daemon/core/start.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/key_statements.h"
#include "daemon/core/ledger_mark.h"
#include "daemon/core/publish.h"
#include "daemon/core/rotation.h"
#include "proto/json.h"

enum { MAX_SUCCESSIONS = 200 };

/* ---- batches ---- */

struct counting {
	struct core *core;
	struct diag *diag;
	uint64_t n_batches, n_records;
};

static enum rc count_batch(void *ctx, const struct batch_record *record)
{
	struct counting *c = ctx;
	struct core *core = c->core;
	int source = study_find_source(core->study, record->source);
	if (source < 0)
		return diag_set(c->diag, RC_CONFIG, "study: source %s is not in it, but the store holds its records",
				record->source);
	const struct study_domain *domain = &core->study->domains[core->study->sources[source].domain];
	if (memcmp(record->encoding_id, domain->encoding_id, sizeof record->encoding_id) != 0)
		return diag_set(c->diag, RC_CONFIG,
				"study: the encoding part of domain %s (schema, filters, events, dimensions) "
				"differs from that of records in the store; such a study needs a store of its own",
				domain->name);
	core->volumes[source].n_batches++;
	core->volumes[source].n_records += record->n_records;
	c->n_batches++;
	c->n_records += record->n_records;
	return RC_OK;
}

static enum rc check_batches(struct core *core, struct txn *txn, struct diag *diag)
{
	struct counting c = {.core = core, .diag = diag};
	uint64_t sequences;
	enum rc rc = batches_each(txn, count_batch, &c);
	if (rc == RC_OK)
		rc = batches_count(txn, &sequences);
	if (rc != RC_OK)
		return rc;
	if (c.n_batches != core->history.n_batches || c.n_records != core->history.n_records ||
	    sequences != c.n_batches)
		return diag_set(diag, RC_DAMAGED, "the store's batches are not those in its log");
	core->n_batches = c.n_batches;
	core->n_records = c.n_records;
	return RC_OK;
}

/* ---- ledger and releases ---- */

static enum rc check_ledger(struct core *core, struct txn *txn, struct diag *diag)
{
	struct store_key key;
	struct buffer stored;
	struct reader r;
	uint64_t total = 0;
	uint32_t n = 0;
	buffer_init(&stored);
	ledger_key(&key);
	enum rc rc = store_get(txn, &key, &stored);
	if (rc == RC_OK) {
		reader_init(&r, stored.data, stored.len);
		total = read_u64(&r);
		n = read_u32(&r);
		rc = reader_end(&r) == RC_OK ? RC_OK : RC_DAMAGED;
	} else if (rc == RC_NOTFOUND) {
		rc = RC_OK;
	}
	buffer_deinit(&stored);
	if (rc == RC_OK && (total != core->history.rho_total_micro || n != core->history.n_releases))
		return diag_set(diag, RC_DAMAGED,
				"the ledger says %" PRIu64 " millionths of rho over %" PRIu32
				" releases, the log adds up to %" PRIu64 " over %" PRIu32,
				total, n, core->history.rho_total_micro, core->history.n_releases);
	return rc;
}

/* A mark that is one release ahead is of a start that was cut short between the mark and its charge: nothing was
 * published. More than that was charged to another store than this one. */
static enum rc check_mark(const struct core *core, struct diag *diag)
{
	struct ledger_mark mark;
	const uint32_t n = core->history.n_releases;
	if (ledger_mark_read(core->conf, &mark) != RC_OK || mark.n_releases <= n) /* raise_mark() makes it anew */
		return RC_OK;
	if (mark.n_releases - n > 1)
		return diag_set(diag, RC_FORK,
				"the mark of the ledger beside the signer's state says that %" PRIu32
				" releases were charged, the log has %" PRIu32
				": the store is an older copy, or the mark is another unit's",
				mark.n_releases, n);
	log_warning("the mark of the ledger says that release %" PRIu32
		    " was charged, the log does not have it: the store is an older copy, unless the start of that "
		    "release was cut short",
		    mark.n_releases);
	return RC_OK;
}

static enum rc check_releases(struct core *core, struct txn *txn, struct diag *diag)
{
	struct buffer body;
	struct store_key key;
	uint8_t digest[32];
	enum rc rc = RC_OK;
	buffer_init(&body);
	for (uint32_t i = 0; i < core->history.n_releases && rc == RC_OK; i++) {
		const struct release_info *info = &core->history.releases[i];
		if (!info->released || info->lost)
			continue;
		buffer_reset(&body);
		release_key(&key, info->number);
		rc = store_get(txn, &key, &body);
		if (rc == RC_OK)
			sha256(body.data, body.len, digest);
		if (rc == RC_NOTFOUND || (rc == RC_OK && memcmp(digest, info->digest, sizeof digest) != 0))
			rc = diag_set(diag, RC_DAMAGED, "release %" PRIu32 " in the store is not the one in the log",
				      info->number);
	}
	buffer_deinit(&body);
	return rc;
}

/* A study is told from another one by its name: a release of one is no release before those of another. */
static enum rc check_name(const struct core *core, struct txn *txn, struct diag *diag)
{
	uint32_t last = history_readable_before(&core->history, UINT32_MAX);
	json_t *body = NULL;
	if (last == 0)
		return RC_OK;
	enum rc rc = release_body_load(txn, last, &body);
	const char *name = json_string_value(json_object_get(body, "study"));
	if (rc == RC_OK && name == NULL)
		rc = RC_DAMAGED;
	if (rc == RC_OK && strcmp(name, core->study->name) != 0)
		rc = diag_set(diag, RC_CONFIG,
			      "study: its name is %s, but release %" PRIu32
			      " was published as %s; a study keeps its name, another one needs a store of its own",
			      core->study->name, last, name);
	json_decref(body);
	return rc;
}

/* What a change of study may not do: finish a release whose charge was computed under other tables and noise, or turn
 * the noise off for records that came in under a study of real persons. */
static enum rc check_study(const struct core *core, struct diag *diag)
{
	const struct release_info *last = history_last(&core->history);
	char digest[65];
	if (last != NULL && !last->released &&
	    memcmp(last->study_digest, core->study->digest, sizeof last->study_digest) != 0) {
		hex_encode(last->study_digest, sizeof last->study_digest, digest);
		return diag_set(diag, RC_CONFIG,
				"study: release %" PRIu32 " was started and charged under the study with the digest "
				"%.16s… and is not finished; start with that study until it is published",
				last->number, digest);
	}
	if (core->study->synthetic && core->history.has_real_study && core->n_batches > 0)
		return diag_set(diag, RC_CONFIG,
				"study: it says synthetic, but the store holds records of a study that did not; such a "
				"study needs a store of its own");
	return RC_OK;
}

enum rc start_check(struct core *core, struct diag *diag)
{
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = check_batches(core, txn, diag);
	if (rc == RC_OK)
		rc = check_ledger(core, txn, diag);
	if (rc == RC_OK)
		rc = check_mark(core, diag);
	if (rc == RC_OK)
		rc = check_releases(core, txn, diag);
	if (rc == RC_OK)
		rc = check_name(core, txn, diag);
	if (rc == RC_OK)
		rc = check_study(core, diag);
	txn_abort(txn);
	if (rc != RC_OK && diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "the store cannot be checked: %s", rc_text(rc));
	return rc;
}

/* ---- entries ---- */

static enum rc log_fields(struct core *core, enum entry_kind kind, json_t *fields)
{
	enum rc rc = fields == NULL ? RC_NOMEM : core_log_entry(core, kind, NULL, fields);
	json_decref(fields);
	return rc;
}

/* A crash between the signer's taking up a new key and its entry left the entry out; a store that was restored from a
 * backup of before one or more rotations has lost them all. */
struct succession_job {
	struct write_job job; /* first: cast back from it */
	struct core *core;
	struct log_succession_entry entry;
};

static enum rc succession_apply(struct write_job *job, struct txn *txn)
{
	struct succession_job *s = (struct succession_job *)job;
	buffer_reset(&s->entry.note);
	return log_succession_append(s->core, txn, NULL, &s->entry);
}

static enum rc log_succession(struct core *core, struct diag *diag)
{
	struct succession_job s = {.job = {.apply = succession_apply}, .core = core};
	buffer_init(&s.entry.note);
	enum rc rc = write_queue_call(core->writes, &s.job);
	if (rc == RC_OK)
		rc = log_succession_committed(core, &s.entry);
	else if (rc == RC_KEY)
		diag_set(diag, rc, "log_key is not the key that the log names as its own, nor one that follows it");
	buffer_deinit(&s.entry.note);
	return rc;
}

/* Does one key after the other, from the one that the log names, lead to this one? */
static bool leads_to(const struct core *core, const char *vkey)
{
	const struct tlog_vkey *old = log_signer_old_vkey(core->signer);
	struct tlog_vkey at, next = {.name = ""}, end;
	struct buffer note;
	bool found = false, more = tlog_vkey_parse(core->history.log_key, &at) == RC_OK && tlog_vkey_parse(vkey, &end) == RC_OK;
	for (int i = 0; more && !found && i < MAX_SUCCESSIONS; i++) {
		buffer_init(&note);
		found = tlog_vkey_equal(&at, &end) || (old != NULL && tlog_vkey_equal(&at, old));
		more = key_statements_find(core->conf, &at, &note, &next) == RC_OK;
		at = next;
		buffer_deinit(&note);
	}
	return found;
}

static enum rc log_successions(struct core *core, const char *vkey, struct diag *diag)
{
	enum rc rc = RC_OK;
	if (!leads_to(core, vkey))
		return diag_set(diag, RC_KEY,
				"log_key is not the key that the log names as its own, nor one that follows it");
	for (int i = 0; rc == RC_OK && strcmp(vkey, core->history.log_key) != 0 && i < MAX_SUCCESSIONS; i++)
		rc = log_succession(core, diag);
	return rc;
}

/* What the log itself says of its keys is kept beside the signer's state as well. */
static enum rc keep_statements(const struct core *core)
{
	enum rc rc = RC_OK;
	for (size_t i = 0; i < core->history.n_successions && rc == RC_OK; i++) {
		const char *note = core->history.successions[i].note;
		rc = key_statements_keep(core->conf, note, strlen(note));
	}
	return rc;
}

static enum rc log_keys(struct core *core, struct diag *diag)
{
	char vkey[TLOG_VKEY_CAP];
	const struct tlog_vkey *key = log_signer_vkey(core->signer);
	enum rc rc = tlog_vkey_format(key->name, key->public_key, vkey, sizeof vkey);
	if (rc != RC_OK || strcmp(vkey, core->history.log_key) == 0)
		return rc;
	if (core->history.log_key[0] != '\0')
		return log_successions(core, vkey, diag);
	rc = log_fields(core, ENTRY_KEYS, json_pack("{s:s, s:s}", "key", "log", "public", vkey));
	pthread_mutex_lock(&core->lock);
	if (rc == RC_OK)
		snprintf(core->history.log_key, sizeof core->history.log_key, "%s", vkey);
	pthread_mutex_unlock(&core->lock);
	return rc;
}

static enum rc log_study(struct core *core, const char *digest)
{
	const struct study *study = core->study;
	if (memcmp(study->digest, core->history.study_digest, sizeof study->digest) == 0)
		return RC_OK;
	json_t *fields = json_pack("{s:s, s:s, s:I, s:b}", "name", study->name, "digest", digest, "rho_limit_micro",
				   (json_int_t)study->disclosure.rho_limit_micro, "synthetic", study->synthetic);
	if (fields != NULL && study->witnesses.needed > 0 &&
	    json_object_set_new(fields, "witnesses", witness_rule_json(&study->witnesses)) != 0) {
		json_decref(fields);
		return RC_NOMEM;
	}
	json_t *witnesses = fields == NULL ? NULL : json_incref(json_object_get(fields, "witnesses"));
	enum rc rc = log_fields(core, ENTRY_STUDY, fields);
	pthread_mutex_lock(&core->lock);
	if (rc == RC_OK)
		rc = witness_history_add(&core->history.witnesses, witnesses, audit_log_now(core->log));
	pthread_mutex_unlock(&core->lock);
	json_decref(witnesses);
	return rc;
}

/* Digest of the settings that matter to what the log promises; paths and addresses are nobody's business. */
static enum rc config_digest(const struct core *core, char hex[65])
{
	uint8_t digest[32];
	const struct conf *conf = core->conf;
	json_t *settings =
		json_pack("{s:s, s:s, s:b, s:I, s:b}", "log_origin", conf->log_origin, "link_kernel", conf->link_kernel,
			  "memory_lock_required", conf->memory_lock_required, "publish_every_hours",
			  (json_int_t)conf->publish_every_hours, "injected_secret", core->test_secret != NULL);
	enum rc rc = settings == NULL ? RC_NOMEM : json_digest("throughcare configuration v1", settings, digest);
	json_decref(settings);
	if (rc == RC_OK)
		hex_encode(digest, sizeof digest, hex);
	return rc;
}

/* The settings that are numbers and choices, as they stand. */
static json_t *options_json(const struct conf *conf)
{
	char value[CONF_VALUE_CAP];
	json_t *options = json_object();
	for (size_t i = 0; i < conf_n_options() && options != NULL; i++) {
		if (conf_option_value(conf, i, value) &&
		    json_object_set_new(options, conf_option(i).name, json_string(value)) != 0) {
			json_decref(options);
			options = NULL;
		}
	}
	return options;
}

/* What stands otherwise than at the last start. An option that this version or the last does not know has one side. */
static enum rc log_config(struct core *core, json_t *now)
{
	json_t *before = core->history.options, *changed = json_object();
	const char *name;
	json_t *value;
	bool ok = changed != NULL;
	json_object_foreach(now, name, value)
	{
		json_t *was = json_object_get(before, name);
		if (was == NULL || !json_equal(was, value))
			ok = ok && json_object_set_new(changed, name,
						       was == NULL ? json_pack("{s:O}", "to", value)
								   : json_pack("{s:O, s:O}", "from", was, "to",
									       value)) == 0;
	}
	json_object_foreach(before, name, value)
	{
		if (json_object_get(now, name) == NULL)
			ok = ok && json_object_set_new(changed, name, json_pack("{s:O}", "from", value)) == 0;
	}
	enum rc rc = ok ? RC_OK : RC_NOMEM;
	if (rc == RC_OK && before != NULL && json_object_size(changed) > 0)
		rc = log_fields(core, ENTRY_CONFIG, json_pack("{s:O}", "changed", changed));
	json_decref(changed);
	return rc;
}

/* A crash between a release's entry and the destruction of its secret left the secret behind. */
static enum rc destroy_old_secrets(struct core *core)
{
	uint8_t secret[32];
	pthread_mutex_lock(&core->lock);
	const struct release_info *last = history_last_released(&core->history);
	uint32_t n = last == NULL ? 0 : last->number;
	pthread_mutex_unlock(&core->lock);
	enum rc rc = RC_OK;
	for (uint32_t number = 1; number <= n && rc == RC_OK; number++) {
		rc = store_secret_get(core->store, number, secret);
		if (rc != RC_NOTFOUND)
			rc = store_secret_destroy(core->store, number);
		else
			rc = RC_OK;
	}
	explicit_bzero(secret, sizeof secret);
	return rc;
}

/* A crash between a withdrawal's commit and the destruction of the old keys left the keys behind. */
static enum rc destroy_replaced(struct write_job *job, struct txn *txn)
{
	return store_destroy_replaced(txn);
}

/* The mark of the ledger is made when it is not there, or cannot be read. */
static enum rc raise_mark(const struct core *core)
{
	const struct ledger_mark mark = {core->history.n_releases, core->history.rho_total_micro};
	return ledger_mark_raise(core->conf, &mark);
}

enum rc start_log(struct core *core, struct diag *diag)
{
	char study_digest[65], conf_digest[65];
	struct write_job destroy = {.apply = destroy_replaced};
	hex_encode(core->study->digest, 32, study_digest);
	enum rc rc = raise_mark(core);
	if (rc == RC_OK)
		rc = config_digest(core, conf_digest);
	if (rc == RC_OK)
		rc = log_keys(core, diag);
	if (rc == RC_OK)
		rc = keep_statements(core);
	if (rc == RC_OK)
		rc = log_study(core, study_digest);
	json_t *options = options_json(core->conf);
	if (rc == RC_OK)
		rc = options == NULL ? RC_NOMEM : log_config(core, options);
	if (rc == RC_OK)
		rc = log_fields(core, ENTRY_START,
				json_pack("{s:s, s:s, s:s, s:O}", "version", TC_VERSION, "study_digest", study_digest,
					  "config_digest", conf_digest, "options", options));
	json_decref(options);
	if (rc == RC_OK)
		rc = destroy_old_secrets(core);
	if (rc == RC_OK)
		rc = write_queue_call(core->writes, &destroy);
	if (rc != RC_OK && diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "the start cannot be logged: %s", rc_text(rc));
	return rc;
}
