/* libs: tc_keys tc_proto */
/* Sealed values from a hostile disk. The first byte says how: as they come (a value, a chunk, a handover, a handback),
 * or a genuine one with bytes changed or its end cut off. Nothing opens but what was not changed, and then gives what
 * was sealed; what does not open leaves no plain bytes behind. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "keys/key_file.h"
#include "keys/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key_a[32] = {1, 2, 3}, key_b[32] = {4, 5, 6}, salt[SEAL_SALT_LEN] = {7};

static void must(bool fits)
{
	if (!fits)
		abort();
}

static struct seal *new_seal(const uint8_t key[32])
{
	struct seal *seal = NULL;
	must(seal_new(key, &seal) == RC_OK);
	return seal;
}

static enum rc open_one(const struct seal *seal, bool is_chunk, const char ad[2], const uint8_t *sealed, size_t len,
			uint8_t *out)
{
	return is_chunk ? unseal_chunk(seal, salt, ad, 2, sealed, len, out)
			: unseal_value(seal, "value", ad, 2, sealed, len, out);
}

static void try_foreign(const struct seal *seal, bool is_chunk, const uint8_t *sealed, size_t len)
{
	uint8_t *out = malloc(len + 1);
	must(out != NULL);
	memset(out, 0xee, len + 1);
	(void)seal_message_number(sealed, len);
	/* Bound to another place than the genuine ones, which libFuzzer learns from the comparison below. */
	must(open_one(seal, is_chunk, "no", sealed, len, out) == RC_DAMAGED);
	must(out[len < SEAL_OVERHEAD ? 0 : len - SEAL_OVERHEAD] == 0xee); /* not one byte past it */
	for (size_t i = 0; i + SEAL_OVERHEAD < len; i++)
		must(out[i] == 0xee || out[i] == 0);
	free(out);
}

static void try_key(struct seal *seal, bool back, const uint8_t *data, size_t size)
{
	uint8_t handover[SEAL_HANDOVER_LEN] = {0}, out[SEAL_HANDOVER_LEN];
	struct secret_key *key = NULL;
	memcpy(handover, data, size < sizeof handover ? size : sizeof handover);
	must(seal_open_handover(seal, handover, &key) == RC_KEY && key == NULL);
	must(seal_hand_back(seal, handover, out) == RC_KEY);
	must((back ? seal_take_back(seal, handover) : seal_take_over(seal, handover)) == RC_KEY);
	must(seal_old_number(seal) == 0);
}

/* Changes of three bytes each, place and mask; then what was sealed. */
static void try_changed(const struct seal *seal, bool is_chunk, const uint8_t *data, size_t size)
{
	if (size < 3)
		return;
	size_t n_changes = data[0] & 7, cut = data[1];
	data += 2;
	size -= 2;
	if (size < 3 * n_changes)
		return;
	const uint8_t *plain = data + 3 * n_changes;
	size_t plain_len = size - 3 * n_changes, len = plain_len + SEAL_OVERHEAD;
	uint8_t *sealed = malloc(len), *before = malloc(len), *out = malloc(plain_len + 1);
	must(sealed != NULL && before != NULL && out != NULL);
	must((is_chunk ? seal_chunk(seal, salt, "ad", 2, plain, plain_len, sealed)
		       : seal_value(seal, "value", "ad", 2, plain, plain_len, sealed)) == RC_OK);
	memcpy(before, sealed, len);
	for (size_t i = 0; i < n_changes; i++)
		sealed[((size_t)data[3 * i] << 8 | data[3 * i + 1]) % len] ^= data[3 * i + 2];
	size_t left = cut > len ? 0 : len - cut;
	bool same = left == len && memcmp(before, sealed, len) == 0;
	must(open_one(seal, is_chunk, "ad", sealed, left, out) == (same ? RC_OK : RC_DAMAGED));
	must(!same || memcmp(out, plain, plain_len) == 0);
	free(sealed);
	free(before);
	free(out);
}

/* A rotation to key_b, whose handover or handback has one byte changed, or none. */
static void try_rotation(const uint8_t *data, size_t size)
{
	uint8_t over[SEAL_HANDOVER_LEN], back[SEAL_HANDOVER_LEN];
	struct seal *old = new_seal(key_a), *new = new_seal(key_b);
	if (size >= 3) {
		must(seal_hand_over(old, key_b, over) == RC_OK);
		must(seal_hand_back(old, over, back) == RC_OK);
		over[data[0] % sizeof over] ^= data[1];
		back[data[0] % sizeof back] ^= data[2];
		must(seal_take_over(old, over) == (data[1] == 0 ? RC_OK : RC_KEY));
		must(seal_take_back(new, back) == (data[2] == 0 ? RC_OK : RC_KEY));
		must((seal_key_number(old) == seal_key_number(new)) == (data[1] == 0));
	}
	seal_close(old);
	seal_close(new);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct seal *seal = new_seal(key_a);
	const uint8_t how = data[0] % 7;
	data++;
	size--;
	if (how < 2)
		try_foreign(seal, how == 1, data, size);
	else if (how < 4)
		try_key(seal, how == 3, data, size);
	else if (how < 6)
		try_changed(seal, how == 5, data, size);
	else
		try_rotation(data, size);
	seal_close(seal);
	return 0;
}
