/* Statements of the log's keys, kept; key_statements.h says what for. */
#include "daemon/core/key_statements.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/beside_signer.h"
#include "proto/json.h"
#include "proto/log_rotation.h"

enum { MAX_KEPT = 100, MAX_BYTES = MAX_KEPT * 2 * LOG_ROTATION_CAP };

/* *ret is an empty array where there is no file; owned. A file that cannot be read is not taken for none, or the next
 * statement would be the only one. Errors: IO, DAMAGED, NOMEM. */
static enum rc load(const struct conf *conf, json_t **ret)
{
	static char text[MAX_BYTES]; /* one thread at a time: the start, then the writer */
	char path[BESIDE_SIGNER_CAP];
	json_t *list = NULL;
	beside_signer_path(conf, "keys", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		*ret = json_array();
		return *ret != NULL ? RC_OK : RC_NOMEM;
	}
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return RC_IO;
	enum rc rc = json_parse_strict(text, (size_t)n, &list, NULL);
	if (rc != RC_OK || !json_is_array(list)) {
		json_decref(list);
		return rc == RC_NOMEM ? RC_NOMEM : RC_DAMAGED;
	}
	*ret = list;
	return RC_OK;
}

static bool has(const json_t *list, const char *note, size_t len)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *kept = json_array_get(list, i);
		if (json_string_length(kept) == len && memcmp(json_string_value(kept), note, len) == 0)
			return true;
	}
	return false;
}

enum rc key_statements_keep(const struct conf *conf, const char *note, size_t len)
{
	struct buffer text;
	json_t *list = NULL;
	enum rc rc = load(conf, &list);
	if (rc == RC_DAMAGED) { /* made anew of what the log still says */
		list = json_array();
		rc = list != NULL ? RC_OK : RC_NOMEM;
	}
	if (rc != RC_OK)
		return rc;
	if (has(list, note, len)) {
		json_decref(list);
		return RC_OK;
	}
	while (json_array_size(list) >= MAX_KEPT)
		json_array_remove(list, 0);
	buffer_init(&text);
	rc = json_array_append_new(list, json_stringn(note, len)) == 0 ? json_canonical(list, &text) : RC_NOMEM;
	if (rc == RC_OK)
		rc = beside_signer_write(conf, "keys", text.data, text.len);
	buffer_deinit(&text);
	json_decref(list);
	return rc;
}

enum rc key_statements_find(const struct conf *conf, const struct tlog_vkey *old, struct buffer *note,
			    struct tlog_vkey *ret_next)
{
	json_t *list = NULL;
	enum rc rc = load(conf, &list);
	if (rc == RC_OK)
		rc = RC_NOTFOUND;
	for (size_t i = json_array_size(list); i > 0 && rc == RC_NOTFOUND; i--) {
		const json_t *kept = json_array_get(list, i - 1);
		const char *text = json_string_value(kept);
		if (text == NULL || log_rotation_verify(text, json_string_length(kept), old, ret_next) != RC_OK)
			continue;
		buffer_append(note, text, json_string_length(kept));
		rc = note->failed ? RC_NOMEM : RC_OK;
	}
	json_decref(list);
	return rc;
}
