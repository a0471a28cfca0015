/* Whom the front lets in: see clients.h. A list belongs to the authority that signed it, not to the name in it: while
 * an authority is replaced by one of the same name, both are there. */
#include "daemon/front/clients.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/front/crl.h"

enum { MAX_LISTS = PIPE_MAX_AUTHORITIES };

struct list {
	X509_CRL *crl;
	X509 *signer; /* one of the authorities */
};

struct lists {
	struct list of[MAX_LISTS];
	int n;
};

struct clients {
	X509_CRL_METHOD *crl_method;
	STACK_OF(X509) * authorities;
	bool asks_for_lists; /* whoever has none is refused */
	struct lists lists;
	struct lists reported; /* whose certificates were visited */
	X509_STORE *store;     /* of the authorities and their lists */
};

/* ---- stores ---- */

static void lists_deinit(struct lists *lists)
{
	for (int i = 0; i < lists->n; i++) {
		X509_CRL_free(lists->of[i].crl);
		X509_free(lists->of[i].signer);
	}
	lists->n = 0;
}

static bool lists_add(struct lists *lists, X509_CRL *crl, X509 *signer)
{
	if (lists->n == MAX_LISTS)
		return false;
	(void)X509_CRL_up_ref(crl);
	(void)X509_up_ref(signer);
	lists->of[lists->n++] = (struct list){crl, signer};
	return true;
}

static bool store_add_list(const struct clients *clients, X509_STORE *store, const struct list *list)
{
	X509_CRL *copy = crl_remember(clients->crl_method, list->crl, X509_get0_pubkey(list->signer));
	bool ok = copy != NULL && X509_STORE_add_crl(store, copy) == 1;

	X509_CRL_free(copy);
	return ok;
}

/* NULL without memory. */
static X509_STORE *store_new(const struct clients *clients, const STACK_OF(X509) * authorities,
			     const struct lists *lists)
{
	X509_STORE *store = X509_STORE_new();
	bool ok = store != NULL;

	for (int i = 0; ok && i < sk_X509_num(authorities); i++)
		ok = X509_STORE_add_cert(store, sk_X509_value(authorities, i)) == 1;
	for (int i = 0; ok && i < lists->n; i++)
		ok = store_add_list(clients, store, &lists->of[i]);
	if (ok && clients->asks_for_lists)
		ok = X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
	if (ok)
		return store;
	X509_STORE_free(store);
	ERR_clear_error();
	return NULL;
}

/* ---- authorities ---- */

static enum rc no_memory(enum renewal_fault *ret_fault, struct diag *diag)
{
	ERR_clear_error();
	*ret_fault = RENEWAL_LATER;
	return diag_set(diag, RC_NOMEM, "%s", rc_text(RC_NOMEM));
}

/* Unless it only looks so because OpenSSL had no memory. */
static enum rc invalid(enum renewal_fault fault, enum renewal_fault *ret_fault, struct diag *diag, const char *text)
{
	unsigned long err;

	while ((err = ERR_get_error()) != 0) {
		if (ERR_GET_REASON(err) == ERR_R_MALLOC_FAILURE)
			return no_memory(ret_fault, diag);
	}
	*ret_fault = fault;
	return diag_set(diag, RC_INVALID, "%s", text);
}

/* Never ask a terminal for a pass phrase. */
static int no_pass_phrase(char *out, int cap, int rwflag, void *ctx)
{
	return 0;
}

/* Was that the end of a PEM text, rather than something wrong with it? */
static bool at_end_of_pem(void)
{
	unsigned long err = ERR_peek_last_error();

	return ERR_GET_LIB(err) == ERR_LIB_PEM && ERR_GET_REASON(err) == PEM_R_NO_START_LINE;
}

