/* The statements with which the log's keys signed those that followed them, outside the store: a file beside the
 * signer's state. They stand in the log as well; a store that is restored from a backup of before a rotation has
 * forgotten them, and without them its log would name a key that signs no more, and could not be gone on with.
 *
 * A JSON array of notes (proto/log_rotation.h), oldest first. Each is signed by both keys, so nothing else protects the
 * file: what is not a statement of the key that is asked about is passed by. */
#ifndef DAEMON_CORE_KEY_STATEMENTS_H
#define DAEMON_CORE_KEY_STATEMENTS_H

#include <stddef.h>

#include "daemon/base/conf.h"
#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

/* Keep this one durably, unless it is there. A file that cannot be read is made anew. Errors: IO, NOSPACE, NOMEM. */
enum rc key_statements_keep(const struct conf *conf, const char *note, size_t len) MUST_CHECK;
/* The statement of `old`: appended to `note`, and the key that followed. Errors: NOTFOUND, NOMEM. */
enum rc key_statements_find(const struct conf *conf, const struct tlog_vkey *old, struct buffer *note,
			    struct tlog_vkey *ret_next) MUST_CHECK;

#endif
