/* POST /v1/batches: a body becomes a checked batch in memory, and then one write job. */
#ifndef DAEMON_CORE_INTAKE_H
#define DAEMON_CORE_INTAKE_H

#include "daemon/core/request.h"

enum rc intake_feed(struct request *request, const uint8_t *data, size_t len) MUST_CHECK;
void intake_run(struct request *request, const uint8_t *body, size_t len);
void intake_free(void *state);

/* A whole, checked batch. Frames are owned. */
struct checked_batch {
	struct batch_record record;       /* sequence and log_index not yet set */
	struct checked_frame {
		uint8_t *data;
		size_t len;
	} *frames;
	size_t cap_frames, bytes;
	int32_t oldest_day;               /* of an event in it */
	uint64_t withdrawals;             /* core->withdrawals before its records were compared with the tombstones */
};
void checked_batch_deinit(struct core *core, struct checked_batch *batch);

/* Answer with the stored receipt if this source has sent the batch before and has its receipt; false = not yet. Writes
 * nothing, so it works with a full disk too. (receipts.c) */
bool batch_answer_known(struct request *request, const struct checked_batch *batch);

/* Store it and answer with its receipt: 201, or 200 with the stored bytes when this source's batch is known. Takes
 * `batch` (wiped and left empty). (receipts.c) */
void batch_commit(struct request *request, struct checked_batch *batch);

/* GET /v1/batches/{id}. (receipts.c) */
void batch_status_run(struct request *request, const uint8_t *body, size_t len);

#endif
