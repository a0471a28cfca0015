/* Signed notes, verifier keys, checkpoints and proof files (C2SP signed-note, tlog-checkpoint, tlog-proof).
 * Text comes from the network or from a file that somebody handed over: nothing of it is used before its signature is
 * checked, and every length is bounded first. */
#include "proto/tlog.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char signature_mark[] = "\xe2\x80\x94 "; /* em dash, space */
enum { SIGNATURE_MARK_LEN = 4, ED25519_TYPE = 1, COSIGNATURE_TYPE = 4, HASH_TEXT_LEN = 44 };

/* One code point of strict UTF-8 (no overlong form, no surrogate); its length, or 0. */
static size_t utf8_decode(const uint8_t *s, size_t len, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t n = s[0] < 0x80             ? 1
		   : (s[0] & 0xe0) == 0xc0 ? 2
		   : (s[0] & 0xf0) == 0xe0 ? 3
		   : (s[0] & 0xf8) == 0xf0 ? 4
					   : 0;

	if (n == 0 || n > len)
		return 0;
	uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

static bool is_space(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_name(const char *name, size_t len)
{
	uint32_t c = 0;

	if (len == 0 || len >= TLOG_ORIGIN_CAP)
		return false;
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_decode((const uint8_t *)name + i, len - i, &c);
		if (n == 0 || c < 0x20 || c == 0x7f || c == '+' || is_space(c))
			return false;
	}
	return true;
}

enum rc tlog_name_check(const char *name)
{
	return is_name(name, strlen(name)) ? RC_OK : RC_INVALID;
}

/* UTF-8 without control characters but the newline, ending in one. */
static bool is_note_text(const char *text, size_t len)
{
	uint32_t c = 0;

	if (len == 0 || len > TLOG_MAX_NOTE || text[len - 1] != '\n')
		return false;
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_decode((const uint8_t *)text + i, len - i, &c);
		if (n == 0 || (c < 0x20 && c != '\n'))
			return false;
	}
	return true;
}

/* The next line without its newline; false at the end of the text. */
static bool next_line(const char **at, const char *end, const char **ret_line, size_t *ret_len)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (newline == NULL)
		return false;
	*ret_line = *at;
	*ret_len = (size_t)(newline - *at);
	*at = newline + 1;
	return true;
}

/* Decimal without leading zero, below 2^63. */
static enum rc parse_decimal(const char *text, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || len > 19 || (len > 1 && text[0] == '0'))
		return RC_MALFORMED;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return RC_MALFORMED;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	if (v > INT64_MAX)
		return RC_MALFORMED;
	*ret = v;
	return RC_OK;
}

static enum rc parse_hash(const char *text, size_t len, struct tlog_hash *ret)
{
	size_t n = 0;

	if (len != HASH_TEXT_LEN || base64_decode(text, len, ret->b, TLOG_HASH_LEN, &n) != RC_OK || n != TLOG_HASH_LEN)
		return RC_MALFORMED;
	return RC_OK;
}

/* ---- verifier keys ------------------------------------------------------------------------------------------- */

static enum rc vkey_make(uint8_t type, const char *name, const uint8_t public_key[32], struct tlog_vkey *ret)
{
	const uint8_t separator[2] = {'\n', type};
	uint8_t digest[32];
	size_t len = strlen(name);

	if (!is_name(name, len))
		return RC_INVALID;
	struct sha256_ctx *ctx = sha256_new();
	sha256_update(ctx, name, len);
	sha256_update(ctx, separator, sizeof separator);
	sha256_update(ctx, public_key, 32);
	sha256_final(ctx, digest);
	sha256_free(ctx);

	memset(ret, 0, sizeof *ret);
	memcpy(ret->name, name, len);
	memcpy(ret->key_hash, digest, sizeof ret->key_hash);
	memcpy(ret->public_key, public_key, sizeof ret->public_key);
	return RC_OK;
}

static enum rc vkey_format(uint8_t type, const char *name, const uint8_t public_key[32], char *out, size_t cap)
{
	struct tlog_vkey vkey;
	uint8_t typed[33] = {type};
	char hash[9], key[48];

	if (vkey_make(type, name, public_key, &vkey) != RC_OK)
		return RC_INVALID;
	memcpy(typed + 1, public_key, 32);
	hex_encode(vkey.key_hash, sizeof vkey.key_hash, hash);
	base64_encode(typed, sizeof typed, key);
	if (strlen(name) + 1 + strlen(hash) + 1 + strlen(key) >= cap)
		return RC_TOO_LARGE;
	snprintf(out, cap, "%s+%s+%s", name, hash, key);
	return RC_OK;
}

