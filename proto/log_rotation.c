/* Statements of the succession of a log's keys; log_rotation.h has the form. */
#include "proto/log_rotation.h"

#include <string.h>

static const char first_line[] = "throughcare log key rotation v1";

enum rc log_rotation_text(const struct tlog_vkey *next, struct buffer *out)
{
	char vkey[TLOG_VKEY_CAP];

	enum rc rc = tlog_vkey_format(next->name, next->public_key, vkey, sizeof vkey);
	if (rc != RC_OK)
		return rc;
	buffer_printf(out, "%s\n%s\n%s\n", first_line, next->name, vkey);
	return out->failed ? RC_NOMEM : RC_OK;
}

/* The third line; what follows it must be the signatures. */
static enum rc read_next(const char *note, size_t text_len, const char *name, struct tlog_vkey *ret)
{
	char head[sizeof first_line + TLOG_ORIGIN_CAP + 2], vkey[TLOG_VKEY_CAP];
	size_t head_len = strlen(first_line) + strlen(name) + 2;

	memcpy(head, first_line, sizeof first_line - 1);
	head[sizeof first_line - 1] = '\n';
	strcpy(head + sizeof first_line, name);
	head[head_len - 1] = '\n';
	if (text_len <= head_len + 1 || memcmp(note, head, head_len) != 0)
		return RC_MALFORMED;
	size_t len = text_len - head_len - 1;
	if (note[text_len - 1] != '\n' || len >= sizeof vkey || memchr(note + head_len, '\n', len) != NULL ||
	    memchr(note + head_len, '\0', len) != NULL)
		return RC_MALFORMED;
	memcpy(vkey, note + head_len, len);
	vkey[len] = '\0';
	return tlog_vkey_parse(vkey, ret);
}

enum rc log_rotation_verify(const char *note, size_t len, const struct tlog_vkey *old, struct tlog_vkey *ret_next)
{
	struct tlog_vkey next;
	size_t text_len = 0, again;

	if (len > LOG_ROTATION_CAP)
		return RC_MALFORMED;
	enum rc rc = tlog_note_verify(note, len, old, &text_len);
	if (rc == RC_OK)
		rc = read_next(note, text_len, old->name, &next);
	if (rc == RC_OK && (strcmp(next.name, old->name) != 0 || memcmp(next.public_key, old->public_key, 32) == 0))
		rc = RC_DIGEST;
	if (rc == RC_OK)
		rc = tlog_note_verify(note, len, &next, &again);
	if (rc == RC_OK)
		*ret_next = next;
	return rc;
}
