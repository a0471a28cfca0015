/* libs: tc_front OpenSSL::Crypto */
/* A remembered revocation list says what OpenSSL's own would: whom it names is revoked, others are not, another key's
 * signature is none, dates still count, and a list that its authority did not sign is not taken in. */
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "daemon/front/crl.h"

enum { DAY_S = 86400, GOOD = 7, REVOKED = 8 };

struct authority {
	EVP_PKEY *key;
	X509 *cert;
};

static X509_NAME *make_name(const char *text)
{
	X509_NAME *name = X509_NAME_new();
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)text, -1, -1, 0), 1);
	return name;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *make_cert(const char *subject, const char *issuer, long serial, EVP_PKEY *key, EVP_PKEY *signer)
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
	assert_true(X509_sign(cert, signer, EVP_sha256()) > 0);
	X509_NAME_free(s);
	X509_NAME_free(i);
	return cert;
}

static struct authority make_authority(const char *name)
{
	struct authority a = {.key = EVP_EC_gen("P-256")};
	assert_non_null(a.key);
	a.cert = make_cert(name, name, 1, a.key, a.key);
	return a;
}

static void free_authority(struct authority *a)
{
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
}

/* Names certificate REVOKED; valid until `days` from now. */
static X509_CRL *make_list(const struct authority *a, int days)
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
	assert_int_equal(ASN1_INTEGER_set(serial, REVOKED), 1);
	assert_int_equal(X509_REVOKED_set_serialNumber(entry, serial), 1);
	assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
	assert_true(X509_CRL_sign(crl, a->key, EVP_sha256()) > 0);
	ASN1_TIME_free(time);
	ASN1_INTEGER_free(serial);
	return crl;
}

/* What X509_verify_cert() says of a certificate of `issuer` to one who trusts `trusted` and has the list. */
static int verdict(const struct authority *trusted, const struct authority *issuer, X509_CRL *list, long serial)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert("client", "authority", serial, key, issuer->key);
	assert_int_equal(X509_STORE_add_cert(store, trusted->cert), 1);
	assert_int_equal(X509_STORE_add_crl(store, list), 1);
	assert_int_equal(X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
	int ok = X509_verify_cert(ctx), error = X509_STORE_CTX_get_error(ctx);
	assert_int_equal(ok == 1, error == X509_V_OK);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(cert);
	EVP_PKEY_free(key);
	return error;
}

static void test_same_verdicts(void **state)
{
	struct authority ours = make_authority("authority"), other = make_authority("authority");
	X509_CRL_METHOD *method = crl_method_new();
	X509_CRL *list = make_list(&ours, 1), *copy = crl_remember(method, list, ours.key);
	X509_CRL *old = make_list(&ours, -1), *old_copy = crl_remember(method, old, ours.key);
	assert_non_null(copy);
	assert_non_null(old_copy);
	X509_CRL *const lists[] = {list, copy}, *const olds[] = {old, old_copy};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(verdict(&ours, &ours, lists[i], GOOD), X509_V_OK);
		assert_int_equal(verdict(&ours, &ours, lists[i], REVOKED), X509_V_ERR_CERT_REVOKED);
		assert_int_equal(verdict(&ours, &ours, olds[i], GOOD), X509_V_ERR_CRL_HAS_EXPIRED);
		/* Of an authority of the same name and with another key the list is no list. */
		assert_int_equal(verdict(&other, &other, lists[i], GOOD), X509_V_ERR_CRL_SIGNATURE_FAILURE);
		assert_int_equal(verdict(&ours, &other, lists[i], GOOD), X509_V_ERR_CERT_SIGNATURE_FAILURE);
	}
	X509_CRL_free(list);
	X509_CRL_free(copy);
	X509_CRL_free(old);
	X509_CRL_free(old_copy);
	X509_CRL_METHOD_free(method);
	free_authority(&ours);
	free_authority(&other);
}

static void test_signature(void **state)
{
	struct authority ours = make_authority("authority"), other = make_authority("authority");
	X509_CRL_METHOD *method = crl_method_new();
	X509_CRL *list = make_list(&ours, 1);
	EVP_PKEY *same = X509_get_pubkey(ours.cert);
	assert_null(crl_remember(method, list, other.key));
	assert_null(crl_remember(method, list, NULL));
	X509_CRL *copy = crl_remember(method, list, ours.key);
	assert_non_null(copy);
	/* The copy does not depend on who still has the list. */
	X509_CRL_free(list);
	assert_int_equal(X509_CRL_verify(copy, ours.key), 1);
	assert_int_equal(X509_CRL_verify(copy, same), 1);
	assert_int_not_equal(X509_CRL_verify(copy, other.key), 1);
	/* Lists that are made later are OpenSSL's own again. */
	X509_CRL *later = make_list(&other, 1);
	assert_int_equal(X509_CRL_verify(later, other.key), 1);
	assert_int_not_equal(X509_CRL_verify(later, ours.key), 1);
	X509_CRL_free(later);
	X509_CRL_free(copy);
	EVP_PKEY_free(same);
	X509_CRL_METHOD_free(method);
	free_authority(&ours);
	free_authority(&other);
}

static void test_entries(void **state)
{
	struct authority ours = make_authority("authority");
	X509_CRL_METHOD *method = crl_method_new();
	X509_CRL *list = make_list(&ours, 1), *copy = crl_remember(method, list, ours.key);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert("client", "authority", REVOKED, key, ours.key),
	     *stranger = make_cert("client", "somebody else", REVOKED, key, ours.key);
	X509_REVOKED *entry = NULL;
	assert_non_null(copy);
	assert_int_equal(X509_CRL_get0_by_cert(copy, &entry, cert), 1);
	assert_int_equal(ASN1_INTEGER_get(X509_REVOKED_get0_serialNumber(entry)), REVOKED);
	assert_int_equal(X509_CRL_get0_by_cert(copy, &entry, stranger), X509_CRL_get0_by_cert(list, &entry, stranger));
	assert_int_equal(X509_CRL_get0_by_cert(copy, &entry, stranger), 0);
	X509_free(cert);
	X509_free(stranger);
	EVP_PKEY_free(key);
	X509_CRL_free(list);
	X509_CRL_free(copy);
	X509_CRL_METHOD_free(method);
	free_authority(&ours);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_verdicts),
		cmocka_unit_test(test_signature),
		cmocka_unit_test(test_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
