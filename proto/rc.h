/* Result codes of the whole project.
 *
 * One X-macro table holds code, text, HTTP status and exit code, so that log, reply and exit status cannot disagree.
 * Every fallible function returns `enum rc`; outputs are named `ret_x` and are untouched on failure.
 * Exit codes follow sysexits.h where one fits. */
#ifndef PROTO_RC_H
#define PROTO_RC_H

#include <stdbool.h>
#include <stddef.h>

/*      code              HTTP exit  name for machines           text for people */
#define RC_TABLE(X) \
	X(RC_OK,            200, 0,  "ok",                       "ok") \
	X(RC_INVALID,       400, 65, "invalid-input",            "the input is not valid") \
	X(RC_MALFORMED,     400, 65, "malformed",                "the bytes do not have the expected form") \
	X(RC_TRUNCATED,     400, 65, "truncated",                "the input ends too early") \
	X(RC_DIGEST,        400, 65, "digest-mismatch",          "the content does not match its digest") \
	X(RC_USAGE,         400, 64, "usage",                    "the command or query is not understood") \
	X(RC_UNAUTHENTIC,   401, 77, "not-authenticated",        "a valid client certificate is needed") \
	X(RC_FORBIDDEN,     403, 77, "forbidden",                "the certificate does not allow this") \
	X(RC_ROLE_PAIR,     403, 77, "forbidden-role-pair",      "the certificate joins roles that may not be joined") \
	X(RC_SOURCE,        403, 77, "wrong-source",             "the certificate is bound to another source") \
	X(RC_NOTFOUND,      404, 66, "not-found",                "there is no such thing") \
	X(RC_METHOD,        405, 64, "method-not-allowed",       "this route does not take that method") \
	X(RC_TIMEOUT,       408, 75, "timeout",                  "it took too long") \
	X(RC_CONFLICT,      409, 65, "conflict",                 "it contradicts what is already there") \
	X(RC_TOO_LARGE,     413, 65, "too-large",                "it is larger than the limit") \
	X(RC_MEDIA_TYPE,    415, 64, "unsupported-media-type",   "this content type or encoding is not taken here") \
	X(RC_SECRET,        422, 65, "wrong-secret",             "the records were encoded with another linkage secret") \
	X(RC_SCHEMA,        422, 65, "wrong-schema",             "the records were encoded for another study or schema") \
	X(RC_NOT_ALLOWED,   422, 65, "not-allowed-by-study",     "the study does not allow this") \
	X(RC_TOO_EARLY,     409, 75, "too-early",                "the study does not allow it yet") \
	X(RC_BUDGET,        409, 75, "budget-spent",             "the study's privacy budget is spent") \
	X(RC_RATE,          429, 75, "too-many-requests",        "too many requests from this client") \
	X(RC_HEADERS,       431, 65, "headers-too-large",        "the request head is larger than the limit") \
	X(RC_INTERNAL,      500, 70, "internal",                 "a fault in the program itself") \
	X(RC_IO,            503, 74, "io",                       "reading or writing failed") \
	X(RC_NOSPACE,       507, 74, "no-space",                 "there is no room left to store it") \
	X(RC_NOMEM,         503, 71, "no-memory",                "there is no memory for it") \
	X(RC_BUSY,          503, 75, "busy",                     "the queue is full; try again") \
	X(RC_STOPPING,      503, 75, "stopping",                 "the daemon is stopping") \
	X(RC_DAMAGED,       500, 74, "damaged",                  "stored data is damaged") \
	X(RC_FORK,          500, 76, "log-fork",                 "the log does not extend what was signed before") \
	X(RC_CRYPTO,        500, 70, "crypto",                   "a cryptographic operation failed") \
	X(RC_KEY,           500, 78, "bad-key",                  "a key file is missing, unsafe or not valid") \
	X(RC_CONFIG,        500, 78, "bad-config",               "the configuration is not valid") \
	X(RC_NETWORK,       503, 69, "network",                  "the other side cannot be reached") \
	X(RC_PROTOCOL,      502, 76, "protocol",                 "the other side does not keep to the protocol")

enum rc {
#define RC_ENUM(code, http, exit_code, name, text) code,
	RC_TABLE(RC_ENUM)
#undef RC_ENUM
	RC_COUNT
};

#define MUST_CHECK __attribute__((warn_unused_result))

const char *rc_name(enum rc rc);         /* "invalid-input"; stable, for machines */
const char *rc_text(enum rc rc);         /* one sentence part, for people */
int rc_http_status(enum rc rc);
int rc_exit_code(enum rc rc);

/* Is this errno of open() the machine's trouble of the moment, rather than the file's? */
bool rc_errno_passes(int err);

/* What went wrong, in words: "study.yaml:12: linkage.filters.name.bits: 0 is below 64". Filled by parsers; never
 * holds an identifier, a filter or key bytes. Text is cut at the end of the buffer. A NULL diag is allowed. */
struct diag {
	char text[512];
};

/* Write the message and return `rc`, so that a parser can end with `return diag_set(diag, RC_INVALID, ...)`. */
enum rc diag_set(struct diag *diag, enum rc rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