static bool is_in_time(const X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

/* Appends to `out`. At a start, where there is no other, authorities that are all out of date are taken. */
static enum rc read_authorities(BIO *bio, bool as_renewal, STACK_OF(X509) * out, enum renewal_fault *ret_fault,
				struct diag *diag)
{
	X509 *cert;
	int n_in_time = 0;

	while ((cert = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL)) != NULL) {
		const char *wrong = NULL;
		if (X509_check_ca(cert) == 0)
			wrong = "expected certificates of authorities, there is another one";
		else if (sk_X509_num(out) >= PIPE_MAX_AUTHORITIES)
			wrong = "there are too many authorities";
		if (wrong != NULL) {
			X509_free(cert);
			return invalid(RENEWAL_NOT_AUTHORITY, ret_fault, diag, wrong);
		}
		n_in_time += is_in_time(cert);
		if (sk_X509_push(out, cert) <= 0) {
			X509_free(cert);
			return no_memory(ret_fault, diag);
		}
	}
	if (!at_end_of_pem() || sk_X509_num(out) == 0)
		return invalid(RENEWAL_MALFORMED, ret_fault, diag, "expected certificates of authorities (PEM)");
	ERR_clear_error();
	if (as_renewal && n_in_time == 0)
		return invalid(RENEWAL_OUT_OF_DATE, ret_fault, diag, "every authority is out of date");
	return RC_OK;
}

static bool have_authority(const STACK_OF(X509) * authorities, const X509 *cert)
{
	for (int i = 0; i < sk_X509_num(authorities); i++) {
		if (X509_cmp(sk_X509_value(authorities, i), cert) == 0)
			return true;
	}
	return false;
}

/* An authority may get another certificate for its key. */
static bool is_same_key(const X509 *a, const X509 *b)
{
	return X509_cmp(a, b) == 0 || EVP_PKEY_eq(X509_get0_pubkey(a), X509_get0_pubkey(b)) == 1;
}

/* Of the lists in use those whose authority is still there. */
static void keep_lists(const struct clients *clients, const STACK_OF(X509) * authorities, struct lists *out)
{
	for (int i = 0; i < clients->lists.n; i++) {
		const struct list *list = &clients->lists.of[i];
		for (int k = 0; k < sk_X509_num(authorities); k++) {
			X509 *authority = sk_X509_value(authorities, k);
			if (!is_same_key(authority, list->signer))
				continue;
			(void)lists_add(out, list->crl, authority);
			break;
		}
	}
}

static enum rc set_authorities(struct clients *clients, BIO *bio, enum renewal_fault *ret_fault, struct diag *diag)
{
	STACK_OF(X509) *authorities = sk_X509_new_null();
	struct lists lists = {.n = 0};
	X509_STORE *store = NULL;

	*ret_fault = RENEWAL_GOOD;
	enum rc rc = bio == NULL || authorities == NULL
			     ? no_memory(ret_fault, diag)
			     : read_authorities(bio, clients->authorities != NULL, authorities, ret_fault, diag);
	if (rc != RC_OK)
		goto out;
	keep_lists(clients, authorities, &lists);
	store = store_new(clients, authorities, &lists);
	if (store == NULL) {
		lists_deinit(&lists);
		rc = no_memory(ret_fault, diag);
		goto out;
	}
	sk_X509_pop_free(clients->authorities, X509_free);
	clients->authorities = authorities;
	authorities = NULL;
	lists_deinit(&clients->lists);
	clients->lists = lists;
	X509_STORE_free(clients->store);
	clients->store = store;
out:
	sk_X509_pop_free(authorities, X509_free);
	BIO_free(bio);
	return rc;
}

enum rc clients_set_authorities(struct clients *clients, const void *pem, size_t len, enum renewal_fault *ret_fault,
				struct diag *diag)
{
	return set_authorities(clients, BIO_new_mem_buf(pem, (int)len), ret_fault, diag);
}

/* ---- revocation lists ---- */

static bool is_named_in(const X509 *authority, const X509_CRL *crl)
{
	return X509_NAME_cmp(X509_get_subject_name(authority), X509_CRL_get_issuer(crl)) == 0;
}

/* The authority that signed the list, or NULL. */
static X509 *signer_of(const struct clients *clients, X509_CRL *crl)
{
	for (int i = 0; i < sk_X509_num(clients->authorities); i++) {
		X509 *ca = sk_X509_value(clients->authorities, i);
		if (is_named_in(ca, crl) && X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1)
			return ca;
	}
	return NULL;
}

/* An older list would bring revoked clients back. */
static bool is_older_than_present(const struct clients *clients, const X509 *signer, X509_CRL *crl)
{
	for (int i = 0; i < clients->lists.n; i++) {
		const struct list *present = &clients->lists.of[i];
		if (is_same_key(present->signer, signer) &&
		    ASN1_TIME_compare(X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_lastUpdate(present->crl)) < 0)
			return true;
	}
	return false;
}

