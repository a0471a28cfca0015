/* A progress bar with rate and time left. It writes to standard error, and only to a terminal, so that a log file holds
 * results and no carriage returns. */
#include "tools/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 24, REDRAW_US = 100000 };

int64_t monotonic_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t monotonic_ms(void)
{
	return monotonic_us() / 1000;
}

const char *bytes_text(uint64_t n, char out[BYTES_TEXT_CAP])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	uint64_t scale = 1;
	size_t unit = 0;

	while (unit < 4 && n / scale >= 1000) {
		scale *= 1000;
		unit++;
	}
	if (unit == 0)
		snprintf(out, BYTES_TEXT_CAP, "%llu B", (unsigned long long)n);
	else
		snprintf(out, BYTES_TEXT_CAP, "%llu.%llu %s", (unsigned long long)(n / scale),
			 (unsigned long long)(n % scale / (scale / 10)), units[unit]);
	return out;
}

const char *count_text(uint64_t n, char out[COUNT_TEXT_CAP])
{
	char digits[24];
	int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), o = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[o++] = ',';
		out[o++] = digits[i];
	}
	out[o] = '\0';
	return out;
}

void progress_init(struct progress *p, const char *label, uint64_t total)
{
	*p = (struct progress){.label = label, .total = total, .start_us = monotonic_us(), .drawn_us = INT64_MIN};
	p->is_terminal = isatty(STDERR_FILENO) == 1;
}

static void draw(const struct progress *p, int64_t elapsed_us)
{
	char bar[BAR_WIDTH + 1], rate_text[BYTES_TEXT_CAP];
	uint64_t moved = p->done - p->skipped, left = p->total - p->done;
	uint64_t rate = moved * 1000000 / (elapsed_us > 0 ? (uint64_t)elapsed_us : 1);
	size_t full = p->total > 0 ? (size_t)(p->done * BAR_WIDTH / p->total) : BAR_WIDTH;

	memset(bar, '.', BAR_WIDTH);
	memset(bar, '#', full);
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%.40s [%s] %3llu %%  %s/s", p->label, bar,
		(unsigned long long)(p->total > 0 ? p->done * 100 / p->total : 100), bytes_text(rate, rate_text));
	if (rate > 0 && left > 0)
		fprintf(stderr, "  %llu:%02llu left", (unsigned long long)(left / rate / 60),
			(unsigned long long)(left / rate % 60));
	fprintf(stderr, "\033[K");
	fflush(stderr);
}

void progress_set(struct progress *p, uint64_t done)
{
	int64_t now = monotonic_us();

	p->done = done < p->total ? done : p->total;
	if (!p->is_terminal || now < p->drawn_us + REDRAW_US)
		return;
	p->drawn_us = now;
	draw(p, now - p->start_us);
}

void progress_clear(struct progress *p)
{
	if (p->is_terminal)
		fprintf(stderr, "\r\033[K");
	p->drawn_us = INT64_MIN;
}
