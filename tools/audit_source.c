/* Fetching a log. Nothing that comes is believed: the checkpoint by its signature, the entries by the root over all of
 * them, the hash tiles by the entries. */
#include "tools/audit_source.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/log_rotation.h"
#include "tools/whole_file.h"

enum { MAX_BUNDLE = TLOG_TILE_WIDTH * (TLOG_MAX_ENTRY + 2), PATH_CAP = 128 };

static enum rc read_vkey(const char *path, enum rc (*parse)(const char *text, struct tlog_vkey *ret), const char *what,
			 struct tlog_vkey *ret, struct diag *diag)
{
	struct buffer text;

	buffer_init(&text);
	enum rc rc = whole_file_read(path, TLOG_VKEY_CAP, &text, diag);
	buffer_append(&text, "", 1);
	if (rc == RC_OK && (text.failed || parse((const char *)text.data, ret) != RC_OK))
		rc = diag_set(diag, RC_KEY, "%s: expected %s, name+hash+base64", path, what);
	buffer_deinit(&text);
	return rc;
}

enum rc audit_read_vkey(const char *path, struct tlog_vkey *ret, struct diag *diag)
{
	return read_vkey(path, tlog_vkey_parse, "a log's public key", ret, diag);
}

enum rc audit_read_witness(const char *path, struct tlog_vkey *ret, struct diag *diag)
{
	return read_vkey(path, tlog_witness_parse, "a witness's public key", ret, diag);
}

enum rc audit_source_get(struct audit_source *source, const char *path, const char *accept, size_t max,
			 struct buffer *out, struct diag *diag)
{
	struct https_request request = {.method = "GET", .path = path, .accept = accept, .max_response = max};
	struct https_response response;

	enum rc rc = https_send(source->https, &request, &response, diag);
	if (rc != RC_OK)
		return rc;
	rc = https_check(&response, diag);
	if (rc == RC_OK) {
		buffer_append(out, response.body.data, response.body.len);
		rc = out->failed ? RC_NOMEM : RC_OK;
	}
	https_response_deinit(&response);
	return rc;
}

enum rc audit_read_state(const char *path, const struct audit_keys *keys, struct tlog_checkpoint *ret,
			 struct diag *diag)
{
	struct buffer note;

	if (access(path, F_OK) != 0 && errno == ENOENT)
		return RC_NOTFOUND;
	buffer_init(&note);
	enum rc rc = whole_file_read(path, TLOG_MAX_NOTE, &note, diag);
	bool verified = false;
	for (size_t i = keys->n; rc == RC_OK && i > 0 && !verified; i--)
		verified = tlog_checkpoint_verify((const char *)note.data, note.len, &keys->key[i - 1], ret) == RC_OK;
	if (rc == RC_OK && !verified)
		rc = diag_set(diag, RC_DAMAGED, "%s: is not a checkpoint signed by this log", path);
	buffer_deinit(&note);
	return rc;
}

/* ---- keys ---- */

/* Statements of keys before the pinned one are passed by: only what the newest key so far signed leads on. */
static enum rc take_statement(struct audit_keys *keys, const json_t *rotation)
{
	const json_t *note = json_object_get(rotation, "note");
	struct tlog_vkey next;

	if (!json_is_string(note))
		return RC_MALFORMED;
	enum rc rc = log_rotation_verify(json_string_value(note), json_string_length(note), &keys->key[keys->n - 1],
					 &next);
	if (rc == RC_OK && keys->n == AUDIT_MAX_KEYS)
		return RC_TOO_LARGE;
	if (rc == RC_OK)
		keys->key[keys->n++] = next;
	return rc == RC_DIGEST ? RC_OK : rc;
}

enum rc audit_follow_keys(struct https *https, const struct tlog_vkey *pinned, struct audit_keys *ret, struct diag *diag)
{
	struct audit_keys keys = {.key = calloc(AUDIT_MAX_KEYS, sizeof *keys.key), .n = 1};
	json_t *root = NULL;
	const json_t *rotation;
	size_t i;

