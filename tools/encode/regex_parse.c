/* Patterns to programs: a parse tree first, since counted repetition emits its operand several times. */
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tools/encode/regex_program.h"
#include "tools/encode/text.h"

enum { MAX_NODES = REGEX_MAX_SETS, MAX_DEPTH = 64, MAX_REPEAT = 1000 };

struct node {
	enum node_kind kind;
	uint32_t cp;     /* NODE_CHAR */
	int left, right; /* NODE_CAT, NODE_ALT; NODE_REPEAT uses left */
	int min, max;    /* NODE_REPEAT; max -1 = no limit */
	int set;         /* NODE_SET: index into sets */
};

struct parser {
	struct text pattern;
	size_t at;
	struct node *nodes;
	int n_nodes, depth, n_emits;
	struct regex *regex;
	const char *why;
	enum rc rc;
};

static int fail(struct parser *p, enum rc rc, const char *why)
{
	if (p->rc == RC_OK) {
		p->rc = rc;
		p->why = why;
	}
	return 0;
}

static int new_node(struct parser *p, enum node_kind kind)
{
	if (p->n_nodes == MAX_NODES)
		return fail(p, RC_TOO_LARGE, "the expression is too long");
	p->nodes[p->n_nodes] = (struct node){.kind = kind};
	return p->n_nodes++;
}

static bool more(const struct parser *p)
{
	return p->rc == RC_OK && p->at < p->pattern.len;
}

static uint32_t peek(const struct parser *p)
{
	return p->at < p->pattern.len ? p->pattern.cp[p->at] : 0x110000;
}

static bool take(struct parser *p, uint32_t c)
{
	if (!more(p) || peek(p) != c)
		return false;
	p->at++;
	return true;
}

static void add_range(struct parser *p, uint32_t from, uint32_t to)
{
	struct regex *r = p->regex;
	if (r->n_ranges == REGEX_MAX_RANGES) {
		fail(p, RC_TOO_LARGE, "the expression has too many ranges");
		return;
	}
	r->ranges[r->n_ranges][0] = from;
	r->ranges[r->n_ranges][1] = to;
	r->n_ranges++;
}

static uint32_t hex_digits(struct parser *p, int n)
{
	uint32_t v = 0;
	for (int i = 0; i < n; i++) {
		uint32_t c = peek(p);
		int d = c < 0x80 ? hex_digit((int)c) : -1;
		if (d < 0) {
			fail(p, RC_INVALID, "an escape lacks hexadecimal digits");
			return 0;
		}
		v = v << 4 | (uint32_t)d;
		p->at++;
	}
	return v;
}

static uint8_t class_of(uint32_t c)
{
	switch (c) {
	case 'd':
		return CLASS_DIGIT;
	case 'D':
		return CLASS_NOT_DIGIT;
	case 'w':
		return CLASS_WORD;
	case 'W':
		return CLASS_NOT_WORD;
	case 's':
		return CLASS_SPACE;
	case 'S':
		return CLASS_NOT_SPACE;
	}
	return 0;
}

/* After a backslash that does not name a class or an assertion. */
static uint32_t parse_escape(struct parser *p)
{
	static const char plain[] = "nrtfva", value[] = "\n\r\t\f\v\a";
	uint32_t c = peek(p);
	p->at++;
	const char *known = c != 0 && c < 0x80 ? strchr(plain, (int)c) : NULL;
	if (known != NULL)
		return (unsigned char)value[known - plain];
	if (c == 'x')
		return hex_digits(p, 2);
	if (c == 'u')
		return hex_digits(p, 4);
	if (c == 'U')
		return hex_digits(p, 8);
	if (c == '0')
		return 0;
	if (c >= '1' && c <= '9')
		return (uint32_t)fail(p, RC_INVALID, "back references are not supported");
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c > 0x10FFFF)
		return (uint32_t)fail(p, RC_INVALID, "an escape is not known");
	return c;
}

static int parse_set(struct parser *p)
{
	struct regex *r = p->regex;
	int node = new_node(p, NODE_SET);
	if (r->n_sets == MAX_NODES || p->rc != RC_OK)
		return fail(p, RC_TOO_LARGE, "the expression is too long");
	struct set set = {.first = r->n_ranges};
	set.negated = take(p, '^');
	for (bool first = true; p->rc == RC_OK; first = false) {
		if (!more(p))
			return fail(p, RC_INVALID, "a [ is not closed");
		uint32_t from = peek(p);
		p->at++;
		if (from == ']' && !first)
			break;
		if (from == '\\' && class_of(peek(p)) != 0) {
			set.classes |= class_of(peek(p));
			p->at++;
			continue;
		}
		if (from == '\\')
			from = parse_escape(p);
		uint32_t to = from;
		if (peek(p) == '-' && p->at + 1 < p->pattern.len && p->pattern.cp[p->at + 1] != ']') {
			p->at++;
			to = peek(p);
			p->at++;
			if (to == '\\' && class_of(peek(p)) != 0)
				return fail(p, RC_INVALID, "a range ends in a class");
			if (to == '\\')
				to = parse_escape(p);
		}
		if (to < from)
			return fail(p, RC_INVALID, "a range runs backwards");
		add_range(p, from, to);
	}
	set.n = r->n_ranges - set.first;
	p->nodes[node].set = r->n_sets;
	r->sets[r->n_sets++] = set;
	return node;
}

