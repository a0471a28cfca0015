/* Shamir's scheme over GF(2^8), without tables and without branches on secret bytes. */
#include "keys/secret_shares.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"
#include "proto/bytes.h"

static const char share_prefix[] = "throughcare-share-v1:";
enum { CHECK_LEN = 4, PREFIX_LEN = sizeof share_prefix - 1 };

/* ---- the field ----------------------------------------------------------------------------------------------- */

static uint8_t multiply(uint8_t a, uint8_t b)
{
	unsigned product = 0, x = a;

	for (int i = 0; i < 8; i++) {
		product ^= x & (0u - ((unsigned)b >> i & 1u));
		x = (x << 1) ^ (0x11bu & (0u - (x >> 7 & 1u)));
	}
	return (uint8_t)product;
}

/* a^254 = 1/a; of 0 it is 0. */
static uint8_t invert(uint8_t a)
{
	uint8_t power = a, result = 1;

	for (int i = 0; i < 7; i++) {
		power = multiply(power, power);
		result = multiply(result, power);
	}
	return result;
}

/* ---- shares -------------------------------------------------------------------------------------------------- */

enum rc secret_split(const uint8_t secret[SHARE_SECRET_LEN], uint8_t needed, uint8_t n, struct secret_share *ret)
{
	uint8_t coefficients[SHARE_MAX][SHARE_SECRET_LEN], set[SHARE_SET_LEN];

	if (needed < 2 || needed > n || n > SHARE_MAX)
		return RC_INVALID;
	memcpy(coefficients[0], secret, SHARE_SECRET_LEN);
	enum rc rc = random_bytes(coefficients[1], (size_t)(needed - 1) * SHARE_SECRET_LEN);
	if (rc == RC_OK)
		rc = random_bytes(set, sizeof set);
	for (uint8_t x = 1; rc == RC_OK && x <= n; x++) {
		struct secret_share *share = &ret[x - 1];
		*share = (struct secret_share){.needed = needed, .number = x};
		memcpy(share->set, set, sizeof set);
		for (int i = 0; i < SHARE_SECRET_LEN; i++) {
			uint8_t y = 0; /* Horner */
			for (int k = needed - 1; k >= 0; k--)
				y = (uint8_t)(multiply(y, x) ^ coefficients[k][i]);
			share->value[i] = y;
		}
	}
	explicit_bzero(coefficients, sizeof coefficients);
	return rc;
}

static enum rc check_shares(const struct secret_share *shares, size_t n, struct diag *diag)
{
	if (n == 0 || n > SHARE_MAX)
		return diag_set(diag, RC_INVALID, "expected 1 to %d shares", SHARE_MAX);
	for (size_t i = 0; i < n; i++) {
		if (shares[i].needed != shares[0].needed || memcmp(shares[i].set, shares[0].set, SHARE_SET_LEN) != 0)
			return diag_set(diag, RC_INVALID, "shares %u and %u are of different splits",
					(unsigned)shares[0].number, (unsigned)shares[i].number);
		for (size_t k = 0; k < i; k++) {
			if (shares[k].number == shares[i].number)
				return diag_set(diag, RC_CONFLICT, "share %u is given twice",
						(unsigned)shares[i].number);
		}
	}
	if (n < shares[0].needed)
		return diag_set(diag, RC_INVALID, "%u shares are needed, %zu given", (unsigned)shares[0].needed, n);
	return RC_OK;
}

/* Lagrange at 0 over all that are given: more than needed must lie on the same polynomial, or the key check fails. */
enum rc secret_join(const struct secret_share *shares, size_t n, uint8_t ret[SHARE_SECRET_LEN], struct diag *diag)
{
	uint8_t secret[SHARE_SECRET_LEN] = {0};

