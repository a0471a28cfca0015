/* The revocation list (RFC 5280 section 5). It is read, extended, signed anew and replaced in one rename, so that a
 * daemon that reads it again finds the old list or the new one, never a part. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "proto/bytes.h"
#include "tools/authority_internal.h"
#include "tools/whole_file.h"

enum { MAX_LIST = 1 << 26 };

static bool set_number(X509_CRL *list, long number)
{
	ASN1_INTEGER *value = ASN1_INTEGER_new();
	bool ok = value != NULL && ASN1_INTEGER_set(value, number) == 1 &&
		  X509_CRL_add1_ext_i2d(list, NID_crl_number, value, 0, X509V3_ADD_REPLACE) == 1;
	ASN1_INTEGER_free(value);
	return ok;
}

static long get_number(const X509_CRL *list)
{
	ASN1_INTEGER *value = X509_CRL_get_ext_d2i(list, NID_crl_number, NULL, NULL);
	long number = value ? ASN1_INTEGER_get(value) : 0;

	ASN1_INTEGER_free(value);
	return number < 0 ? 0 : number;
}

static bool add_issuer_key(X509_CRL *list, X509 *issuer)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, NULL, NULL, list, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	bool ok = extension != NULL && X509_CRL_add_ext(list, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

/* Date, number and signature of a list whose entries stand. Valid as long as the authority itself. */
static bool sign_list(const struct authority *authority, X509_CRL *list, long number)
{
	ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL) - 60);
	bool ok = now != NULL && X509_CRL_set1_lastUpdate(list, now) == 1 &&
		  X509_CRL_set1_nextUpdate(list, X509_get0_notAfter(authority->certificate)) == 1 &&
		  set_number(list, number) && X509_CRL_sort(list) == 1 &&
		  X509_CRL_sign(list, authority->key, EVP_sha256()) > 0;
	ASN1_TIME_free(now);
	return ok;
}

static enum rc encode(X509_CRL *list, struct buffer *out)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data = NULL;
	enum rc rc = RC_CRYPTO;

	if (bio != NULL && PEM_write_bio_X509_CRL(bio, list) == 1) {
		long len = BIO_get_mem_data(bio, &data);
		buffer_append(out, data, (size_t)len);
		rc = out->failed ? RC_NOMEM : RC_OK;
	}
	BIO_free(bio);
	return rc;
}

enum rc authority_create_list(const struct authority *authority, struct diag *diag)
{
	X509_CRL *list = X509_CRL_new();
	struct buffer text;
	enum rc rc = RC_CRYPTO;

	buffer_init(&text);
	if (list != NULL && X509_CRL_set_version(list, X509_CRL_VERSION_2) == 1 &&
	    X509_CRL_set_issuer_name(list, X509_get_subject_name(authority->certificate)) == 1 &&
	    add_issuer_key(list, authority->certificate) && sign_list(authority, list, 1))
		rc = encode(list, &text);
	if (rc != RC_OK)
		diag_set(diag, rc, "%s: cannot be made", authority->list_path);
	else
		rc = whole_file_create(authority->list_path, text.data, text.len, diag);
	buffer_deinit(&text);
	X509_CRL_free(list);
	return rc;
}

/* The present list; its signature is checked, so that an exchanged list is not signed over. */
static enum rc read_list(const struct authority *authority, X509_CRL **ret, struct diag *diag)
{
	struct buffer text;

	buffer_init(&text);
	enum rc rc = whole_file_read(authority->list_path, MAX_LIST, &text, diag);
	if (rc == RC_OK) {
		BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
		X509_CRL *list = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
		if (list == NULL || X509_CRL_verify(list, authority->key) != 1) {
			X509_CRL_free(list);
			rc = diag_set(diag, RC_INVALID, "%s: is not a revocation list of this authority",
				      authority->list_path);
		} else {
			*ret = list;
		}
	}
	buffer_deinit(&text);
	return rc;
}

static bool add_revoked(X509_CRL *list, X509 *certificate)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL));

	if (revoked != NULL && now != NULL &&
	    X509_REVOKED_set_serialNumber(revoked, X509_get_serialNumber(certificate)) == 1 &&
	    X509_REVOKED_set_revocationDate(revoked, now) == 1 && X509_CRL_add0_revoked(list, revoked) == 1) {
		ASN1_TIME_free(now);
		return true;
	}
	ASN1_TIME_free(now);
	X509_REVOKED_free(revoked);
	return false;
}

enum rc authority_revoke(const struct authority *authority, const char *certificate_path, int *ret_new,
			 struct diag *diag)
{
	X509 *certificate = authority_read_certificate(certificate_path, diag);
	X509_CRL *list = NULL;
	X509_REVOKED *known = NULL;
	struct buffer text;
	enum rc rc;

	if (certificate == NULL)
		return RC_INVALID;
	buffer_init(&text);
	if (X509_verify(certificate, authority->key) != 1) {
		rc = diag_set(diag, RC_INVALID, "%s: was not issued by this authority", certificate_path);
		goto out;
	}
	rc = read_list(authority, &list, diag);
	if (rc != RC_OK)
		goto out;
	if (X509_CRL_get0_by_serial(list, &known, X509_get_serialNumber(certificate)) == 1) {
		*ret_new = 0;
		goto out;
	}
	rc = RC_CRYPTO;
	if (add_revoked(list, certificate) && sign_list(authority, list, get_number(list) + 1))
		rc = encode(list, &text);
	if (rc != RC_OK)
		diag_set(diag, rc, "%s: cannot be signed", authority->list_path);
	else
		rc = whole_file_replace(authority->list_path, text.data, text.len, 0644, diag);
	if (rc == RC_OK)
		*ret_new = 1;
out:
	buffer_deinit(&text);
	X509_CRL_free(list);
	X509_free(certificate);
	return rc;
}