static enum rc vkey_parse(uint8_t type, const char *text, struct tlog_vkey *ret)
{
	size_t len = strnlen(text, TLOG_VKEY_CAP + 1), n = 0;
	struct tlog_vkey vkey;
	uint8_t typed[33], hash[4];
	char name[TLOG_ORIGIN_CAP];

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (len > TLOG_VKEY_CAP)
		return RC_MALFORMED;
	const char *first = memchr(text, '+', len);
	const char *second = first ? memchr(first + 1, '+', len - (size_t)(first + 1 - text)) : NULL;
	if (second == NULL || (size_t)(first - text) >= sizeof name)
		return RC_MALFORMED;
	memcpy(name, text, (size_t)(first - text));
	name[first - text] = '\0';
	if (hex_decode(first + 1, (size_t)(second - first - 1), hash, sizeof hash) != RC_OK ||
	    base64_decode(second + 1, len - (size_t)(second + 1 - text), typed, sizeof typed, &n) != RC_OK ||
	    n != sizeof typed || typed[0] != type)
		return RC_MALFORMED;
	if (vkey_make(type, name, typed + 1, &vkey) != RC_OK || memcmp(vkey.key_hash, hash, sizeof hash) != 0)
		return RC_MALFORMED;
	*ret = vkey;
	return RC_OK;
}

enum rc tlog_vkey_make(const char *name, const uint8_t public_key[32], struct tlog_vkey *ret)
{
	return vkey_make(ED25519_TYPE, name, public_key, ret);
}

enum rc tlog_vkey_format(const char *name, const uint8_t public_key[32], char *out, size_t cap)
{
	return vkey_format(ED25519_TYPE, name, public_key, out, cap);
}

bool tlog_vkey_equal(const struct tlog_vkey *a, const struct tlog_vkey *b)
{
	return strcmp(a->name, b->name) == 0 && memcmp(a->public_key, b->public_key, sizeof a->public_key) == 0;
}

enum rc tlog_vkey_parse(const char *text, struct tlog_vkey *ret)
{
	return vkey_parse(ED25519_TYPE, text, ret);
}

enum rc tlog_witness_make(const char *name, const uint8_t public_key[32], struct tlog_vkey *ret)
{
	return vkey_make(COSIGNATURE_TYPE, name, public_key, ret);
}

enum rc tlog_witness_format(const char *name, const uint8_t public_key[32], char *out, size_t cap)
{
	return vkey_format(COSIGNATURE_TYPE, name, public_key, out, cap);
}

enum rc tlog_witness_parse(const char *text, struct tlog_vkey *ret)
{
	return vkey_parse(COSIGNATURE_TYPE, text, ret);
}

enum rc tlog_ed25519_verify(const uint8_t public_key[32], const void *text, size_t len, const uint8_t signature[64])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum rc rc = RC_CRYPTO;

	if (key != NULL && ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1)
		rc = EVP_DigestVerify(ctx, signature, 64, text, len) == 1 ? RC_OK : RC_DIGEST;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return rc;
}

/* ---- notes --------------------------------------------------------------------------------------------------- */

void tlog_note_signature_line(const struct tlog_vkey *vkey, const uint8_t signature[64], struct buffer *out)
{
	uint8_t bytes[4 + 64];
	char text[4 * ((4 + 64 + 2) / 3) + 1];

	memcpy(bytes, vkey->key_hash, 4);
	memcpy(bytes + 4, signature, 64);
	base64_encode(bytes, sizeof bytes, text);
	buffer_printf(out, "%s%s %s\n", signature_mark, vkey->name, text);
}

/* One signature line: *ret_ours when name and key hash are those of `vkey`, *ret_fits when its signature has `n` bytes;
 * with both, they are copied. Errors: MALFORMED, NOMEM. */
