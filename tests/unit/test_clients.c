/* libs: tc_front tc_proto OpenSSL::SSL OpenSSL::Crypto */
/* labels: quick */
/* Who is connected is let in as long as a handshake would let him in: his authority is there, and its list is in time
 * and does not name him. */
#include "daemon/front/clients.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/cert_fixture.h"

enum { CLIENT = 3, SOMEBODY = 4 };

struct fixture {
	char folder[64];
	struct conf conf;
	struct authority ca, other;
	struct clients *clients;
	SSL_CTX *contexts[2]; /* client's, server's */
	SSL *ends[2];
};

static BIO *pem_of_cert(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
	return bio;
}

/* Of the authority; it names `revoked`, and runs out in so many days. */
static BIO *pem_of_list(const struct fixture *f, long revoked, int days)
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509_CRL *list = make_list_of(&f->ca, revoked, days);
	assert_int_equal(PEM_write_bio_X509_CRL(bio, list), 1);
	X509_CRL_free(list);
	return bio;
}

static void write_file(const char *path, BIO *pem)
{
	char *text;
	long len = BIO_get_mem_data(pem, &text);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, (size_t)len, file), len);
	assert_int_equal(fclose(file), 0);
	BIO_free(pem);
}

static void use_cert(SSL_CTX *ctx, const char *subject, long serial, const struct authority *ca)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert(subject, "authority", serial, key, ca->key);
	assert_int_equal(SSL_CTX_use_certificate(ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* A whole handshake in memory. */
static void shake_hands(struct fixture *f)
{
	BIO *a, *b;
	assert_int_equal(BIO_new_bio_pair(&a, 1 << 16, &b, 1 << 16), 1);
	for (int i = 0; i < 2; i++) {
		f->ends[i] = SSL_new(f->contexts[i]);
		assert_non_null(f->ends[i]);
		SSL_set_bio(f->ends[i], i == 0 ? a : b, i == 0 ? a : b);
	}
	SSL_set_connect_state(f->ends[0]);
	SSL_set_accept_state(f->ends[1]);
	for (int i = 0; i < 10; i++)
		SSL_do_handshake(f->ends[i % 2]);
	assert_true(SSL_is_init_finished(f->ends[0]) && SSL_is_init_finished(f->ends[1]));
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	snprintf(f->folder, sizeof f->folder, "/tmp/tc-clients-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->conf.tls_client_ca, sizeof f->conf.tls_client_ca, "%s/ca.crt", f->folder);
	snprintf(f->conf.tls_revocation_list, sizeof f->conf.tls_revocation_list, "%s/revoked.crl", f->folder);
	f->ca = make_authority("authority");
	f->other = make_authority("another");
	write_file(f->conf.tls_client_ca, pem_of_cert(f->ca.cert));
	write_file(f->conf.tls_revocation_list, pem_of_list(f, SOMEBODY, 1));
	assert_int_equal(clients_open(&f->conf, &f->clients, NULL), RC_OK);
	f->contexts[0] = SSL_CTX_new(TLS_client_method());
	f->contexts[1] = SSL_CTX_new(TLS_server_method());
	use_cert(f->contexts[0], "client", CLIENT, &f->ca);
	use_cert(f->contexts[1], "localhost", 2, &f->ca);
	SSL_CTX_set_verify(f->contexts[1], SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	assert_int_equal(clients_use(f->clients, f->contexts[1]), RC_OK);
	shake_hands(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 2; i++) {
		SSL_free(f->ends[i]);
		SSL_CTX_free(f->contexts[i]);
	}
	clients_free(f->clients);
	free_authority(&f->ca);
	free_authority(&f->other);
	unlink(f->conf.tls_client_ca);
	unlink(f->conf.tls_revocation_list);
	rmdir(f->folder);
	free(f);
	return 0;
}

static void renew(struct fixture *f, BIO *pem,
		  enum rc (*set)(struct clients *, const void *, size_t, enum renewal_fault *, struct diag *))
{
	enum renewal_fault fault;
	char *text;
	long len = BIO_get_mem_data(pem, &text);
	assert_int_equal(set(f->clients, text, (size_t)len, &fault, NULL), RC_OK);
	BIO_free(pem);
}

static void test_list_that_names_him(void **state)
{
	struct fixture *f = *state;
	assert_true(clients_accept(f->clients, f->ends[1]));
	renew(f, pem_of_list(f, CLIENT, 1), clients_set_revoked);
	assert_false(clients_accept(f->clients, f->ends[1]));
}

/* Whoever keeps newer lists away does not keep those in whom they would name. */
static void test_list_that_has_run_out(void **state)
{
	struct fixture *f = *state;
	renew(f, pem_of_list(f, SOMEBODY, -1), clients_set_revoked);
	assert_false(clients_accept(f->clients, f->ends[1]));
	renew(f, pem_of_list(f, SOMEBODY, 1), clients_set_revoked);
	assert_true(clients_accept(f->clients, f->ends[1]));
}

static void test_authority_that_has_gone(void **state)
{
	struct fixture *f = *state;
	renew(f, pem_of_cert(f->other.cert), clients_set_authorities);
	assert_false(clients_accept(f->clients, f->ends[1]));
	/* It comes back without its list, which went with it. */
	renew(f, pem_of_cert(f->ca.cert), clients_set_authorities);
	assert_false(clients_accept(f->clients, f->ends[1]));
	renew(f, pem_of_list(f, SOMEBODY, 1), clients_set_revoked);
	assert_true(clients_accept(f->clients, f->ends[1]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_list_that_names_him, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_that_has_run_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_authority_that_has_gone, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
