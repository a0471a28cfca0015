/* TLS of the front: 1.3 only, a client certificate of our authority always, revocation checked, no resumption of any
 * kind (a resumed session would skip the certificate). Everything is read from files once, before confinement; a newer
 * revocation list comes as bytes over the pipe. Fails closed: a list that has run out refuses everybody. */
#ifndef DAEMON_FRONT_TLS_H
#define DAEMON_FRONT_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "daemon/base/conf.h"
#include "proto/rc.h"
#include "proto/route.h"

struct tls;

/* Read certificate, key, clients' authority and revocation list. Errors: KEY (key file unsafe or not of this
 * certificate), CONFIG (a file is missing or not what it should be), CRYPTO. */
enum rc tls_open(const struct conf *conf, struct tls **ret, struct diag *diag) MUST_CHECK;
void tls_close(struct tls *tls);
/* A server side for one connection; NULL without memory. */
SSL *tls_session_new(struct tls *tls);

/* Use a new list (PEM, one or more) from now on. It must be signed by our authority and must not be older than the one
 * in use; otherwise that one stays. Errors: INVALID, CRYPTO. */
enum rc tls_set_revoked(struct tls *tls, const uint8_t *pem, size_t len, struct diag *diag) MUST_CHECK;

/* When the first of our certificate, the clients' authorities and the revocation list runs out; 0 = cannot be told. */
time_t tls_expires_at(const struct tls *tls);

/* What a connected peer's certificate says. ret->fingerprint and *ret_not_after are filled on every outcome but
 * UNAUTHENTIC. Errors: UNAUTHENTIC (no certificate), FORBIDDEN, ROLE_PAIR (nothing this holder may do). */
enum rc tls_peer_identity(SSL *ssl, struct identity *ret, time_t *ret_not_after, struct diag *diag) MUST_CHECK;
/* Is the peer's certificate on the present list? */
bool tls_peer_is_revoked(const struct tls *tls, const SSL *ssl);

#endif
