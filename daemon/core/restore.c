/* throughcared --restore: a store from a backup, while no daemon runs.
 *
 * Order: restore → check everything in it → compare with what was signed, and with the mark of what was charged → where
 * that is less, and only if the operator said so: write an entry `restore` into the log that names the loss, and the
 * ledger with what was charged since → wind the signer back to that entry. Invariants: a signer is never wound back
 * before the entry that tells of it is durable, nor to in front of it, so that a log cannot lose entries without saying
 * so, however often it is restored; cut short anywhere, what is there does not start. What was withdrawn after the
 * backup is withdrawn again by the next start (withdrawn_again.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/confine.h"
#include "daemon/core/backups.h"
#include "daemon/core/core.h"
#include "daemon/core/history.h"
#include "daemon/core/ledger_mark.h"
#include "daemon/core/publish.h"
#include "daemon/core/withdrawn_again.h"
#include "daemon/store/backup.h"
#include "keys/log_key.h"

struct restore {
	const struct conf *conf;
	struct seal *seal;
	struct log_signer *signer;
	struct backup_facts facts;
	uint64_t signed_size;
	struct tlog_hash signed_root;
	struct ledger_mark ledger, mark; /* of the backup; of the unit, read or stated */
	enum rc mark_rc;                 /* of reading it */
	uint64_t logged_size;            /* with the entry that tells of the loss */
	struct tlog_hash logged_root;
	uint32_t n_lost_releases;
	uint64_t n_withdrawn_again;
	enum rc withdrawn_rc; /* of finding that out */
	struct diag *diag;
};

/* ---- the loss ---- */

static json_t *loss_fields(const struct restore *r, const struct ledger_mark *ledger)
{
	char root[65], lost_root[65];
	hex_encode(r->facts.log_root.b, TLOG_HASH_LEN, root);
	hex_encode(r->signed_root.b, TLOG_HASH_LEN, lost_root);
	return json_pack("{s:I, s:s, s:I, s:s, s:I, s:I}", "entries", (json_int_t)r->facts.log_size, "root", root,
			 "signed_entries", (json_int_t)r->signed_size, "signed_root", lost_root, "releases",
			 (json_int_t)ledger->n_releases, "rho_total_micro", (json_int_t)ledger->rho_total_micro);
}

static bool lost_entries(const struct restore *r)
{
	return r->signed_size > r->facts.log_size;
}

/* A mark that says more of no more releases is of a start that was cut short before its number was charged again. */
static bool lost_releases(const struct restore *r)
{
	return r->mark.n_releases > r->ledger.n_releases;
}

static enum rc write_loss(const struct restore *r, struct store *store, struct audit_log *log)
{
	struct ledger_mark ledger = r->ledger;
	struct txn *txn = NULL;
	if (lost_releases(r))
		ledger = ledger_mark_higher(&ledger, &r->mark);
	json_t *fields = loss_fields(r, &ledger);
	enum rc rc = fields == NULL ? RC_NOMEM : txn_begin_write(store, &txn);
	if (rc == RC_OK)
		rc = audit_log_append(log, txn, ENTRY_RESTORE, NULL, fields, NULL);
	if (rc == RC_OK)
		rc = ledger_write(txn, ledger.n_releases, ledger.rho_total_micro);
	if (rc == RC_OK)
		rc = txn_commit(&txn);
	txn_abort(txn);
	json_decref(fields);
	return rc;
}

static enum rc log_loss(struct restore *r)
{
	struct store_options options = {.directory = r->conf->store_directory, .map_bytes = r->conf->store_map_bytes};
	struct store *store = NULL;
	struct audit_log *log = NULL;
	enum rc rc = store_open(&options, r->seal, &store, r->diag);
	if (rc == RC_OK)
		rc = audit_log_open(store, NULL, NULL, NULL, &log, r->diag);
	if (rc == RC_OK)
		rc = write_loss(r, store, log);
	if (rc == RC_OK)
		rc = audit_log_look(store, NULL, NULL, &r->logged_size, &r->logged_root, r->diag);
	audit_log_free(log);
	store_close(store);
	return rc;
}

/* ---- what was signed and charged ---- */

