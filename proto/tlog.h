/* Transparency log: what can be checked by anyone who holds the public key.
 *
 * Hashing and proofs: RFC 6962 section 2.1. Checkpoints: C2SP tlog-checkpoint. Signatures: C2SP signed-note
 * (Ed25519). Tiles: C2SP tlog-tiles. Proof files: C2SP tlog-proof. Golden vectors: tests/data/vectors/tlog.json. */
#ifndef PROTO_TLOG_H
#define PROTO_TLOG_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"

enum {
	TLOG_HASH_LEN = 32,
	TLOG_MAX_PROOF = 64,
	TLOG_TILE_HEIGHT = 8,
	TLOG_TILE_WIDTH = 256,
	TLOG_MAX_ENTRY = 65535,
	TLOG_ORIGIN_CAP = 128,
	TLOG_VKEY_CAP = 256,
	TLOG_CHECKPOINT_CAP = 4096, /* of a checkpoint that this program signs */
	TLOG_MAX_NOTE = 1 << 17,    /* of a note that it reads: witnesses may have added large signatures */
	TLOG_MAX_SIGNATURES = 64,
};

struct tlog_hash {
	uint8_t b[TLOG_HASH_LEN];
};

struct tlog_hash tlog_leaf_hash(const void *entry, size_t len);
struct tlog_hash tlog_node_hash(const struct tlog_hash *left, const struct tlog_hash *right);
struct tlog_hash tlog_empty_root(void);

struct tlog_proof {
	struct tlog_hash hash[TLOG_MAX_PROOF];
	size_t n;
};

/* Does `leaf` stand at `index` in the tree of `size` with `root`? Errors: DIGEST when not, INVALID for bad sizes. */
enum rc tlog_check_inclusion(const struct tlog_proof *proof, uint64_t index, uint64_t size,
			     const struct tlog_hash *leaf, const struct tlog_hash *root) MUST_CHECK;
/* Does the tree of new_size extend that of old_size? Errors: FORK when not, INVALID for bad sizes. */
enum rc tlog_check_consistency(const struct tlog_proof *proof, uint64_t old_size, const struct tlog_hash *old_root,
			       uint64_t new_size, const struct tlog_hash *new_root) MUST_CHECK;

struct tlog_checkpoint {
	char origin[TLOG_ORIGIN_CAP];
	uint64_t size;
	struct tlog_hash root;
};

/* A verifier key: "name+hash+base64(0x01 || public key)". */
struct tlog_vkey {
	char name[TLOG_ORIGIN_CAP];
	uint8_t key_hash[4];
	uint8_t public_key[32];
};
/* The same key under the same name? */
bool tlog_vkey_equal(const struct tlog_vkey *a, const struct tlog_vkey *b);
enum rc tlog_vkey_parse(const char *text, struct tlog_vkey *ret) MUST_CHECK;
enum rc tlog_vkey_format(const char *name, const uint8_t public_key[32], char *out, size_t cap) MUST_CHECK;

/* C2SP tlog-cosignature/v1: a witness signs "cosignature/v1", the time and a checkpoint's text, to say that it extends
 * every checkpoint that it signed before. Its verifier key has the type byte 4 instead of 1. */
enum rc tlog_witness_make(const char *name, const uint8_t public_key[32], struct tlog_vkey *ret) MUST_CHECK;
enum rc tlog_witness_parse(const char *text, struct tlog_vkey *ret) MUST_CHECK;
enum rc tlog_witness_format(const char *name, const uint8_t public_key[32], char *out, size_t cap) MUST_CHECK;
/* Append what is to be signed for this checkpoint. */
void tlog_cosign_message(const struct tlog_checkpoint *c, int64_t unix_time, struct buffer *out);
struct tlog_cosignature {
	int64_t time; /* Unix */
	uint8_t signature[64];
};
/* Append the signature line. */
void tlog_cosignature_line(const struct tlog_vkey *witness, const struct tlog_cosignature *c, struct buffer *out);
/* The cosignature of `witness` on a note; the last one where there are several. The note's own signature is not looked
 * at. Errors: NOTFOUND (none of this witness), DIGEST (one that is wrong), MALFORMED. */
enum rc tlog_cosignature_verify(const char *note, size_t len, const struct tlog_vkey *witness,
				struct tlog_cosignature *ret) MUST_CHECK;
/* The signature of `vkey` on a note that tlog_checkpoint_verify has accepted. Errors: NOTFOUND, MALFORMED. */
enum rc tlog_note_signature(const char *note, size_t len, const struct tlog_vkey *vkey, uint8_t ret[64]) MUST_CHECK;

