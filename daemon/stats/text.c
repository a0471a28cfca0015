/* Small writers. They append and never fail by themselves: a buffer that could not grow says so at the end. */
#include "daemon/stats/text.h"

#include <inttypes.h>
#include <string.h>

void text_json(struct buffer *out, const char *s)
{
	buffer_append(out, "\"", 1);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			buffer_printf(out, "\\%c", c);
		else if (c < 0x20)
			buffer_printf(out, "\\u%04x", c);
		else
			buffer_append(out, s, 1);
	}
	buffer_append(out, "\"", 1);
}

void text_csv(struct buffer *out, const char *s)
{
	if (s[0] != '\0' && strchr("=+-@\t\r", s[0]) != NULL) {
		/* A leading apostrophe keeps a spreadsheet from running a code list. */
		buffer_append(out, "\"'", 2);
	} else if (strpbrk(s, ",\"\r\n") != NULL) {
		buffer_append(out, "\"", 1);
	} else {
		buffer_append(out, s, strlen(s));
		return;
	}
	for (; *s != '\0'; s++) {
		if (*s == '"')
			buffer_append(out, "\"", 1);
		buffer_append(out, s, 1);
	}
	buffer_append(out, "\"", 1);
}

void text_percent(struct buffer *out, uint32_t rate)
{
	buffer_printf(out, "%" PRIu32 ".%02" PRIu32, rate / 100, rate % 100);
}

void text_signed_percent(struct buffer *out, int32_t rate)
{
	if (rate < 0)
		buffer_append(out, "-", 1);
	text_percent(out, (uint32_t)(rate < 0 ? -rate : rate));
}

void text_milli(struct buffer *out, int64_t milli)
{
	buffer_printf(out, "%" PRId64 ".%03" PRId64, milli / 1000, milli % 1000);
}
