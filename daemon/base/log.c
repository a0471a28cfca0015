/* The daemon's own log: see log.h.
 *
 * A line is put together in one buffer and leaves with one write(2), so that lines of two processes and many threads
 * never mix. No time stamp and no time zone: the journal has both, and the front opens no file (a time zone is one).
 * Under systemd the line starts with the journal's priority prefix. Bytes that are not printable ASCII are replaced,
 * so that nothing a stranger sends can forge a second line. */
#include "daemon/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_CAP = 1024 };

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
static bool log_to_journal;

void log_init(const char *component, enum log_level level)
{
	snprintf(log_component, sizeof log_component, "%s", component);
	log_threshold = level;
	log_to_journal = getenv("JOURNAL_STREAM") != NULL;
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

void log_line(enum log_level level, const char *format, ...)
{
	if (level > log_threshold)
		return;

	int saved_errno = errno;
	char line[LINE_CAP];
	int prefix = snprintf(line, sizeof line, "%s%s %s ", log_to_journal ? levels[level].journal_prefix : "",
			      levels[level].name, log_component);
	va_list args;
	va_start(args, format);
	int body = vsnprintf(line + prefix, sizeof line - (size_t)prefix - 1, format, args);
	va_end(args);
	size_t len = (size_t)prefix + (body > 0 ? (size_t)body : 0);
	if (len > sizeof line - 2)
		len = sizeof line - 2;
	for (size_t i = (size_t)prefix; i < len; i++)
		if (line[i] < 0x20 || line[i] > 0x7e)
			line[i] = '?';
	line[len++] = '\n';
	/* A log that cannot be written must not stop the work. */
	for (size_t done = 0; done < len;) {
		ssize_t n = write(STDERR_FILENO, line + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	errno = saved_errno;
}
