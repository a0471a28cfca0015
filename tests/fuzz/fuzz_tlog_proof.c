/* libs: tc_proto */
/* Proof files, tile paths and entry bundles: what parses prints back to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/tlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_proof(const char *text, size_t size)
{
	struct tlog_proof proof;
	const char *note;
	size_t note_len;
	uint64_t index;
	struct tlog_hash root = tlog_empty_root();

	if (tlog_proof_parse(text, size, &index, &proof, &note, &note_len) != RC_OK)
		return;
	if (proof.n > TLOG_MAX_PROOF || note < text || note + note_len != text + size)
		abort();
	/* Any sizes with any hashes: never endless, never accepted by chance. */
	if (tlog_check_inclusion(&proof, index, index + 1 + proof.n, &root, &root) == RC_OK && proof.n > 0)
		abort();
	(void)!tlog_check_consistency(&proof, index, &root, index + proof.n + 1, &root);
	if (memmem(text, size, "\nextra ", 7) == NULL) {
		struct buffer again;
		buffer_init(&again);
		if (tlog_proof_format(index, &proof, note, note_len, &again) != RC_OK || again.len != size ||
		    memcmp(again.data, text, size) != 0)
			abort();
		buffer_deinit(&again);
	}
}

static void try_path(const uint8_t *data, size_t size)
{
	char *path = malloc(size + 1), again[64];
	uint64_t index;
	unsigned width;
	int level;

	if (path == NULL)
		return;
	memcpy(path, data, size);
	path[size] = '\0';
	if (tlog_tile_path_parse(path, &level, &index, &width) == RC_OK) {
		tlog_tile_path_format(level, index, width, again, sizeof again);
		if (strcmp(again, path) != 0)
			abort();
	}
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader bundle;
	const uint8_t *entry;
	size_t len, total = 0;

	try_proof((const char *)data, size);
	try_path(data, size);
	reader_init(&bundle, data, size);
	while (tlog_bundle_next(&bundle, &entry, &len) == RC_OK)
		total += len + 2;
	if (total > size)
		abort();
	return 0;
}
