#include "tools/encode/clk_file.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum { PIECE = 64 << 10, END = -1, FAILED = -2 };

struct clk_file {
	struct register_source source;
	uint8_t piece[PIECE];
	size_t at, len;
	size_t n_bytes;
	uint64_t number; /* of the filter being read, from 1 */
	char *text;      /* base64_encoded_len(n_bytes) + 1 */
	bool ended;
};

/* The next byte without taking it: END, or FAILED when reading failed. */
static int peek(struct clk_file *f)
{
	if (f->at < f->len)
		return f->piece[f->at];
	ssize_t n = f->source.read(f->source.ctx, f->piece, sizeof f->piece);
	if (n <= 0)
		return n == 0 ? END : FAILED;
	f->at = 0;
	f->len = (size_t)n;
	return f->piece[0];
}

static int take(struct clk_file *f)
{
	int c = peek(f);
	if (c >= 0)
		f->at++;
	return c;
}

static int skip_space(struct clk_file *f)
{
	int c = peek(f);
	while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
		f->at++;
		c = peek(f);
	}
	return c;
}

static enum rc expected(const struct clk_file *f, int got, const char *what, struct diag *diag)
{
	if (got == FAILED)
		return diag_set(diag, RC_IO, "reading failed");
	if (f->number == 0)
		return diag_set(diag, RC_MALFORMED, "expected %s", what);
	return diag_set(diag, RC_MALFORMED, "filter %llu: expected %s", (unsigned long long)f->number, what);
}

static enum rc take_text(struct clk_file *f, const char *text, struct diag *diag)
{
	int c = skip_space(f);
	for (const char *s = text; *s != '\0'; s++) {
		c = take(f);
		if (c != (unsigned char)*s)
			return expected(f, c, "{\"clks\": [\"…\", …]}, as clkhash writes it", diag);
	}
	return RC_OK;
}

enum rc clk_file_open(const struct register_source *source, size_t n_bytes, struct clk_file **ret, struct diag *diag)
{
	static const char *const parts[] = {"{", "\"clks\"", ":", "["};
	struct clk_file *f = calloc(1, sizeof *f);
	enum rc rc = RC_OK;
	if (f != NULL)
		f->text = malloc(base64_encoded_len(n_bytes) + 1);
	if (f == NULL || f->text == NULL) {
		free(f);
		return diag_set(diag, RC_NOMEM, "out of memory");
	}
	f->source = *source;
	f->n_bytes = n_bytes;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0] && rc == RC_OK; i++)
		rc = take_text(f, parts[i], diag);
	if (rc != RC_OK) {
		clk_file_close(f);
		return rc;
	}
	*ret = f;
	return RC_OK;
}

void clk_file_close(struct clk_file *f)
{
	if (f == NULL)
		return;
	explicit_bzero(f->text, base64_encoded_len(f->n_bytes) + 1);
	free(f->text);
	explicit_bzero(f, sizeof *f);
	free(f);
}

static enum rc finish(struct clk_file *f, struct diag *diag)
{
	f->at++;
	f->ended = true;
	int c = skip_space(f);
	if (c == '}') {
		f->at++;
		c = skip_space(f);
		if (c == END)
			return RC_OK;
	}
	return expected(f, c, "} and nothing more after the list", diag);
}

/* A string of exactly the right length. JSON may write a slash as \/. */
static enum rc read_filter(struct clk_file *f, uint8_t *out, struct diag *diag)
{
	size_t want = base64_encoded_len(f->n_bytes), n = 0, len = 0;
	int c = skip_space(f);
	if (c != '"')
		return expected(f, c, "a string in base64", diag);
	f->at++;
	for (c = take(f); c >= 0 && c != '"'; c = take(f)) {
		if (c == '\\' && peek(f) == '/')
			c = take(f);
		if (n == want)
			break;
		f->text[n++] = (char)c;
	}
	if (c == '"' && n == want && base64_decode(f->text, n, out, f->n_bytes, &len) == RC_OK && len == f->n_bytes)
		return RC_OK;
	return c < 0 ? expected(f, c, "the end of the string", diag)
		     : diag_set(diag, RC_MALFORMED,
				"filter %llu: expected %zu bytes in base64, as the study's filter has",
				(unsigned long long)f->number, f->n_bytes);
}

enum rc clk_file_next(struct clk_file *f, uint8_t *out, bool *ret_more, struct diag *diag)
{
	int c = f->ended ? ']' : skip_space(f);
	*ret_more = false;
	if (f->ended)
		return RC_OK;
	if (c == ']')
		return finish(f, diag);
	if (f->number > 0) {
		if (c != ',')
			return expected(f, c, "a comma or ] after it", diag);
		f->at++;
	}
	f->number++;
	enum rc rc = read_filter(f, out, diag);
	*ret_more = rc == RC_OK;
	return rc;
}
