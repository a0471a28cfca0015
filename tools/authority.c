/* Certificates through OpenSSL's X509 interface. Every certificate states one use (server or client), has a random
 * serial number, and can be revoked by its file. The revocation list is valid as long as the authority, since a list
 * that expires unseen would lock every client out. */
#include "tools/authority.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keys/key_file.h"
#include "tools/authority_internal.h"
#include "tools/whole_file.h"

enum { SERIAL_LEN = 16, MAX_PEM = 1 << 20, CLOCK_SKEW_S = 3600, SECONDS_A_DAY = 86400 };

enum rc authority_path(const char *folder, const char *name, char out[PATH_MAX], struct diag *diag)
{
	if (snprintf(out, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", folder);
	return RC_OK;
}

/* ---- building ------------------------------------------------------------------------------------------------ */

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

static bool set_serial(X509 *certificate)
{
	uint8_t bytes[SERIAL_LEN];

	if (random_bytes(bytes, sizeof bytes) != RC_OK)
		return false;
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40); /* positive, and always of full length */
	BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
	bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return ok;
}

/* A common name has at most 64 characters (RFC 5280, ub-common-name); a longer host stands in the alternative names. */
static bool set_name(X509 *certificate, const char *common_name)
{
	int len = (int)strnlen(common_name, 64);
	X509_NAME *name = X509_NAME_new();
	bool ok = name != NULL &&
		  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, len, -1,
					     0) == 1 &&
		  X509_set_subject_name(certificate, name) == 1;
	X509_NAME_free(name);
	return ok;
}

/* Version, serial, names, validity and key: what authority and leaf have in common. `issuer` NULL = itself. */
static X509 *new_certificate(const char *common_name, X509 *issuer, EVP_PKEY *key, int64_t not_before,
			     int64_t not_after)
{
	X509 *c = X509_new();

	if (c == NULL || X509_set_version(c, X509_VERSION_3) != 1 || !set_serial(c) || !set_name(c, common_name) ||
	    X509_set_issuer_name(c, X509_get_subject_name(issuer ? issuer : c)) != 1 ||
	    ASN1_TIME_set(X509_getm_notBefore(c), (time_t)not_before) == NULL ||
	    ASN1_TIME_set(X509_getm_notAfter(c), (time_t)not_after) == NULL || X509_set_pubkey(c, key) != 1) {
		X509_free(c);
		return NULL;
	}
	return c;
}

/* Subject alternative names, built as objects: text from outside never meets OpenSSL's configuration syntax. */
static bool add_name(GENERAL_NAMES *names, int type, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value = NULL;
	uint8_t address[16];
	int len = 0;

	if (type == GEN_IPADD)
		len = inet_pton(AF_INET, text, address) == 1 ? 4 : inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
	if (type == GEN_IPADD) {
		value = ASN1_OCTET_STRING_new();
		if (value != NULL && ASN1_STRING_set(value, address, len) != 1)
			goto out;
	} else {
		value = ASN1_IA5STRING_new();
		if (value != NULL && ASN1_STRING_set(value, text, -1) != 1)
			goto out;
	}
	if (name == NULL || value == NULL)
		goto out;
	GENERAL_NAME_set0_value(name, type, value);
	value = NULL;
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
out:
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	return false;
}

static bool is_address(const char *host)
{
	uint8_t address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static bool is_host_name(const char *host)
{
	size_t len = strlen(host);

	return len > 0 && len < 254 && host[0] != '.' && host[0] != '-' &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == len;
}

static enum rc add_alternative_names(X509 *c, const struct certificate_request *r, struct diag *diag)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	enum rc rc = names ? RC_OK : RC_NOMEM;

	for (size_t i = 0; rc == RC_OK && i < r->n_hosts; i++) {
		bool address = is_address(r->hosts[i]);
		if (!address && !is_host_name(r->hosts[i]))
			rc = diag_set(diag, RC_INVALID, "'%.100s' is neither a host name nor an IP address",
				      r->hosts[i]);
		else if (!add_name(names, address ? GEN_IPADD : GEN_DNS, r->hosts[i]))
			rc = RC_CRYPTO;
	}
	for (size_t i = 0; rc == RC_OK && i < r->n_uris; i++)
		rc = add_name(names, GEN_URI, r->uris[i]) ? RC_OK : RC_CRYPTO;
	if (rc == RC_OK && X509_add1_ext_i2d(c, NID_subject_alt_name, names, 0, 0) != 1)
		rc = RC_CRYPTO;
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return rc;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static enum rc write_bio(BIO *bio, const char *path, bool private, struct diag *diag)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	if (len <= 0)
		return diag_set(diag, RC_CRYPTO, "%s: cannot be encoded", path);
	return private ? private_file_write(path, data, (size_t)len, diag)
		       : whole_file_create(path, data, (size_t)len, diag);
}

