/* Entries of the audit log: one line of canonical JSON each, at most 65,535 bytes. docs/audit.md lists the kinds and
 * what is deliberately not in them: no identifier, filter, true count or noise value ever.
 *
 * Every entry has "v" (1), "t" (RFC 3339 UTC seconds, never before the last entry's), "kind", and "who" where somebody
 * caused it: {"client": name, "fp": certificate fingerprint (hex SHA-256), "role": …}. */
#ifndef PROTO_ENTRY_H
#define PROTO_ENTRY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

/* clang-format off */
/*      constant               "kind" */
#define ENTRY_KINDS(X) \
	X(ENTRY_START,            "start")             /* version, study digest, config digest */ \
	X(ENTRY_STOP,             "stop") \
	X(ENTRY_STUDY,            "study")             /* a study becomes current: name, digest, rho limit */ \
	X(ENTRY_BATCH,            "batch")             /* source, batch id, records, chunks, encoding id */ \
	X(ENTRY_BATCH_REJECTED,   "batch_rejected")    /* source, reason code, bytes seen */ \
	X(ENTRY_RELEASE_STARTED,  "release_started")   /* number, as_of, cut, commitment, rho charged and total */ \
	X(ENTRY_RELEASE,          "release")           /* number, digest of the body, methods, versions */ \
	X(ENTRY_QUERY,            "query")             /* table, canonical query, release, digest of the answer */ \
	X(ENTRY_REFUSED,          "refused")           /* route, reason code */ \
	X(ENTRY_KEYS,             "keys")              /* a key came into use: kind, public part or its digest */ \
	X(ENTRY_KEY_ROTATED,      "key_rotated")       /* key (seal, log, tls), old, new; state, or the old key's statement */ \
	X(ENTRY_WITHDRAWAL,       "withdrawal")        /* source; ids asked for, records removed, chunks resealed */ \
	X(ENTRY_PURGE,            "purge")             /* source; day before which records went, records removed, chunks resealed */ \
	X(ENTRY_BACKUP,           "backup")            /* backup id, entries and root of the log in it, digest of the file */ \
	X(ENTRY_ACCESS,           "access")            /* an access file came into force: digest, number of rules */ \
	X(ENTRY_CERTIFICATE,      "certificate")       /* a rule of it was added, changed, removed; or revoked */ \
	X(ENTRY_AUTHORITIES,      "authorities")       /* the clients' certificate authorities that came into force */ \
	X(ENTRY_RENEWAL_REFUSED,  "renewal_refused")   /* a renewed file was not taken: which, why, its digest */ \
	X(ENTRY_CONFIG,           "config")            /* options that stand otherwise than at the last start */ \
	X(ENTRY_RESTORE,          "restore")           /* a backup took the store's place: what was signed, charged and lost */ \
	X(ENTRY_WITNESSED,        "witnessed")         /* number of a release, and the checkpoint that was cosigned */

enum entry_kind {
#define ENTRY_ENUM(constant, name) constant,
	ENTRY_KINDS(ENTRY_ENUM)
#undef ENTRY_ENUM
	ENTRY_KIND_COUNT
};
/* clang-format on */

const char *entry_kind_name(enum entry_kind kind);
int entry_kind_find(const char *name); /* -1 = unknown */

/* Who caused an entry. Empty client = the daemon itself. */
struct entry_who {
	char client[64];
	uint8_t fingerprint[32];
	char role[16];
};

/* Build one entry's bytes: `fields` (borrowed, may be NULL) are merged in; their keys must not clash with v, t, kind,
 * who. Appends to `out`, without a newline. Errors: INVALID, TOO_LARGE, NOMEM. */
enum rc entry_build(enum entry_kind kind, int64_t unix_time, const struct entry_who *who, const json_t *fields,
		    struct buffer *out) MUST_CHECK;
/* Parse and check the common fields of one entry: the text must be the canonical form of what it says. *ret_fields is a
 * new reference to the whole object. Errors: MALFORMED, INVALID (unknown kind, version, wrong common field). */
enum rc entry_parse(const char *text, size_t len, enum entry_kind *ret_kind, int64_t *ret_time, json_t **ret_fields,
		    struct diag *diag) MUST_CHECK;

/* Kind and time of an entry, without building what else it says: takes what entry_parse() takes and nothing else.
 * Errors: MALFORMED, INVALID. */
enum rc entry_skim(const char *text, size_t len, enum entry_kind *ret_kind, int64_t *ret_time) MUST_CHECK;

/* RFC 3339 in UTC with whole seconds, "2024-02-29T12:00:00Z", from 1970 to DAY_MAX. Errors: INVALID. */
enum { ENTRY_TIME_CAP = 21 };
enum rc entry_time_format(int64_t unix_time, char out[ENTRY_TIME_CAP]) MUST_CHECK;
enum rc entry_time_parse(const char *text, int64_t *ret) MUST_CHECK;

/* A receipt for a batch (what POST /v1/batches answers with), canonical JSON:
 * {"batch": hex, "source": …, "records": n, "index": leaf index, "entry": the log entry as text,
 *  "proof": tlog-proof text, "v": 1}. Checked with the log's public key alone. */
struct receipt {
	uint8_t batch_id[32];
	char source[64];
	uint64_t n_records, index;
	char *entry, *proof; /* owned */
};
enum rc receipt_format(const struct receipt *receipt, struct buffer *out) MUST_CHECK;
enum rc receipt_parse(const char *text, size_t len, struct receipt *ret, struct diag *diag) MUST_CHECK;
void receipt_deinit(struct receipt *receipt);
/* Does the log that signs with `vkey` hold the batch that the receipt says, at the index that it says? Checks the
 * inclusion proof, and that the entry is a batch entry with the same batch id, source and number of records.
 * Errors: DIGEST (proof or signature), INVALID (the receipt contradicts its entry), MALFORMED. */
enum rc receipt_verify(const struct receipt *receipt, const struct tlog_vkey *vkey, struct tlog_checkpoint *ret,
		       struct diag *diag) MUST_CHECK;

#endif
