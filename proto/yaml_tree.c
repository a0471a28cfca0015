/* libyaml's events into a bounded tree. libyaml itself never recurses on input and reports positions in characters,
 * which are turned into byte offsets here, since `keys init` replaces the bytes of one scalar. */
#include "proto/yaml_tree.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct yaml_tree {
	char *name;
	struct yaml_node *root;
	struct yaml_node *nodes[YAML_MAX_NODES]; /* all of them, to free without recursion */
	uint32_t n_nodes;
};

struct builder {
	struct yaml_tree *tree;
	const char *bytes;
	size_t len;
	size_t skipped;                         /* bytes of a byte order mark before `bytes` */
	size_t at_char, at_byte;                /* a cursor over the input: events come in order */
	struct yaml_node *open[YAML_MAX_DEPTH]; /* containers being filled */
	unsigned depth;
	char *key; /* of the open mapping, waiting for its value; owned */
	uint32_t key_line;
	bool done;
	struct diag *diag;
};

static enum rc fail_at(const struct builder *b, size_t line, const char *what)
{
	return diag_set(b->diag, RC_INVALID, "%s:%zu: %s", b->tree->name, line, what);
}

static size_t count_lines(const char *bytes, size_t len)
{
	size_t line = 1;

	for (size_t i = 0; i < len; i++)
		line += bytes[i] == '\n';
	return line;
}

/* Byte offset of the character with that number. */
static size_t byte_of(struct builder *b, size_t character)
{
	if (character < b->at_char)
		b->at_char = b->at_byte = 0;
	while (b->at_char < character && b->at_byte < b->len) {
		do
			b->at_byte++;
		while (b->at_byte < b->len && ((unsigned char)b->bytes[b->at_byte] & 0xc0) == 0x80);
		b->at_char++;
	}
	return b->at_byte;
}

static enum rc new_node(struct builder *b, enum yaml_kind kind, size_t line, struct yaml_node **ret)
{
	struct yaml_tree *tree = b->tree;

	if (tree->n_nodes == YAML_MAX_NODES)
		return diag_set(b->diag, RC_TOO_LARGE, "%s:%zu: more than %d values in one file", tree->name, line,
				YAML_MAX_NODES);
	struct yaml_node *node = calloc(1, sizeof *node);
	if (node == NULL)
		return RC_NOMEM;
	tree->nodes[tree->n_nodes++] = node;
	node->kind = kind;
	node->line = (uint32_t)line;
	if (b->depth == 0) {
		tree->root = node;
	} else {
		struct yaml_node *parent = b->open[b->depth - 1];
		node->parent = parent;
		node->index = parent->n_children++;
		if (parent->kind == YAML_MAPPING) {
			node->key = b->key;
			node->line = b->key_line;
			b->key = NULL;
		}
		if (parent->last != NULL)
			parent->last->next = node;
		else
			parent->first = node;
		parent->last = node;
	}
	*ret = node;
	return RC_OK;
}

static enum rc take_key(struct builder *b, const yaml_event_t *event, size_t line)
{
	const struct yaml_node *mapping = b->open[b->depth - 1];
	size_t len = event->data.scalar.length;
	const char *text = (const char *)event->data.scalar.value;

	if (len == 0 || len > YAML_MAX_KEY_LEN || memchr(text, 0, len) != NULL)
		return fail_at(b, line, "a key is empty, too long or holds a NUL");
	if (mapping->n_children == YAML_MAX_KEYS)
		return fail_at(b, line, "too many keys in one mapping");
	const struct yaml_node *first = yaml_get(mapping, text);
	if (first != NULL) {
		char path[256];
		yaml_path(first, path, sizeof path);
		return diag_set(b->diag, RC_INVALID, "%s:%zu: %s: this key stands twice; the first is in line %u",
				b->tree->name, line, path, (unsigned)first->line);
	}
	b->key = strndup(text, len);
	b->key_line = (uint32_t)line;
	return b->key == NULL ? RC_NOMEM : RC_OK;
}

