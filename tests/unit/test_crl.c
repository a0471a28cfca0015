/* libs: tc_front OpenSSL::Crypto */
/* A remembered revocation list says what OpenSSL's own would: whom it names is revoked, others are not, another key's
 * signature is none, dates still count, and a list that its authority did not sign is not taken in. */
#include <openssl/x509_vfy.h>

#include "daemon/front/crl.h"
#include "tests/unit/cert_fixture.h"

enum { GOOD = 7, REVOKED = 8 };

static X509_CRL *make_list(const struct authority *a, int days)
{
	return make_list_of(a, REVOKED, days);
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