	if (keys.key == NULL)
		return RC_NOMEM;
	keys.key[0] = *pinned;
	enum rc rc = https_get_json(https, "/audit/keys", &root, diag);
	if (rc == RC_NOTFOUND) {
		diag->text[0] = '\0';
		rc = RC_OK;
	}
	json_array_foreach(json_object_get(root, "rotations"), i, rotation)
	{
		rc = take_statement(&keys, rotation);
		if (rc != RC_OK) {
			rc = diag_set(diag, RC_PROTOCOL, "the succession of the log's keys does not have its form");
			break;
		}
	}
	json_decref(root);
	if (rc == RC_OK)
		*ret = keys;
	else
		audit_keys_deinit(&keys);
	return rc;
}

void audit_keys_deinit(struct audit_keys *keys)
{
	free(keys->key);
	*keys = (struct audit_keys){.n = 0};
}

/* ---- the checkpoint ---- */

static enum rc verify_checkpoint(struct audit_source *source, const struct audit_keys *keys)
{
	enum rc rc = RC_DIGEST;

	for (size_t i = keys->n; i > 0 && rc == RC_DIGEST; i--) {
		rc = tlog_checkpoint_verify((const char *)source->note.data, source->note.len, &keys->key[i - 1],
					    &source->checkpoint);
		if (rc == RC_OK)
			source->vkey = keys->key[i - 1];
	}
	return rc;
}

/* The checkpoint before the keys: then none that it needs is missing. */
static enum rc fetch_checkpoint(struct audit_source *source, const char *path, struct diag *diag)
{
	struct audit_keys keys = {.n = 0};

	enum rc rc = audit_source_get(source, path, "text/plain", TLOG_MAX_NOTE, &source->note, diag);
	if (rc == RC_OK)
		rc = audit_follow_keys(source->https, &source->vkey, &keys, diag);
	if (rc != RC_OK)
		return rc;
	rc = verify_checkpoint(source, &keys);
	audit_keys_deinit(&keys);
	if (rc == RC_OK)
		return RC_OK;
	return diag_set(diag, RC_PROTOCOL,
			rc == RC_DIGEST ? "the checkpoint is not signed by the log's key, or not for this log"
					: "the checkpoint does not have the form of one");
}

enum rc audit_source_open(struct https *https, const struct tlog_vkey *vkey, struct audit_source *ret,
			  struct diag *diag)
{
	return audit_source_open_at(https, "/audit/checkpoint", vkey, ret, diag);
}

enum rc audit_source_open_at(struct https *https, const char *path, const struct tlog_vkey *vkey,
			     struct audit_source *ret, struct diag *diag)
{
	struct audit_source source = {.https = https, .vkey = *vkey};

	buffer_init(&source.note);
	tlog_stack_init(&source.walked);
	enum rc rc = fetch_checkpoint(&source, path, diag);
	if (rc != RC_OK) {
		buffer_deinit(&source.note);
		return rc;
	}
	*ret = source;
	return RC_OK;
}

enum rc audit_source_refresh(struct audit_source *source, struct diag *diag)
{
	buffer_reset(&source->note);
	enum rc rc = fetch_checkpoint(source, "/audit/checkpoint", diag);
	if (rc == RC_OK && source->checkpoint.size < source->walked.size)
		rc = diag_set(diag, RC_FORK, "the log went back: from %" PRIu64 " to %" PRIu64 " entries",
			      source->walked.size, source->checkpoint.size);
	return rc;
}

void audit_source_deinit(struct audit_source *source)
{
	buffer_deinit(&source->note);
}

/* A tile of `width`; where a part of a tile is gone the whole one may have taken its place (C2SP tlog-tiles). */
static enum rc get_tile(struct audit_source *source, int level, uint64_t index, unsigned width, struct buffer *out,
			struct diag *diag)
{
	char tile[64], path[PATH_CAP];

	for (unsigned w = width;; w = TLOG_TILE_WIDTH) {
		tlog_tile_path_format(level, index, w, tile, sizeof tile);
		snprintf(path, sizeof path, "/audit/tile/%s", tile);
		enum rc rc = audit_source_get(source, path, "application/octet-stream", MAX_BUNDLE, out, diag);
		if (rc == RC_NOTFOUND && w == TLOG_TILE_WIDTH)
			return diag_set(diag, RC_PROTOCOL, "tile %s, which the checkpoint needs, is not served", tile);
		if (rc != RC_NOTFOUND)
			return rc;
	}
}

struct walk {
	struct audit_source *source;
	const struct audit_expectation *expected;
	size_t n_expected;
	audit_visit visit;
	void *ctx;
	struct tlog_stack stack;
	struct diag *diag;
};

