/* Entries of the audit log. An entry has one text: building and parsing go through the canonical form, so that nobody
 * can log the same event in two spellings, or hide a difference in white space. */
#include "proto/entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/day.h"
#include "proto/json.h"
#include "proto/json_scan.h"
#include "proto/route.h"
#include "proto/tlog.h"

enum { ENTRY_VERSION = 1, SECONDS_A_DAY = 86400 };

static const char *const kind_names[ENTRY_KIND_COUNT] = {
#define ENTRY_NAME(constant, name) [constant] = name,
	ENTRY_KINDS(ENTRY_NAME)
#undef ENTRY_NAME
};

const char *entry_kind_name(enum entry_kind kind)
{
	return (unsigned)kind < ENTRY_KIND_COUNT ? kind_names[kind] : "unknown";
}

int entry_kind_find(const char *name)
{
	for (int i = 0; i < ENTRY_KIND_COUNT; i++) {
		if (strcmp(kind_names[i], name) == 0)
			return i;
	}
	return -1;
}

enum rc entry_time_format(int64_t unix_time, char out[ENTRY_TIME_CAP])
{
	char day[DAY_TEXT_LEN];

	if (unix_time < 0 || unix_time / SECONDS_A_DAY > DAY_MAX)
		return RC_INVALID;
	unsigned second = (unsigned)(unix_time % SECONDS_A_DAY);
	day_format((int32_t)(unix_time / SECONDS_A_DAY), day);
	snprintf(out, ENTRY_TIME_CAP, "%sT%02u:%02u:%02uZ", day, second / 3600 % 24, second / 60 % 60, second % 60);
	return RC_OK;
}

/* Two digits below `limit`, or -1. */
static int two_digits(const char *text, int limit)
{
	if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
		return -1;
	int v = (text[0] - '0') * 10 + text[1] - '0';
	return v < limit ? v : -1;
}

enum rc entry_time_parse(const char *text, int64_t *ret)
{
	char day_text[DAY_TEXT_LEN];
	int32_t day = 0;

	if (strlen(text) != ENTRY_TIME_CAP - 1 || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
	    text[19] != 'Z')
		return RC_INVALID;
	memcpy(day_text, text, DAY_TEXT_LEN - 1);
	day_text[DAY_TEXT_LEN - 1] = '\0';
	int hour = two_digits(text + 11, 24), minute = two_digits(text + 14, 60), second = two_digits(text + 17, 60);
	if (hour < 0 || minute < 0 || second < 0 || day_parse(day_text, &day) != RC_OK || day < 0)
		return RC_INVALID;
	*ret = (int64_t)day * SECONDS_A_DAY + hour * 3600 + minute * 60 + second;
	return RC_OK;
}

/* An opaque client name, as certificates allow it: printable ASCII, never empty. */
static bool is_client_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof((struct entry_who *)0)->client)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (name[i] <= 0x20 || name[i] > 0x7e)
			return false;
	}
	return true;
}

static json_t *make_who(const struct entry_who *who)
{
	char fingerprint[65];

	hex_encode(who->fingerprint, sizeof who->fingerprint, fingerprint);
	return json_pack("{s:s, s:s, s:s}", "client", who->client, "fp", fingerprint, "role", who->role);
}

/* Copy `fields` (shallowly: values are shared, never changed) and add the common ones. */
static enum rc join_fields(enum entry_kind kind, const char *time, const struct entry_who *who, const json_t *fields,
			   json_t **ret)
{
	static const char *const common[] = {"v", "t", "kind", "who"};
	json_t *object = fields ? json_copy_object(fields) : json_object();
	enum rc rc = RC_NOMEM;

	if (object == NULL)
		return rc;
	for (size_t i = 0; i < sizeof common / sizeof common[0]; i++) {
		if (json_object_get(object, common[i]) != NULL) {
			rc = RC_INVALID;
			goto out;
		}
	}
	if (json_object_set_new(object, "v", json_integer(ENTRY_VERSION)) != 0 ||
	    json_object_set_new(object, "t", json_string(time)) != 0 ||
	    json_object_set_new(object, "kind", json_string(entry_kind_name(kind))) != 0)
		goto out;
	if (who != NULL && who->client[0] != '\0' && json_object_set_new(object, "who", make_who(who)) != 0)
		goto out;
	*ret = object;
	return RC_OK;
out:
	json_decref(object);
	return rc;
}

enum rc entry_build(enum entry_kind kind, int64_t unix_time, const struct entry_who *who, const json_t *fields,
		    struct buffer *out)
{
	char time[ENTRY_TIME_CAP];
	json_t *object = NULL;
	size_t start = out->len;

	if ((unsigned)kind >= ENTRY_KIND_COUNT || (fields != NULL && !json_is_object(fields)))
		return RC_INVALID;
	if (who != NULL && who->client[0] != '\0' && (!is_client_name(who->client) || role_parse(who->role) == 0))
		return RC_INVALID;
	enum rc rc = entry_time_format(unix_time, time);
	if (rc == RC_OK)
		rc = join_fields(kind, time, who, fields, &object);
	if (rc != RC_OK)
		return rc;
	rc = json_canonical(object, out);
	json_decref(object);
	if (rc == RC_OK && out->len - start > TLOG_MAX_ENTRY)
		rc = RC_TOO_LARGE;
	if (rc != RC_OK)
		out->len = start;
	return rc;
}

