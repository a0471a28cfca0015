/* A YAML file as a tree of nodes that know their line, their byte range and their path. For configuration-like files
 * that people write: errors name line and path, and the text of one scalar can be replaced in place.
 *
 * The input may be hostile. Anchors, aliases, tags, directives and second documents are refused (an alias can make a
 * small file into an exponential tree), and bytes, nodes, depth and keys of one mapping are bounded before anything of
 * that size is allocated. Scalars hold no NUL. Duplicate keys are refused. The children of a mapping come in ascending
 * order of their keys, so that the order in the file cannot mean anything. */
#ifndef PROTO_YAML_TREE_H
#define PROTO_YAML_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

enum {
	YAML_MAX_BYTES = 1 << 20,
	YAML_MAX_NODES = 1 << 15,
	YAML_MAX_DEPTH = 24,
	YAML_MAX_KEYS = 512, /* of one mapping */
	YAML_MAX_KEY_LEN = 255,
};

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
	enum yaml_kind kind;
	uint32_t line;  /* of its first character, from 1; for the value of a key, the line of the key */
	uint32_t index; /* among its parent's children */
	uint32_t n_children;
	char *key;  /* where the parent is a mapping, else NULL */
	char *text; /* scalars: the value, NUL-terminated */
	size_t text_len;
	bool plain;            /* scalars: written without quotes, on one line */
	size_t offset, length; /* scalars: bytes in the file, quotes included */
	const struct yaml_node *parent;
	struct yaml_node *first, *last, *next; /* children, and the next one of the parent; mappings: by key */
};

struct yaml_tree;

/* Parse `len` bytes (borrowed during the call only). `name` (copied) is what errors call the file.
 * Errors: INVALID (not YAML, or a refused construct), TOO_LARGE, NOMEM. */
enum rc yaml_tree_parse(const char *name, const char *yaml, size_t len, struct yaml_tree **ret,
			struct diag *diag) MUST_CHECK;
void yaml_tree_free(struct yaml_tree *tree);
const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree);
const char *yaml_tree_name(const struct yaml_tree *tree);

/* The value of `key`, or NULL (also where `node` is NULL or no mapping). */
const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key);

/* "linkage.filters.name.features[2]"; "" for the root. Cut at the end of `out`. */
void yaml_path(const struct yaml_node *node, char *out, size_t cap);

/* The deepest node that `path` ("features[1].hashing.strategy") leads to from `node`: follows as far as it can. */
const struct yaml_node *yaml_follow(const struct yaml_node *node, const char *path);

/* Copy as JSON. Plain scalars that read as a JSON number, true, false or null become that; all others strings.
 * Returns a new reference. Errors: INVALID (a number out of range), NOMEM. */
enum rc yaml_to_json(const struct yaml_node *node, json_t **ret) MUST_CHECK;

/* "NAME:LINE: PATH: message"; returns RC_INVALID. */
enum rc yaml_error(const struct yaml_tree *tree, const struct yaml_node *node, struct diag *diag, const char *format,
		   ...) __attribute__((format(printf, 4, 5)));

#endif
