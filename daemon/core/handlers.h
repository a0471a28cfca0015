/* What answers each request type; one file a family. */
#ifndef DAEMON_CORE_HANDLERS_H
#define DAEMON_CORE_HANDLERS_H

#include "daemon/core/request.h"

/* tables.c */
void tables_run(struct request *request, const uint8_t *body, size_t len);
void table_run(struct request *request, const uint8_t *body, size_t len);
bool table_quick(struct request *request);
/* audit_routes.c */
void checkpoint_run(struct request *request, const uint8_t *body, size_t len);
void tile_run(struct request *request, const uint8_t *body, size_t len);
void consistency_run(struct request *request, const uint8_t *body, size_t len);
void proof_run(struct request *request, const uint8_t *body, size_t len);
void release_body_run(struct request *request, const uint8_t *body, size_t len);
/* witnesses.c */
void cosigned_run(struct request *request, const uint8_t *body, size_t len);
void cosign_run(struct request *request, const uint8_t *body, size_t len);
/* rotation.c */
void log_keys_run(struct request *request, const uint8_t *body, size_t len);
void keys_run(struct request *request, const uint8_t *body, size_t len);
/* withdrawals.c */
void withdrawal_run(struct request *request, const uint8_t *body, size_t len);
/* backup.c */
void backup_run(struct request *request, const uint8_t *body, size_t len);
/* purge.c */
void purge_run(struct request *request, const uint8_t *body, size_t len);
/* status.c */
void study_run(struct request *request, const uint8_t *body, size_t len);
void status_run(struct request *request, const uint8_t *body, size_t len);
void metrics_run(struct request *request, const uint8_t *body, size_t len);
void health_run(struct request *request, const uint8_t *body, size_t len);
bool health_quick(struct request *request);

#endif