enum rc authority_write_key(EVP_PKEY *key, const char *path, struct diag *diag)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* cleansed when freed */
	enum rc rc = RC_CRYPTO;

	if (bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)
		rc = write_bio(bio, path, true, diag);
	BIO_free(bio);
	return rc;
}

static enum rc write_certificate(X509 *certificate, const char *path, struct diag *diag)
{
	BIO *bio = BIO_new(BIO_s_mem());
	enum rc rc = RC_CRYPTO;

	if (bio != NULL && PEM_write_bio_X509(bio, certificate) == 1)
		rc = write_bio(bio, path, false, diag);
	BIO_free(bio);
	return rc;
}

X509 *authority_read_certificate(const char *path, struct diag *diag)
{
	struct buffer text;
	X509 *certificate = NULL;
	BIO *bio = NULL;

	buffer_init(&text);
	if (whole_file_read(path, MAX_PEM, &text, diag) == RC_OK)
		bio = BIO_new_mem_buf(text.data, (int)text.len);
	if (bio != NULL && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) == NULL)
		diag_set(diag, RC_KEY, "%s: holds no PEM certificate", path);
	BIO_free(bio);
	buffer_deinit(&text);
	return certificate;
}

static EVP_PKEY *read_key(const char *path, struct diag *diag)
{
	struct buffer text;
	EVP_PKEY *key = NULL;
	BIO *bio = NULL;

	buffer_init(&text);
	if (private_file_read(path, MAX_PEM, &text, diag) == RC_OK)
		bio = BIO_new_mem_buf(text.data, (int)text.len);
	if (bio != NULL && (key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL)) == NULL)
		diag_set(diag, RC_KEY, "%s: holds no PEM key", path);
	BIO_free(bio);
	buffer_wipe(&text);
	return key;
}

/* ---- the authority ------------------------------------------------------------------------------------------- */

static X509 *make_root(const char *name, EVP_PKEY *key, uint32_t days)
{
	int64_t now = (int64_t)time(NULL);
	X509 *c = new_certificate(name, NULL, key, now - CLOCK_SKEW_S, now + (int64_t)days * SECONDS_A_DAY);

	if (c != NULL && add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	    add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	    add_extension(c, c, NID_subject_key_identifier, "hash") &&
	    add_extension(c, c, NID_authority_key_identifier, "keyid:always") && X509_sign(c, key, EVP_sha256()) > 0)
		return c;
	X509_free(c);
	return NULL;
}

enum rc authority_create(const char *folder, const char *name, uint32_t days, struct diag *diag)
{
	char certificate_path[PATH_MAX], key_path[PATH_MAX];
	struct authority authority = {.certificate = NULL};

	enum rc rc = authority_path(folder, "ca.crt", certificate_path, diag);
	if (rc == RC_OK)
		rc = authority_path(folder, "ca.key", key_path, diag);
	if (rc == RC_OK)
		rc = authority_path(folder, "revoked.crl", authority.list_path, diag);
	if (rc != RC_OK)
		return rc;
	authority.key = EVP_EC_gen("P-256");
	authority.certificate = authority.key ? make_root(name, authority.key, days) : NULL;
	if (authority.certificate == NULL) {
		rc = diag_set(diag, RC_CRYPTO, "the authority's certificate cannot be made");
		goto out;
	}
	rc = authority_write_key(authority.key, key_path, diag);
	if (rc == RC_OK)
		rc = write_certificate(authority.certificate, certificate_path, diag);
	if (rc == RC_OK)
		rc = authority_create_list(&authority, diag);
out:
	X509_free(authority.certificate);
	EVP_PKEY_free(authority.key);
	return rc;
}

