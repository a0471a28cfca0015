/* TLS of the front: see tls.h. */
#include "daemon/front/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

enum {
	MAX_CHAIN = 16,
	MAX_CHAIN_BYTES = 32 * 1024,
	MAX_INTERMEDIATES = 1,
};

struct tls {
	const struct conf *conf;
	SSL_CTX *ctx;
	struct clients *clients;
};

static enum rc tls_error(struct diag *diag, enum rc rc, const char *path, const char *what)
{
	unsigned long err = ERR_get_error();
	const char *reason = err ? ERR_reason_error_string(err) : NULL;

	if (err != 0 && ERR_GET_REASON(err) == ERR_R_MALLOC_FAILURE)
		rc = RC_NOMEM;

	ERR_clear_error();
	return diag_set(diag, rc, "%s: %s%s%s", path, what, reason ? ": " : "", reason ? reason : "");
}

/* Never ask a terminal for a pass phrase. */
static int no_pass_phrase(char *out, int cap, int rwflag, void *ctx)
{
	return 0;
}

/* ---- certificate and key ---- */

/* The certificates of a PEM text: the first is returned owned, the others are appended to `chain`. NULL when there is
 * none, or something that is no certificate. */
static X509 *read_chain(const struct buffer *pem, STACK_OF(X509) * chain)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	X509 *leaf = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL), *next;
	bool ok = leaf != NULL;

	while (ok && (next = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL)) != NULL) {
		ok = sk_X509_num(chain) < MAX_CHAIN && sk_X509_push(chain, next) > 0;
		if (!ok)
			X509_free(next);
	}
	/* The end of the text is an error as well, of its own kind. */
	unsigned long err = ERR_peek_last_error();
	if (ok && ERR_GET_LIB(err) == ERR_LIB_PEM && ERR_GET_REASON(err) == PEM_R_NO_START_LINE)
		ERR_clear_error();
	else
		ok = false;
	BIO_free(bio);
	if (!ok) {
		X509_free(leaf);
		leaf = NULL;
	}
	return leaf;
}

static enum renewal_fault check_certificate(X509 *leaf)
{
	if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1)
		return RENEWAL_NOT_SERVER;
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) >= 0 ||
	    X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
		return RENEWAL_OUT_OF_DATE;
	return RENEWAL_GOOD;
}

static EVP_PKEY *read_key(const struct buffer *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);

	BIO_free(bio);
	return key;
}

/* Errors: CONFIG and KEY, both with *ret_fault, NOMEM. A certificate that is out of date is refused only `as_renewal`:
 * at a start there is no other, and clients who go by the same clock refuse it themselves. */
static enum rc use_pair(SSL_CTX *ctx, const struct conf *conf, const struct server_pair *pair, bool as_renewal,
			enum renewal_fault *ret_fault, struct diag *diag)
{
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *leaf = chain == NULL ? NULL : read_chain(&pair->certificate, chain);
	EVP_PKEY *key = NULL;
	enum rc rc = RC_OK;

	*ret_fault = RENEWAL_MALFORMED;
	if (leaf == NULL) {
		rc = tls_error(diag, RC_CONFIG, conf->tls_certificate, "expected the server's certificate (PEM)");
		goto out;
	}
	enum renewal_fault fault = as_renewal ? check_certificate(leaf) : RENEWAL_GOOD;
	if (fault != RENEWAL_GOOD) {
		*ret_fault = fault;
		rc = diag_set(diag, RC_CONFIG, "%s: the certificate is %s", conf->tls_certificate,
			      renewal_fault_name(fault));
		goto out;
	}
	key = read_key(&pair->key);
	if (key == NULL) {
		rc = tls_error(diag, RC_KEY, conf->tls_key, "expected a private key (PEM, without pass phrase)");
		goto out;
	}
	if (X509_check_private_key(leaf, key) != 1) {
		*ret_fault = RENEWAL_MISMATCHED;
		rc = tls_error(diag, RC_KEY, conf->tls_key, "is not the key of tls_certificate");
		goto out;
	}
	if (SSL_CTX_use_cert_and_key(ctx, leaf, key, chain, 1) != 1)
		rc = tls_error(diag, RC_CONFIG, conf->tls_certificate, "cannot be used");
out:
	if (rc == RC_OK || rc == RC_NOMEM)
		*ret_fault = rc == RC_OK ? RENEWAL_GOOD : RENEWAL_LATER;
	EVP_PKEY_free(key);
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return rc;
}

/* ---- the context ---- */