/* Origins and key names: 1 to TLOG_ORIGIN_CAP - 1 bytes of UTF-8 with neither Unicode space nor plus nor control
 * character. Errors: INVALID. */
enum rc tlog_name_check(const char *name) MUST_CHECK;
/* Build a verifier key from its parts. Errors: INVALID (name). */
enum rc tlog_vkey_make(const char *name, const uint8_t public_key[32], struct tlog_vkey *ret) MUST_CHECK;

/* The signed text of a checkpoint (three lines), without signatures. */
void tlog_checkpoint_body(const struct tlog_checkpoint *c, struct buffer *out);
/* The signature line of a note: "— name base64(key hash || signature)\n". */
void tlog_note_signature_line(const struct tlog_vkey *vkey, const uint8_t signature[64], struct buffer *out);
/* Does a note bear the signature of `vkey`? *ret_text_len is the length of its text. Unknown signatures are ignored.
 * Errors: MALFORMED, DIGEST (signature of vkey wrong or missing). */
enum rc tlog_note_verify(const char *note, size_t len, const struct tlog_vkey *vkey, size_t *ret_text_len) MUST_CHECK;
/* Parse a signed checkpoint and verify the signature of `vkey`; unknown signatures are ignored, as signed-note asks.
 * Errors: MALFORMED, DIGEST (signature of vkey wrong or missing; origin differs from the key's name). */
enum rc tlog_checkpoint_verify(const char *note, size_t len, const struct tlog_vkey *vkey,
			       struct tlog_checkpoint *ret) MUST_CHECK;

/* Parse a checkpoint's first three lines without any check of signatures: to tell what somebody claims. */
enum rc tlog_checkpoint_parse(const char *note, size_t len, struct tlog_checkpoint *ret) MUST_CHECK;
/* Does Ed25519 `signature` of `vkey` fit the bytes? Errors: DIGEST, CRYPTO. */
enum rc tlog_ed25519_verify(const uint8_t public_key[32], const void *text, size_t len,
			    const uint8_t signature[64]) MUST_CHECK;

/* C2SP tlog-proof text ("c2sp.org/tlog-proof@v1", "index N", hashes, blank line, checkpoint). */
enum rc tlog_proof_format(uint64_t index, const struct tlog_proof *proof, const char *checkpoint, size_t checkpoint_len,
			  struct buffer *out) MUST_CHECK;
/* Parse only: *ret_note borrows the checkpoint within `text`. An "extra" line is allowed and ignored. */
enum rc tlog_proof_parse(const char *text, size_t len, uint64_t *ret_index, struct tlog_proof *ret_proof,
			 const char **ret_note, size_t *ret_note_len) MUST_CHECK;
/* Parse and verify such a file for `leaf` under `vkey`. */
enum rc tlog_proof_verify(const char *text, size_t len, const struct tlog_vkey *vkey, const struct tlog_hash *leaf,
			  uint64_t *ret_index, struct tlog_checkpoint *ret) MUST_CHECK;

/* The hashes of a proof alone, a line of base64 each, as C2SP tlog-witness has a consistency proof. Errors: INVALID,
 * MALFORMED, NOMEM. */
enum rc tlog_hashes_format(const struct tlog_proof *proof, struct buffer *out) MUST_CHECK;
enum rc tlog_hashes_parse(const char *text, size_t len, struct tlog_proof *ret) MUST_CHECK;

/* Tile paths: "0/x001/067", "entries/000.p/5". Level -1 means entries. width 256 = full. */
enum rc tlog_tile_path_parse(const char *path, int *ret_level, uint64_t *ret_index, unsigned *ret_width) MUST_CHECK;
void tlog_tile_path_format(int level, uint64_t index, unsigned width, char *out, size_t cap); /* cap >= 64 */
/* Entry bundles: u16 big-endian length and bytes, repeated. */
enum rc tlog_bundle_append(struct buffer *out, const void *entry, size_t len) MUST_CHECK;
/* The next entry of a bundle, borrowed. Errors: NOTFOUND at its end, TRUNCATED. */
enum rc tlog_bundle_next(struct reader *bundle, const uint8_t **ret_entry, size_t *ret_len) MUST_CHECK;

/* Compute the root of a whole tree leaf by leaf in O(log n) memory. */
struct tlog_stack {
	struct tlog_hash hash[64];
	uint64_t size;
};
void tlog_stack_init(struct tlog_stack *s);
void tlog_stack_append(struct tlog_stack *s, const struct tlog_hash *leaf);
struct tlog_hash tlog_stack_root(const struct tlog_stack *s);

#endif