static int class_node(struct parser *p, uint8_t classes)
{
	int node = new_node(p, NODE_SET);
	if (p->rc == RC_OK) {
		p->nodes[node].set = p->regex->n_sets;
		p->regex->sets[p->regex->n_sets++] = (struct set){.classes = classes, .first = p->regex->n_ranges};
	}
	return node;
}

static int parse_alternatives(struct parser *p);

static int parse_group(struct parser *p)
{
	if (take(p, '?')) {
		bool named = take(p, 'P');
		if (named && take(p, '<')) {
			while (more(p) && peek(p) != '>')
				p->at++;
			if (!take(p, '>'))
				return fail(p, RC_INVALID, "a group's name is not closed");
		} else if (named || !take(p, ':')) {
			return fail(p, RC_INVALID, "look-around, flags and back references are not supported");
		}
	}
	int inner = parse_alternatives(p);
	if (!take(p, ')'))
		return fail(p, RC_INVALID, "a ( is not closed");
	return inner;
}

static int parse_atom(struct parser *p)
{
	uint32_t c = peek(p);
	p->at++;
	switch (c) {
	case '(':
		return parse_group(p);
	case '[':
		return parse_set(p);
	case '.':
		return new_node(p, NODE_ANY);
	case '^':
		return new_node(p, NODE_BEGIN);
	case '$':
		return new_node(p, NODE_END);
	case '*':
	case '+':
	case '?':
		return fail(p, RC_INVALID, "there is nothing to repeat");
	}
	if (c == '\\') {
		if (!more(p))
			return fail(p, RC_INVALID, "it ends in a backslash");
		uint32_t e = peek(p);
		static const struct {
			char letter;
			enum node_kind kind;
		} assertions[] = {{'A', NODE_BEGIN}, {'Z', NODE_END}, {'b', NODE_WORD_EDGE}, {'B', NODE_NOT_WORD_EDGE}};
		for (size_t i = 0; i < 4; i++) {
			if (e == (unsigned char)assertions[i].letter) {
				p->at++;
				return new_node(p, assertions[i].kind);
			}
		}
		if (class_of(e) != 0) {
			p->at++;
			return class_node(p, class_of(e));
		}
		c = parse_escape(p);
	}
	int node = new_node(p, NODE_CHAR);
	p->nodes[node].cp = c;
	return node;
}

static bool parse_number(struct parser *p, int *ret)
{
	int v = 0;
	bool any = false;
	while (more(p) && peek(p) >= '0' && peek(p) <= '9') {
		v = v * 10 + (int)(peek(p) - '0');
		if (v > MAX_REPEAT) {
			fail(p, RC_TOO_LARGE, "a repeat count is above 1000");
			return false;
		}
		any = true;
		p->at++;
	}
	if (any)
		*ret = v;
	return any;
}

/* {n}, {n,}, {,m}, {n,m}; anything else in braces is literal text, as in Python. */
static bool parse_braces(struct parser *p, int *ret_min, int *ret_max)
{
	size_t start = p->at;
	int min = 0, max = -1;
	if (!take(p, '{'))
		return false;
	bool any = parse_number(p, &min);
	if (take(p, ',')) {
		any |= parse_number(p, &max);
		any = true;
	} else {
		max = min;
	}
	if (!any || !take(p, '}')) {
		p->at = start;
		return false;
	}
	if (max >= 0 && max < min) {
		fail(p, RC_INVALID, "a repeat's maximum is below its minimum");
		return false;
	}
	*ret_min = min;
	*ret_max = max;
	return true;
}

static int parse_repeated(struct parser *p)
{
	int atom = parse_atom(p), min = 0, max = 0;
	bool repeated = false;
	while (more(p)) {
		if (take(p, '*')) {
			min = 0;
			max = -1;
		} else if (take(p, '+')) {
			min = 1;
			max = -1;
		} else if (take(p, '?')) {
			min = 0;
			max = 1;
		} else if (!parse_braces(p, &min, &max)) {
			break;
		}
		if (repeated)
			return fail(p, RC_INVALID, "a repeat is repeated");
		repeated = true;
		take(p, '?'); /* lazy or not is one when the whole value must match */
		int node = new_node(p, NODE_REPEAT);
		p->nodes[node].left = atom;
		p->nodes[node].min = min;
		p->nodes[node].max = max;
		atom = node;
	}
	return atom;
}

