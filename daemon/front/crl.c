/* Revocation lists whose signature is checked once: see crl.h. The copy keeps the list that it was made from, and hands
 * questions on to it with OpenSSL's own answers; only the one about the signature of a known key it answers itself. */
#include "daemon/front/crl.h"

#include <openssl/crypto.h>

struct remembered {
	X509_CRL *list;   /* as it was taken in, with OpenSSL's own methods */
	EVP_PKEY *signer; /* whose signature it has */
};

static int on_verify(X509_CRL *crl, EVP_PKEY *key)
{
	const struct remembered *r = X509_CRL_get_meth_data(crl);

	if (r == NULL)
		return 0;
	return EVP_PKEY_eq(r->signer, key) == 1 ? 1 : X509_CRL_verify(r->list, key);
}

/* Entries of an authority other than the list's own ("indirect" lists) are not supported, as OpenSSL has it by default.
 */
static int on_lookup(X509_CRL *crl, X509_REVOKED **ret, const ASN1_INTEGER *serial, const X509_NAME *issuer)
{
	const struct remembered *r = X509_CRL_get_meth_data(crl);

	if (r == NULL || (issuer != NULL && X509_NAME_cmp(issuer, X509_CRL_get_issuer(crl)) != 0))
		return 0;
	return X509_CRL_get0_by_serial(r->list, ret, (ASN1_INTEGER *)serial);
}

static int on_free(X509_CRL *crl)
{
	struct remembered *r = X509_CRL_get_meth_data(crl);

	if (r != NULL) {
		X509_CRL_free(r->list);
		EVP_PKEY_free(r->signer);
		OPENSSL_free(r);
	}
	return 1;
}

X509_CRL_METHOD *crl_method_new(void)
{
	return X509_CRL_METHOD_new(NULL, on_free, on_lookup, on_verify);
}

X509_CRL *crl_remember(const X509_CRL_METHOD *method, X509_CRL *crl, EVP_PKEY *signer)
{
	if (signer == NULL || X509_CRL_verify(crl, signer) != 1)
		return NULL;
	/* A list has the methods that are the default while it is made. */
	X509_CRL_set_default_method(method);
	X509_CRL *copy = X509_CRL_dup(crl);
	X509_CRL_set_default_method(NULL);
	struct remembered *r = copy != NULL ? OPENSSL_zalloc(sizeof *r) : NULL;
	if (r == NULL) {
		X509_CRL_free(copy);
		return NULL;
	}
	X509_CRL_set_meth_data(copy, r);
	if (X509_CRL_up_ref(crl) == 1)
		r->list = crl;
	if (EVP_PKEY_up_ref(signer) == 1)
		r->signer = signer;
	if (r->list == NULL || r->signer == NULL) {
		X509_CRL_free(copy);
		return NULL;
	}
	return copy;
}