enum rc authority_open(const char *folder, struct authority **ret, struct diag *diag)
{
	char certificate_path[PATH_MAX], key_path[PATH_MAX];
	struct authority *authority = calloc(1, sizeof *authority);
	enum rc rc = authority ? RC_OK : RC_NOMEM;

	if (rc == RC_OK)
		rc = authority_path(folder, "ca.crt", certificate_path, diag);
	if (rc == RC_OK)
		rc = authority_path(folder, "ca.key", key_path, diag);
	if (rc == RC_OK)
		rc = authority_path(folder, "revoked.crl", authority->list_path, diag);
	if (rc == RC_OK && ((authority->certificate = authority_read_certificate(certificate_path, diag)) == NULL ||
			    (authority->key = read_key(key_path, diag)) == NULL))
		rc = RC_KEY;
	if (rc == RC_OK && X509_check_private_key(authority->certificate, authority->key) != 1)
		rc = diag_set(diag, RC_KEY, "%s: ca.key does not belong to ca.crt", folder);
	if (rc != RC_OK) {
		authority_close(authority);
		return rc;
	}
	*ret = authority;
	return RC_OK;
}

void authority_close(struct authority *authority)
{
	if (authority == NULL)
		return;
	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
	free(authority);
}

static enum rc make_leaf(const struct authority *authority, const struct certificate_request *r, EVP_PKEY *key,
			 X509 **ret, struct diag *diag)
{
	X509 *issuer = authority->certificate;
	X509 *c = new_certificate(r->common_name, issuer, key, r->not_before, r->not_after);
	enum rc rc = c ? add_alternative_names(c, r, diag) : RC_CRYPTO;

	if (rc == RC_OK &&
	    (!add_extension(c, issuer, NID_basic_constraints, "critical,CA:FALSE") ||
	     !add_extension(c, issuer, NID_key_usage, "critical,digitalSignature") ||
	     !add_extension(c, issuer, NID_ext_key_usage, r->n_hosts > 0 ? "serverAuth" : "clientAuth") ||
	     !add_extension(c, issuer, NID_subject_key_identifier, "hash") ||
	     !add_extension(c, issuer, NID_authority_key_identifier, "keyid:always") ||
	     X509_sign(c, authority->key, EVP_sha256()) <= 0))
		rc = RC_CRYPTO;
	if (rc != RC_OK) {
		X509_free(c);
		return rc;
	}
	*ret = c;
	return RC_OK;
}

enum rc authority_issue(const struct authority *authority, const struct certificate_request *request,
			const char *prefix, struct diag *diag)
{
	char certificate_path[PATH_MAX], key_path[PATH_MAX];
	X509 *certificate = NULL;
	EVP_PKEY *key = NULL;
	enum rc rc;

	if (snprintf(certificate_path, sizeof certificate_path, "%s.crt", prefix) >= PATH_MAX ||
	    snprintf(key_path, sizeof key_path, "%s.key", prefix) >= PATH_MAX)
		return diag_set(diag, RC_INVALID, "%s: the path is too long", prefix);
	diag_set(diag, RC_CRYPTO, "%s: the certificate cannot be made", prefix);
	key = request->csr_path != NULL ? authority_read_request(request->csr_path, diag) : EVP_EC_gen("P-256");
	if (key != NULL)
		rc = make_leaf(authority, request, key, &certificate, diag);
	else
		rc = request->csr_path != NULL ? RC_INVALID : RC_CRYPTO;
	if (rc == RC_OK && request->csr_path == NULL)
		rc = authority_write_key(key, key_path, diag);
	if (rc == RC_OK)
		rc = write_certificate(certificate, certificate_path, diag);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return rc;
}
