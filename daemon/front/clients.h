/* Whom the front lets in: the clients' authorities and their revocation lists. Both may be renewed while it runs; a
 * list that has run out, or is missing for an authority where lists are asked for, refuses everybody of that authority.
 */
#ifndef DAEMON_FRONT_CLIENTS_H
#define DAEMON_FRONT_CLIENTS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/base/conf.h"
#include "daemon/base/pipe.h"
#include "proto/rc.h"

struct clients;

/* Read tls_client_ca and tls_revocation_list. Errors: CONFIG, CRYPTO, NOMEM. */
enum rc clients_open(const struct conf *conf, struct clients **ret, struct diag *diag) MUST_CHECK;
void clients_free(struct clients *clients);

/* Renewals: PEM, one or more; what was in force stays where the new is not good. Errors: INVALID (what is wrong with
 * it, in *ret_fault), CRYPTO, NOMEM (with RENEWAL_LATER: it may be tried again). */
enum rc clients_set_authorities(struct clients *clients, const void *pem, size_t len, enum renewal_fault *ret_fault,
				struct diag *diag) MUST_CHECK;
/* Lists that no authority of ours signed are left out, as of one that has gone or is still to come; but one must be
 * left, none may stand in the place of one of ours, and none may be older than the one in use. */
enum rc clients_set_revoked(struct clients *clients, const void *pem, size_t len, enum renewal_fault *ret_fault,
			    struct diag *diag) MUST_CHECK;

/* Have the context take whom we let in, and tell those who connect which authorities these are. Errors: NOMEM. */
enum rc clients_use(const struct clients *clients, SSL_CTX *ctx) MUST_CHECK;

/* Would a connected peer be let in now? Its chain and dates were looked at in its handshake; since then authorities may
 * have gone, and lists have come or run out. */
bool clients_accept(const struct clients *clients, const SSL *ssl);

/* SHA-256 of the authorities' certificates, ascending. */
void clients_trusted(const struct clients *clients, struct pipe_trusted *ret);
/* Visit the certificates on the present lists that no earlier call has visited, some at a time; `all`: each of them. */
void clients_report_listed(struct clients *clients, bool all,
			   void (*visit)(void *ctx, const struct pipe_listed *listed), void *ctx);
/* When the first authority or list runs out; 0 = cannot be told. */
time_t clients_expire_at(const struct clients *clients);

#endif
