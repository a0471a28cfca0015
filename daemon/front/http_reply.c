/* Heads of answers and problem+json: see http_reply.h. */
#include "daemon/front/http_reply.h"

enum { RETRY_AFTER_S = 5 };

static const char *const media_types[] = {
	[MEDIA_JSON] = "application/json",
	[MEDIA_PROBLEM] = "application/problem+json",
	[MEDIA_CSV] = "text/csv; charset=utf-8",
	[MEDIA_YAML] = "application/yaml",
	[MEDIA_TEXT] = "text/plain; charset=utf-8",
	[MEDIA_OCTETS] = "application/octet-stream",
	[MEDIA_METRICS] = "text/plain; version=0.0.4; charset=utf-8",
};

/* The reason phrase means nothing to a program; these are for people who look at the wire. */
static const char *reason_phrase(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 415:
		return "Unsupported Media Type";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 503:
		return "Service Unavailable";
	case 507:
		return "Insufficient Storage";
	default:
		return "";
	}
}

void http_reply_continue(struct buffer *out)
{
	buffer_printf(out, "HTTP/1.1 100 Continue\r\n\r\n");
}

void http_reply_head(struct buffer *out, const struct pipe_reply *reply, const struct http_reply_options *options)
{
	struct tm tm;
	char date[40] = "";

	if (gmtime_r(&options->now, &tm) != NULL)
		strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buffer_printf(out,
		      "HTTP/1.1 %u %s\r\nDate: %s\r\nContent-Type: %s\r\nContent-Length: %llu\r\n"
		      "Cache-Control: %s\r\nX-Content-Type-Options: nosniff\r\n",
		      (unsigned)reply->http_status, reason_phrase(reply->http_status), date, media_types[reply->media],
		      (unsigned long long)reply->length,
		      reply->immutable ? "private, max-age=31536000, immutable" : "no-store");
	if (reply->retry_after_s > 0)
		buffer_printf(out, "Retry-After: %u\r\n", (unsigned)reply->retry_after_s);
	if (options->allow != NULL)
		buffer_printf(out, "Allow: %s\r\n", options->allow);
	if (!options->keep_alive)
		buffer_printf(out, "Connection: close\r\n");
	buffer_printf(out, "\r\n");
}

void http_reply_problem(struct buffer *out, enum rc rc, const char *detail, const struct http_reply_options *options)
{
	struct buffer body;
	int status = rc_http_status(rc);

	buffer_init(&body);
	buffer_printf(&body, "{\"type\":\"urn:throughcare:error:%s\",\"title\":\"%s\",\"status\":%d", rc_name(rc),
		      rc_text(rc), status);
	if (detail != NULL)
		buffer_printf(&body, ",\"detail\":\"%s\"", detail);
	buffer_printf(&body, "}");
	struct pipe_reply reply = {
		.http_status = (uint16_t)status,
		.media = MEDIA_PROBLEM,
		.retry_after_s = status != 503 && status != 429 ? 0
				 : options->retry_after_s > 0   ? options->retry_after_s
								: RETRY_AFTER_S,
		.length = body.len,
	};
	http_reply_head(out, &reply, options);
	if (!options->without_body)
		buffer_append(out, body.data, body.len);
	out->failed |= body.failed;
	buffer_deinit(&body);
}
