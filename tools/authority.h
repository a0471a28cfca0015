/* A small certificate authority (RFC 5280): what TLS 1.3 with mandatory client certificates needs, and no more.
 * A folder holds ca.crt, ca.key (0600) and revoked.crl. Keys are ECDSA P-256. */
#ifndef TOOLS_AUTHORITY_H
#define TOOLS_AUTHORITY_H

#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"

struct authority;
/* Make one in `folder`, which exists; nothing is overwritten. `name` is its common name. Errors: CONFLICT, IO, CRYPTO.
 */
enum rc authority_create(const char *folder, const char *name, uint32_t days, struct diag *diag) MUST_CHECK;
/* Open one. Errors: KEY (missing, unsafe or not fitting files). */
enum rc authority_open(const char *folder, struct authority **ret, struct diag *diag) MUST_CHECK;
void authority_close(struct authority *authority); /* NULL is a no-op */

/* What a new certificate says. Either `hosts` (a server) or `uris` (a client: urn:throughcare:…). */
struct certificate_request {
	const char *common_name;
	const char *const *hosts; /* DNS names or IP addresses */
	size_t n_hosts;
	const char *const *uris;
	size_t n_uris;
	int64_t not_before, not_after; /* Unix time */
	const char *csr_path; /* a PKCS #10 request, for its public key alone; NULL = make a key */
};
/* Make a certificate, PREFIX.crt, and where there is no request its key, PREFIX.key (0600). Nothing is overwritten.
 * Errors: CONFLICT, IO, INVALID (a host is neither name nor address), CRYPTO. */
enum rc authority_issue(const struct authority *authority, const struct certificate_request *request,
			const char *prefix, struct diag *diag) MUST_CHECK;
/* Make a key and a request: PREFIX.key (0600) and PREFIX.csr. Errors: CONFLICT, IO, CRYPTO. */
enum rc authority_make_request(const char *name, const char *prefix, struct diag *diag) MUST_CHECK;
/* Enter the certificate of a PEM file into revoked.crl, which is replaced atomically; *ret_new is 0 when it was in it.
 * Errors: INVALID (not of this authority), IO, CRYPTO. */
enum rc authority_revoke(const struct authority *authority, const char *certificate_path, int *ret_new,
			 struct diag *diag) MUST_CHECK;

#endif