	enum rc rc = check_shares(shares, n, diag);
	if (rc != RC_OK)
		return rc;
	for (size_t i = 0; i < n; i++) {
		uint8_t weight = 1;
		for (size_t k = 0; k < n; k++) {
			if (k != i)
				weight = multiply(weight,
						  multiply(shares[k].number,
							   invert((uint8_t)(shares[k].number ^ shares[i].number))));
		}
		for (int b = 0; b < SHARE_SECRET_LEN; b++)
			secret[b] = (uint8_t)(secret[b] ^ multiply(weight, shares[i].value[b]));
	}
	memcpy(ret, secret, sizeof secret);
	explicit_bzero(secret, sizeof secret);
	return RC_OK;
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

static void check_of(const struct secret_share *share, uint8_t ret[CHECK_LEN])
{
	uint8_t text[2 + SHARE_SET_LEN + SHARE_SECRET_LEN], digest[32];

	text[0] = share->needed;
	text[1] = share->number;
	memcpy(text + 2, share->set, SHARE_SET_LEN);
	memcpy(text + 2 + SHARE_SET_LEN, share->value, SHARE_SECRET_LEN);
	sha256_labelled("throughcare share check v1", text, sizeof text, digest);
	memcpy(ret, digest, CHECK_LEN);
	explicit_bzero(text, sizeof text);
}

void secret_share_format(const struct secret_share *share, char out[SHARE_TEXT_CAP])
{
	char set[2 * SHARE_SET_LEN + 1], value[2 * SHARE_SECRET_LEN + 1], check[2 * CHECK_LEN + 1];
	uint8_t sum[CHECK_LEN];

	check_of(share, sum);
	hex_encode(share->set, SHARE_SET_LEN, set);
	hex_encode(share->value, SHARE_SECRET_LEN, value);
	hex_encode(sum, sizeof sum, check);
	snprintf(out, SHARE_TEXT_CAP, "%s%u:%u:%s:%s:%s", share_prefix, (unsigned)share->needed,
		 (unsigned)share->number, set, value, check);
	explicit_bzero(value, sizeof value);
}

/* Take the share's line out of the text: lower case, without white space. */
static enum rc take_line(const char *text, size_t len, char out[SHARE_TEXT_CAP])
{
	for (size_t start = 0; start < len;) {
		const char *end = memchr(text + start, '\n', len - start);
		size_t stop = end == NULL ? len : (size_t)(end - text), n = 0;
		for (size_t i = start; i < stop && n < SHARE_TEXT_CAP - 1; i++) {
			char c = text[i];
			if (c != ' ' && c != '\t' && c != '\r')
				out[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
		}
		out[n] = '\0';
		if (strncmp(out, share_prefix, PREFIX_LEN) == 0)
			return RC_OK;
		start = stop + 1;
	}
	return RC_MALFORMED;
}

static bool take_number(const char **at, uint8_t *ret)
{
	char *end;

	if (**at < '1' || **at > '9')
		return false;
	unsigned long v = strtoul(*at, &end, 10);
	if (*end != ':' || v > SHARE_MAX)
		return false;
	*at = end + 1;
	*ret = (uint8_t)v;
	return true;
}

static bool take_hex(const char **at, char stop, uint8_t *ret, size_t n)
{
	if (strlen(*at) < 2 * n || (*at)[2 * n] != stop || hex_decode(*at, 2 * n, ret, n) != RC_OK)
		return false;
	*at += 2 * n + (stop != '\0');
	return true;
}

enum rc secret_share_parse(const char *text, size_t len, struct secret_share *ret)
{
	char line[SHARE_TEXT_CAP];
	struct secret_share share = {.needed = 0};
	uint8_t said[CHECK_LEN], is[CHECK_LEN];
	const char *at = line + PREFIX_LEN;

	enum rc rc = take_line(text, len, line);
	if (rc == RC_OK &&
	    !(take_number(&at, &share.needed) && take_number(&at, &share.number) &&
	      take_hex(&at, ':', share.set, SHARE_SET_LEN) && take_hex(&at, ':', share.value, SHARE_SECRET_LEN) &&
	      take_hex(&at, '\0', said, CHECK_LEN) && share.needed >= 2))
		rc = RC_MALFORMED;
	if (rc == RC_OK) {
		check_of(&share, is);
		rc = memcmp(said, is, CHECK_LEN) == 0 ? RC_OK : RC_DIGEST;
	}
	if (rc == RC_OK)
		*ret = share;
	explicit_bzero(line, sizeof line);
	explicit_bzero(&share, sizeof share);
	return rc;
}
