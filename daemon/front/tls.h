/* TLS of the front: 1.3 only, a client certificate of our authority always, revocation checked, no resumption of any
 * kind (a resumed session would skip the certificate). Files are read once, before confinement; newer authorities and revocation
 * lists come as bytes over the pipe, a new certificate and key from their reader. */
#ifndef DAEMON_FRONT_TLS_H
#define DAEMON_FRONT_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "daemon/base/conf.h"
#include "daemon/base/renewal.h"
#include "daemon/front/clients.h"
#include "daemon/front/pair_reader.h"
#include "proto/access.h"
#include "proto/rc.h"

struct tls;

/* With this certificate and key; read the clients' authority and the revocation list. Borrows `conf`. Errors: KEY (no
 * key, or not of this certificate), CONFIG (a file is missing or not what it should be), CRYPTO. */
enum rc tls_open(const struct conf *conf, const struct server_pair *pair, struct tls **ret,
		 struct diag *diag) MUST_CHECK;
void tls_close(struct tls *tls);

/* A certificate of our authority that the handshake refused: it is revoked, or its time is not now. Its holder has proved
 * nothing yet, not even to have its key. */
struct tls_turned_away {
	bool is_ours;
	uint8_t fingerprint[32];
};
/* A server side for one connection, which fills in *turned_away (zero to begin with; borrowed). NULL without memory. */
SSL *tls_session_new(struct tls *tls, struct tls_turned_away *turned_away);

/* Use other authorities of the clients, or a new revocation list, from now on: clients.h says which are taken. Errors:
 * INVALID (what is wrong with it, in *ret_fault), CRYPTO, NOMEM. */
enum rc tls_set_authorities(struct tls *tls, const uint8_t *pem, size_t len, enum renewal_fault *ret_fault,
			    struct diag *diag) MUST_CHECK;
enum rc tls_set_revoked(struct tls *tls, const uint8_t *pem, size_t len, enum renewal_fault *ret_fault,
			struct diag *diag) MUST_CHECK;
/* Whom it lets in; owned by `tls`. */
struct clients *tls_clients(struct tls *tls);

/* Use another certificate and key for every connection from now on; those that are open go on. The certificate must be
 * valid now and one for servers, the key must be its own; otherwise the pair in use stays. Errors: CONFIG, KEY (what is
 * wrong with it, in *ret_fault), NOMEM. */
enum rc tls_renew_pair(struct tls *tls, const struct server_pair *pair, enum renewal_fault *ret_fault,
		       struct diag *diag) MUST_CHECK;
/* SHA-256 of the server's certificate in use. */
void tls_server_certificate(const struct tls *tls, uint8_t ret_digest[32]);

/* When the first of our certificate, the clients' authorities and the revocation list runs out; 0 = cannot be told. */
time_t tls_expires_at(const struct tls *tls);

/* What a connected peer may do, by its certificate and the access file (NULL = there is none). *ret and *ret_not_after are
 * filled on every outcome but UNAUTHENTIC. Errors: UNAUTHENTIC (no certificate), FORBIDDEN, ROLE_PAIR, SOURCE (nothing
 * this holder may do). */
enum rc tls_peer_grant(SSL *ssl, const struct access *access, struct access_grant *ret, time_t *ret_not_after,
		       struct diag *diag) MUST_CHECK;
/* Would a connected peer be let in now, by authorities and lists? */
bool tls_peer_is_accepted(const struct tls *tls, const SSL *ssl);

#endif