static enum rc add_scalar(struct builder *b, const yaml_event_t *event, size_t line)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct yaml_node *node;

	if (b->depth > 0 && b->open[b->depth - 1]->kind == YAML_MAPPING && b->key == NULL)
		return take_key(b, event, line);
	if (memchr(text, 0, len) != NULL)
		return fail_at(b, line, "a value holds a NUL");
	enum rc rc = new_node(b, YAML_SCALAR, line, &node);
	if (rc != RC_OK)
		return rc;
	node->text = strndup(text, len);
	if (node->text == NULL)
		return RC_NOMEM;
	node->text_len = len;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	size_t start = byte_of(b, event->start_mark.index);
	node->length = byte_of(b, event->end_mark.index) - start;
	node->offset = b->skipped + start;
	return RC_OK;
}

static enum rc open_container(struct builder *b, enum yaml_kind kind, size_t line)
{
	struct yaml_node *node;

	if (b->depth > 0 && b->open[b->depth - 1]->kind == YAML_MAPPING && b->key == NULL)
		return fail_at(b, line, "a key must be plain text");
	if (b->depth == YAML_MAX_DEPTH)
		return fail_at(b, line, "nested too deeply");
	enum rc rc = new_node(b, kind, line, &node);
	if (rc == RC_OK)
		b->open[b->depth++] = node;
	return rc;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp((*(struct yaml_node *const *)a)->key, (*(struct yaml_node *const *)b)->key);
}

static void sort_keys(struct yaml_node *mapping)
{
	struct yaml_node *children[YAML_MAX_KEYS];
	size_t n = 0;

	for (struct yaml_node *child = mapping->first; child != NULL; child = child->next)
		children[n++] = child;
	if (n == 0)
		return;
	qsort(children, n, sizeof *children, compare_keys);
	for (size_t i = 0; i < n; i++)
		children[i]->next = i + 1 < n ? children[i + 1] : NULL;
	mapping->first = children[0];
	mapping->last = children[n - 1];
}

static enum rc refuse_decoration(const struct builder *b, const yaml_char_t *anchor, const yaml_char_t *tag,
				 size_t line)
{
	if (anchor != NULL)
		return fail_at(b, line, "anchors (&name) and aliases (*name) are not taken; write the value out");
	if (tag != NULL)
		return fail_at(b, line, "tags (!name) are not taken");
	return RC_OK;
}

static enum rc take_event(struct builder *b, const yaml_event_t *event)
{
	size_t line = event->start_mark.line + 1;
	enum rc rc;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		rc = refuse_decoration(b, event->data.scalar.anchor, event->data.scalar.tag, line);
		return rc == RC_OK ? add_scalar(b, event, line) : rc;
	case YAML_SEQUENCE_START_EVENT:
		rc = refuse_decoration(b, event->data.sequence_start.anchor, event->data.sequence_start.tag, line);
		return rc == RC_OK ? open_container(b, YAML_SEQUENCE, line) : rc;
	case YAML_MAPPING_START_EVENT:
		rc = refuse_decoration(b, event->data.mapping_start.anchor, event->data.mapping_start.tag, line);
		return rc == RC_OK ? open_container(b, YAML_MAPPING, line) : rc;
	case YAML_MAPPING_END_EVENT:
		sort_keys(b->open[b->depth - 1]);
		b->depth--;
		return RC_OK;
	case YAML_SEQUENCE_END_EVENT:
		b->depth--;
		return RC_OK;
	case YAML_ALIAS_EVENT:
		return refuse_decoration(b, event->data.alias.anchor, NULL, line);
	case YAML_DOCUMENT_START_EVENT:
		if (b->tree->root != NULL)
			return fail_at(b, line, "a second document in the same file");
		if (event->data.document_start.version_directive != NULL ||
		    event->data.document_start.tag_directives.start != event->data.document_start.tag_directives.end)
			return fail_at(b, line, "directives (%) are not taken");
		return RC_OK;
	case YAML_STREAM_END_EVENT:
		b->done = true;
		return RC_OK;
	default:
		return RC_OK;
	}
}

