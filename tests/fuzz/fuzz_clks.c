/* libs: tc_encode tc_proto */
/* A list of filters as clkhash writes it, in pieces of any size: no crash, and every filter that is given out was in
 * it. */
#include <stdlib.h>
#include <string.h>

#include "tools/encode/clk_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left, step;
};

static ssize_t read_some(void *ctx, void *buffer, size_t cap)
{
	struct input *in = ctx;
	size_t n = in->left < in->step ? in->left : in->step;
	n = n < cap ? n : cap;
	if (n != 0)
		memcpy(buffer, in->at, n);
	in->at += n;
	in->left -= n;
	return (ssize_t)n;
}

static uint64_t read_all(const uint8_t *data, size_t size, size_t step, enum rc *ret_rc)
{
	struct input in = {data, size, step};
	const struct register_source source = {read_some, &in};
	struct clk_file *file = NULL;
	struct diag diag = {""};
	uint8_t filter[8];
	uint64_t n = 0;
	bool more = true;
	*ret_rc = clk_file_open(&source, sizeof filter, &file, &diag);
	while (*ret_rc == RC_OK && more) {
		*ret_rc = clk_file_next(file, filter, &more, &diag);
		n += more;
	}
	clk_file_close(file);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum rc whole, bytewise;
	uint64_t n = read_all(data, size, SIZE_MAX, &whole), m = read_all(data, size, 1, &bytewise);
	if (n != m || whole != bytewise || n > size / 12)
		abort();
	return 0;
}