static enum rc read_signature_line(const char *line, size_t len, const struct tlog_vkey *vkey, uint8_t *signature,
				   size_t n, bool *ret_ours, bool *ret_fits)
{
	if (len <= SIGNATURE_MARK_LEN || memcmp(line, signature_mark, SIGNATURE_MARK_LEN) != 0)
		return RC_MALFORMED;
	const char *name = line + SIGNATURE_MARK_LEN, *end = line + len;
	const char *space = memchr(name, ' ', (size_t)(end - name));
	/* Names of other keys may be longer than ours: only the form is checked, within the note's own bound. */
	if (space == NULL || space == name || memchr(name, '+', (size_t)(space - name)) != NULL)
		return RC_MALFORMED;
	size_t name_len = (size_t)(space - name), n_bytes = 0;
	size_t cap = (size_t)(end - space - 1) / 4 * 3;
	uint8_t *bytes = malloc(cap + 1);
	if (bytes == NULL)
		return RC_NOMEM;
	enum rc rc = base64_decode(space + 1, (size_t)(end - space - 1), bytes, cap, &n_bytes);
	if (rc == RC_OK && n_bytes < 5)
		rc = RC_MALFORMED;
	if (rc == RC_OK) {
		*ret_ours = name_len == strlen(vkey->name) && memcmp(name, vkey->name, name_len) == 0 &&
			    memcmp(bytes, vkey->key_hash, 4) == 0;
		*ret_fits = n_bytes == 4 + n;
		if (*ret_ours && *ret_fits)
			memcpy(signature, bytes + 4, n);
	}
	free(bytes);
	return rc;
}

/* One signature line. MALFORMED when it is none; DIGEST when it is of `vkey` and wrong; *is_ours when it is right. */
static enum rc check_signature_line(const char *line, size_t len, const char *text, size_t text_len,
				    const struct tlog_vkey *vkey, bool *is_ours)
{
	uint8_t signature[64];
	bool ours = false, fits = false;

	enum rc rc = read_signature_line(line, len, vkey, signature, sizeof signature, &ours, &fits);
	if (rc == RC_OK && ours) {
		rc = fits ? tlog_ed25519_verify(vkey->public_key, text, text_len, signature) : RC_DIGEST;
		*is_ours = *is_ours || rc == RC_OK;
	}
	return rc;
}

/* Split a note at its last empty line: the text keeps its own newline. */
static enum rc split_note(const char *note, size_t len, size_t *ret_text_len, const char **ret_signatures)
{
	if (!is_note_text(note, len))
		return RC_MALFORMED;
	for (size_t i = len - 1; i > 0; i--) {
		if (note[i] == '\n' && note[i - 1] == '\n') {
			if (i + 1 == len)
				return RC_MALFORMED; /* no signature at all */
			*ret_text_len = i;
			*ret_signatures = note + i + 1;
			return RC_OK;
		}
	}
	return RC_MALFORMED;
}

/* At least three non-empty lines: origin, size, root; then extension lines, which are not for us. */
static enum rc parse_body(const char *text, size_t len, struct tlog_checkpoint *ret)
{
	const char *at = text, *end = text + len, *line[3];
	size_t line_len[3];
	struct tlog_checkpoint c = {.size = 0};
	struct tlog_hash empty = tlog_empty_root();

	for (int i = 0; i < 3; i++) {
		if (!next_line(&at, end, &line[i], &line_len[i]) || line_len[i] == 0)
			return RC_MALFORMED;
	}
	if (!is_name(line[0], line_len[0]))
		return RC_MALFORMED;
	memcpy(c.origin, line[0], line_len[0]);
	if (parse_decimal(line[1], line_len[1], &c.size) != RC_OK || parse_hash(line[2], line_len[2], &c.root) != RC_OK)
		return RC_MALFORMED;
	if (c.size == 0 && memcmp(c.root.b, empty.b, TLOG_HASH_LEN) != 0)
		return RC_MALFORMED;
	while (at < end) {
		if (!next_line(&at, end, &line[0], &line_len[0]) || line_len[0] == 0)
			return RC_MALFORMED;
	}
	*ret = c;
	return RC_OK;
}

enum rc tlog_checkpoint_parse(const char *note, size_t len, struct tlog_checkpoint *ret)
{
	const char *signatures = NULL;
	size_t text_len = 0;
	enum rc rc = split_note(note, len, &text_len, &signatures);

	return rc == RC_OK ? parse_body(note, text_len, ret) : rc;
}

void tlog_checkpoint_body(const struct tlog_checkpoint *c, struct buffer *out)
{
	char root[HASH_TEXT_LEN + 1];

	base64_encode(c->root.b, TLOG_HASH_LEN, root);
	buffer_printf(out, "%s\n%" PRIu64 "\n%s\n", c->origin, c->size, root);
}

enum rc tlog_note_verify(const char *note, size_t len, const struct tlog_vkey *vkey, size_t *ret_text_len)
{
	const char *at = NULL, *end = note + len, *line;
	size_t text_len = 0, line_len, n_signatures = 0;
	bool is_ours = false;

