/* libs: tc_proto */
/* Inflating hostile bytes: the first byte chooses encoding and piece size. Never more than the bound comes out. */
#include <stdlib.h>

#include "proto/batch.h"

enum { BOUND = 100000 };

static enum rc count(void *ctx, const uint8_t *data, size_t len)
{
	size_t *total = ctx;
	*total += len;
	return RC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inflater *z = NULL;
	size_t total = 0;

	if (size < 1)
		return 0;
	size_t step = (size_t)(data[0] >> 2) + 1;
	if (inflater_new((enum content_encoding)(data[0] % 3), BOUND, &z) != RC_OK)
		abort();
	enum rc rc = RC_OK;
	for (size_t at = 1; at < size && rc == RC_OK; at += step)
		rc = inflater_feed(z, data + at, size - at < step ? size - at : step, count, &total);
	if (rc == RC_OK)
		rc = inflater_end(z);
	if (total > BOUND || (rc != RC_OK && inflater_end(z) != rc))
		abort();
	inflater_free(z);
	return 0;
}
