/* The route table, the roles, and what a certificate says. Pure, so that front, core and tools read the same rules. */
#include "proto/route.h"

#include <ctype.h>
#include <string.h>

static const struct route routes[REQUEST_TYPE_COUNT] = {
#define ROUTE_ROW(type, method, path, roles, body) [type] = {type, method, path, roles, body},
	ROUTE_TABLE(ROUTE_ROW)
#undef ROUTE_ROW
};

const struct route *route_get(enum request_type type)
{
	return (unsigned)type < REQUEST_TYPE_COUNT ? &routes[type] : NULL;
}

/* Does `path` fit the pattern? A "{}" at its end takes one non-empty segment, "{*}" all that is left. */
static bool path_fits(const char *pattern, const char *path, const char **ret_argument)
{
	const char *brace = strchr(pattern, '{');
	size_t fixed = brace ? (size_t)(brace - pattern) : strlen(pattern);

	if (brace == NULL) {
		*ret_argument = "";
		return strcmp(pattern, path) == 0;
	}
	if (strncmp(pattern, path, fixed) != 0 || path[fixed] == '\0')
		return false;
	if (brace[1] != '*' && strchr(path + fixed, '/') != NULL)
		return false;
	*ret_argument = path + fixed;
	return true;
}

enum rc route_match(const char *method, const char *path, enum request_type *ret_type,
                    char ret_argument[ROUTE_ARGUMENT_CAP])
{
	bool path_exists = false;

	for (size_t i = 0; i < REQUEST_TYPE_COUNT; i++) {
		const char *argument;
		if (!path_fits(routes[i].path, path, &argument))
			continue;
		path_exists = true;
		if (strcmp(routes[i].method, method) != 0)
			continue;
		if (strlen(argument) >= ROUTE_ARGUMENT_CAP)
			return RC_TOO_LARGE;
		strcpy(ret_argument, argument);
		*ret_type = routes[i].type;
		return RC_OK;
	}
	return path_exists ? RC_METHOD : RC_NOTFOUND;
}

static const struct {
	const char *name;
	enum role role;
} roles[] = {
	{"submitter", ROLE_SUBMITTER},
	{"analyst", ROLE_ANALYST},
	{"auditor", ROLE_AUDITOR},
	{"operator", ROLE_OPERATOR},
};
enum { N_ROLES = sizeof roles / sizeof roles[0] };

unsigned role_parse(const char *name)
{
	for (size_t i = 0; i < N_ROLES; i++) {
		if (strcmp(roles[i].name, name) == 0)
			return roles[i].role;
	}
	return 0;
}

const char *role_name(enum role role)
{
	for (size_t i = 0; i < N_ROLES; i++) {
		if (roles[i].role == role)
			return roles[i].name;
	}
	return "none";
}

enum rc role_check_set(unsigned set)
{
	static const unsigned forbidden[] = {
		ROLE_OPERATOR | ROLE_ANALYST,
		ROLE_OPERATOR | ROLE_AUDITOR,
		ROLE_SUBMITTER | ROLE_AUDITOR,
	};

	if (set == 0 || (set & ~(unsigned)ROLE_ANY) != 0)
		return RC_FORBIDDEN;
	for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
		if ((set & forbidden[i]) == forbidden[i])
			return RC_ROLE_PAIR;
	}
	return RC_OK;
}

bool identity_name_is_valid(const char *name)
{
	for (const char *at = name; *at != '\0'; at++) {
		if (!isalnum((unsigned char)*at) && strchr("._-", *at) == NULL)
			return false;
	}
	return name[0] != '\0';
}

/* Copy a name of 1 to cap-1 characters: it will stand in logs and store keys. */
static enum rc copy_name(const char *text, char *out, size_t cap)
{
	if (strlen(text) >= cap || out[0] != '\0' || !identity_name_is_valid(text))
		return RC_INVALID;
	strcpy(out, text);
	return RC_OK;
}

static const char prefix[] = "urn:throughcare:";

bool identity_is_named(const char *const *uris, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strncmp(uris[i], prefix, sizeof prefix - 1) == 0)
			return true;
	}
	return false;
}

static enum rc identity_add(struct identity *id, const char *uri, struct diag *diag)
{
	if (strncmp(uri, prefix, sizeof prefix - 1) != 0)
		return RC_OK;                    /* other authorities' URIs mean nothing here */
	uri += sizeof prefix - 1;
	if (strncmp(uri, "role:", 5) == 0) {
		unsigned role = role_parse(uri + 5);
		if (role == 0)
			return diag_set(diag, RC_FORBIDDEN, "the certificate names an unknown role");
		id->roles |= role;
		return RC_OK;
	}
	if (strncmp(uri, "source:", 7) == 0) {
		if (copy_name(uri + 7, id->source, sizeof id->source) != RC_OK)
			return diag_set(diag, RC_INVALID, "the certificate must name one source of letters, digits, . _ -");
		return RC_OK;
	}
	if (strncmp(uri, "client:", 7) == 0) {
		if (copy_name(uri + 7, id->client, sizeof id->client) != RC_OK)
			return diag_set(diag, RC_INVALID, "the certificate must name one client of letters, digits, . _ -");
		return RC_OK;
	}
	return diag_set(diag, RC_INVALID, "the certificate has an unknown urn:throughcare: name");
}

enum rc identity_from_uris(const char *const *uris, size_t n, const uint8_t fingerprint[32], struct identity *ret,
                           struct diag *diag)
{
	struct identity id = {0};

	for (size_t i = 0; i < n; i++) {
		enum rc rc = identity_add(&id, uris[i], diag);
		if (rc != RC_OK)
			return rc;
	}
	enum rc rc = role_check_set(id.roles);
	if (rc != RC_OK)
		return diag_set(diag, rc, "%s", rc == RC_ROLE_PAIR ?
			"operator with analyst or auditor, and submitter with auditor, may not be joined" :
			"the certificate has no role");
	if (id.client[0] == '\0')
		return diag_set(diag, RC_INVALID, "the certificate names no client");
	if (((id.roles & ROLE_SUBMITTER) != 0) != (id.source[0] != '\0'))
		return diag_set(diag, RC_INVALID, "a submitter's certificate names one source, others none");
	memcpy(id.fingerprint, fingerprint, sizeof id.fingerprint);
	*ret = id;
	return RC_OK;
}