static int join(struct parser *p, enum node_kind kind, int left, int right)
{
	int node = new_node(p, kind);
	p->nodes[node].left = left;
	p->nodes[node].right = right;
	return node;
}

static int parse_sequence(struct parser *p)
{
	int all = new_node(p, NODE_EMPTY);
	while (more(p) && peek(p) != '|' && peek(p) != ')')
		all = join(p, NODE_CAT, all, parse_repeated(p));
	return all;
}

static int parse_alternatives(struct parser *p)
{
	if (++p->depth > MAX_DEPTH)
		return fail(p, RC_TOO_LARGE, "groups are nested too deep");
	int all = parse_sequence(p);
	while (take(p, '|'))
		all = join(p, NODE_ALT, all, parse_sequence(p));
	p->depth--;
	return all;
}

static int emit_one(struct parser *p, enum op op, uint32_t arg)
{
	struct regex *r = p->regex;
	if (r->n_program == REGEX_MAX_PROGRAM)
		return fail(p, RC_TOO_LARGE, "the expression repeats too much");
	r->program[r->n_program] = (struct instruction){.op = op, .arg = arg};
	return r->n_program++;
}

static void emit(struct parser *p, int node);

static void emit_repeat(struct parser *p, const struct node *n)
{
	struct instruction *code = p->regex->program;
	for (int i = 0; i < n->min && p->rc == RC_OK; i++)
		emit(p, n->left);
	if (n->max < 0) {
		int split = emit_one(p, OP_SPLIT, 0);
		emit(p, n->left);
		int jump = emit_one(p, OP_JUMP, 0);
		code[jump].x = split;
		code[split].x = split + 1;
		code[split].y = p->regex->n_program;
		return;
	}
	for (int i = n->min; i < n->max && p->rc == RC_OK; i++) {
		int split = emit_one(p, OP_SPLIT, 0);
		emit(p, n->left);
		code[split].x = split + 1;
		code[split].y = p->regex->n_program;
	}
}

/* CAT chains lean left and may be as long as the pattern, so they are unrolled instead of recursed into. */
static void emit_sequence(struct parser *p, int node)
{
	int *parts = reallocarray(NULL, MAX_NODES, sizeof *parts), n = 0;
	if (parts == NULL) {
		fail(p, RC_NOMEM, "out of memory");
		return;
	}
	for (; p->nodes[node].kind == NODE_CAT; node = p->nodes[node].left)
		parts[n++] = p->nodes[node].right;
	emit(p, node);
	while (n > 0 && p->rc == RC_OK)
		emit(p, parts[--n]);
	free(parts);
}

static void emit(struct parser *p, int node)
{
	const struct node *n = &p->nodes[node];
	struct instruction *code = p->regex->program;
	/* Counted apart from the program, since a repeated empty group emits nothing and would run for ever. */
	if (++p->n_emits > 16 * REGEX_MAX_PROGRAM)
		fail(p, RC_TOO_LARGE, "the expression repeats too much");
	if (p->rc != RC_OK)
		return;
	switch (n->kind) {
	case NODE_EMPTY:
		return;
	case NODE_CHAR:
		emit_one(p, OP_CHAR, n->cp);
		return;
	case NODE_ANY:
		emit_one(p, OP_ANY, 0);
		return;
	case NODE_SET:
		emit_one(p, OP_SET, (uint32_t)n->set);
		return;
	case NODE_CAT:
		emit_sequence(p, node);
		return;
	case NODE_REPEAT:
		emit_repeat(p, n);
		return;
	case NODE_ALT: {
		int split = emit_one(p, OP_SPLIT, 0);
		emit(p, n->left);
		int jump = emit_one(p, OP_JUMP, 0);
		code[split].x = split + 1;
		code[split].y = p->regex->n_program;
		emit(p, n->right);
		code[jump].x = p->regex->n_program;
		return;
	}
	default:
		emit_one(p, OP_ASSERT, (uint32_t)n->kind);
	}
}

enum rc regex_parse(const char *pattern, struct regex *regex, const char **ret_why)
{
	struct parser p = {
		.regex = regex, .nodes = reallocarray(NULL, MAX_NODES, sizeof *p.nodes), .why = "out of memory"};
	text_init(&p.pattern);
	p.rc = p.nodes == NULL ? RC_NOMEM : RC_OK;
	if (p.rc == RC_OK) {
		p.rc = text_decode(&p.pattern, pattern, strlen(pattern));
		p.why = p.rc == RC_INVALID ? "it is not UTF-8" : "out of memory";
	}
	if (p.rc == RC_OK) {
		int root = parse_alternatives(&p);
		if (p.rc == RC_OK && p.at < p.pattern.len)
			fail(&p, RC_INVALID, "a ) has no (");
		emit(&p, root);
		emit_one(&p, OP_MATCH, 0);
	}
	text_deinit(&p.pattern);
	free(p.nodes);
	if (p.rc != RC_OK)
		*ret_why = p.why;
	return p.rc;
}
