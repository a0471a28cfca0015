/* libs: tc_proto */
/* The border's reader on hostile bytes. The first byte says in how big pieces the rest is fed; what is accepted must be
 * accepted as one piece too, and its chunks must encode and decode to themselves. */
#include "tests/unit/batch_fixture.h"

static struct study study;

static void check_chunk(const struct batch_chunk *c)
{
	struct buffer frame;
	struct batch_chunk *back = NULL;

	buffer_init(&frame);
	if (batch_chunk_encode(&study, 0, c, &frame) != RC_OK ||
	    batch_chunk_decode(&study, 0, frame.data, frame.len, &back, NULL) != RC_OK ||
	    back->n_records != c->n_records ||
	    memcmp(back->record_ids, c->record_ids, (size_t)c->n_records * RECORD_ID_LEN) != 0 ||
	    memcmp(back->filters[1], c->filters[1], (size_t)c->n_records * 16) != 0 ||
	    memcmp(back->days, c->days, c->n_records * sizeof c->days[0]) != 0)
		abort();
	batch_chunk_free(back);
	buffer_deinit(&frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t steps[] = {1, 2, 3, 5, 17, 100, 4096, 1 << 20};
	struct fixture_result result, whole;
	uint8_t id[BATCH_ID_LEN];
	size_t len;

	if (size < 1)
		return 0;
	fixture_study(&study);
	size_t step = steps[data[0] & 7];
	data++;
	size--;
	enum rc rc = fixture_read(&study, data, size, step, &result);
	if (result.first != NULL)
		check_chunk(result.first);
	batch_chunk_free(result.first);
	if (fixture_read(&study, data, size, size ? size : 1, &whole) != rc)
		abort();
	batch_chunk_free(whole.first);
	if (rc == RC_OK && (batch_length(data, size, &len, id, NULL) != RC_OK || len != size ||
			    memcmp(id, result.id, sizeof id) != 0 || memcmp(id, whole.id, sizeof id) != 0))
		abort();
	return 0;
}
