/* Target and fields of a request: see http_fields.h. */
#include "daemon/front/http_fields.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "proto/bytes.h"

/* RFC 3986 section 3.3: unreserved, sub-delims, ':' and '@'. */
static bool is_path_char(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/", c) != NULL);
}

static enum rc check_segments(const char *path)
{
	for (const char *at = path; *at == '/';) {
		size_t n = strcspn(at + 1, "/");
		bool last = at[1 + n] == '\0';
		if ((n == 0 && !(last && at == path)) || (n == 1 && at[1] == '.') ||
		    (n == 2 && at[1] == '.' && at[2] == '.'))
			return RC_MALFORMED;
		at += 1 + n;
	}
	return RC_OK;
}

static enum rc decode_path(const char *in, size_t len, char out[HTTP_PATH_CAP])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = in[i];
		if (c == '%') {
			if (len - i < 3 || hex_digit(in[i + 1]) < 0 || hex_digit(in[i + 2]) < 0)
				return RC_MALFORMED;
			int v = hex_digit(in[i + 1]) << 4 | hex_digit(in[i + 2]);
			/* An encoded slash, backslash or percent sign reads differently the second time it is decoded.
			 */
			if (v < 0x20 || v > 0x7e || v == '/' || v == '\\' || v == '%')
				return RC_MALFORMED;
			c = (char)v;
			i += 2;
		} else if (!is_path_char(c)) {
			return RC_MALFORMED;
		}
		if (n + 1 >= HTTP_PATH_CAP)
			return RC_HEADERS;
		out[n++] = c;
	}
	out[n] = '\0';
	return check_segments(out);
}

static enum rc check_query(const char *query)
{
	for (const char *at = query; *at != '\0'; at++) {
		if (*at == '%') {
			if (hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
				return RC_MALFORMED;
			if (at[1] == '0' && at[2] == '0')
				return RC_MALFORMED;
			at += 2;
		} else if (!is_path_char(*at) && *at != '?') {
			return RC_MALFORMED;
		}
	}
	return RC_OK;
}

enum rc http_parse_target(const char *target, char ret_path[HTTP_PATH_CAP], char ret_query[PIPE_QUERY_CAP])
{
	char path[HTTP_PATH_CAP];
	const char *question = strchr(target, '?');
	const char *query = question ? question + 1 : "";

	if (target[0] != '/')
		return RC_MALFORMED;
	enum rc rc = decode_path(target, question ? (size_t)(question - target) : strlen(target), path);
	if (rc != RC_OK)
		return rc;
	if (strlen(query) >= PIPE_QUERY_CAP)
		return RC_HEADERS;
	rc = check_query(query);
	if (rc != RC_OK)
		return rc;
	strcpy(ret_path, path);
	strcpy(ret_query, query);
	return RC_OK;
}

enum rc http_check_host(const char *value)
{
	const char *at = value;

	if (*at == '[') {
		at++;
		size_t n = strspn(at, "0123456789abcdefABCDEF:.");
		if (n < 2 || at[n] != ']')
			return RC_MALFORMED;
		at += n + 1;
	} else {
		size_t n = 0;
		while (isalnum((unsigned char)at[n]) || at[n] == '.' || at[n] == '-' || at[n] == '_')
			n++;
		if (n == 0)
			return RC_MALFORMED;
		at += n;
	}
	if (*at == ':') {
		size_t n = strspn(at + 1, "0123456789");
		if (n == 0 || n > 5)
			return RC_MALFORMED;
		at += 1 + n;
	}
	return *at == '\0' && at - value < HTTP_HOST_CAP ? RC_OK : RC_MALFORMED;
}

enum rc http_parse_length(const char *value, int64_t *ret)
{
	size_t len = strlen(value);
	int64_t v = 0;

	if (len == 0 || len > 18)
		return RC_MALFORMED;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return RC_MALFORMED;
		v = v * 10 + (value[i] - '0');
	}
	*ret = v;
	return RC_OK;
}

/* The next element of a comma-separated list, without the white space around it; NULL at the end. */
static const char *list_next(const char **at, size_t *ret_len)
{
	*at += strspn(*at, " \t,");
	if (**at == '\0')
		return NULL;

	const char *start = *at;
	size_t len = strcspn(start, ",");
	*at = start + len;
	while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t'))
		len--;
	*ret_len = len;
	return start;
}

static bool is_word(const char *text, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(text, word, len) == 0;
}

bool http_list_has(const char *value, const char *token)
{
	size_t len;

	for (const char *e; (e = list_next(&value, &len)) != NULL;)
		if (is_word(e, len, token))
			return true;
	return false;
}

enum pipe_accept http_parse_accept(const char *value)
{
	size_t len;

	for (const char *e; (e = list_next(&value, &len)) != NULL;) {
		size_t n = 0;
		while (n < len && e[n] != ';' && e[n] != ' ' && e[n] != '\t')
			n++;
		if (is_word(e, n, "text/csv"))
			return ACCEPT_CSV;
		if (is_word(e, n, "text/plain"))
			return ACCEPT_TEXT;
		if (is_word(e, n, "application/json") || is_word(e, n, "*/*"))
			return ACCEPT_JSON;
	}
	return ACCEPT_JSON;
}

enum rc http_parse_content_type(const char *value, enum pipe_content *ret)
{
	size_t n = strcspn(value, "; \t");
	const char *rest = value + n;
	enum pipe_content content;

	if (is_word(value, n, "application/json"))
		content = CONTENT_JSON;
	else if (is_word(value, n, "application/x-protobuf") || is_word(value, n, "application/vnd.throughcare.batch"))
		content = CONTENT_PROTOBUF;
	else
		return RC_MEDIA_TYPE;
	rest += strspn(rest, " \t");
	if (*rest == ';') {
		rest++;
		rest += strspn(rest, " \t");
		if (content != CONTENT_JSON ||
		    (strcasecmp(rest, "charset=utf-8") != 0 && strcasecmp(rest, "charset=\"utf-8\"") != 0))
			return RC_MEDIA_TYPE;
	} else if (*rest != '\0') {
		return RC_MEDIA_TYPE;
	}
	*ret = content;
	return RC_OK;
}

enum rc http_parse_content_encoding(const char *value, enum content_encoding *ret)
{
	if (strcasecmp(value, "gzip") == 0)
		*ret = ENCODING_GZIP;
	else if (strcasecmp(value, "deflate") == 0)
		*ret = ENCODING_DEFLATE;
	else if (strcasecmp(value, "identity") == 0)
		*ret = ENCODING_IDENTITY;
	else
		return RC_MEDIA_TYPE;
	return RC_OK;
}

bool http_origin_is_own(const char *origin, const char *host)
{
	static const char scheme[] = "https://";

	return strncasecmp(origin, scheme, sizeof scheme - 1) == 0 && strcasecmp(origin + sizeof scheme - 1, host) == 0;
}
