/* Certificates for tests: an authority of one name and those that it gives out. */
#ifndef TESTS_UNIT_CERT_FIXTURE_H
#define TESTS_UNIT_CERT_FIXTURE_H

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { DAY_S = 86400 };

struct authority {
	EVP_PKEY *key;
	X509 *cert;
};

static inline X509_NAME *make_name(const char *text)
{
	X509_NAME *name = X509_NAME_new();
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)text, -1, -1, 0), 1);
	return name;
}

static inline void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

/* Valid for a day on either side of now. `uris`: alternative names, as OpenSSL's configuration has them; NULL = none.
 */
static inline X509 *make_cert_for(const char *subject, const char *issuer, long serial, EVP_PKEY *key, EVP_PKEY *signer,
				  const char *uris)
{
	X509 *cert = X509_new();
	X509_NAME *s = make_name(subject), *i = make_name(issuer);
	assert_int_equal(X509_set_version(cert, 2), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), serial), 1);
	assert_int_equal(X509_set_subject_name(cert, s), 1);
	assert_int_equal(X509_set_issuer_name(cert, i), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), DAY_S));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	if (signer == key) {
		add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
		add_extension(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	if (uris != NULL)
		add_extension(cert, NID_subject_alt_name, uris);
	assert_true(X509_sign(cert, signer, EVP_sha256()) > 0);
	X509_NAME_free(s);
	X509_NAME_free(i);
	return cert;
}

static inline X509 *make_cert(const char *subject, const char *issuer, long serial, EVP_PKEY *key, EVP_PKEY *signer)
{
	return make_cert_for(subject, issuer, serial, key, signer, NULL);
}

static inline struct authority make_authority(const char *name)
{
	struct authority a = {.key = EVP_EC_gen("P-256")};
	assert_non_null(a.key);
	a.cert = make_cert(name, name, 1, a.key, a.key);
	return a;
}

static inline void free_authority(struct authority *a)
{
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
}

/* Names certificate `revoked`; valid until `days` from now. */
static inline X509_CRL *make_list_of(const struct authority *a, long revoked, int days)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *time = ASN1_TIME_new();
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	assert_int_equal(X509_CRL_set_version(crl, 1), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(a->cert)), 1);
	assert_non_null(X509_gmtime_adj(time, -10 * DAY_S));
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, time), 1);
	assert_int_equal(X509_REVOKED_set_revocationDate(entry, time), 1);
	assert_non_null(X509_gmtime_adj(time, (long)days * DAY_S));
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, time), 1);
	assert_int_equal(ASN1_INTEGER_set(serial, revoked), 1);
	assert_int_equal(X509_REVOKED_set_serialNumber(entry, serial), 1);
	assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
	assert_true(X509_CRL_sign(crl, a->key, EVP_sha256()) > 0);
	ASN1_TIME_free(time);
	ASN1_INTEGER_free(serial);
	return crl;
}

#endif
