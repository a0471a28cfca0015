/* Published releases in memory, so that a query neither opens, hashes, parses nor renders again what cannot change: the
 * parsed bodies of the last releases that were asked for, and rendered answers. Both are bounded in number and bytes, and
 * what was used least recently goes first.
 *
 * Nothing here decides who may read what: the caller has asked whether the release may be read, for this very query. A body
 * is taken in only if it has the digest that the log gives the release, so what is kept is what was published, whatever
 * becomes of the store. None of it is secret: it is what the release tells every analyst. */
#ifndef DAEMON_CORE_ANSWERS_H
#define DAEMON_CORE_ANSWERS_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/base/pipe.h"
#include "daemon/store/store.h"
#include "proto/bytes.h"
#include "proto/rc.h"

enum {
	ANSWERS_MAX_BODIES = 4,
	ANSWERS_MAX_BODY_BYTES = 16 << 20, /* of text, all together; parsed it is some ten times as much */
	ANSWERS_MAX = 1024,
	ANSWERS_MAX_BYTES = 32 << 20,      /* all together, with what they were asked by */
};

/* A release by its number and by what the log says its body is, and the entry that says so. */
struct release_name {
	uint32_t number;
	uint8_t digest[32];
	uint64_t log_index;
};

/* A parsed body, with the index of its log entry among its facts (which it cannot hold itself, since the entry holds its
 * digest), and what was answered to one query. Shared, and never changed. */
struct answer_body;
const json_t *answer_body_json(const struct answer_body *body); /* NULL for NULL */
struct answer_text;
const struct buffer *answer_text_body(const struct answer_text *text);
const char *answer_text_digest(const struct answer_text *text); /* SHA-256 in hexadecimal */

struct answers;
enum rc answers_new(struct answers **ret) MUST_CHECK;
/* Every text and body must have been given back. NULL is a no-op. */
void answers_free(struct answers *answers);

/* The body, read from the store where it is not in memory. Give it back with answers_drop_body().
 * Errors: DAMAGED (the store's is missing or not the one in the log), NOMEM, IO. */
enum rc answers_body(struct answers *answers, struct store *store, const struct release_name *release,
		     struct answer_body **ret) MUST_CHECK;
void answers_drop_body(struct answers *answers, struct answer_body *body); /* NULL is a no-op */

/* The answer to `query`, the canonical text of a query, in the form `accept`. NULL = not in memory. Give it back with
 * answers_drop(). */
struct answer_text *answers_find(struct answers *answers, const struct release_name *release, enum pipe_accept accept,
				 const char *query);
/* Take over `body` as the answer and keep it if there is room. *ret is to be given back in either case. Errors: NOMEM
 * (`body` is unchanged). */
enum rc answers_add(struct answers *answers, const struct release_name *release, enum pipe_accept accept,
		    const char *query, struct buffer *body, struct answer_text **ret) MUST_CHECK;
void answers_drop(struct answers *answers, struct answer_text *text); /* NULL is a no-op */

/* For status and tests. */
struct answers_counts {
	size_t n_bodies, body_bytes, n_texts, text_bytes;
	uint64_t n_parsed, n_found, n_added;
};
void answers_count(struct answers *answers, struct answers_counts *ret);

#endif
