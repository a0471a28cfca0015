/* Files that may be replaced while the daemon runs: which they are, why a new one is refused, and how a process that
 * may open them sees that there is one. Who replaces a file should rename another one into its place. */
#ifndef DAEMON_BASE_RENEWAL_H
#define DAEMON_BASE_RENEWAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "proto/bytes.h"
#include "proto/rc.h"

/* clang-format off */
/*      constant              option that names it; `file` in the log */
#define RENEWAL_FILES(X) \
	X(RENEWAL_ACCESS,       "access_file") \
	X(RENEWAL_AUTHORITIES,  "tls_client_ca") \
	X(RENEWAL_REVOCATIONS,  "tls_revocation_list") \
	X(RENEWAL_PAIR,         "tls_certificate")       /* with tls_key */

/*      constant              `reason` in the log */
#define RENEWAL_FAULTS(X) \
	X(RENEWAL_GOOD,         "") \
	X(RENEWAL_UNREADABLE,   "unreadable")            /* cannot be opened, is no file, is not private, is too large */ \
	X(RENEWAL_MALFORMED,    "malformed") \
	X(RENEWAL_FOREIGN,      "not-of-the-authority")  /* a revocation list that somebody else signed */ \
	X(RENEWAL_OLDER,        "older")                 /* a revocation list from before the one in use */ \
	X(RENEWAL_MISMATCHED,   "mismatched")            /* the key is not the certificate's */ \
	X(RENEWAL_OUT_OF_DATE,  "out-of-date")           /* a certificate that has run out, or is not valid yet */ \
	X(RENEWAL_NOT_SERVER,   "not-for-a-server")      /* a certificate for something else */ \
	X(RENEWAL_NOT_AUTHORITY, "not-an-authority")     /* among the clients' authorities */ \
	X(RENEWAL_LATER,        "later")                 /* not the file's fault, never logged: it is tried again */

enum renewal_file {
#define RENEWAL_FILE_ENUM(constant, name) constant,
	RENEWAL_FILES(RENEWAL_FILE_ENUM)
#undef RENEWAL_FILE_ENUM
	RENEWAL_FILE_COUNT
};
enum renewal_fault {
#define RENEWAL_FAULT_ENUM(constant, name) constant,
	RENEWAL_FAULTS(RENEWAL_FAULT_ENUM)
#undef RENEWAL_FAULT_ENUM
	RENEWAL_FAULT_COUNT
};
/* clang-format on */

const char *renewal_file_name(enum renewal_file file);
const char *renewal_fault_name(enum renewal_fault fault);

/* A file that is looked at again and again. */
struct watched_file {
	const char *path; /* borrowed; "" = there is none */
	size_t max_bytes;
	struct stat seen;     /* as it was when it was last read; all zero = never */
	int64_t try_again_ms; /* 0 = not before it changes */
};

/* Does it stand otherwise than when it was read, or is it time to try again? False while it is gone, as it may be for a
 * moment when it is replaced. */
bool watched_has_changed(const struct watched_file *file);
/* Take it as it stands now for seen: before it is read by other means than watched_read(). */
void watched_note(struct watched_file *file);
/* Read all of it, appended to `out`. Errors: INVALID (not before it changes will it be better), IO. */
enum rc watched_read(struct watched_file *file, struct buffer *out, struct diag *diag) MUST_CHECK;
/* What became of what was read: after a failure that is not the file's own, look at it again in a while. */
void watched_result(struct watched_file *file, enum rc rc);

#endif
