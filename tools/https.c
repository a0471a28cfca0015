/* The only file that knows libcurl.
 *
 * Invariant: no request leaves without the server's certificate having been verified against the CA file that was named
 * (the system's store is not used), over TLS 1.3, with the client certificate. Redirects are not followed and proxies
 * of the environment not used: records go to the one address that the custodian typed. */
#include "tools/https.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/json.h"

enum { CONNECT_TIMEOUT_S = 15, STALL_TIMEOUT_S = 120 };

struct https {
	CURL *curl;
	char *url; /* without a slash at the end */
	const struct https_options *options;
	char error[CURL_ERROR_SIZE];
};

static enum rc check_file(const char *what, const char *path, bool is_private, struct diag *diag)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) != 0) {
		enum rc rc = diag_set(diag, RC_KEY, "%s: the %s cannot be read: %s", path, what, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	close(fd);
	if (!S_ISREG(st.st_mode))
		return diag_set(diag, RC_KEY, "%s: the %s is not a regular file", path, what);
	if (is_private && (st.st_mode & 077) != 0)
		return diag_set(diag, RC_KEY, "%s: others may read or write this private key; run 'chmod 600' on it",
				path);
	return RC_OK;
}

static enum rc check_options(const struct https_options *o, struct diag *diag)
{
	if (strncasecmp(o->url, "https://", 8) != 0 || o->url[8] == '\0' || strpbrk(o->url, "?#@ ") != NULL)
		return diag_set(diag, RC_USAGE, "--url: expected https://HOST or https://HOST:PORT");
	enum rc rc = check_file("certificate", o->cert, false, diag);
	if (rc == RC_OK)
		rc = check_file("private key", o->key, true, diag);
	if (rc == RC_OK)
		rc = check_file("certificate authority", o->ca, false, diag);
	return rc;
}

/* Everything that holds for every request. curl_easy_reset would undo it, so requests set what they need and unset it.
 */
static void set_up(struct https *h)
{
	CURL *c = h->curl;
	const struct https_options *o = h->options;

	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3 | (long)CURL_SSLVERSION_MAX_TLSv1_3);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(c, CURLOPT_CAINFO, o->ca);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_SSLCERT, o->cert);
	curl_easy_setopt(c, CURLOPT_SSLKEY, o->key);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_PROXY, o->proxy != NULL ? o->proxy : "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "throughcare/" TC_VERSION);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	/* A stall, not a total: a batch of 64 MiB over a thin line may take long. */
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
}

enum rc https_open(const struct https_options *options, struct https **ret, struct diag *diag)
{
	enum rc rc = check_options(options, diag);
	if (rc != RC_OK)
		return rc;
	struct https *h = calloc(1, sizeof *h);
	if (h == NULL)
		return RC_NOMEM;
	h->options = options;
	h->url = strdup(options->url);
	if (h->url == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || (h->curl = curl_easy_init()) == NULL) {
		free(h->url);
		free(h);
		return RC_NOMEM;
	}
	for (size_t n = strlen(h->url); n > 0 && h->url[n - 1] == '/'; n--)
		h->url[n - 1] = '\0';
	set_up(h);
	*ret = h;
	return RC_OK;
}

void https_close(struct https *h)
{
	if (h == NULL)
		return;
	curl_easy_cleanup(h->curl);
	curl_global_cleanup();
	free(h->url);
	free(h);
}

const char *https_url(const struct https *h)
{
	return h->url;
}

/* ---- one request ---- */

struct transfer {
	const struct https_request *request;
	struct https_response *response;
	size_t max;
	bool too_large;
};

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t len = size * n;

	if (len > t->max - t->response->body.len) {
		t->too_large = true;
		return 0;
	}
	buffer_append(&t->response->body, data, len);
	return t->response->body.failed ? 0 : len;
}

static int on_transfer(void *ctx, curl_off_t down_total, curl_off_t down_now, curl_off_t up_total, curl_off_t up_now)
{
	struct transfer *t = ctx;
	t->request->on_progress(t->request->ctx, (uint64_t)up_now);
	return 0;
}

