/* The high-water mark of the ledger, outside the store: how many releases were started, and what they were charged, at
 * least. A file beside the signer's state, made durable before a charge is committed. A store that is restored from a
 * backup has forgotten what came after; the mark has not, so that a loss refunds nothing.
 *
 * One line: "throughcare-ledger-v1 RELEASES RHO_MICRO DIGEST", the digest over what is in front of it against damage. Whoever
 * can change this file can change the signer's state as well: against that, auditors have reports. */
#ifndef DAEMON_CORE_LEDGER_MARK_H
#define DAEMON_CORE_LEDGER_MARK_H

#include <stdint.h>

#include "daemon/base/conf.h"
#include "proto/rc.h"

struct ledger_mark {
	uint32_t n_releases;
	uint64_t rho_total_micro;
};
/* Errors: NOTFOUND, DAMAGED, IO. */
enum rc ledger_mark_read(const struct conf *conf, struct ledger_mark *ret) MUST_CHECK;
/* The higher of each figure. */
struct ledger_mark ledger_mark_higher(const struct ledger_mark *a, const struct ledger_mark *b);
/* Write the higher of each figure and what is there, or of what is there cannot be read. Errors: IO, NOSPACE. */
enum rc ledger_mark_raise(const struct conf *conf, const struct ledger_mark *mark) MUST_CHECK;

#endif
