/* Files that hold a sealing key: plain, or wrapped under a token's key (keys/token.c does that). A wrapped file is one
 * line, "throughcare-seal-token-v1:" and hex digits of nonce, ciphertext and tag. */
#include <stdio.h>
#include <string.h>

#include "keys/token_internal.h"

enum { FILE_CAP = 512 };

static const char prefix[] = "throughcare-seal-token-v1:";

static enum rc parse_wrapped(const char *path, const struct buffer *line, uint8_t ret[TOKEN_WRAPPED_LEN],
			     struct diag *diag)
{
	size_t len = line->len, prefix_len = sizeof prefix - 1;

	if (len > 0 && line->data[len - 1] == '\n')
		len--;
	if (len <= prefix_len || memcmp(line->data, prefix, prefix_len) != 0 ||
	    hex_decode((const char *)line->data + prefix_len, len - prefix_len, ret, TOKEN_WRAPPED_LEN) != RC_OK)
		return diag_set(diag, RC_KEY,
				"%s: expected a sealing key that is wrapped under a token's key (throughcare keys seal "
				"--token)",
				path);
	return RC_OK;
}

static bool is_wrapped(const struct buffer *line)
{
	return line->len >= sizeof prefix - 1 && memcmp(line->data, prefix, sizeof prefix - 1) == 0;
}

enum rc seal_key_read(const char *path, const char *uri, bool may_be_plain, struct secret_key **ret, struct diag *diag)
{
	uint8_t wrapped[TOKEN_WRAPPED_LEN];
	struct buffer line;

	if (uri == NULL || uri[0] == '\0')
		return key_file_read(path, "seal", ret, diag);
	buffer_init(&line);
	enum rc rc = private_file_read(path, FILE_CAP, &line, diag);
	if (rc == RC_TOO_LARGE)
		rc = diag_set(diag, RC_KEY, "%s: is not a key file", path);
	if (rc == RC_OK && may_be_plain && !is_wrapped(&line)) {
		rc = key_file_read(path, "seal", ret, diag);
	} else if (rc == RC_OK) {
		rc = parse_wrapped(path, &line, wrapped, diag);
		if (rc == RC_OK)
			rc = token_unwrap(uri, wrapped, TOKEN_TIMEOUT_MS, ret, diag);
	}
	buffer_wipe(&line);
	return rc;
}

enum rc seal_key_write(const char *path, const char *uri, const uint8_t key[32], struct diag *diag)
{
	uint8_t wrapped[TOKEN_WRAPPED_LEN];
	char hex[2 * TOKEN_WRAPPED_LEN + 1], line[FILE_CAP];

	if (uri == NULL || uri[0] == '\0')
		return key_file_write(path, "seal", key, diag);
	enum rc rc = token_wrap(uri, key, wrapped, diag);
	if (rc != RC_OK)
		return rc;
	hex_encode(wrapped, sizeof wrapped, hex);
	int len = snprintf(line, sizeof line, "%s%s\n", prefix, hex);
	return private_file_write(path, line, (size_t)len, diag);
}
