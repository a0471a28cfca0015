/* The daemon's own log: see log.h.
 *
 * A line is put together in one buffer and leaves with one write(2), so that lines of two processes and many threads
 * never mix. No time stamp and no time zone: the journal has both, and the front opens no file (a time zone is one).
 * A line of JSON has one, in UTC, since what collects such lines may have none. Under systemd the line starts with the
 * journal's priority prefix, which the journal takes off. Bytes that are not printable ASCII are replaced, so that
 * nothing a stranger sends can forge a second line. */
#include "daemon/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_CAP = 1024, MESSAGE_CAP = 960 };

static const struct {
	const char *name, *journal_prefix;
} levels[] = {
	[LOG_ERROR] = {"error", "<3>"},
	[LOG_WARNING] = {"warning", "<4>"},
	[LOG_INFO] = {"info", "<6>"},
	[LOG_DEBUG] = {"debug", "<7>"},
};

/* Written once before threads start, read-only afterwards. */
static char log_component[16] = "-";
static enum log_level log_threshold = LOG_INFO;
static bool log_to_journal, log_as_json;

void log_init(const char *component, enum log_level level)
{
	snprintf(log_component, sizeof log_component, "%s", component);
	log_threshold = level;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
}

void log_init_from(const char *component, const char *level, const char *format)
{
	enum log_level threshold = LOG_INFO;
	(void)log_level_parse(level, &threshold);
	log_as_json = strcmp(format, "json") == 0;
	log_init(component, threshold);
}

bool log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		if (strcmp(text, levels[i].name) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	return false;
}

/* A log that cannot be written must not stop the work. */
static void write_line(const char *line, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(STDERR_FILENO, line + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

/* Only what a stranger cannot make a line or a field of. */
static void clean(char *text)
{
	for (; *text != '\0'; text++)
		if (*text < 0x20 || *text > 0x7e)
			*text = '?';
}

static size_t text_line(enum log_level level, const char *message, char line[LINE_CAP])
{
	int n = snprintf(line, LINE_CAP - 1, "%s%s %s %s", log_to_journal ? levels[level].journal_prefix : "",
			 levels[level].name, log_component, message);
	return (size_t)n < LINE_CAP - 1 ? (size_t)n : LINE_CAP - 2;
}

/* The message is cut where its escaped form would pass the line. */
static size_t json_line(enum log_level level, const char *message, char line[LINE_CAP])
{
	static const char end[] = "\"}";
	struct timespec now;
	struct tm tm;
	char when[32];
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	size_t len = (size_t)snprintf(
		line, LINE_CAP,
		"%s{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"component\":\"%s\",\"pid\":%ld,\"message\":\"",
		log_to_journal ? levels[level].journal_prefix : "", when, now.tv_nsec / 1000000, levels[level].name,
		log_component, (long)getpid());
	for (; *message != '\0' && len + 2 + sizeof end < LINE_CAP; message++) {
		if (*message == '"' || *message == '\\')
			line[len++] = '\\';
		line[len++] = *message;
	}
	memcpy(line + len, end, sizeof end - 1);
	return len + sizeof end - 1;
}

void log_line(enum log_level level, const char *format, ...)
{
	if (level > log_threshold)
		return;

	int saved_errno = errno;
	char line[LINE_CAP], message[MESSAGE_CAP];
	va_list args;
	va_start(args, format);
	if (vsnprintf(message, sizeof message, format, args) < 0)
		message[0] = '\0';
	va_end(args);
	clean(message);
	size_t len = log_as_json ? json_line(level, message, line) : text_line(level, message, line);
	line[len++] = '\n';
	write_line(line, len);
	errno = saved_errno;
}

void log_from_handler(const char *message)
{
	static const char *const text[] = {"error ", " "}, *const json[] = {"{\"level\":\"error\",\"component\":\"",
									    "\",\"message\":\""};
	const char *const *around = log_as_json ? json : text;
	const char *const parts[] = {around[0], log_component, around[1], message, log_as_json ? "\"}\n" : "\n"};
	char line[LINE_CAP];
	size_t len = 0;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		for (const char *at = parts[i]; *at != '\0' && len < sizeof line; at++)
			line[len++] = *at;
	write_line(line, len);
}