static bool has_list(const struct lists *lists, const X509 *authority)
{
	for (int i = 0; i < lists->n; i++) {
		if (is_same_key(lists->of[i].signer, authority))
			return true;
	}
	return false;
}

/* A list that none of ours signed, and so is not among those taken, is of an authority that has gone or is still to
 * come, perhaps of the same name; unless one of that name would be left without. */
static bool is_in_place_of_ours(const struct clients *clients, const X509_CRL *crl, const struct lists *taken)
{
	for (int i = 0; i < taken->n; i++) {
		if (taken->of[i].crl == crl)
			return false;
	}
	for (int i = 0; i < sk_X509_num(clients->authorities); i++) {
		const X509 *ca = sk_X509_value(clients->authorities, i);
		if (is_named_in(ca, crl) && !has_list(taken, ca))
			return true;
	}
	return false;
}

static enum rc take_lists(const struct clients *clients, STACK_OF(X509_CRL) * crls, struct lists *out,
			  enum renewal_fault *ret_fault, struct diag *diag)
{
	static const char foreign[] = "the revocation list is not signed by the clients' authority";

	for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
		X509_CRL *crl = sk_X509_CRL_value(crls, i);
		X509 *signer = signer_of(clients, crl);
		if (signer != NULL && is_older_than_present(clients, signer, crl))
			return invalid(RENEWAL_OLDER, ret_fault, diag,
				       "the revocation list is older than the one in use");
		if (signer != NULL && !lists_add(out, crl, signer))
			return invalid(RENEWAL_MALFORMED, ret_fault, diag, "there are too many revocation lists");
	}
	for (int i = 0; i < sk_X509_CRL_num(crls); i++) {
		if (is_in_place_of_ours(clients, sk_X509_CRL_value(crls, i), out))
			return invalid(RENEWAL_FOREIGN, ret_fault, diag, foreign);
	}
	if (out->n == 0)
		return invalid(RENEWAL_FOREIGN, ret_fault, diag, foreign);
	ERR_clear_error();
	return RC_OK;
}

static enum rc read_lists(const struct clients *clients, BIO *bio, struct lists *out, enum renewal_fault *ret_fault,
			  struct diag *diag)
{
	STACK_OF(X509_CRL) *crls = sk_X509_CRL_new_null();
	X509_CRL *crl;
	enum rc rc = crls == NULL ? no_memory(ret_fault, diag) : RC_OK;

	while (rc == RC_OK && (crl = PEM_read_bio_X509_CRL(bio, NULL, no_pass_phrase, NULL)) != NULL) {
		if (sk_X509_CRL_push(crls, crl) <= 0) {
			X509_CRL_free(crl);
			rc = no_memory(ret_fault, diag);
		}
	}
	if (rc == RC_OK && (!at_end_of_pem() || sk_X509_CRL_num(crls) == 0))
		rc = invalid(RENEWAL_MALFORMED, ret_fault, diag, "expected a revocation list (PEM)");
	ERR_clear_error();
	if (rc == RC_OK)
		rc = take_lists(clients, crls, out, ret_fault, diag);
	sk_X509_CRL_pop_free(crls, X509_CRL_free);
	return rc;
}

static enum rc set_revoked(struct clients *clients, BIO *bio, enum renewal_fault *ret_fault, struct diag *diag)
{
	struct lists lists = {.n = 0};

	*ret_fault = RENEWAL_GOOD;
	enum rc rc = bio == NULL ? no_memory(ret_fault, diag) : read_lists(clients, bio, &lists, ret_fault, diag);
	X509_STORE *store = rc == RC_OK ? store_new(clients, clients->authorities, &lists) : NULL;
	if (rc == RC_OK && store == NULL)
		rc = no_memory(ret_fault, diag);
	BIO_free(bio);
	if (rc != RC_OK) {
		lists_deinit(&lists);
		return rc;
	}
	lists_deinit(&clients->lists);
	clients->lists = lists;
	X509_STORE_free(clients->store);
	clients->store = store;
	return RC_OK;
}

enum rc clients_set_revoked(struct clients *clients, const void *pem, size_t len, enum renewal_fault *ret_fault,
			    struct diag *diag)
{
	return set_revoked(clients, BIO_new_mem_buf(pem, (int)len), ret_fault, diag);
}

