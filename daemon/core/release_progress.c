/* Steps of a release by the monotonic clock. */
#include "daemon/core/release_progress.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/base/monotonic.h"

const char *release_step_name(unsigned step)
{
	static const char *const names[] = {
		[LINK_STEP_RECORDS] = "records", [LINK_STEP_MODEL] = "model",     [LINK_STEP_QUALITY] = "quality",
		[LINK_STEP_PERSONS] = "persons", [RELEASE_COUNTING] = "counting", [RELEASE_PUBLISHING] = "publishing"};
	return names[step];
}

void release_progress_begin(struct release_progress *progress)
{
	memset(progress, 0, sizeof *progress);
	progress->since_ms = progress->step_since_ms = monotonic_ms();
}

void release_progress_step(struct release_progress *progress, unsigned step)
{
	int64_t now = monotonic_ms();
	progress->step_ms[progress->step] += now - progress->step_since_ms;
	progress->step_since_ms = now;
	progress->step = step;
}

int64_t release_progress_seconds(const struct release_progress *progress)
{
	return (monotonic_ms() - progress->since_ms) / 1000;
}

void release_progress_log(struct release_progress *progress, uint32_t release)
{
	struct buffer text;
	release_progress_step(progress, progress->step);
	buffer_init(&text);
	for (unsigned step = 0; step < RELEASE_N_STEPS; step++)
		buffer_printf(&text, "%s%s %" PRId64 ".%" PRId64 " s", step == 0 ? "" : ", ", release_step_name(step),
			      progress->step_ms[step] / 1000, progress->step_ms[step] / 100 % 10);
	if (!text.failed)
		log_info("release %" PRIu32 ": %.*s", release, (int)text.len, (const char *)text.data);
	buffer_deinit(&text);
}
