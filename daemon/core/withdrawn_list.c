/* The list of withdrawals outside the store; withdrawn_list.h says what for. */
#include "daemon/core/withdrawn_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/beside_signer.h"
#include "keys/durable.h"
#include "proto/bytes.h"

enum { LINE_CAP = 192, SUM_LEN = 4, MAX_BYTES = 1 << 30 };
#define NAME "withdrawn"

/* ---- lines ---- */

static int format_head(const uint8_t key[TOMBSTONE_KEY_LEN], char line[LINE_CAP])
{
	uint8_t digest[32];
	char hex[33];
	sha256_labelled("throughcare withdrawn list v1", key, TOMBSTONE_KEY_LEN, digest);
	hex_encode(digest, 16, hex);
	return snprintf(line, LINE_CAP, "throughcare-withdrawn-v1 %s\n", hex);
}

static int format_line(const struct tombstone *tombstone, char line[LINE_CAP])
{
	uint8_t digest[32];
	char tag[2 * TOMBSTONE_TAG_LEN + 1], sum[2 * SUM_LEN + 1];
	hex_encode(tombstone->tag, sizeof tombstone->tag, tag);
	int n = snprintf(line, LINE_CAP, "%s %s", tombstone->source, tag);
	sha256_labelled("throughcare withdrawn list line v1", line, (size_t)n, digest);
	hex_encode(digest, SUM_LEN, sum);
	return n + snprintf(line + n, LINE_CAP - (size_t)n, " %s\n", sum);
}

/* Take the fields apart, then write the line again and compare: one tombstone has one text. */
static bool parse_line(const char *line, size_t len, struct tombstone *ret)
{
	char again[LINE_CAP];
	struct tombstone tombstone = {.source = ""};
	const char *space = memchr(line, ' ', len);
	size_t name_len = space == NULL ? len : (size_t)(space - line);
	if (name_len >= sizeof tombstone.source || len - name_len < 1 + 2 * TOMBSTONE_TAG_LEN ||
	    hex_decode(space + 1, 2 * TOMBSTONE_TAG_LEN, tombstone.tag, sizeof tombstone.tag) != RC_OK)
		return false;
	memcpy(tombstone.source, line, name_len);
	if (format_line(&tombstone, again) != (int)len || memcmp(line, again, len) != 0)
		return false;
	*ret = tombstone;
	return true;
}

/* ---- reading ---- */

void withdrawn_list_deinit(struct withdrawn_list *list)
{
	free(list->tombstones);
	*list = (struct withdrawn_list){.tombstones = NULL};
}

static enum rc read_all(const struct conf *conf, struct buffer *text)
{
	char path[BESIDE_SIGNER_CAP], piece[1 << 14];
	ssize_t n = 0;
	beside_signer_path(conf, NAME, path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	while (text->len <= MAX_BYTES && (n = read(fd, piece, sizeof piece)) > 0)
		buffer_append(text, piece, (size_t)n);
	close(fd);
	if (n < 0)
		return RC_IO;
	return text->failed ? RC_NOMEM : text->len > MAX_BYTES ? RC_TOO_LARGE : RC_OK;
}

static void sort_once(struct withdrawn_list *list)
{
	size_t n = 0;
	if (list->n > 0)
		qsort(list->tombstones, list->n, sizeof *list->tombstones, tombstone_compare);
	for (size_t i = 0; i < list->n; i++) {
		if (i == 0 || tombstone_compare(&list->tombstones[i], &list->tombstones[n - 1]) != 0)
			list->tombstones[n++] = list->tombstones[i];
	}
	list->n = n;
}

static enum rc parse(const struct buffer *text, const uint8_t key[TOMBSTONE_KEY_LEN], struct withdrawn_list *list)
{
	char head[LINE_CAP];
	const char *at = (const char *)text->data, *line_end;
	size_t left = text->len, n_lines = 0, len;
	int head_len = format_head(key, head);
	for (size_t i = 0; i < left; i++)
		n_lines += at[i] == '\n';
	if (left < (size_t)head_len || memcmp(at, head, (size_t)head_len) != 0) {
		list->other_key = n_lines > 1;
		return RC_OK;
	}
	list->tombstones = calloc(n_lines, sizeof *list->tombstones);
	if (list->tombstones == NULL)
		return RC_NOMEM;
	at += head_len;
	left -= (size_t)head_len;
	for (; left > 0 && (line_end = memchr(at, '\n', left)) != NULL; at += len, left -= len) {
		len = (size_t)(line_end - at) + 1;
		if (parse_line(at, len, &list->tombstones[list->n]))
			list->n++;
		else
			list->n_damaged++;
	}
	sort_once(list);
	return RC_OK;
}

enum rc withdrawn_list_read(const struct conf *conf, const uint8_t key[TOMBSTONE_KEY_LEN], struct withdrawn_list *ret)
{
	struct buffer text;
	struct withdrawn_list list = {.tombstones = NULL};
	buffer_init(&text);
	enum rc rc = read_all(conf, &text);
	if (rc == RC_OK)
		rc = parse(&text, key, &list);
	buffer_deinit(&text);
	if (rc == RC_OK)
		*ret = list;
	return rc;
}

enum rc withdrawn_list_keep_missing(struct withdrawn_list *list, struct txn *txn)
{
	size_t n = 0;
	for (size_t i = 0; i < list->n; i++) {
		enum rc rc = tombstone_has(txn, &list->tombstones[i]);
		if (rc == RC_NOTFOUND)
			list->tombstones[n++] = list->tombstones[i];
		else if (rc != RC_OK)
			return rc;
	}
	list->n = n;
	return RC_OK;
}

/* ---- writing ---- */

static enum rc add_line(void *ctx, const struct tombstone *tombstone)
{
	struct buffer *text = ctx;
	char line[LINE_CAP];
	int n = format_line(tombstone, line);
	buffer_append(text, line, (size_t)n);
	return text->failed ? RC_NOMEM : RC_OK;
}

enum rc withdrawn_list_write(const struct conf *conf, struct txn *txn)
{
	uint8_t key[TOMBSTONE_KEY_LEN];
	char head[LINE_CAP];
	struct buffer text;
	buffer_init(&text);
	enum rc rc = tombstones_read_key(txn, key);
	if (rc == RC_OK) {
		int n = format_head(key, head);
		buffer_append(&text, head, (size_t)n);
		rc = tombstones_each(txn, add_line, &text);
	}
	explicit_bzero(key, sizeof key);
	if (rc == RC_OK)
		rc = text.failed ? RC_NOMEM : beside_signer_write(conf, NAME, text.data, text.len);
	buffer_deinit(&text);
	return rc;
}

enum rc withdrawn_list_append(const struct conf *conf, const struct tombstone *tombstones, size_t n)
{
	char path[BESIDE_SIGNER_CAP];
	struct buffer text;
	enum rc rc = RC_OK;
	buffer_init(&text);
	for (size_t i = 0; i < n && rc == RC_OK; i++)
		rc = add_line(&text, &tombstones[i]);
	beside_signer_path(conf, NAME, path);
	int fd = rc == RC_OK ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (rc == RC_OK)
		rc = fd < 0 ? RC_IO : durable_write(fd, text.data, text.len);
	if (rc == RC_OK && fdatasync(fd) != 0)
		rc = RC_IO;
	if (fd >= 0)
		close(fd);
	buffer_deinit(&text);
	return rc;
}
