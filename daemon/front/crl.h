/* Revocation lists whose signature is checked once. OpenSSL checks it in every handshake, for each certificate of the
 * chain: two of a server's four verifications, of something that was verified when it was taken in. Everything else
 * that it asks of a list (issuer, scope, dates, extensions, the entry) it goes on asking each time. */
#ifndef DAEMON_FRONT_CRL_H
#define DAEMON_FRONT_CRL_H

#include <openssl/x509.h>

/* What makes the copies; must outlive them. NULL without memory. */
X509_CRL_METHOD *crl_method_new(void);

/* Check that `signer` signed the list and return a copy, owned, that answers so when it is asked about the same key,
 * and looks at the signature when it is asked about another one. NULL where it did not, or without memory. */
X509_CRL *crl_remember(const X509_CRL_METHOD *method, X509_CRL *crl, EVP_PKEY *signer);

#endif
