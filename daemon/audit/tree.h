/* The growing Merkle tree of the log (RFC 6962), all of it in memory: 64 bytes an entry. Pure. */
#ifndef DAEMON_AUDIT_TREE_H
#define DAEMON_AUDIT_TREE_H

#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

struct tree;
enum rc tree_new(struct tree **ret) MUST_CHECK;
void tree_free(struct tree *tree);

enum rc tree_append(struct tree *tree, const struct tlog_hash *leaf) MUST_CHECK; /* NOMEM */
/* Take back the last entries, for a transaction that failed: size must be <= the present one. */
void tree_truncate(struct tree *tree, uint64_t size);
uint64_t tree_size(const struct tree *tree);
/* Root of the first `size` leaves. Errors: INVALID (size > tree_size). */
enum rc tree_root(const struct tree *tree, uint64_t size, struct tlog_hash *ret) MUST_CHECK;
enum rc tree_inclusion(const struct tree *tree, uint64_t index, uint64_t size, struct tlog_proof *ret) MUST_CHECK;
enum rc tree_consistency(const struct tree *tree, uint64_t old_size, uint64_t new_size,
			 struct tlog_proof *ret) MUST_CHECK;
/* Hash tile (C2SP tlog-tiles) at level, index, width: appends width*32 bytes. Errors: NOTFOUND. */
enum rc tree_tile(const struct tree *tree, unsigned level, uint64_t index, unsigned width,
		  struct buffer *out) MUST_CHECK;

#endif