/* ALPN: speak http/1.1 or nothing, so that this server cannot be taken for another one (RFC 9325 section 3.7). */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
			   unsigned in_len, void *ctx)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *selected;

	if (SSL_select_next_proto(&selected, out_len, ours, sizeof ours - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = selected;
	return SSL_TLSEXT_ERR_OK;
}

/* The verdict stays OpenSSL's; this only keeps whose certificate it was, where it is one of ours: revocation and dates
 * are looked at before the signature, and a stranger's certificate may carry any number. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	int error = X509_STORE_CTX_get_error(store);
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_turned_away *turned_away = ssl == NULL ? NULL : SSL_get_app_data(ssl);
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);

	if (ok || turned_away == NULL || X509_STORE_CTX_get_error_depth(store) != 0 || sk_X509_num(chain) < 2 ||
	    (error != X509_V_ERR_CERT_REVOKED && error != X509_V_ERR_CERT_HAS_EXPIRED &&
	     error != X509_V_ERR_CERT_NOT_YET_VALID))
		return ok;
	X509 *cert = sk_X509_value(chain, 0);
	turned_away->is_ours = X509_verify(cert, X509_get0_pubkey(sk_X509_value(chain, 1))) == 1 &&
			       X509_digest(cert, EVP_sha256(), turned_away->fingerprint, NULL) == 1;
	return ok;
}

static SSL_CTX *context_new(void)
{
	static const unsigned char context_id[] = "throughcare";
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return NULL;
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
	    SSL_CTX_set_max_early_data(ctx, 0) != 1 || SSL_CTX_set_recv_max_early_data(ctx, 0) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, context_id, sizeof context_id - 1) != 1) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
	SSL_CTX_set_verify_depth(ctx, MAX_INTERMEDIATES);
	SSL_CTX_set_max_cert_list(ctx, MAX_CHAIN_BYTES);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
	return ctx;
}

enum rc tls_open(const struct conf *conf, const struct server_pair *pair, struct tls **ret, struct diag *diag)
{
	enum renewal_fault fault;

	struct tls *tls = OPENSSL_zalloc(sizeof *tls);
	enum rc rc = RC_CRYPTO;

	if (tls == NULL)
		return RC_NOMEM;
	tls->ctx = context_new();
	if (tls->ctx == NULL) {
		rc = tls_error(diag, RC_CRYPTO, "TLS", "cannot be set up");
		goto out;
	}
	tls->conf = conf;
	rc = use_pair(tls->ctx, conf, pair, false, &fault, diag);
	if (rc == RC_OK)
		rc = clients_open(conf, &tls->clients, diag);
	if (rc == RC_OK)
		rc = clients_use(tls->clients, tls->ctx);
	if (rc == RC_OK) {
		*ret = tls;
		tls = NULL;
	}
out:
	tls_close(tls);
	return rc;
}

void tls_close(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->ctx);
	clients_free(tls->clients); /* after the context, whose store has their lists with it */
	OPENSSL_free(tls);
}

enum rc tls_renew_pair(struct tls *tls, const struct server_pair *pair, enum renewal_fault *ret_fault,
		       struct diag *diag)
{
	/* A context of its own, so that nothing of the old pair stays in it and handshakes that are under way keep
	 * theirs. */
	SSL_CTX *ctx = context_new();

	*ret_fault = RENEWAL_LATER;
	if (ctx == NULL || clients_use(tls->clients, ctx) != RC_OK) {
		SSL_CTX_free(ctx);
		return tls_error(diag, RC_NOMEM, "TLS", "cannot be set up");
	}
	enum rc rc = use_pair(ctx, tls->conf, pair, true, ret_fault, diag);
	if (rc != RC_OK) {
		SSL_CTX_free(ctx);
		return rc;
	}
	SSL_CTX_free(tls->ctx); /* goes with the last connection that was made under it */
	tls->ctx = ctx;
	return RC_OK;
}

void tls_server_certificate(const struct tls *tls, uint8_t ret_digest[32])
{
	memset(ret_digest, 0, 32);
	(void)X509_digest(SSL_CTX_get0_certificate(tls->ctx), EVP_sha256(), ret_digest, NULL);
}

SSL *tls_session_new(struct tls *tls, struct tls_turned_away *turned_away)
{
	SSL *ssl = SSL_new(tls->ctx);

	if (ssl != NULL)
		SSL_set_app_data(ssl, turned_away);
	return ssl;
}

/* ---- the peer ---- */

bool tls_peer_is_accepted(const struct tls *tls, const SSL *ssl)
{
	return clients_accept(tls->clients, ssl);
}

