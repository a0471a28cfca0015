/* A progress bar on standard error: on a terminal only, quiet in a pipe. */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *label;    /* borrows */
	uint64_t total, done; /* bytes */
	uint64_t skipped;     /* of done: not moved in this run, so not part of the rate */
	int64_t start_us, drawn_us;
	bool is_terminal;
};

void progress_init(struct progress *p, const char *label, uint64_t total);
/* `done` bytes in all; draws the first time, and then at most ten times a second. */
void progress_set(struct progress *p, uint64_t done);
/* Take the bar away, so that a line can be printed. */
void progress_clear(struct progress *p);

/* Of a clock that never runs back. */
int64_t monotonic_us(void);
int64_t monotonic_ms(void);
/* "12.3 MB", "1.5 kB", "17 B". */
#define BYTES_TEXT_CAP 48
const char *bytes_text(uint64_t n, char out[BYTES_TEXT_CAP]);
/* 12345678 → "12,345,678". */
#define COUNT_TEXT_CAP 32
const char *count_text(uint64_t n, char out[COUNT_TEXT_CAP]);

#endif
