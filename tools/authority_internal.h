/* Shared by authority.c and revocation.c. */
#ifndef TOOLS_AUTHORITY_INTERNAL_H
#define TOOLS_AUTHORITY_INTERNAL_H

#include <limits.h>
#include <openssl/x509.h>

#include "tools/authority.h"

struct authority {
	X509 *certificate;
	EVP_PKEY *key;
	char list_path[PATH_MAX];
};

enum rc authority_path(const char *folder, const char *name, char out[PATH_MAX], struct diag *diag) MUST_CHECK;
X509 *authority_read_certificate(const char *path, struct diag *diag);
/* The public key of a certificate signing request that its owner signed; NULL, with the reason in diag. */
EVP_PKEY *authority_read_request(const char *path, struct diag *diag);
enum rc authority_write_key(EVP_PKEY *key, const char *path, struct diag *diag) MUST_CHECK;
enum rc authority_create_list(const struct authority *authority, struct diag *diag) MUST_CHECK;

#endif
