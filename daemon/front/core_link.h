/* The front's end of the pipe. What the core sends is checked like any stranger's bytes: a message out of place ends
 * the front, which ends the core, and systemd starts both anew. */
#ifndef DAEMON_FRONT_CORE_LINK_H
#define DAEMON_FRONT_CORE_LINK_H

#include <stdint.h>

#include "daemon/base/pipe.h"
#include "proto/rc.h"

struct server;
struct core_link;

/* Wait, blocking, for the core's first message. Errors: STOPPING (it stopped or went away first), PROTOCOL. */
enum rc core_link_wait_open(int pipe_fd) MUST_CHECK;
/* Errors: NOMEM. Borrows pipe_fd. */
enum rc core_link_open(struct server *server, int pipe_fd, struct core_link **ret) MUST_CHECK;
void core_link_close(struct core_link *core);
/* Memory of messages on their way. */
size_t core_link_held_bytes(const struct core_link *core);

void core_link_ready(struct core_link *core, uint16_t port);
/* Send a request under a new id, which is returned. */
uint64_t core_link_request(struct core_link *core, const struct pipe_request *request);
void core_link_body(struct core_link *core, uint64_t id, const uint8_t *data, size_t len);
void core_link_body_end(struct core_link *core, uint64_t id);
void core_link_cancel(struct core_link *core, uint64_t id);
/* Tell the operator's side what was counted. */
void core_link_counts(struct core_link *core, const struct pipe_counts *counts);
/* Tell what became of a file that may be replaced, for the log. */
void core_link_renewed(struct core_link *core, const struct pipe_renewed *renewed);
/* Tell which authorities of clients are in force: at the start. */
void core_link_trusted(struct core_link *core);
/* Report a refusal for the log; at most a few a second, the rest are counted in the next report. */
void core_link_refused(struct core_link *core, const struct pipe_refused *refused);

#endif
