/* Where an auditor gets a log from: the daemon's C2SP tlog-tiles routes. Fetches a verified checkpoint and walks every
 * entry below it, recomputing the root. */
#ifndef TOOLS_AUDIT_SOURCE_H
#define TOOLS_AUDIT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"
#include "tools/https.h"

struct audit_source {
	struct https *https; /* borrowed */
	struct tlog_vkey vkey;
	struct tlog_checkpoint checkpoint;
	struct buffer note; /* the signed checkpoint, as it came */
	bool with_tiles;    /* fetch and compare the hash tiles too */
	struct tlog_stack walked; /* the entries that a walk has visited and verified */
};

/* Read a verifier key from a file: a log's, a witness's. Errors: KEY. */
enum rc audit_read_vkey(const char *path, struct tlog_vkey *ret, struct diag *diag) MUST_CHECK;
enum rc audit_read_witness(const char *path, struct tlog_vkey *ret, struct diag *diag) MUST_CHECK;
/* The keys that have followed each other in a log, oldest first: the pinned one, and those that each signed the next. */
enum { AUDIT_MAX_KEYS = 256 };
struct audit_keys {
	struct tlog_vkey *key; /* owned */
	size_t n;
};
/* Ask the log how its key was rotated (GET /audit/keys); a log that does not say has one key. Errors: PROTOCOL, NOMEM. */
enum rc audit_follow_keys(struct https *https, const struct tlog_vkey *pinned, struct audit_keys *ret,
			  struct diag *diag) MUST_CHECK;
void audit_keys_deinit(struct audit_keys *keys);

/* Fetch the checkpoint and verify its signature: source.vkey is then the newest key that signed it, the pinned one or one
 * that follows it. Errors: PROTOCOL (signature), NETWORK, … */
enum rc audit_source_open(struct https *https, const struct tlog_vkey *vkey, struct audit_source *ret,
			  struct diag *diag) MUST_CHECK;
/* The same from another path, that of a cosigned checkpoint for instance. Errors: also NOTFOUND. */
enum rc audit_source_open_at(struct https *https, const char *path, const struct tlog_vkey *vkey,
			     struct audit_source *ret, struct diag *diag) MUST_CHECK;
/* The checkpoint that somebody saw last, as it was kept in a file, signature and all. Errors: NOTFOUND (no such file),
 * DAMAGED (not one of this log), IO. */
enum rc audit_read_state(const char *path, const struct audit_keys *keys, struct tlog_checkpoint *ret,
			 struct diag *diag) MUST_CHECK;
void audit_source_deinit(struct audit_source *source);

/* A root that the log must have had at a size: the last checkpoint that was seen, or one in a receipt. */
struct audit_expectation {
	struct tlog_hash root;
	uint64_t size;
	const char *what; /* borrowed: "the checkpoint in auditor.state" */
};

typedef enum rc (*audit_visit)(void *ctx, uint64_t index, const uint8_t *entry, size_t len, struct diag *diag);

/* Fetch the checkpoint again, for a walk over what is new. Errors: FORK (the log went back), and those of opening. */
enum rc audit_source_refresh(struct audit_source *source, struct diag *diag) MUST_CHECK;

/* Visit every entry that no earlier walk of this source has visited, in order, then compare the recomputed root with the checkpoint's, and on the way with each
 * expectation. What the visitor saw is only authentic when this returns RC_OK. Errors: FORK (a root differs, or the log
 * is shorter than an expectation), PROTOCOL (a tile or bundle is not what it should be), what the visitor returned. */
enum rc audit_source_walk(struct audit_source *source, const struct audit_expectation *expected, size_t n_expected,
			  audit_visit visit, void *ctx, struct diag *diag) MUST_CHECK;

/* GET a path below the server and append its body. Errors: NOTFOUND, … */
enum rc audit_source_get(struct audit_source *source, const char *path, const char *accept, size_t max,
			 struct buffer *out, struct diag *diag) MUST_CHECK;

#endif
