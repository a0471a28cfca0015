/* Merkle tree hashing and the two proofs of RFC 6962 section 2.1, verified as RFC 9162 section 2.1.3.2 and 2.1.4.2 give
 * the algorithms. Sizes and proofs are hostile: every loop is bounded by the 64 bits of a size. */
#include "proto/tlog.h"

#include <string.h>

/* Sizes stay below 2^63, as JSON and other verifiers count in signed 64 bits. */
static const uint64_t max_size = (uint64_t)1 << 63;

struct tlog_hash tlog_leaf_hash(const void *entry, size_t len)
{
	static const uint8_t prefix = 0;
	struct tlog_hash ret;
	struct sha256_ctx *ctx = sha256_new();

	sha256_update(ctx, &prefix, 1);
	if (len > 0)
		sha256_update(ctx, entry, len);
	sha256_final(ctx, ret.b);
	sha256_free(ctx);
	return ret;
}

struct tlog_hash tlog_node_hash(const struct tlog_hash *left, const struct tlog_hash *right)
{
	uint8_t bytes[1 + 2 * TLOG_HASH_LEN] = {1};
	struct tlog_hash ret;

	memcpy(bytes + 1, left->b, TLOG_HASH_LEN);
	memcpy(bytes + 1 + TLOG_HASH_LEN, right->b, TLOG_HASH_LEN);
	sha256(bytes, sizeof bytes, ret.b);
	return ret;
}

struct tlog_hash tlog_empty_root(void)
{
	struct tlog_hash ret;

	sha256("", 0, ret.b);
	return ret;
}

static bool hash_equal(const struct tlog_hash *a, const struct tlog_hash *b)
{
	return memcmp(a->b, b->b, TLOG_HASH_LEN) == 0;
}

enum rc tlog_check_inclusion(const struct tlog_proof *proof, uint64_t index, uint64_t size,
			     const struct tlog_hash *leaf, const struct tlog_hash *root)
{
	if (index >= size || size > max_size || proof->n > TLOG_MAX_PROOF)
		return RC_INVALID;

	uint64_t fn = index, sn = size - 1;
	struct tlog_hash r = *leaf;
	for (size_t i = 0; i < proof->n; i++) {
		if (sn == 0)
			return RC_DIGEST; /* longer than the way to the root */
		if ((fn & 1) != 0 || fn == sn) {
			r = tlog_node_hash(&proof->hash[i], &r);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			r = tlog_node_hash(&r, &proof->hash[i]);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && hash_equal(&r, root) ? RC_OK : RC_DIGEST;
}

/* The general case: 0 < old_size < new_size. Both roots are computed from the same hashes, so that both are bound. */
static enum rc check_extension(const struct tlog_proof *proof, uint64_t old_size, const struct tlog_hash *old_root,
			       uint64_t new_size, const struct tlog_hash *new_root)
{
	uint64_t fn = old_size - 1, sn = new_size - 1;
	struct tlog_hash fr, sr;
	size_t i = 0;

	/* When the old tree is complete its root is the first node of the way, and is left out of the proof. */
	if ((old_size & (old_size - 1)) == 0) {
		fr = sr = *old_root;
	} else {
		if (proof->n == 0)
			return RC_FORK;
		fr = sr = proof->hash[i++];
	}
	while ((fn & 1) != 0) {
		fn >>= 1;
		sn >>= 1;
	}
	for (; i < proof->n; i++) {
		const struct tlog_hash *c = &proof->hash[i];
		if (sn == 0)
			return RC_FORK;
		if ((fn & 1) != 0 || fn == sn) {
			fr = tlog_node_hash(c, &fr);
			sr = tlog_node_hash(c, &sr);
			while ((fn & 1) == 0 && fn != 0) {
				fn >>= 1;
				sn >>= 1;
			}
		} else {
			sr = tlog_node_hash(&sr, c);
		}
		fn >>= 1;
		sn >>= 1;
	}
	return sn == 0 && hash_equal(&fr, old_root) && hash_equal(&sr, new_root) ? RC_OK : RC_FORK;
}

enum rc tlog_check_consistency(const struct tlog_proof *proof, uint64_t old_size, const struct tlog_hash *old_root,
			       uint64_t new_size, const struct tlog_hash *new_root)
{
	if (old_size > new_size || new_size > max_size || proof->n > TLOG_MAX_PROOF)
		return RC_INVALID;
	if (old_size == new_size)
		return proof->n == 0 && hash_equal(old_root, new_root) ? RC_OK : RC_FORK;
	if (old_size == 0) {
		struct tlog_hash empty = tlog_empty_root();
		return proof->n == 0 && hash_equal(old_root, &empty) ? RC_OK : RC_FORK;
	}
	return check_extension(proof, old_size, old_root, new_size, new_root);
}

void tlog_stack_init(struct tlog_stack *s)
{
	memset(s, 0, sizeof *s);
}

/* hash[k] is the root of the complete subtree of 2^k leaves wherever bit k of size is set: adding a leaf is adding 1.
 */
void tlog_stack_append(struct tlog_stack *s, const struct tlog_hash *leaf)
{
	struct tlog_hash h = *leaf;
	unsigned k = 0;

	for (; k < 63 && (s->size >> k & 1) != 0; k++)
		h = tlog_node_hash(&s->hash[k], &h);
	s->hash[k] = h;
	s->size++;
}

struct tlog_hash tlog_stack_root(const struct tlog_stack *s)
{
	struct tlog_hash root = tlog_empty_root();
	bool first = true;

	for (unsigned k = 0; k < 64; k++) {
		if ((s->size >> k & 1) == 0)
			continue;
		root = first ? s->hash[k] : tlog_node_hash(&s->hash[k], &root);
		first = false;
	}
	return root;
}
