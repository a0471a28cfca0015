/* libs: tc_proto */
/* The JSON form on hostile text: whatever is transcoded must be a batch that the reader takes. */
#include "tests/unit/batch_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct study study;
	struct fixture_result result;
	struct buffer out;
	struct diag diag;

	fixture_study(&study);
	buffer_init(&out);
	if (batch_from_json(&study, (const char *)data, size, &out, &diag) == RC_OK) {
		enum rc rc = fixture_read(&study, out.data, out.len, out.len, &result);
		/* What the transcoder does not compare: the ids of the study, and that a record stands once. */
		if (rc != RC_OK && rc != RC_SCHEMA && rc != RC_SECRET && strstr(result.diag.text, "record_id") == NULL)
			abort();
		batch_chunk_free(result.first);
	} else if (out.len != 0) {
		abort();
	}
	buffer_deinit(&out);
	return 0;
}
