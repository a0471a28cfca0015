/* Starting releases: POST /v1/releases and the schedule. */
#ifndef DAEMON_CORE_PUBLISH_H
#define DAEMON_CORE_PUBLISH_H

#include <stdint.h>

#include "daemon/core/request.h"
#include "daemon/core/state.h"
#include "proto/rc.h"

void publish_run(struct request *request, const uint8_t *body, size_t len);
/* By schedule: the daemon itself asks for a release as of today. What stops it is logged to the daemon's log. */
void publish_by_schedule(struct core *core);

/* The body of a published release, parsed. Errors: NOTFOUND, DAMAGED. */
enum rc release_body_load(struct txn *txn, uint32_t number, json_t **ret) MUST_CHECK;
void release_key(struct store_key *key, uint32_t number);
void release_digest_key(struct store_key *key, const uint8_t digest[32]);
/* How many releases were started, and what they were charged. */
enum rc ledger_write(struct txn *txn, uint32_t n_releases, uint64_t rho_total_micro) MUST_CHECK;
void ledger_key(struct store_key *key);

/* The commitment that release_started carries. */
void release_commitment(const uint8_t secret[32], uint32_t number, const uint8_t cut_digest[32], uint8_t ret[32]);

#endif
