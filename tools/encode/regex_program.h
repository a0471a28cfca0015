/* The program that a pattern is compiled to, and its limits. Internal to the regular expressions. */
#ifndef TOOLS_ENCODE_REGEX_PROGRAM_H
#define TOOLS_ENCODE_REGEX_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/rc.h"
#include "tools/encode/regex.h"

enum { REGEX_MAX_SETS = 4096, REGEX_MAX_RANGES = 4096, REGEX_MAX_PROGRAM = 20000 };

enum {
	CLASS_DIGIT = 1,
	CLASS_NOT_DIGIT = 2,
	CLASS_WORD = 4,
	CLASS_NOT_WORD = 8,
	CLASS_SPACE = 16,
	CLASS_NOT_SPACE = 32
};

enum node_kind {
	NODE_EMPTY,
	NODE_CHAR,
	NODE_ANY,
	NODE_SET,
	NODE_BEGIN,
	NODE_END,
	NODE_WORD_EDGE,
	NODE_NOT_WORD_EDGE,
	NODE_CAT,
	NODE_ALT,
	NODE_REPEAT
};

struct set {
	bool negated;
	uint8_t classes;
	int first, n; /* ranges */
};

enum op { OP_CHAR, OP_ANY, OP_SET, OP_ASSERT, OP_SPLIT, OP_JUMP, OP_MATCH };

struct instruction {
	enum op op;
	uint32_t arg; /* code point, set, or node_kind of the assertion */
	int x, y;
};

struct regex {
	struct set *sets;
	uint32_t (*ranges)[2];
	int n_sets, n_ranges;
	struct instruction *program;
	int n_program;
	int *now, *next, *stack; /* scratch of a match */
	uint32_t *seen, generation;
};

/* Parse and emit into the (empty) tables of `regex`. On failure *ret_why borrows a constant text.
 * Errors: INVALID, TOO_LARGE, NOMEM. */
enum rc regex_parse(const char *pattern, struct regex *regex, const char **ret_why) MUST_CHECK;

#endif
