/* Certificate signing requests (PKCS #10): a client makes its own key and sends the request, so that its key never
 * leaves it. Of a request the authority takes the public key and nothing else: what the certificate says is what the
 * authority's operator says. */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

#include "keys/key_file.h"
#include "tools/authority_internal.h"
#include "tools/whole_file.h"

enum { MAX_REQUEST = 1 << 16, MIN_SECURITY_BITS = 112 };

EVP_PKEY *authority_read_request(const char *path, struct diag *diag)
{
	struct buffer text;
	X509_REQ *request = NULL;
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;

	buffer_init(&text);
	if (whole_file_read(path, MAX_REQUEST, &text, diag) == RC_OK)
		bio = BIO_new_mem_buf(text.data, (int)text.len);
	if (bio != NULL && (request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL)) == NULL)
		diag_set(diag, RC_INVALID, "%s: holds no PEM certificate signing request", path);
	if (request != NULL)
		key = X509_REQ_get_pubkey(request);
	/* The signature shows that whoever asks has the key. */
	if (request != NULL && (key == NULL || X509_REQ_verify(request, key) != 1)) {
		diag_set(diag, RC_INVALID, "%s: is not signed by the key that it names", path);
		EVP_PKEY_free(key);
		key = NULL;
	}
	if (key != NULL && EVP_PKEY_get_security_bits(key) < MIN_SECURITY_BITS) {
		diag_set(diag, RC_INVALID, "%s: its key is too weak: expected P-256, Ed25519 or RSA of 2048 bits", path);
		EVP_PKEY_free(key);
		key = NULL;
	}
	X509_REQ_free(request);
	BIO_free(bio);
	buffer_deinit(&text);
	return key;
}

static X509_REQ *make_request(EVP_PKEY *key, const char *name)
{
	X509_REQ *request = X509_REQ_new();

	if (request != NULL && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
	    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
				       (const unsigned char *)name, (int)strnlen(name, 64), -1, 0) == 1 &&
	    X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0)
		return request;
	X509_REQ_free(request);
	return NULL;
}

enum rc authority_make_request(const char *name, const char *prefix, struct diag *diag)
{
	char request_path[PATH_MAX], key_path[PATH_MAX];
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;

	if (snprintf(request_path, sizeof request_path, "%s.csr", prefix) >= PATH_MAX ||
	    snprintf(key_path, sizeof key_path, "%s.key", prefix) >= PATH_MAX) {
		BIO_free(bio);
		return diag_set(diag, RC_INVALID, "%s: the path is too long", prefix);
	}
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509_REQ *request = key != NULL ? make_request(key, name) : NULL;
	enum rc rc = RC_OK;
	if (bio == NULL || request == NULL || PEM_write_bio_X509_REQ(bio, request) != 1)
		rc = diag_set(diag, RC_CRYPTO, "%s: the request cannot be made", prefix);
	if (rc == RC_OK)
		rc = authority_write_key(key, key_path, diag);
	if (rc == RC_OK) {
		long len = BIO_get_mem_data(bio, &data);
		rc = whole_file_create(request_path, data, (size_t)len, diag);
	}
	X509_REQ_free(request);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}
