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
#include "proto/access.h"
#include "proto/rc.h"

struct tls;

/* Read certificate, key, clients' authority and revocation list. Errors: KEY (key file unsafe or not of this
 * certificate), CONFIG (a file is missing or not what it should be), CRYPTO. */
enum rc tls_open(const struct conf *conf, struct tls **ret, struct diag *diag) MUST_CHECK;
void tls_close(struct tls *tls);

/* A certificate of our authority that the handshake refused: it is revoked, or its time is not now. Its holder has proved
 * nothing yet, not even to have its key. */
struct tls_turned_away {
	bool is_ours;
	uint8_t fingerprint[32];
};
/* A server side for one connection, which fills in *turned_away (zero to begin with; borrowed). NULL without memory. */
SSL *tls_session_new(struct tls *tls, struct tls_turned_away *turned_away);

/* Use a new list (PEM, one or more) from now on. It must be signed by our authority and must not be older than the one
 * in use; otherwise that one stays. Errors: INVALID, CRYPTO. */
enum rc tls_set_revoked(struct tls *tls, const uint8_t *pem, size_t len, struct diag *diag) MUST_CHECK;

/* Visit the certificates on the present list that no earlier call has visited, some at a time. */
struct pipe_listed;
void tls_report_listed(struct tls *tls, void (*visit)(void *ctx, const struct pipe_listed *listed), void *ctx);

/* When the first of our certificate, the clients' authorities and the revocation list runs out; 0 = cannot be told. */
time_t tls_expires_at(const struct tls *tls);

/* What a connected peer may do, by its certificate and the access file (NULL = there is none). *ret and *ret_not_after are
 * filled on every outcome but UNAUTHENTIC. Errors: UNAUTHENTIC (no certificate), FORBIDDEN, ROLE_PAIR, SOURCE (nothing
 * this holder may do). */
enum rc tls_peer_grant(SSL *ssl, const struct access *access, struct access_grant *ret, time_t *ret_not_after,
		       struct diag *diag) MUST_CHECK;
/* Is the peer's certificate on the present list? */
bool tls_peer_is_revoked(const struct tls *tls, const SSL *ssl);

#endif
