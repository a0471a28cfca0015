/* The commands of throughcare keys, and what they share. */
#ifndef TOOLS_KEYS_H
#define TOOLS_KEYS_H

#include <stdint.h>

#include "proto/rc.h"
#include "tools/authority.h"

struct study;

int keys_init(int argc, char **argv);
int keys_ca(int argc, char **argv);
int keys_cert(int argc, char **argv);
int keys_request(int argc, char **argv);
int keys_revoke(int argc, char **argv);
int keys_expiry(int argc, char **argv);
int keys_linkage(int argc, char **argv);
int keys_record(int argc, char **argv);
int keys_seal(int argc, char **argv);
int keys_rotate(int argc, char **argv);
int keys_log(int argc, char **argv);
int keys_witness(int argc, char **argv);
int keys_signer_state(int argc, char **argv);

enum { KEYS_CA_DAYS = 3652, KEYS_CERTIFICATE_DAYS = 825, KEYS_MAX_DAYS = 36525 };

/* Print the reason to standard error; the exit status. */
int keys_fail(enum rc rc, const struct diag *diag);

/* Draw 32 random bytes and write them as a key file of `kind`. Errors: CONFLICT, IO, CRYPTO. */
enum rc keys_make_file(const char *path, const char *kind, struct diag *diag) MUST_CHECK;
/* Draw a linkage secret, write it, and give its key check for `domain`. */
enum rc keys_make_linkage(const char *path, const char *domain, uint8_t ret_check[16], struct diag *diag) MUST_CHECK;
/* Split the secret in a file into FILE.share-1 …, "3/5" = any 3 of 5; check one for typing errors; join some into a new
 * file, against the key check that the study pins (NULL = none). Errors: USAGE, KEY, CONFLICT, DIGEST (mistyped),
 * INVALID (too few, of different splits), SECRET. */
enum rc keys_split_linkage(const char *path, const char *domain, const char *split, struct diag *diag) MUST_CHECK;
enum rc keys_check_share(const char *path, struct diag *diag) MUST_CHECK;
enum rc keys_join_linkage(const char *path, const char *domain, const uint8_t *pinned, const char *const *files,
			  size_t n, uint8_t ret_check[16], struct diag *diag) MUST_CHECK;
/* Log key, signer state beside it, and the verifier key as text. */
enum rc keys_make_log(const char *path, const char *origin, char *ret_vkey, size_t vkey_cap,
		      struct diag *diag) MUST_CHECK;

/* A client to certify. Refuses what the daemon would refuse: forbidden pairs of roles, a submitter without a source.
 * Validity is Unix time. */
struct client_request {
	const char *client, *source; /* source NULL or "" = none */
	unsigned roles;
	int64_t not_before, not_after;
	const char *csr_path; /* of a request that the client made; NULL = make its key */
};
enum rc keys_issue_client(const struct authority *authority, const struct client_request *request, const char *prefix,
			  struct diag *diag) MUST_CHECK;

/* Read and parse a study file. The text stays in `text` (proto/bytes.h), for its bytes to be changed. */
struct buffer;
enum rc keys_read_study(const char *path, struct buffer *text, struct study **ret, struct diag *diag) MUST_CHECK;

#endif
