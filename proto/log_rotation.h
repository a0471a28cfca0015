/* The succession of a log's keys: the old one signs the new.
 *
 * A statement is a C2SP signed note, so that any reader of notes can check it:
 *
 *     throughcare log key rotation v1
 *     ORIGIN
 *     VERIFIER KEY OF THE NEW KEY
 *     (empty line)
 *     — ORIGIN signature of the old key
 *     — ORIGIN signature of the new key, which shows that whoever rotates has it
 *
 * Its first line holds spaces, which no origin does: it can be taken for no checkpoint. The log holds it in an entry
 * (`key_rotated`), and the checkpoint over that entry is signed by both keys. */
#ifndef PROTO_LOG_ROTATION_H
#define PROTO_LOG_ROTATION_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/rc.h"
#include "proto/tlog.h"

enum { LOG_ROTATION_CAP = 1024 };

/* Append what both keys sign. Errors: INVALID, NOMEM. */
enum rc log_rotation_text(const struct tlog_vkey *next, struct buffer *out) MUST_CHECK;
/* Is this a statement of `old` for the log of its name? Both signatures are checked. Errors: DIGEST (a signature is wrong
 * or missing, or it is of another log), MALFORMED. */
enum rc log_rotation_verify(const char *note, size_t len, const struct tlog_vkey *old,
			    struct tlog_vkey *ret_next) MUST_CHECK;

#endif