/* ---- the beginning and the end ---- */

/* At a start, where there is nothing else yet. */
static enum rc load(struct clients *clients, const char *path, const char *what,
		    enum rc (*set)(struct clients *, BIO *, enum renewal_fault *, struct diag *), struct diag *diag)
{
	enum renewal_fault fault;
	struct diag why = {""};
	BIO *bio = BIO_new_file(path, "r");

	if (bio == NULL) {
		const char *reason = ERR_reason_error_string(ERR_peek_error());
		(void)diag_set(diag, RC_CONFIG, "%s: cannot open %s%s%s", path, what, reason != NULL ? ": " : "",
			       reason != NULL ? reason : "");
		ERR_clear_error();
		return RC_CONFIG;
	}
	enum rc rc = set(clients, bio, &fault, &why);
	return rc == RC_OK ? rc : diag_set(diag, rc == RC_INVALID ? RC_CONFIG : rc, "%s: %s", path, why.text);
}

enum rc clients_open(const struct conf *conf, struct clients **ret, struct diag *diag)
{
	struct clients *clients = calloc(1, sizeof *clients);

	if (clients == NULL)
		return RC_NOMEM;
	clients->crl_method = crl_method_new();
	clients->asks_for_lists = conf->tls_revocation_list[0] != '\0';
	enum rc rc = clients->crl_method == NULL ? RC_NOMEM : RC_OK;
	if (rc == RC_OK)
		rc = load(clients, conf->tls_client_ca, "the clients' authority", set_authorities, diag);
	if (rc == RC_OK && clients->asks_for_lists)
		rc = load(clients, conf->tls_revocation_list, "the revocation list", set_revoked, diag);
	if (rc != RC_OK) {
		clients_free(clients);
		return rc;
	}
	*ret = clients;
	return RC_OK;
}

void clients_free(struct clients *clients)
{
	if (clients == NULL)
		return;
	X509_STORE_free(clients->store);
	sk_X509_pop_free(clients->authorities, X509_free);
	lists_deinit(&clients->lists);
	lists_deinit(&clients->reported);
	X509_CRL_METHOD_free(clients->crl_method); /* after the store, which has lists with it */
	free(clients);
}

enum rc clients_use(const struct clients *clients, SSL_CTX *ctx)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	bool ok = names != NULL;

	for (int i = 0; ok && i < sk_X509_num(clients->authorities); i++) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(sk_X509_value(clients->authorities, i)));
		ok = name != NULL && sk_X509_NAME_push(names, name) > 0;
		if (!ok)
			X509_NAME_free(name);
	}
	if (!ok || X509_STORE_up_ref(clients->store) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return RC_NOMEM;
	}
	SSL_CTX_set_client_CA_list(ctx, names); /* takes the names */
	SSL_CTX_set_cert_store(ctx, clients->store);
	return RC_OK;
}

/* ---- a connected peer ---- */

/* As in a handshake: a list that says no end has none. */
static bool has_run_out(const X509_CRL *crl)
{
	const ASN1_TIME *end = X509_CRL_get0_nextUpdate(crl);

	return end != NULL && X509_cmp_current_time(end) <= 0;
}

static bool is_listed_or_unknown(const struct clients *clients, X509 *cert, const X509 *issuer)
{
	X509_REVOKED *entry;
	bool has_list = false;

	for (int i = 0; i < clients->lists.n; i++) {
		const struct list *list = &clients->lists.of[i];
		if (!is_same_key(list->signer, issuer))
			continue;
		has_list = has_list || !has_run_out(list->crl);
		if (X509_CRL_get0_by_cert(list->crl, &entry, cert) == 1)
			return true;
	}
	return !has_list;
}