/* What the log adds up to; with the signer, after the daemon's own comparison at its start. */
static enum rc open_log(struct restore *r, struct log_signer *signer)
{
	struct store_options options = {.directory = r->conf->store_directory, .map_bytes = r->conf->store_map_bytes};
	struct store *store = NULL;
	struct audit_log *log = NULL;
	struct history history;
	history_init(&history);
	enum rc rc = store_open(&options, r->seal, &store, r->diag);
	if (rc == RC_OK)
		rc = audit_log_open(store, signer, history_replay_text, &history, &log, r->diag);
	if (rc == RC_OK) {
		r->ledger = (struct ledger_mark){history.n_releases, history.rho_total_micro};
		r->withdrawn_rc = withdrawn_again_count(r->conf, store, &r->n_withdrawn_again);
	}
	audit_log_free(log);
	store_close(store);
	history_deinit(&history);
	return rc;
}

/* What the operator states, from what others saw: never less than what this unit knows itself, and not more for the
 * same releases, since a release is charged once. */
static enum rc take_stated(struct restore *r, const struct ledger_mark *stated)
{
	struct ledger_mark least = ledger_mark_higher(&r->mark, &r->ledger);
	if (least.n_releases > stated->n_releases || least.rho_total_micro > stated->rho_total_micro)
		return diag_set(r->diag, RC_FORK,
				"--charged: the mark of the ledger or the log of the backup says more, %" PRIu32
				":%" PRIu64,
				least.n_releases, least.rho_total_micro);
	if (r->ledger.n_releases == stated->n_releases && least.rho_total_micro != stated->rho_total_micro)
		return diag_set(r->diag, RC_FORK,
				"--charged: the log of the backup has all of these releases, and they cost %" PRIu64,
				least.rho_total_micro);
	r->mark = *stated;
	return RC_OK;
}

/* What this unit was charged, as far as is known: where there is no mark and nothing was stated, what the backup has.
 */
static enum rc find_charged(struct restore *r, const struct restore_options *options)
{
	r->mark_rc = ledger_mark_read(r->conf, &r->mark);
	if (r->mark_rc != RC_OK)
		r->mark = r->ledger;
	return options->has_charged ? take_stated(r, &options->charged) : RC_OK;
}

static enum rc accept_loss(const struct restore *r, const struct restore_options *options)
{
	if (options->has_charged || r->mark_rc == RC_OK)
		return RC_OK;
	return diag_set(
		r->diag, RC_FORK,
		"the mark of the ledger beside the signer's state is %s, so what was charged after the backup is "
		"not known. Ask an auditor how many releases there were and how many millionths of rho they cost, "
		"and say --charged RELEASES:MILLIONTHS",
		r->mark_rc == RC_NOTFOUND ? "missing" : "damaged");
}

static enum rc accept(const struct restore *r, const struct restore_options *options)
{
	if (options->accept_loss)
		return accept_loss(r, options);
	if (!lost_entries(r))
		return diag_set(
			r->diag, RC_FORK,
			"the log of the backup has %" PRIu32 " releases, but %" PRIu32
			" were charged, as %s says. Look for a newer backup or copy of the store. If there is none, "
			"--accept-loss goes on without them: they stay charged, and the log will say so. Nothing "
			"was left in %s",
			r->ledger.n_releases, r->mark.n_releases,
			options->has_charged ? "--charged" : "the mark of the ledger", r->conf->store_directory);
	return diag_set(r->diag, RC_FORK,
			"the backup has %" PRIu64 " log entries, but %" PRIu64
			" were signed. Look for a newer backup or copy of the store. If there is none, --accept-loss "
			"gives up the others: the log will say so, and whoever saw them finds it forked. Nothing was "
			"left in %s",
			r->facts.log_size, r->signed_size, r->conf->store_directory);
}

/* The signer goes back to the entry that tells of the loss, or forward to it where nothing that it signed is lost. */
static enum rc give_up(struct restore *r, const struct restore_options *options)
{
	enum rc rc = accept(r, options);
	if (rc == RC_OK) {
		r->n_lost_releases = lost_releases(r) ? r->mark.n_releases - r->ledger.n_releases : 0;
		rc = log_loss(r);
	}
	if (rc == RC_OK && lost_entries(r))
		rc = log_signer_wind_back(r->signer, r->logged_size, &r->logged_root);
	return rc == RC_OK ? open_log(r, r->signer) : rc;
}