/* At this size, is the root what somebody was shown? */
static enum rc check_expectations(const struct walk *walk)
{
	for (size_t i = 0; i < walk->n_expected; i++) {
		const struct audit_expectation *e = &walk->expected[i];
		if (e->size != walk->stack.size)
			continue;
		struct tlog_hash root = tlog_stack_root(&walk->stack);
		if (memcmp(root.b, e->root.b, sizeof root.b) != 0)
			return diag_set(walk->diag, RC_FORK,
					"the log was forked: at size %" PRIu64 " it is not what %s says", e->size,
					e->what);
	}
	return RC_OK;
}

/* Compare a hash tile with the leaves that were computed from the entries. */
static enum rc check_leaves(struct walk *walk, uint64_t index, unsigned width, const struct tlog_hash *leaves)
{
	struct buffer tile;

	buffer_init(&tile);
	enum rc rc = get_tile(walk->source, 0, index, width, &tile, walk->diag);
	if (rc == RC_OK &&
	    (tile.len < (size_t)width * TLOG_HASH_LEN || memcmp(tile.data, leaves, (size_t)width * TLOG_HASH_LEN) != 0))
		rc = diag_set(walk->diag, RC_PROTOCOL, "hash tile 0/%" PRIu64 " contradicts the entries", index);
	buffer_deinit(&tile);
	return rc;
}

static enum rc walk_bundle(struct walk *walk, uint64_t bundle_index, unsigned width)
{
	struct tlog_hash leaves[TLOG_TILE_WIDTH];
	struct buffer bundle;
	struct reader reader;
	const uint8_t *entry;
	size_t len;

	buffer_init(&bundle);
	enum rc rc = get_tile(walk->source, -1, bundle_index, width, &bundle, walk->diag);
	if (rc == RC_OK)
		reader_init(&reader, bundle.data, bundle.len);
	for (unsigned i = 0; rc == RC_OK && i < width; i++) {
		if (tlog_bundle_next(&reader, &entry, &len) != RC_OK) {
			rc = diag_set(walk->diag, RC_PROTOCOL, "entry bundle %" PRIu64 " ends too early", bundle_index);
			break;
		}
		leaves[i] = tlog_leaf_hash(entry, len);
		if (bundle_index * TLOG_TILE_WIDTH + i < walk->source->walked.size)
			continue;
		rc = walk->visit(walk->ctx, walk->stack.size, entry, len, walk->diag);
		if (rc != RC_OK)
			break;
		tlog_stack_append(&walk->stack, &leaves[i]);
		rc = check_expectations(walk);
	}
	if (rc == RC_OK && walk->source->with_tiles)
		rc = check_leaves(walk, bundle_index, width, leaves);
	buffer_deinit(&bundle);
	return rc;
}

enum rc audit_source_walk(struct audit_source *source, const struct audit_expectation *expected, size_t n_expected,
			  audit_visit visit, void *ctx, struct diag *diag)
{
	struct walk walk = {.source = source,
			    .expected = expected,
			    .n_expected = n_expected,
			    .visit = visit,
			    .ctx = ctx,
			    .diag = diag};
	const struct tlog_checkpoint *c = &source->checkpoint;

	for (size_t i = 0; i < n_expected; i++) {
		if (expected[i].size > c->size)
			return diag_set(diag, RC_FORK,
					"the log went back: its checkpoint has %" PRIu64 " entries, %s has %" PRIu64,
					c->size, expected[i].what, expected[i].size);
	}
	walk.stack = source->walked;
	enum rc rc = check_expectations(&walk);
	for (uint64_t at = source->walked.size / TLOG_TILE_WIDTH * TLOG_TILE_WIDTH; rc == RC_OK && at < c->size;
	     at += TLOG_TILE_WIDTH) {
		uint64_t left = c->size - at;
		rc = walk_bundle(&walk, at / TLOG_TILE_WIDTH,
				 left < TLOG_TILE_WIDTH ? (unsigned)left : TLOG_TILE_WIDTH);
	}
	if (rc != RC_OK)
		return rc;
	struct tlog_hash root = tlog_stack_root(&walk.stack);
	if (memcmp(root.b, c->root.b, sizeof root.b) != 0)
		return diag_set(diag, RC_FORK,
				"the entries are not those that the checkpoint signs: the root over all of them "
				"differs");
	source->walked = walk.stack;
	return RC_OK;
}