static bool is_hex32(const json_t *value)
{
	uint8_t bytes[32];

	return json_is_string(value) &&
	       hex_decode(json_string_value(value), json_string_length(value), bytes, sizeof bytes) == RC_OK;
}

static bool is_who(const json_t *who)
{
	const json_t *client = json_object_get(who, "client"), *role = json_object_get(who, "role");

	return json_object_size(who) == 3 && json_is_string(client) && is_client_name(json_string_value(client)) &&
	       json_is_string(role) && role_parse(json_string_value(role)) != 0 && is_hex32(json_object_get(who, "fp"));
}

/* Common fields of a parsed object. */
static enum rc check_common(const json_t *object, enum entry_kind *ret_kind, int64_t *ret_time, struct diag *diag)
{
	const json_t *version = json_object_get(object, "v"), *time = json_object_get(object, "t");
	const json_t *kind = json_object_get(object, "kind"), *who = json_object_get(object, "who");

	if (!json_is_object(object))
		return diag_set(diag, RC_INVALID, "a log entry is not a JSON object");
	if (!json_is_integer(version) || json_integer_value(version) != ENTRY_VERSION)
		return diag_set(diag, RC_INVALID, "v: expected %d", ENTRY_VERSION);
	if (!json_is_string(time) || entry_time_parse(json_string_value(time), ret_time) != RC_OK)
		return diag_set(diag, RC_INVALID, "t: expected a time like 2024-02-29T12:00:00Z");
	int k = json_is_string(kind) ? entry_kind_find(json_string_value(kind)) : -1;
	if (k < 0)
		return diag_set(diag, RC_INVALID, "kind: not known to this version");
	if (who != NULL && !is_who(who))
		return diag_set(diag, RC_INVALID, "who: expected client, fp and role");
	*ret_kind = (enum entry_kind)k;
	return RC_OK;
}

enum rc entry_parse(const char *text, size_t len, enum entry_kind *ret_kind, int64_t *ret_time, json_t **ret_fields,
		    struct diag *diag)
{
	json_t *object = NULL;
	enum entry_kind kind = ENTRY_START;
	int64_t time = 0;

	if (len > TLOG_MAX_ENTRY)
		return diag_set(diag, RC_TOO_LARGE, "a log entry is longer than %d bytes", TLOG_MAX_ENTRY);
	enum rc rc = json_parse_strict(text, len, &object, diag);
	if (rc != RC_OK)
		return rc;
	if (!json_scan(text, len, NULL, NULL))
		rc = diag_set(diag, RC_MALFORMED, "a log entry is not in canonical form");
	else
		rc = check_common(object, &kind, &time, diag);
	if (rc != RC_OK) {
		json_decref(object);
		return rc;
	}
	*ret_kind = kind;
	*ret_time = time;
	*ret_fields = object;
	return RC_OK;
}

/* ---- without a parser ---- */

/* The common fields as they stand; `at` NULL = it is not there. */
struct common {
	struct json_span v, t, kind, who;
};

static void visit_entry(void *ctx, struct json_span key, struct json_span value)
{
	struct common *common = ctx;

	if (json_span_is(key, "v"))
		common->v = value;
	else if (json_span_is(key, "t"))
		common->t = value;
	else if (json_span_is(key, "kind"))
		common->kind = value;
	else if (json_span_is(key, "who"))
		common->who = value;
}

struct skimmed_who {
	struct entry_who who;
	unsigned n, n_good;
};

static void visit_who(void *ctx, struct json_span key, struct json_span value)
{
	struct skimmed_who *w = ctx;
	struct entry_who *who = &w->who;
	char hex[65];

	w->n++;
	if (json_span_is(key, "client"))
		w->n_good += json_span_string(value, who->client, sizeof who->client) && is_client_name(who->client);
	else if (json_span_is(key, "role"))
		w->n_good += json_span_string(value, who->role, sizeof who->role) && role_parse(who->role) != 0;
	else if (json_span_is(key, "fp"))
		w->n_good += json_span_string(value, hex, sizeof hex) &&
			     hex_decode(hex, strlen(hex), who->fingerprint, sizeof who->fingerprint) == RC_OK;
}

enum rc entry_skim(const char *text, size_t len, enum entry_kind *ret_kind, int64_t *ret_time)
{
	struct common common = {.v = {NULL, 0}};
	struct skimmed_who who = {.n = 0};
	char time[ENTRY_TIME_CAP], name[32];

	if (len > TLOG_MAX_ENTRY || len == 0 || text[0] != '{' || !json_scan(text, len, visit_entry, &common))
		return RC_MALFORMED;
	if (common.v.at == NULL || common.t.at == NULL || common.kind.at == NULL || !json_span_is(common.v, "1") ||
	    !json_span_string(common.t, time, sizeof time) || !json_span_string(common.kind, name, sizeof name))
		return RC_INVALID;
	if (common.who.at != NULL &&
	    (common.who.at[0] != '{' || !json_scan(common.who.at, common.who.len, visit_who, &who) || who.n != 3 ||
	     who.n_good != 3))
		return RC_INVALID;
	int kind = entry_kind_find(name);
	if (kind < 0)
		return RC_INVALID;
	enum rc rc = entry_time_parse(time, ret_time);
	if (rc == RC_OK)
		*ret_kind = (enum entry_kind)kind;
	return rc;
}
