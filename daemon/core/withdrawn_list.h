/* The list of withdrawals outside the store: a file beside the signer's state, appended to before a withdrawal is
 * acknowledged. A store that is restored from a backup holds again what was withdrawn after it; the list knows, and the
 * next start withdraws it again before anything is served, so that no release counts it and nobody has to remember.
 *
 * Lines: "throughcare-withdrawn-v1 KEY" first, KEY a digest of the tombstones' key; then "SOURCE TAG SUM" for each
 * tombstone (tombstones.h), SUM a digest of what is in front of it against damage. A tag says nothing without the key,
 * which is sealed in the store and in its backups. */
#ifndef DAEMON_CORE_WITHDRAWN_LIST_H
#define DAEMON_CORE_WITHDRAWN_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/conf.h"
#include "daemon/core/tombstones.h"
#include "proto/rc.h"

struct withdrawn_list {
	struct tombstone *tombstones; /* by tombstone_compare(), each once */
	size_t n, n_damaged;          /* lines that cannot be read; one without an end was never acknowledged */
	bool other_key; /* of another store, or of one whose tombstones' key was made later; not read then */
};

void withdrawn_list_deinit(struct withdrawn_list *list);
/* What is there. `key`: of the store's tombstones. Errors: NOTFOUND (no such file), TOO_LARGE, IO, NOMEM. */
enum rc withdrawn_list_read(const struct conf *conf, const uint8_t key[TOMBSTONE_KEY_LEN],
			    struct withdrawn_list *ret) MUST_CHECK;
/* Keep those that the transaction's store does not have. Errors: DAMAGED, NOMEM. */
enum rc withdrawn_list_keep_missing(struct withdrawn_list *list, struct txn *txn) MUST_CHECK;
/* Put the store's tombstones in its place, durably and at once. Errors: IO, NOSPACE, NOMEM, DAMAGED (the store). */
enum rc withdrawn_list_write(const struct conf *conf, struct txn *txn) MUST_CHECK;
/* Add these, durably; after a failure the whole must be written. Errors: IO, NOSPACE, NOMEM. */
enum rc withdrawn_list_append(const struct conf *conf, const struct tombstone *tombstones, size_t n) MUST_CHECK;

#endif