/* The URIs among the certificate's alternative names, borrowed from `names`. Errors: FORBIDDEN. */
static enum rc collect_uris(const GENERAL_NAMES *names, struct access_claim *claim)
{
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_URI)
			continue;
		const char *text = (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		int len = ASN1_STRING_length(name->d.uniformResourceIdentifier);
		/* A NUL inside would make the text shorter for us than for the authority that signed it. */
		if (len <= 0 || memchr(text, 0, (size_t)len) != NULL || claim->n_uris == ACCESS_MAX_CLAIMED)
			return RC_FORBIDDEN;
		claim->uris[claim->n_uris++] = text;
	}
	return RC_OK;
}

/* The certificate's policies in digits. One that is longer than any that the access file can name is left out. */
static enum rc collect_policies(const X509 *cert, struct access_claim *claim)
{
	int critical = -1;
	CERTIFICATEPOLICIES *policies = X509_get_ext_d2i(cert, NID_certificate_policies, &critical, NULL);
	enum rc rc = policies == NULL && critical != -1 ? RC_FORBIDDEN : RC_OK;

	for (int i = 0; rc == RC_OK && i < sk_POLICYINFO_num(policies); i++) {
		char oid[ACCESS_OID_CAP];
		int len = OBJ_obj2txt(oid, sizeof oid, sk_POLICYINFO_value(policies, i)->policyid, 1);
		if (len <= 0 || (size_t)len >= sizeof oid)
			continue;
		if (claim->n_policies == ACCESS_MAX_CLAIMED)
			rc = RC_FORBIDDEN;
		else
			strcpy(claim->policies[claim->n_policies++], oid);
	}
	CERTIFICATEPOLICIES_free(policies);
	return rc;
}

enum rc tls_peer_grant(SSL *ssl, const struct access *access, struct access_grant *ret, time_t *ret_not_after,
		       struct diag *diag)
{
	struct access_claim claim = {.n_uris = 0};
	int critical = -1;
	struct tm tm;
	X509 *cert = SSL_get0_peer_certificate(ssl);

	if (cert == NULL || SSL_get_verify_result(ssl) != X509_V_OK ||
	    X509_digest(cert, EVP_sha256(), claim.fingerprint, NULL) != 1 ||
	    ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return diag_set(diag, RC_UNAUTHENTIC, "there is no certificate");
	memset(ret, 0, sizeof *ret);
	memcpy(ret->who.fingerprint, claim.fingerprint, sizeof claim.fingerprint);
	*ret_not_after = timegm(&tm);

	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
	enum rc rc = names == NULL && critical != -1 ? RC_FORBIDDEN : RC_OK;
	if (rc == RC_OK)
		rc = collect_uris(names, &claim);
	if (rc == RC_OK)
		rc = collect_policies(cert, &claim);
	if (rc == RC_OK)
		rc = access_grant(access, &claim, ret, diag);
	else
		(void)diag_set(diag, rc, "the certificate has unusable alternative names or policies");
	GENERAL_NAMES_free(names);
	return rc;
}

/* ---- renewals, and dates ---- */

/* Handshakes that are under way end by what is in force by then, but for those under an earlier pair: they are looked
 * at when they are over. */
static enum rc use_clients(struct tls *tls, enum rc rc, enum renewal_fault *ret_fault)
{
	if (rc == RC_OK && clients_use(tls->clients, tls->ctx) != RC_OK) {
		*ret_fault = RENEWAL_LATER;
		rc = RC_NOMEM;
	}
	return rc;
}

enum rc tls_set_authorities(struct tls *tls, const uint8_t *pem, size_t len, enum renewal_fault *ret_fault,
			    struct diag *diag)
{
	return use_clients(tls, clients_set_authorities(tls->clients, pem, len, ret_fault, diag), ret_fault);
}

enum rc tls_set_revoked(struct tls *tls, const uint8_t *pem, size_t len, enum renewal_fault *ret_fault,
			struct diag *diag)
{
	return use_clients(tls, clients_set_revoked(tls->clients, pem, len, ret_fault, diag), ret_fault);
}

struct clients *tls_clients(struct tls *tls)
{
	return tls->clients;
}

time_t tls_expires_at(const struct tls *tls)
{
	const X509 *own = SSL_CTX_get0_certificate(tls->ctx);
	time_t at = clients_expire_at(tls->clients), own_at;
	struct tm tm;

	if (own == NULL || ASN1_TIME_to_tm(X509_get0_notAfter(own), &tm) != 1)
		return at;
	own_at = timegm(&tm);
	return at == 0 || own_at < at ? own_at : at;
}