static enum rc run(struct builder *b)
{
	yaml_parser_t parser;
	enum rc rc = RC_OK;

	if (!yaml_parser_initialize(&parser))
		return RC_NOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)b->bytes, b->len);
	while (rc == RC_OK && !b->done) {
		yaml_event_t event;
		if (!yaml_parser_parse(&parser, &event)) {
			size_t line =
				parser.error == YAML_READER_ERROR
					? count_lines(b->bytes,
						      parser.problem_offset < b->len ? parser.problem_offset : b->len)
					: parser.problem_mark.line + 1;
			rc = parser.error == YAML_MEMORY_ERROR
				     ? RC_NOMEM
				     : diag_set(b->diag, RC_INVALID, "%s:%zu: not valid YAML: %s", b->tree->name, line,
						parser.problem != NULL ? parser.problem : "unreadable");
			break;
		}
		rc = take_event(b, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return rc;
}

enum rc yaml_tree_parse(const char *name, const char *yaml, size_t len, struct yaml_tree **ret, struct diag *diag)
{
	if (len > YAML_MAX_BYTES)
		return diag_set(diag, RC_TOO_LARGE, "%s: larger than %d bytes", name, YAML_MAX_BYTES);
	struct yaml_tree *tree = calloc(1, sizeof *tree);
	if (tree == NULL)
		return RC_NOMEM;
	tree->name = strdup(name);
	/* libyaml counts a byte order mark as a column, and then takes the next line for the end of the document. */
	size_t mark = len >= 3 && memcmp(yaml, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	/* Of an empty file there may be no bytes at all, which libyaml does not take. */
	struct builder b = {.tree = tree,
			    .bytes = yaml != NULL ? yaml + mark : "",
			    .len = len - mark,
			    .skipped = mark,
			    .diag = diag};
	enum rc rc = tree->name == NULL ? RC_NOMEM : run(&b);
	free(b.key);
	if (rc == RC_OK && tree->root == NULL)
		rc = diag_set(diag, RC_INVALID, "%s:1: the file is empty", name);
	if (rc == RC_NOMEM)
		diag_set(diag, rc, "%s: %s", name, rc_text(rc));
	if (rc != RC_OK) {
		yaml_tree_free(tree);
		return rc;
	}
	*ret = tree;
	return RC_OK;
}

void yaml_tree_free(struct yaml_tree *tree)
{
	if (tree == NULL)
		return;
	for (uint32_t i = 0; i < tree->n_nodes; i++) {
		free(tree->nodes[i]->key);
		free(tree->nodes[i]->text);
		free(tree->nodes[i]);
	}
	free(tree->name);
	free(tree);
}

const struct yaml_node *yaml_tree_root(const struct yaml_tree *tree)
{
	return tree->root;
}

const char *yaml_tree_name(const struct yaml_tree *tree)
{
	return tree->name;
}

const struct yaml_node *yaml_get(const struct yaml_node *node, const char *key)
{
	if (node == NULL || node->kind != YAML_MAPPING)
		return NULL;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		if (strcmp(child->key, key) == 0)
			return child;
	}
	return NULL;
}

void yaml_path(const struct yaml_node *node, char *out, size_t cap)
{
	const struct yaml_node *chain[YAML_MAX_DEPTH + 1];
	unsigned depth = 0;
	size_t at = 0;

	for (; node != NULL && node->parent != NULL && depth <= YAML_MAX_DEPTH; node = node->parent)
		chain[depth++] = node;
	out[0] = 0;
	while (depth > 0 && at < cap) {
		node = chain[--depth];
		int n = node->key != NULL ? snprintf(out + at, cap - at, "%s%s", at > 0 ? "." : "", node->key)
					  : snprintf(out + at, cap - at, "[%u]", (unsigned)node->index);
		at += n > 0 ? (size_t)n : 0;
	}
}

static const struct yaml_node *child_at(const struct yaml_node *node, unsigned long index)
{
	const struct yaml_node *child = node->kind == YAML_SEQUENCE ? node->first : NULL;

	while (child != NULL && index-- > 0)
		child = child->next;
	return child;
}

const struct yaml_node *yaml_follow(const struct yaml_node *node, const char *path)
{
	while (*path != 0) {
		const struct yaml_node *child;
		if (*path == '[') {
			char *end;
			child = child_at(node, strtoul(path + 1, &end, 10));
			path = *end == ']' ? end + 1 : end;
		} else {
			char key[YAML_MAX_KEY_LEN + 1];
			size_t len = strcspn(path, ".[");
			snprintf(key, sizeof key, "%.*s", (int)(len < sizeof key ? len : sizeof key - 1), path);
			child = yaml_get(node, key);
			path += len;
		}
		if (child == NULL)
			break;
		node = child;
		path += *path == '.';
	}
	return node;
}

/* Whether the text is a number by JSON's grammar. */
static bool is_json_number(const char *s)
{
	s += *s == '-';
	if (*s == '0')
		s++;
	else if (*s >= '1' && *s <= '9')
		s += strspn(s, "0123456789");
	else
		return false;
	if (*s == '.') {
		size_t n = strspn(++s, "0123456789");
		if (n == 0)
			return false;
		s += n;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		size_t n = strspn(s, "0123456789");
		if (n == 0)
			return false;
		s += n;
	}
	return *s == 0;
}

static enum rc scalar_to_json(const struct yaml_node *node, json_t **ret)
{
	json_error_t error;
	json_t *value;

	if (node->plain && strcmp(node->text, "true") == 0) {
		value = json_true();
	} else if (node->plain && strcmp(node->text, "false") == 0) {
		value = json_false();
	} else if (node->plain && (strcmp(node->text, "null") == 0 || node->text_len == 0)) {
		value = json_null();
	} else if (node->plain && is_json_number(node->text)) {
		value = json_loadb(node->text, node->text_len, JSON_DECODE_ANY, &error);
		if (value == NULL) /* what is a number fails so, or for want of memory */
			return json_error_code(&error) == json_error_numeric_overflow ? RC_INVALID : RC_NOMEM;
	} else {
		value = json_stringn(node->text, node->text_len);
	}
	if (value == NULL)
		return RC_NOMEM;
	*ret = value;
	return RC_OK;
}

/* Recursion is bounded by YAML_MAX_DEPTH. */
enum rc yaml_to_json(const struct yaml_node *node, json_t **ret)
{
	if (node->kind == YAML_SCALAR)
		return scalar_to_json(node, ret);
	json_t *whole = node->kind == YAML_MAPPING ? json_object() : json_array();
	if (whole == NULL)
		return RC_NOMEM;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		json_t *value;
		enum rc rc = yaml_to_json(child, &value);
		if (rc == RC_OK && (child->key != NULL ? json_object_set_new(whole, child->key, value)
						       : json_array_append_new(whole, value)) != 0)
			rc = RC_NOMEM;
		if (rc != RC_OK) {
			json_decref(whole);
			return rc;
		}
	}
	*ret = whole;
	return RC_OK;
}

enum rc yaml_error(const struct yaml_tree *tree, const struct yaml_node *node, struct diag *diag, const char *format,
		   ...)
{
	char path[200], message[300];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	yaml_path(node, path, sizeof path);
	return diag_set(diag, RC_INVALID, "%s:%u: %s%s%s", tree->name, (unsigned)(node != NULL ? node->line : 1), path,
			path[0] != 0 ? ": " : "", message);
}