	enum rc rc = split_note(note, len, &text_len, &at);
	if (rc != RC_OK)
		return rc;
	while (next_line(&at, end, &line, &line_len)) {
		if (++n_signatures > TLOG_MAX_SIGNATURES)
			return RC_MALFORMED;
		rc = check_signature_line(line, line_len, note, text_len, vkey, &is_ours);
		if (rc != RC_OK)
			return rc;
	}
	if (!is_ours)
		return RC_DIGEST;
	*ret_text_len = text_len;
	return RC_OK;
}

enum rc tlog_checkpoint_verify(const char *note, size_t len, const struct tlog_vkey *vkey, struct tlog_checkpoint *ret)
{
	struct tlog_checkpoint c;
	size_t text_len = 0;

	enum rc rc = tlog_note_verify(note, len, vkey, &text_len);
	if (rc == RC_OK)
		rc = parse_body(note, text_len, &c);
	if (rc != RC_OK)
		return rc;
	if (strcmp(c.origin, vkey->name) != 0)
		return RC_DIGEST;
	*ret = c;
	return RC_OK;
}

/* ---- cosignatures -------------------------------------------------------------------------------------------- */

static void cosign_text(int64_t unix_time, const char *text, size_t len, struct buffer *out)
{
	buffer_printf(out, "cosignature/v1\ntime %" PRId64 "\n", unix_time);
	buffer_append(out, text, len);
}

void tlog_cosign_message(const struct tlog_checkpoint *c, int64_t unix_time, struct buffer *out)
{
	struct buffer body;

	buffer_init(&body);
	tlog_checkpoint_body(c, &body);
	cosign_text(unix_time, (const char *)body.data, body.len, out);
	out->failed = out->failed || body.failed;
	buffer_deinit(&body);
}

void tlog_cosignature_line(const struct tlog_vkey *witness, const struct tlog_cosignature *c, struct buffer *out)
{
	uint8_t bytes[4 + 8 + 64];
	char text[4 * ((4 + 8 + 64 + 2) / 3) + 1];
	struct writer w;

	writer_init(&w, bytes, sizeof bytes);
	write_bytes(&w, witness->key_hash, 4);
	write_u64(&w, (uint64_t)c->time);
	write_bytes(&w, c->signature, 64);
	base64_encode(bytes, sizeof bytes, text);
	buffer_printf(out, "%s%s %s\n", signature_mark, witness->name, text);
}

static enum rc check_cosignature(const uint8_t timed[72], const char *text, size_t text_len,
				 const struct tlog_vkey *witness, struct tlog_cosignature *ret)
{
	struct buffer message;
	struct reader r;

	reader_init(&r, timed, 8);
	uint64_t time = read_u64(&r);
	if (time > INT64_MAX)
		return RC_DIGEST;
	buffer_init(&message);
	cosign_text((int64_t)time, text, text_len, &message);
	enum rc rc = message.failed ? RC_NOMEM
				    : tlog_ed25519_verify(witness->public_key, message.data, message.len, timed + 8);
	buffer_deinit(&message);
	if (rc == RC_OK) {
		ret->time = (int64_t)time;
		memcpy(ret->signature, timed + 8, sizeof ret->signature);
	}
	return rc;
}

enum rc tlog_cosignature_verify(const char *note, size_t len, const struct tlog_vkey *witness,
				struct tlog_cosignature *ret)
{
	const char *at = NULL, *end = note + len, *line;
	size_t text_len = 0, line_len, n_signatures = 0;
	uint8_t timed[8 + 64];
	bool found = false;

	enum rc rc = split_note(note, len, &text_len, &at);
	while (rc == RC_OK && next_line(&at, end, &line, &line_len)) {
		bool ours = false, fits = false;
		rc = ++n_signatures > TLOG_MAX_SIGNATURES
			     ? RC_MALFORMED
			     : read_signature_line(line, line_len, witness, timed, sizeof timed, &ours, &fits);
		if (rc == RC_OK && ours)
			rc = fits ? check_cosignature(timed, note, text_len, witness, ret) : RC_DIGEST;
		found = found || ours;
	}
	return rc == RC_OK && !found ? RC_NOTFOUND : rc;
}

enum rc tlog_note_signature(const char *note, size_t len, const struct tlog_vkey *vkey, uint8_t ret[64])
{
	const char *at = NULL, *end = note + len, *line;
	size_t text_len = 0, line_len;
	bool ours = false, fits = false;

