/* libs: tc_audit tc_proto */
/* The growing tree against the verifiers of proto/tlog: every root, proof and tile of every size, and growing again
 * after leaves were taken back. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/audit/tree.h"

static struct tlog_hash make_leaf(uint64_t i, uint8_t salt)
{
	uint8_t entry[9] = {salt};
	memcpy(entry + 1, &i, sizeof i);
	return tlog_leaf_hash(entry, sizeof entry);
}

static struct tree *make_tree(uint64_t n, uint8_t salt)
{
	struct tree *tree = NULL;
	assert_int_equal(tree_new(&tree), RC_OK);
	for (uint64_t i = 0; i < n; i++) {
		struct tlog_hash leaf = make_leaf(i, salt);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
	assert_int_equal(tree_size(tree), n);
	return tree;
}

static void test_roots(void **state)
{
	enum { N = 1100 };
	struct tree *tree = make_tree(N, 1);
	struct tlog_stack stack;
	struct tlog_hash root;

	tlog_stack_init(&stack);
	for (uint64_t n = 0; n <= N; n++) {
		struct tlog_hash want = tlog_stack_root(&stack), leaf = make_leaf(n, 1);
		assert_int_equal(tree_root(tree, n, &root), RC_OK);
		assert_memory_equal(root.b, want.b, 32);
		tlog_stack_append(&stack, &leaf);
	}
	assert_int_equal(tree_root(tree, N + 1, &root), RC_INVALID);
	tree_free(tree);
}

static void test_proofs(void **state)
{
	enum { N = 64 };
	struct tree *tree = make_tree(N, 1);
	struct tlog_proof proof;
	struct tlog_hash root, old_root;

	for (uint64_t size = 1; size <= N; size++) {
		assert_int_equal(tree_root(tree, size, &root), RC_OK);
		for (uint64_t i = 0; i < size; i++) {
			struct tlog_hash leaf = make_leaf(i, 1);
			assert_int_equal(tree_inclusion(tree, i, size, &proof), RC_OK);
			assert_int_equal(tlog_check_inclusion(&proof, i, size, &leaf, &root), RC_OK);
		}
		for (uint64_t old = 0; old <= size; old++) {
			assert_int_equal(tree_root(tree, old, &old_root), RC_OK);
			assert_int_equal(tree_consistency(tree, old, size, &proof), RC_OK);
			assert_int_equal(tlog_check_consistency(&proof, old, &old_root, size, &root), RC_OK);
		}
	}
	proof.n = 42;
	assert_int_equal(tree_inclusion(tree, N, N, &proof), RC_INVALID);
	assert_int_equal(tree_inclusion(tree, 0, N + 1, &proof), RC_INVALID);
	assert_int_equal(tree_consistency(tree, 5, 4, &proof), RC_INVALID);
	assert_int_equal(tree_consistency(tree, 5, N + 1, &proof), RC_INVALID);
	assert_int_equal(proof.n, 42);
	tree_free(tree);
}

/* What was taken back leaves no trace: the tree that grows on equals one that never had it. */
static void test_truncate(void **state)
{
	enum { N = 300 };
	struct tree *fresh = make_tree(N, 2);

	for (uint64_t keep = 0; keep <= N; keep += 37) {
		struct tree *tree = make_tree(N, 1);
		struct tlog_hash a, b;
		tree_truncate(tree, keep);
		assert_int_equal(tree_size(tree), keep);
		assert_int_equal(tree_root(tree, keep + 1, &a), RC_INVALID);
		tree_truncate(tree, keep + 5); /* never forward */
		assert_int_equal(tree_size(tree), keep);
		tree_truncate(tree, 0);
		for (uint64_t i = 0; i < N; i++) {
			struct tlog_hash leaf = make_leaf(i, 2);
			assert_int_equal(tree_append(tree, &leaf), RC_OK);
		}
		for (uint64_t size = 0; size <= N; size++) {
			assert_int_equal(tree_root(tree, size, &a), RC_OK);
			assert_int_equal(tree_root(fresh, size, &b), RC_OK);
			assert_memory_equal(a.b, b.b, 32);
		}
		tree_free(tree);
	}
	tree_free(fresh);
}

static void test_partial_truncate(void **state)
{
	struct tree *tree = make_tree(200, 1), *want;
	struct tlog_hash a, b;

	tree_truncate(tree, 77);
	for (uint64_t i = 77; i < 150; i++) {
		struct tlog_hash leaf = make_leaf(i, 1);
		assert_int_equal(tree_append(tree, &leaf), RC_OK);
	}
	want = make_tree(150, 1);
	assert_int_equal(tree_root(tree, 150, &a), RC_OK);
	assert_int_equal(tree_root(want, 150, &b), RC_OK);
	assert_memory_equal(a.b, b.b, 32);
	tree_free(tree);
	tree_free(want);
}

/* C2SP tlog-tiles' own example: 70,000 leaves are 273 full tiles and one of 112, one full of level 1 and one of 17, and
 * one of level 2 of width 1. */
static void test_tiles(void **state)
{
	struct tree *tree = make_tree(70000, 1);
	struct buffer tile;
	struct tlog_hash leaf;

	buffer_init(&tile);
	assert_int_equal(tree_tile(tree, 0, 272, 256, &tile), RC_OK);
	assert_int_equal(tile.len, 8192);
	leaf = make_leaf(272 * 256 + 3, 1);
	assert_memory_equal(tile.data + 3 * 32, leaf.b, 32);
	assert_int_equal(tree_tile(tree, 0, 273, 112, &tile), RC_OK);
	assert_int_equal(tree_tile(tree, 0, 273, 113, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 0, 274, 1, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 1, 0, 256, &tile), RC_OK);
	assert_int_equal(tree_tile(tree, 1, 1, 17, &tile), RC_OK);
	assert_int_equal(tree_tile(tree, 1, 1, 18, &tile), RC_NOTFOUND);
	buffer_reset(&tile);
	assert_int_equal(tree_tile(tree, 2, 0, 1, &tile), RC_OK);
	assert_int_equal(tile.len, 32);

	/* The one hash of level 2 is the root of the first 65,536 leaves, and of the 256 hashes of level 1's first
	 * tile. */
	struct tlog_hash root;
	assert_int_equal(tree_root(tree, 65536, &root), RC_OK);
	assert_memory_equal(tile.data, root.b, 32);
	buffer_reset(&tile);
	assert_int_equal(tree_tile(tree, 1, 0, 256, &tile), RC_OK);
	struct tlog_stack stack;
	tlog_stack_init(&stack);
	for (size_t i = 0; i < 256; i++) {
		struct tlog_hash h;
		memcpy(h.b, tile.data + 32 * i, 32);
		tlog_stack_append(&stack, &h);
	}
	struct tlog_hash again = tlog_stack_root(&stack);
	assert_memory_equal(again.b, root.b, 32);

	assert_int_equal(tree_tile(tree, 2, 0, 2, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 3, 0, 1, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 63, 0, 1, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 0, 0, 0, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 0, 0, 257, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 0, UINT64_MAX, 1, &tile), RC_NOTFOUND);
	assert_int_equal(tree_tile(tree, 0, UINT64_MAX / 256, 256, &tile), RC_NOTFOUND);
	buffer_deinit(&tile);
	tree_free(tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),    cmocka_unit_test(test_proofs),
		cmocka_unit_test(test_truncate), cmocka_unit_test(test_partial_truncate),
		cmocka_unit_test(test_tiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
