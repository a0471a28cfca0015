/* Thompson's construction, run as a set of states (Thompson 1968; Cox, "Regular Expression Matching: the Virtual
 * Machine Approach"). */
#include "tools/encode/regex.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "tools/encode/regex_program.h"
#include "tools/encode/text.h"

void regex_free(struct regex *regex)
{
	if (regex == NULL)
		return;
	free(regex->sets);
	free(regex->ranges);
	free(regex->program);
	free(regex->now);
	free(regex->next);
	free(regex->stack);
	free(regex->seen);
	free(regex);
}

static struct regex *regex_alloc(void)
{
	struct regex *r = calloc(1, sizeof *r);
	if (r == NULL)
		return NULL;
	r->sets = reallocarray(NULL, REGEX_MAX_SETS, sizeof *r->sets);
	r->ranges = reallocarray(NULL, REGEX_MAX_RANGES, sizeof *r->ranges);
	r->program = reallocarray(NULL, REGEX_MAX_PROGRAM, sizeof *r->program);
	if (r->sets == NULL || r->ranges == NULL || r->program == NULL) {
		regex_free(r);
		return NULL;
	}
	return r;
}

static enum rc alloc_scratch(struct regex *r)
{
	size_t n = (size_t)r->n_program;
	r->now = calloc(n, sizeof *r->now);
	r->next = calloc(n, sizeof *r->next);
	r->stack = calloc(2 * n + 2, sizeof *r->stack);
	r->seen = calloc(n, sizeof *r->seen);
	return r->now && r->next && r->stack && r->seen ? RC_OK : RC_NOMEM;
}

enum rc regex_compile(const char *pattern, struct regex **ret, const char **ret_why)
{
	struct regex *regex = regex_alloc();
	*ret_why = "out of memory";
	enum rc rc = regex != NULL ? regex_parse(pattern, regex, ret_why) : RC_NOMEM;
	if (rc == RC_OK)
		rc = alloc_scratch(regex);
	if (rc != RC_OK) {
		regex_free(regex);
		return rc;
	}
	*ret = regex;
	return RC_OK;
}

static bool is_digit(uint32_t c)
{
	return utf8proc_category((utf8proc_int32_t)c) == UTF8PROC_CATEGORY_ND;
}

/* Python's \w: letters and numbers of any script, and the underscore. */
static bool is_word(uint32_t c)
{
	utf8proc_category_t k = utf8proc_category((utf8proc_int32_t)c);
	return c == '_' || (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
	       (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static bool in_set(const struct regex *r, const struct set *set, uint32_t c)
{
	uint8_t k = set->classes;
	bool in = ((k & CLASS_DIGIT) && is_digit(c)) || ((k & CLASS_NOT_DIGIT) && !is_digit(c)) ||
		  ((k & CLASS_WORD) && is_word(c)) || ((k & CLASS_NOT_WORD) && !is_word(c)) ||
		  ((k & CLASS_SPACE) && text_is_space(c)) || ((k & CLASS_NOT_SPACE) && !text_is_space(c));
	for (int i = 0; i < set->n && !in; i++)
		in = c >= r->ranges[set->first + i][0] && c <= r->ranges[set->first + i][1];
	return in != set->negated;
}

static bool assertion_holds(enum node_kind kind, const uint32_t *cp, size_t len, size_t at)
{
	bool before = at > 0 && is_word(cp[at - 1]), after = at < len && is_word(cp[at]);
	switch (kind) {
	case NODE_BEGIN:
		return at == 0;
	case NODE_END:
		return at == len;
	case NODE_WORD_EDGE:
		return before != after;
	default:
		return before == after;
	}
}

/* Add a state and all that it leads to without reading; returns how many there are then. */
static int add_states(struct regex *r, int state, int *list, int n, const uint32_t *cp, size_t len, size_t at)
{
	int depth = 0;
	r->stack[depth++] = state;
	while (depth > 0) {
		int s = r->stack[--depth];
		if (r->seen[s] == r->generation)
			continue;
		r->seen[s] = r->generation;
		const struct instruction *in = &r->program[s];
		if (in->op == OP_SPLIT) {
			r->stack[depth++] = in->y;
			r->stack[depth++] = in->x;
		} else if (in->op == OP_JUMP) {
			r->stack[depth++] = in->x;
		} else if (in->op == OP_ASSERT) {
			if (assertion_holds((enum node_kind)in->arg, cp, len, at))
				r->stack[depth++] = s + 1;
		} else {
			list[n++] = s;
		}
	}
	return n;
}

enum rc regex_match(struct regex *r, const uint32_t *cp, size_t len, bool *ret_match)
{
	if (r->generation > UINT32_MAX / 2 || len > UINT32_MAX / 4) {
		memset(r->seen, 0, (size_t)r->n_program * sizeof *r->seen);
		r->generation = 0;
	}
	r->generation++;
	int n = add_states(r, 0, r->now, 0, cp, len, 0);
	for (size_t at = 0; at < len && n > 0; at++) {
		int n_next = 0;
		r->generation++;
		for (int i = 0; i < n; i++) {
			const struct instruction *in = &r->program[r->now[i]];
			bool steps = (in->op == OP_CHAR && in->arg == cp[at]) || (in->op == OP_ANY && cp[at] != '\n') ||
				     (in->op == OP_SET && in_set(r, &r->sets[in->arg], cp[at]));
			if (steps)
				n_next = add_states(r, r->now[i] + 1, r->next, n_next, cp, len, at + 1);
		}
		int *swap = r->now;
		r->now = r->next;
		r->next = swap;
		n = n_next;
	}
	*ret_match = false;
	for (int i = 0; i < n; i++)
		*ret_match |= r->program[r->now[i]].op == OP_MATCH;
	return RC_OK;
}
