/* Splitting a linkage secret among custodians, and joining it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"
#include "keys/linkage_secret.h"
#include "keys/secret_shares.h"
#include "tools/keys.h"

enum { MAX_SHARE_FILE = 4096, PATH_CAP = 4096 };

static enum rc parse_split(const char *text, uint8_t *ret_needed, uint8_t *ret_n, struct diag *diag)
{
	unsigned needed = 0, n = 0;
	char rest;

	if (sscanf(text, "%2u/%2u%c", &needed, &n, &rest) != 2 || needed < 2 || needed > n || n > SHARE_MAX)
		return diag_set(diag, RC_USAGE, "--split: expected NEEDED/ALL, such as 3/5, from 2/2 to %d/%d",
				SHARE_MAX, SHARE_MAX);
	*ret_needed = (uint8_t)needed;
	*ret_n = (uint8_t)n;
	return RC_OK;
}

static enum rc write_share(const char *path, const char *domain, const struct secret_share *share, unsigned n,
			   struct diag *diag)
{
	char name[PATH_CAP], line[SHARE_TEXT_CAP];
	struct buffer text;

	if (snprintf(name, sizeof name, "%s.share-%u", path, (unsigned)share->number) >= (int)sizeof name)
		return diag_set(diag, RC_USAGE, "the path is too long");
	buffer_init(&text);
	secret_share_format(share, line);
	buffer_printf(
		&text,
		"Share %u of %u of the linkage secret of encoding domain %s. Any %u of them give the secret back;\n"
		"keep this one apart from the others, on paper, and tell nobody. Typed in again, spaces and capitals\n"
		"do not matter: throughcare keys linkage THIS-FILE --study STUDY --check-share\n\n%s\n",
		(unsigned)share->number, n, domain, (unsigned)share->needed, line);
	enum rc rc = text.failed ? RC_NOMEM : private_file_write(name, text.data, text.len, diag);
	if (rc == RC_OK)
		printf("%s\n", name);
	explicit_bzero(line, sizeof line);
	buffer_wipe(&text);
	return rc;
}

enum rc keys_split_linkage(const char *path, const char *domain, const char *split, struct diag *diag)
{
	struct secret_share shares[SHARE_MAX], back[SHARE_MAX];
	struct secret_key *key = NULL;
	uint8_t needed = 0, n = 0, joined[SHARE_SECRET_LEN];

	enum rc rc = parse_split(split, &needed, &n, diag);
	if (rc == RC_OK)
		rc = key_file_read(path, "linkage", &key, diag);
	if (rc != RC_OK)
		return rc;
	rc = secret_split(secret_key_bytes(key), needed, n, shares);
	/* Tried before anybody relies on it. */
	for (uint8_t i = 0; i < needed; i++)
		back[i] = shares[n - needed + i];
	if (rc == RC_OK)
		rc = secret_join(back, needed, joined, diag);
	if (rc == RC_OK && memcmp(joined, secret_key_bytes(key), sizeof joined) != 0)
		rc = RC_INTERNAL;
	for (uint8_t i = 0; rc == RC_OK && i < n; i++)
		rc = write_share(path, domain, &shares[i], n, diag);
	explicit_bzero(shares, sizeof shares);
	explicit_bzero(back, sizeof back);
	explicit_bzero(joined, sizeof joined);
	secret_key_free(key);
	return rc;
}

static enum rc read_share(const char *path, struct secret_share *ret, struct diag *diag)
{
	struct buffer text;

	buffer_init(&text);
	enum rc rc = private_file_read(path, MAX_SHARE_FILE, &text, diag);
	if (rc == RC_OK) {
		rc = secret_share_parse((const char *)text.data, text.len, ret);
		if (rc == RC_DIGEST)
			diag_set(diag, rc, "%s: the share is mistyped: its check does not fit", path);
		else if (rc != RC_OK)
			diag_set(diag, rc, "%s: there is no whole share in it", path);
	}
	buffer_wipe(&text);
	return rc;
}

enum rc keys_check_share(const char *path, struct diag *diag)
{
	struct secret_share share;
	char set[2 * SHARE_SET_LEN + 1];

	enum rc rc = read_share(path, &share, diag);
	if (rc != RC_OK)
		return rc;
	hex_encode(share.set, sizeof share.set, set);
	printf("share %u of split %s, of which %u are needed: typed right\n", (unsigned)share.number, set,
	       (unsigned)share.needed);
	explicit_bzero(&share, sizeof share);
	return RC_OK;
}

enum rc keys_join_linkage(const char *path, const char *domain, const uint8_t *pinned, const char *const *files,
			  size_t n, uint8_t ret_check[16], struct diag *diag)
{
	struct secret_share shares[SHARE_MAX];
	uint8_t secret[SHARE_SECRET_LEN], check[LINKAGE_KEY_CHECK_LEN];
	enum rc rc = n <= SHARE_MAX ? RC_OK : RC_INVALID;

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = read_share(files[i], &shares[i], diag);
	if (rc == RC_OK)
		rc = secret_join(shares, n, secret, diag);
	if (rc == RC_OK)
		rc = linkage_key_check(secret, sizeof secret, domain, check);
	if (rc == RC_OK && pinned != NULL && memcmp(check, pinned, sizeof check) != 0)
		rc = diag_set(diag, RC_SECRET,
			      "the shares do not give the secret whose key check the study has pinned");
	if (rc == RC_OK)
		rc = key_file_write(path, "linkage", secret, diag);
	if (rc == RC_OK)
		memcpy(ret_check, check, sizeof check);
	explicit_bzero(shares, sizeof shares);
	explicit_bzero(secret, sizeof secret);
	return rc;
}