	enum rc rc = split_note(note, len, &text_len, &at);
	while (rc == RC_OK && !(ours && fits) && next_line(&at, end, &line, &line_len))
		rc = read_signature_line(line, line_len, vkey, ret, 64, &ours, &fits);
	return rc == RC_OK && !(ours && fits) ? RC_NOTFOUND : rc;
}

/* ---- proof files --------------------------------------------------------------------------------------------- */

enum rc tlog_hashes_format(const struct tlog_proof *proof, struct buffer *out)
{
	char text[HASH_TEXT_LEN + 1];

	if (proof->n > TLOG_MAX_PROOF)
		return RC_INVALID;
	for (size_t i = 0; i < proof->n; i++) {
		base64_encode(proof->hash[i].b, TLOG_HASH_LEN, text);
		buffer_printf(out, "%s\n", text);
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc tlog_hashes_parse(const char *text, size_t len, struct tlog_proof *ret)
{
	const char *at = text, *end = text + len, *line;
	struct tlog_proof proof = {.n = 0};
	size_t line_len;

	while (at < end) {
		if (!next_line(&at, end, &line, &line_len) || proof.n == TLOG_MAX_PROOF ||
		    parse_hash(line, line_len, &proof.hash[proof.n]) != RC_OK)
			return RC_MALFORMED;
		proof.n++;
	}
	*ret = proof;
	return RC_OK;
}

static const char proof_first_line[] = "c2sp.org/tlog-proof@v1";

enum rc tlog_proof_format(uint64_t index, const struct tlog_proof *proof, const char *checkpoint, size_t checkpoint_len,
			  struct buffer *out)
{
	if (proof->n > TLOG_MAX_PROOF || index > INT64_MAX)
		return RC_INVALID;
	buffer_printf(out, "%s\nindex %" PRIu64 "\n", proof_first_line, index);
	enum rc rc = tlog_hashes_format(proof, out);
	if (rc != RC_OK)
		return rc;
	buffer_append(out, "\n", 1);
	buffer_append(out, checkpoint, checkpoint_len);
	return out->failed ? RC_NOMEM : RC_OK;
}

static bool starts_with(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0;
}

enum rc tlog_proof_parse(const char *text, size_t len, uint64_t *ret_index, struct tlog_proof *ret_proof,
			 const char **ret_note, size_t *ret_note_len)
{
	const char *at = text, *end = text + len, *line;
	size_t line_len;
	uint64_t index = 0;
	struct tlog_proof proof = {.n = 0};

	if (len > 2 * TLOG_MAX_NOTE || !next_line(&at, end, &line, &line_len) || line_len != strlen(proof_first_line) ||
	    !starts_with(line, line_len, proof_first_line))
		return RC_MALFORMED;
	if (!next_line(&at, end, &line, &line_len))
		return RC_MALFORMED;
	if (starts_with(line, line_len, "extra ") && !next_line(&at, end, &line, &line_len))
		return RC_MALFORMED;
	if (!starts_with(line, line_len, "index ") || parse_decimal(line + 6, line_len - 6, &index) != RC_OK)
		return RC_MALFORMED;
	for (;;) {
		if (!next_line(&at, end, &line, &line_len))
			return RC_MALFORMED;
		if (line_len == 0)
			break;
		if (proof.n == TLOG_MAX_PROOF || parse_hash(line, line_len, &proof.hash[proof.n]) != RC_OK)
			return RC_MALFORMED;
		proof.n++;
	}
	*ret_index = index;
	*ret_proof = proof;
	*ret_note = at;
	*ret_note_len = (size_t)(end - at);
	return RC_OK;
}

enum rc tlog_proof_verify(const char *text, size_t len, const struct tlog_vkey *vkey, const struct tlog_hash *leaf,
			  uint64_t *ret_index, struct tlog_checkpoint *ret)
{
	struct tlog_proof proof;
	struct tlog_checkpoint c;
	const char *note;
	size_t note_len;
	uint64_t index;

	enum rc rc = tlog_proof_parse(text, len, &index, &proof, &note, &note_len);
	if (rc == RC_OK)
		rc = tlog_checkpoint_verify(note, note_len, vkey, &c);
	if (rc == RC_OK)
		rc = tlog_check_inclusion(&proof, index, c.size, leaf, &c.root);
	if (rc != RC_OK)
		return rc;
	*ret_index = index;
	*ret = c;
	return RC_OK;
}
