/* Paths of tiles and the form of entry bundles (C2SP tlog-tiles). One tile has one path: what does not print back to
 * the same text is refused, so that caches and access checks see one name. */
#include "proto/tlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TILE_PATH_CAP = 64, TILE_MAX_GROUPS = 6 };

void tlog_tile_path_format(int level, uint64_t index, unsigned width, char *out, size_t cap)
{
	char number[TILE_PATH_CAP] = "", part[8];
	uint64_t rest = index / 1000;

	snprintf(number, sizeof number, "%03u", (unsigned)(index % 1000));
	while (rest > 0) {
		char longer[TILE_PATH_CAP];
		snprintf(part, sizeof part, "x%03u", (unsigned)(rest % 1000));
		snprintf(longer, sizeof longer, "%s/%.40s", part, number);
		memcpy(number, longer, sizeof number);
		rest /= 1000;
	}
	size_t n = level < 0 ? (size_t)snprintf(out, cap, "entries/%s", number)
			     : (size_t)snprintf(out, cap, "%d/%s", level, number);
	if (width != TLOG_TILE_WIDTH && n < cap)
		snprintf(out + n, cap - n, ".p/%u", width);
}

/* Digits at *at up to a limit of their number; -1 when there is none. */
static int scan_number(const char **at, int max_digits)
{
	int v = 0, n = 0;

	for (; n < max_digits && **at >= '0' && **at <= '9'; n++)
		v = v * 10 + *(*at)++ - '0';
	return n == 0 ? -1 : v;
}

enum rc tlog_tile_path_parse(const char *path, int *ret_level, uint64_t *ret_index, unsigned *ret_width)
{
	const char *at = path;
	int level = -1, groups = 0, part, width = TLOG_TILE_WIDTH;
	uint64_t index = 0;
	char again[TILE_PATH_CAP];

	if (strnlen(path, TILE_PATH_CAP) == TILE_PATH_CAP)
		return RC_MALFORMED;
	if (strncmp(at, "entries", 7) == 0)
		at += 7;
	else if ((level = scan_number(&at, 2)) < 0 || level > 63)
		return RC_MALFORMED;
	do {
		if (*at++ != '/' || ++groups > TILE_MAX_GROUPS)
			return RC_MALFORMED;
		if (*at == 'x')
			at++;
		if ((part = scan_number(&at, 3)) < 0)
			return RC_MALFORMED;
		index = index * 1000 + (uint64_t)part;
	} while (*at == '/');
	if (strncmp(at, ".p/", 3) == 0) {
		at += 3;
		width = scan_number(&at, 3);
		if (width < 1 || width >= TLOG_TILE_WIDTH)
			return RC_MALFORMED;
	}
	tlog_tile_path_format(level, index, (unsigned)width, again, sizeof again);
	if (*at != '\0' || strcmp(again, path) != 0)
		return RC_MALFORMED;
	*ret_level = level;
	*ret_index = index;
	*ret_width = (unsigned)width;
	return RC_OK;
}

enum rc tlog_bundle_append(struct buffer *out, const void *entry, size_t len)
{
	if (len > TLOG_MAX_ENTRY)
		return RC_TOO_LARGE;
	uint8_t prefix[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	buffer_append(out, prefix, sizeof prefix);
	buffer_append(out, entry, len);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc tlog_bundle_next(struct reader *bundle, const uint8_t **ret_entry, size_t *ret_len)
{
	if (!bundle->failed && reader_left(bundle) == 0)
		return RC_NOTFOUND;
	size_t len = read_u16(bundle);
	const uint8_t *entry = read_bytes(bundle, len);
	if (bundle->failed || entry == NULL)
		return RC_TRUNCATED;
	*ret_entry = entry;
	*ret_len = len;
	return RC_OK;
}
