/* The log's tree: every complete node of every level, so that any root, proof and tile is a few look-ups. A node, once
 * complete, never changes; the ragged right edge is computed when asked for. */
#include "daemon/audit/tree.h"

#include <stdlib.h>
#include <string.h>

enum { TREE_LEVELS = 48, TREE_FIRST_CAP = 64 };

struct level {
	struct tlog_hash *hash;
	uint64_t cap;
};

/* Level k holds size >> k nodes. */
struct tree {
	uint64_t size;
	struct level level[TREE_LEVELS];
};

enum rc tree_new(struct tree **ret)
{
	struct tree *tree = calloc(1, sizeof *tree);

	if (tree == NULL)
		return RC_NOMEM;
	*ret = tree;
	return RC_OK;
}

void tree_free(struct tree *tree)
{
	if (tree == NULL)
		return;
	for (unsigned k = 0; k < TREE_LEVELS; k++)
		free(tree->level[k].hash);
	free(tree);
}

uint64_t tree_size(const struct tree *tree)
{
	return tree->size;
}

static enum rc level_reserve(struct level *level, uint64_t n)
{
	if (n <= level->cap)
		return RC_OK;
	uint64_t cap = level->cap ? level->cap * 2 : TREE_FIRST_CAP;
	struct tlog_hash *hash = reallocarray(level->hash, cap, sizeof *hash);
	if (hash == NULL)
		return RC_NOMEM;
	level->hash = hash;
	level->cap = cap;
	return RC_OK;
}

enum rc tree_append(struct tree *tree, const struct tlog_hash *leaf)
{
	uint64_t size = tree->size + 1;

	if (size >> (TREE_LEVELS - 1) != 0)
		return RC_TOO_LARGE;
	/* All memory first: a failure leaves the tree as it was. */
	for (unsigned k = 0; k == 0 || (size & (((uint64_t)1 << k) - 1)) == 0; k++) {
		if (level_reserve(&tree->level[k], size >> k) != RC_OK)
			return RC_NOMEM;
	}
	tree->level[0].hash[tree->size] = *leaf;
	for (unsigned k = 1; (size & (((uint64_t)1 << k) - 1)) == 0; k++) {
		uint64_t i = (size >> k) - 1;
		const struct tlog_hash *below = tree->level[k - 1].hash;
		tree->level[k].hash[i] = tlog_node_hash(&below[2 * i], &below[2 * i + 1]);
	}
	tree->size = size;
	return RC_OK;
}

void tree_truncate(struct tree *tree, uint64_t size)
{
	if (size < tree->size)
		tree->size = size;
}

/* The largest power of two below n, as its exponent; n > 1. */
static unsigned split_level(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n - 1);
}

/* Hash of leaves [start, start + n), n > 0, start a multiple of the least power of two >= n: as in every subtree of
 * RFC 6962. Walks down the right edge and folds back. */
static struct tlog_hash range_hash(const struct tree *tree, uint64_t start, uint64_t n)
{
	const struct tlog_hash *left[TREE_LEVELS];
	unsigned depth = 0;

	while ((n & (n - 1)) != 0) {
		unsigned k = split_level(n);
		left[depth++] = &tree->level[k].hash[start >> k];
		start += (uint64_t)1 << k;
		n -= (uint64_t)1 << k;
	}
	unsigned k = (unsigned)__builtin_ctzll(n);
	struct tlog_hash h = tree->level[k].hash[start >> k];
	while (depth > 0)
		h = tlog_node_hash(left[--depth], &h);
	return h;
}

enum rc tree_root(const struct tree *tree, uint64_t size, struct tlog_hash *ret)
{
	if (size > tree->size)
		return RC_INVALID;
	*ret = size == 0 ? tlog_empty_root() : range_hash(tree, 0, size);
	return RC_OK;
}

/* Proofs are made from the root down and given from the leaf up. */
static void proof_reverse(struct tlog_proof *proof)
{
	for (size_t i = 0, j = proof->n; i + 1 < j; i++) {
		struct tlog_hash t = proof->hash[i];
		proof->hash[i] = proof->hash[--j];
		proof->hash[j] = t;
	}
}

enum rc tree_inclusion(const struct tree *tree, uint64_t index, uint64_t size, struct tlog_proof *ret)
{
	uint64_t start = 0, n = size;

	if (index >= size || size > tree->size)
		return RC_INVALID;
	ret->n = 0;
	while (n > 1) {
		uint64_t half = (uint64_t)1 << split_level(n);
		if (index - start < half) {
			ret->hash[ret->n++] = range_hash(tree, start + half, n - half);
			n = half;
		} else {
			ret->hash[ret->n++] = range_hash(tree, start, half);
			start += half;
			n -= half;
		}
	}
	proof_reverse(ret);
	return RC_OK;
}

enum rc tree_consistency(const struct tree *tree, uint64_t old_size, uint64_t new_size, struct tlog_proof *ret)
{
	uint64_t start = 0, n = new_size, m = old_size;

	if (old_size > new_size || new_size > tree->size)
		return RC_INVALID;
	ret->n = 0;
	if (old_size == 0 || old_size == new_size)
		return RC_OK;
	/* SUBPROOF of RFC 6962 section 2.1.2, with m old leaves in the subtree [start, start + n). */
	while (m != n) {
		uint64_t half = (uint64_t)1 << split_level(n);
		if (m <= half) {
			ret->hash[ret->n++] = range_hash(tree, start + half, n - half);
			n = half;
		} else {
			ret->hash[ret->n++] = range_hash(tree, start, half);
			start += half;
			n -= half;
			m -= half;
		}
	}
	/* The old tree itself is known to the verifier; a right part of it is not. */
	if (start != 0)
		ret->hash[ret->n++] = range_hash(tree, start, n);
	proof_reverse(ret);
	return RC_OK;
}

enum rc tree_tile(const struct tree *tree, unsigned level, uint64_t index, unsigned width, struct buffer *out)
{
	unsigned k = level * TLOG_TILE_HEIGHT;

	if (level >= TREE_LEVELS / TLOG_TILE_HEIGHT || width == 0 || width > TLOG_TILE_WIDTH)
		return RC_NOTFOUND;
	uint64_t n = tree->size >> k;
	if (index > n / TLOG_TILE_WIDTH || index * TLOG_TILE_WIDTH + width > n)
		return RC_NOTFOUND;
	buffer_append(out, tree->level[k].hash[index * TLOG_TILE_WIDTH].b, (size_t)width * TLOG_HASH_LEN);
	return out->failed ? RC_NOMEM : RC_OK;
}