/* An authority has another certificate than at the handshake: the long way round, as a handshake would go. */
static bool verify_anew(const struct clients *clients, const SSL *ssl)
{
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool ok = ctx != NULL &&
		  X509_STORE_CTX_init(ctx, clients->store, SSL_get0_peer_certificate(ssl),
				      SSL_get_peer_cert_chain(ssl)) == 1 &&
		  X509_STORE_CTX_set_default(ctx, "ssl_client") == 1;

	if (ok) {
		X509_VERIFY_PARAM_set_depth(X509_STORE_CTX_get0_param(ctx), SSL_get_verify_depth(ssl));
		ok = X509_verify_cert(ctx) == 1;
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

bool clients_accept(const struct clients *clients, const SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	int n = sk_X509_num(chain);

	if (n < 1)
		return false;
	if (!have_authority(clients->authorities, sk_X509_value(chain, n - 1)))
		return verify_anew(clients, ssl);
	for (int i = 0; clients->asks_for_lists && i < n; i++) {
		X509 *issuer = sk_X509_value(chain, i + 1 < n ? i + 1 : i);
		if (is_listed_or_unknown(clients, sk_X509_value(chain, i), issuer))
			return false;
	}
	return true;
}

/* ---- what others are told ---- */

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof((struct pipe_trusted *)0)->authorities[0]);
}

void clients_trusted(const struct clients *clients, struct pipe_trusted *ret)
{
	ret->n = 0;
	for (int i = 0; i < sk_X509_num(clients->authorities); i++) {
		uint8_t *digest = ret->authorities[ret->n];
		if (X509_digest(sk_X509_value(clients->authorities, i), EVP_sha256(), digest, NULL) != 1)
			continue;
		/* One that stands twice in the file is one. */
		bool is_new = true;
		for (size_t k = 0; k < ret->n; k++)
			is_new = is_new && memcmp(ret->authorities[k], digest, sizeof ret->authorities[k]) != 0;
		ret->n += is_new;
	}
	qsort(ret->authorities, ret->n, sizeof ret->authorities[0], compare_digests);
}

/* Is the serial in a list of the same authority that was visited before? */
static bool was_reported(const struct clients *clients, const struct list *list, const X509_REVOKED *entry)
{
	X509_REVOKED *found;

	for (int i = 0; i < clients->reported.n; i++) {
		const struct list *before = &clients->reported.of[i];
		if (X509_cmp(before->signer, list->signer) == 0 &&
		    X509_CRL_get0_by_serial(before->crl, &found,
					    (ASN1_INTEGER *)X509_REVOKED_get0_serialNumber(entry)) == 1)
			return true;
	}
	return false;
}

static void report_list(const struct clients *clients, const struct list *list, struct pipe_listed *listed,
			void (*visit)(void *ctx, const struct pipe_listed *listed), void *ctx)
{
	STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(list->crl);

	listed->n = 0;
	if (X509_digest(list->signer, EVP_sha256(), listed->authority, NULL) != 1)
		return;
	for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
		X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
		const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(entry);
		int len = ASN1_STRING_length(serial);
		if (len < 1 || len > PIPE_SERIAL_CAP || was_reported(clients, list, entry))
			continue;
		struct pipe_serial *to = &listed->serials[listed->n++];
		to->len = (uint8_t)len;
		memcpy(to->bytes, ASN1_STRING_get0_data(serial), (size_t)len);
		if (listed->n == PIPE_MAX_LISTED) {
			visit(ctx, listed);
			listed->n = 0;
		}
	}
	if (listed->n > 0)
		visit(ctx, listed);
}

void clients_report_listed(struct clients *clients, bool all,
			   void (*visit)(void *ctx, const struct pipe_listed *listed), void *ctx)
{
	static struct pipe_listed listed; /* one thread; too large for a stack */

	if (all)
		lists_deinit(&clients->reported);
	for (int i = 0; i < clients->lists.n; i++)
		report_list(clients, &clients->lists.of[i], &listed, visit, ctx);
	lists_deinit(&clients->reported);
	for (int i = 0; i < clients->lists.n; i++)
		(void)lists_add(&clients->reported, clients->lists.of[i].crl, clients->lists.of[i].signer);
}

static void earliest(const ASN1_TIME *when, time_t *at)
{
	struct tm tm;

	if (when == NULL || ASN1_TIME_to_tm(when, &tm) != 1)
		return;
	time_t t = timegm(&tm);
	if (t > 0 && (*at == 0 || t < *at))
		*at = t;
}

time_t clients_expire_at(const struct clients *clients)
{
	time_t at = 0;

	for (int i = 0; i < sk_X509_num(clients->authorities); i++)
		earliest(X509_get0_notAfter(sk_X509_value(clients->authorities, i)), &at);
	for (int i = 0; i < clients->lists.n; i++)
		earliest(X509_CRL_get0_nextUpdate(clients->lists.of[i].crl), &at);
	return at;
}
