/* The one table from request type to handler: what is not here cannot be asked. */
#include "daemon/core/handlers.h"

#include "daemon/core/intake.h"
#include "daemon/core/publish.h"

enum { SMALL_BODY = 16 * 1024, WITHDRAWAL_BODY = 64 * 1024 };

static const struct handler handlers[REQUEST_TYPE_COUNT] = {
	[REQUEST_BATCH_PUT] = {.feed = intake_feed, .run = intake_run, .free_state = intake_free},
	[REQUEST_BATCH_STATUS] = {.run = batch_status_run},
	[REQUEST_WITHDRAWAL] = {.run = withdrawal_run, .max_body = WITHDRAWAL_BODY},
	[REQUEST_STUDY] = {.run = study_run},
	[REQUEST_TABLES] = {.run = tables_run},
	[REQUEST_TABLE] = {.quick = table_quick, .run = table_run},
	[REQUEST_CHECKPOINT] = {.run = checkpoint_run},
	[REQUEST_TILE] = {.run = tile_run},
	[REQUEST_RELEASE_BODY] = {.run = release_body_run},
	[REQUEST_PROOF] = {.run = proof_run},
	[REQUEST_CONSISTENCY] = {.run = consistency_run},
	[REQUEST_LOG_KEYS] = {.run = log_keys_run},
	[REQUEST_COSIGNED] = {.run = cosigned_run},
	[REQUEST_COSIGN] = {.run = cosign_run, .max_body = SMALL_BODY},
	[REQUEST_PUBLISH] = {.run = publish_run, .max_body = SMALL_BODY},
	[REQUEST_KEYS] = {.run = keys_run, .max_body = SMALL_BODY},
	[REQUEST_BACKUP] = {.run = backup_run, .max_body = SMALL_BODY},
	[REQUEST_PURGE] = {.run = purge_run, .max_body = SMALL_BODY},
	[REQUEST_STATUS] = {.run = status_run},
	[REQUEST_METRICS] = {.run = metrics_run},
	[REQUEST_HEALTH] = {.quick = health_quick, .run = health_run},
};

const struct handler *handler_of(enum request_type type)
{
	return &handlers[type];
}