static enum rc make_folder(const char *path, struct diag *diag)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return diag_set(diag, RC_IO, "%s: %s", path, strerror(errno));
	return RC_OK;
}

static enum rc restore_store(struct restore *r, int fd)
{
	struct store_options options = {.directory = r->conf->store_directory, .map_bytes = r->conf->store_map_bytes};
	struct buffer facts;
	buffer_init(&facts);
	enum rc rc = make_folder(r->conf->store_directory, r->diag);
	if (rc == RC_OK)
		rc = store_backup_restore(fd, &options, r->seal, NULL, &facts, r->diag);
	if (rc == RC_OK)
		rc = backup_facts_decode(facts.data, facts.len, &r->facts);
	buffer_deinit(&facts);
	return rc;
}

static enum rc run(struct restore *r, int fd, const struct restore_options *options)
{
	enum rc rc = restore_store(r, fd);
	if (rc == RC_CONFLICT) /* what is there is not ours to remove */
		return rc;
	if (rc == RC_OK)
		rc = backup_check(r->conf->store_directory, r->conf->store_map_bytes, r->seal, &r->facts, NULL,
				  r->diag);
	if (rc == RC_OK)
		rc = open_log(r, lost_entries(r) ? NULL : r->signer);
	log_signer_state(r->signer, &r->signed_size, &r->signed_root); /* it may have caught up with the backup */
	if (rc == RC_OK)
		rc = find_charged(r, options);
	if (rc == RC_OK && (lost_entries(r) || lost_releases(r)))
		rc = give_up(r, options);
	if (rc != RC_OK)
		(void)!store_remove(r->conf->store_directory);
	return rc;
}

static void report(const struct restore *r)
{
	time_t when = (time_t)r->facts.made_at;
	struct tm tm;
	char text[32];
	gmtime_r(&when, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm);
	printf("restored the store of %s with %" PRIu64 " log entries; everything in it can be read\n", text,
	       r->facts.log_size);
	if (r->n_lost_releases > 0)
		printf("releases that were charged and are lost: %" PRIu32 "; they stay charged, and the log says so\n",
		       r->n_lost_releases);
	if (lost_entries(r))
		printf("%" PRIu64
		       " signed log entries are lost, and the log says so. Tell submitters to push again what "
		       "they pushed since; tell auditors and witnesses\n",
		       r->signed_size - r->facts.log_size);
	if (r->withdrawn_rc == RC_OK && (r->n_withdrawn_again > 0 || lost_entries(r)))
		printf("record numbers that were withdrawn since: %" PRIu64
		       "; the next start withdraws them again before it serves anybody\n",
		       r->n_withdrawn_again);
	else if (r->withdrawn_rc != RC_OK && lost_entries(r))
		printf("what was withdrawn since is not known: the list of withdrawals beside the signer's state "
		       "%s. Have every submitter withdraw again what it withdrew since, before the next release\n",
		       r->withdrawn_rc == RC_NOTFOUND ? "is missing"
						      : "cannot be used, and no start will go on with it");
}

enum rc core_restore(const struct conf *conf, const struct restore_options *options, struct diag *diag)
{
	struct restore r = {.conf = conf, .diag = diag};
	diag->text[0] = '\0';
	int fd = open(options->path, O_RDONLY | O_CLOEXEC);
	enum rc rc = fd < 0 ? diag_set(diag, RC_IO, "%s: %s", options->path, strerror(errno)) : RC_OK;
	if (rc == RC_OK)
		rc = seal_open_file(conf->seal_key, conf->seal_key_token, &r.seal, diag);
	if (rc == RC_OK)
		rc = log_signer_open(conf->log_key, conf->signer_state, conf->log_origin, &r.signer, diag);
	/* From here on as the service's user, whose files these will be. */
	if (rc == RC_OK)
		rc = confine_process(conf->user, diag);
	if (rc == RC_OK) {
		log_signer_state(r.signer, &r.signed_size, &r.signed_root);
		rc = run(&r, fd, options);
	}
	if (rc == RC_OK)
		report(&r);
	else if (diag->text[0] == '\0')
		diag_set(diag, rc, "%s cannot be restored: %s", options->path, rc_text(rc));
	log_signer_close(r.signer);
	seal_close(r.seal);
	if (fd >= 0)
		close(fd);
	return rc;
}
