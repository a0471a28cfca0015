/* The daemon's own log (not the audit log): one line to standard error an event, "level component message key=value", or
 * the same as a line of JSON. Never an identifier, a filter, key bytes, or a figure that comes from linkage. Thread-safe. */
#ifndef DAEMON_BASE_LOG_H
#define DAEMON_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Once a process, before threads. */
void log_init(const char *component, enum log_level level);
/* As `log_level` and `log` of the configuration say, which have been checked. */
void log_init_from(const char *component, const char *level, const char *format);
bool log_level_parse(const char *text, enum log_level *ret);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An error, from a signal handler: `message` as it is, printable and without quotes. */
void log_from_handler(const char *message);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
