/* Withdrawals since a backup, done again; withdrawn_again.h says when. */
#include "daemon/core/withdrawn_again.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/core/erase.h"
#include "daemon/core/withdrawn_list.h"

struct key_job {
	struct write_job job; /* first: cast back from it */
	uint8_t key[TOMBSTONE_KEY_LEN];
};

static enum rc make_key(struct write_job *job, struct txn *txn)
{
	struct key_job *k = (struct key_job *)job;
	enum rc rc = tombstones_read_key(txn, k->key);
	if (rc == RC_NOTFOUND)
		rc = tombstones_make_key(txn);
	return rc == RC_OK ? tombstones_read_key(txn, k->key) : rc;
}

/* Those of the list that the store does not have; none where there is no list. */
static enum rc find_missing(struct core *core, const uint8_t key[TOMBSTONE_KEY_LEN], struct withdrawn_list *list)
{
	struct txn *txn = NULL;
	enum rc rc = withdrawn_list_read(core->conf, key, list);
	if (rc == RC_OK)
		rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = withdrawn_list_keep_missing(list, txn);
	txn_abort(txn);
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static enum rc judge(const struct withdrawn_list *list, struct diag *diag)
{
	if (list->other_key)
		return diag_set(
			diag, RC_FORK,
			"the list of withdrawals beside the signer's state (….withdrawn) is another store's, or "
			"the store is older than its first line, and cannot tell which of its records were withdrawn "
			"since: docs/operations.md, \"Restoring\"");
	if (list->n == 0 && list->n_damaged > 0)
		log_warning("%zu lines of the list of withdrawals beside the signer's state are damaged: the store has "
			    "those of the others, and the list is made anew from it",
			    list->n_damaged);
	else if (list->n_damaged > 0)
		return diag_set(diag, RC_DAMAGED,
				"the store is older than the list of withdrawals beside the signer's state "
				"(….withdrawn), of which %zu lines are damaged: docs/operations.md, \"Restoring\"",
				list->n_damaged);
	return RC_OK;
}

/* Of one source, from the first of `list` on; *ret_n of them are. */
static enum rc withdraw_of_source(struct core *core, const struct tombstone *list, size_t n, size_t *ret_n,
				  struct diag *diag)
{
	struct erasure erasure;
	size_t k = 1;
	while (k < n && strcmp(list[k].source, list[0].source) == 0)
		k++;
	enum rc rc = erasure_init(&erasure, core, list[0].source);
	if (rc != RC_OK)
		return diag_set(diag, RC_CONFIG, "study: source %s is not in it, but has withdrawn records",
				list[0].source);
	erasure.tombstones = list;
	erasure.n_tombstones = k;
	rc = erase_run(&erasure);
	if (rc == RC_OK)
		log_warning("%zu records of %s that were withdrawn after the backup are withdrawn again: %" PRIu64
			    " were in the store",
			    k, list[0].source, erasure.n_removed);
	erasure_deinit(&erasure);
	*ret_n = k;
	return rc;
}

/* The list is made anew at each start: what a crash left out of it is in the store. */
static enum rc write_list(const struct core *core)
{
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(core->store, &txn);
	if (rc == RC_OK)
		rc = withdrawn_list_write(core->conf, txn);
	txn_abort(txn);
	return rc;
}

enum rc withdrawn_again(struct core *core, struct diag *diag)
{
	struct key_job k = {.job = {.apply = make_key}};
	struct withdrawn_list list = {.tombstones = NULL};
	enum rc rc = write_queue_call(core->writes, &k.job);
	if (rc == RC_OK)
		rc = find_missing(core, k.key, &list);
	if (rc == RC_OK)
		rc = judge(&list, diag);
	for (size_t at = 0, n = 0; at < list.n && rc == RC_OK; at += n)
		rc = withdraw_of_source(core, list.tombstones + at, list.n - at, &n, diag);
	if (rc == RC_OK)
		rc = write_list(core);
	withdrawn_list_deinit(&list);
	explicit_bzero(k.key, sizeof k.key);
	if (rc != RC_OK && diag != NULL && diag->text[0] == '\0')
		diag_set(diag, rc, "withdrawals since the backup cannot be done again: %s", rc_text(rc));
	return rc;
}

enum rc withdrawn_again_count(const struct conf *conf, struct store *store, uint64_t *ret_n)
{
	uint8_t key[TOMBSTONE_KEY_LEN] = {0};
	struct withdrawn_list list = {.tombstones = NULL};
	struct txn *txn = NULL;
	enum rc rc = txn_begin_read(store, &txn);
	if (rc == RC_OK)
		rc = tombstones_read_key(txn, key);
	/* Without a key of the store's any line is of another one. */
	if (rc == RC_OK || rc == RC_NOTFOUND)
		rc = withdrawn_list_read(conf, key, &list);
	if (rc == RC_OK)
		rc = withdrawn_list_keep_missing(&list, txn);
	if (rc == RC_OK)
		rc = judge(&list, NULL);
	if (rc == RC_OK)
		*ret_n = list.n;
	txn_abort(txn);
	withdrawn_list_deinit(&list);
	explicit_bzero(key, sizeof key);
	return rc;
}