static bool add_header(struct curl_slist **list, const char *name, const char *value)
{
	char line[256];

	if (value == NULL)
		return true;
	snprintf(line, sizeof line, "%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(*list, line);
	if (longer == NULL)
		return false;
	*list = longer;
	return true;
}

static enum rc transfer_error(const struct https *h, CURLcode code, const struct transfer *t, struct diag *diag)
{
	const char *why = h->error[0] != '\0' ? h->error : curl_easy_strerror(code);

	if (t->too_large)
		return diag_set(diag, RC_TOO_LARGE, "%s: the answer is longer than %zu bytes", h->url, t->max);
	/* With TLS 1.3 the server's verdict on our certificate comes after the handshake, as an alert. */
	if (strstr(why, "alert") != NULL && strstr(why, "protocol version") == NULL)
		return diag_set(diag, RC_UNAUTHENTIC, "%s: the server refused the certificate %s: %s", h->url,
				h->options->cert, why);
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return diag_set(diag, RC_PROTOCOL, "%s: the server's certificate is not to be trusted after %s: %s",
				h->url, h->options->ca, why);
	case CURLE_SSL_CONNECT_ERROR:
		return diag_set(diag, RC_PROTOCOL, "%s: no TLS 1.3 connection: %s", h->url, why);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
		return diag_set(diag, RC_KEY, "certificate %s, key %s and authority %s cannot be used: %s",
				h->options->cert, h->options->key, h->options->ca, why);
	case CURLE_URL_MALFORMAT:
		return diag_set(diag, RC_USAGE, "--url: it is not a URL");
	case CURLE_OPERATION_TIMEDOUT:
		return diag_set(diag, RC_TIMEOUT, "%s: %s", h->url, why);
	case CURLE_OUT_OF_MEMORY:
		return RC_NOMEM;
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return diag_set(diag, RC_PROTOCOL, "%s: it does not answer in HTTP/1.1: %s", h->url, why);
	default:
		return diag_set(diag, RC_NETWORK, "%s: %s", h->url, why);
	}
}

static void set_request(struct https *h, const struct https_request *request, struct transfer *t)
{
	bool is_post = strcmp(request->method, "POST") == 0;

	if (is_post) {
		curl_easy_setopt(h->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, request->body_len > 0 ? (const char *)request->body : "");
		curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
	} else {
		curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(h->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(h->curl, CURLOPT_NOPROGRESS, request->on_progress == NULL ? 1L : 0L);
	curl_easy_setopt(h->curl, CURLOPT_XFERINFOFUNCTION, on_transfer);
	curl_easy_setopt(h->curl, CURLOPT_XFERINFODATA, t);
	h->error[0] = '\0';
}

static void read_head(struct https *h, struct https_response *response)
{
	const char *type = NULL;
	curl_off_t retry_after = 0;
	long status = 0;

	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &retry_after);
	curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &type);
	response->status = (int)status;
	response->retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
	for (size_t i = 0; type != NULL && i + 1 < sizeof response->content_type; i++) {
		char c = type[i];
		if (c == '\0' || c == ';' || c == ' ')
			break;
		response->content_type[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
}

enum rc https_send(struct https *h, const struct https_request *request, struct https_response *ret, struct diag *diag)
{
	struct https_response response = {0};
	struct transfer t = {.request = request, .response = &response};
	struct curl_slist *headers = NULL;
	struct buffer url;
	enum rc rc = RC_NOMEM;

	buffer_init(&url);
	buffer_printf(&url, "%s%s", h->url, request->path);
	buffer_append(&url, "", 1);
	t.max = request->max_response != 0 ? request->max_response : HTTPS_MAX_RESPONSE;
	if (!url.failed && add_header(&headers, "Accept", request->accept ? request->accept : "application/json") &&
	    add_header(&headers, "Content-Type", request->content_type) &&
	    add_header(&headers, "Content-Encoding", request->content_encoding)) {
		set_request(h, request, &t);
		curl_easy_setopt(h->curl, CURLOPT_URL, (const char *)url.data);
		curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, headers);
		CURLcode code = curl_easy_perform(h->curl);
		rc = code == CURLE_OK ? RC_OK : transfer_error(h, code, &t, diag);
		curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	}
	curl_slist_free_all(headers);
	buffer_deinit(&url);
	if (rc != RC_OK) {
		buffer_deinit(&response.body);
		return rc;
	}
	read_head(h, &response);
	*ret = response;
	return RC_OK;
}

void https_response_deinit(struct https_response *response)
{
	buffer_deinit(&response->body);
}

/* ---- errors of the server ---- */

static enum rc rc_of_name(const char *name)
{
	for (int rc = 1; rc < RC_COUNT; rc++) {
		if (strcmp(rc_name((enum rc)rc), name) == 0)
			return (enum rc)rc;
	}
	return RC_OK;
}

static enum rc rc_of_status(int status)
{
	for (int rc = 1; rc < RC_COUNT; rc++) {
		if (rc_http_status((enum rc)rc) == status)
			return (enum rc)rc;
	}
	return status >= 500 ? RC_NETWORK : RC_PROTOCOL;
}

/* A text of the server for our terminal: printable or a question mark, and not endless. */
static void append_clean(struct buffer *out, const char *text)
{
	for (size_t i = 0; text[i] != '\0' && i < 400; i++) {
		unsigned char c = (unsigned char)text[i];
		buffer_append(out, c < 0x20 || c == 0x7f ? "?" : (const char *)&text[i], 1);
	}
}

static enum rc read_problem(const struct https_response *response, struct buffer *out)
{
	static const char prefix[] = "urn:throughcare:error:";
	json_t *problem = NULL;
	enum rc rc = RC_OK;

	if (json_parse_strict((const char *)response->body.data, response->body.len, &problem, NULL) != RC_OK)
		return RC_OK;
	const char *type = json_string_value(json_object_get(problem, "type"));
	const char *title = json_string_value(json_object_get(problem, "title"));
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	if (type != NULL && strncmp(type, prefix, sizeof prefix - 1) == 0)
		rc = rc_of_name(type + sizeof prefix - 1);
	if (rc != RC_OK)
		buffer_printf(out, " %s", rc_name(rc));
	if (title != NULL) {
		buffer_append(out, ": ", 2);
		append_clean(out, title);
	}
	if (detail != NULL && detail[0] != '\0' && (title == NULL || strcmp(title, detail) != 0)) {
		buffer_append(out, ": ", 2);
		append_clean(out, detail);
	}
	json_decref(problem);
	return rc;
}

enum rc https_check(const struct https_response *response, struct diag *diag)
{
	struct buffer text;

	if (response->status >= 200 && response->status <= 299)
		return RC_OK;
	buffer_init(&text);
	buffer_printf(&text, "%d", response->status);
	size_t status_only = text.len;
	enum rc rc = response->body.len > 0 ? read_problem(response, &text) : RC_OK;
	if (rc == RC_OK)
		rc = rc_of_status(response->status);
	if (text.len == status_only)
		buffer_printf(&text, " %s", rc_text(rc));
	buffer_append(&text, "", 1);
	diag_set(diag, rc, "%s", text.failed ? rc_text(rc) : (const char *)text.data);
	buffer_deinit(&text);
	return rc;
}

enum rc https_get_json(struct https *h, const char *path, json_t **ret, struct diag *diag)
{
	const struct https_request request = {.method = "GET", .path = path};
	struct https_response response;

	enum rc rc = https_send(h, &request, &response, diag);
	if (rc != RC_OK)
		return rc;
	rc = https_check(&response, diag);
	if (rc == RC_OK) {
		rc = json_parse_strict((const char *)response.body.data, response.body.len, ret, NULL);
		if (rc != RC_OK)
			rc = diag_set(diag, RC_PROTOCOL, "%s%s: the answer is not the JSON that was expected", h->url,
				      path);
	}
	https_response_deinit(&response);
	return rc;
}

int https_fail(const char *command, enum rc rc, const struct diag *diag)
{
	fprintf(stderr, "%s: %s\n", command, diag->text[0] != '\0' ? diag->text : rc_text(rc));
	return rc_exit_code(rc);
}
