/* throughcare admin: what the operator may see and do. The daemon's state holds volumes that were submitted, never a
 * figure that comes from linkage, so nothing here needs hiding. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keys/key_file.h"
#include "keys/log_key.h"
#include "proto/day.h"
#include "proto/json.h"
#include "tools/admin_show.h"
#include "tools/command.h"
#include "tools/https.h"
#include "tools/options.h"
#include "tools/progress.h"

enum { POLL_MS = 300, HANDOVER_MAX = 1024 };

struct admin {
	struct https_options https_options;
	bool json, no_wait;
	const char *as_of, *operand;
	uint64_t timeout_s;
	char job[96];      /* what is waited for */
	json_int_t number; /* of the release or look that is waited for */
	bool waits_for_witnesses;
	struct https *https;
	struct diag diag;
};

/* ---- status ---- */

static enum rc show_status(struct admin *a)
{
	json_t *status = NULL;

	enum rc rc = https_get_json(a->https, "/v1/status", &status, &a->diag);
	if (rc != RC_OK)
		return rc;
	if (a->json) {
		json_dumpf(status, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
		putchar('\n');
	} else {
		admin_show(status);
	}
	json_decref(status);
	return RC_OK;
}

/* ---- publish ---- */

/* POST and return the answer as JSON. */
static enum rc post_json(struct admin *a, const char *path, const void *body, size_t len, json_t **ret)
{
	struct https_response response;
	const struct https_request request = {
		.method = "POST",
		.path = path,
		.content_type = "application/json",
		.body = body,
		.body_len = len,
	};
	enum rc rc = https_send(a->https, &request, &response, &a->diag);
	if (rc != RC_OK)
		return rc;
	rc = https_check(&response, &a->diag);
	if (rc == RC_OK && json_parse_strict((const char *)response.body.data, response.body.len, ret, NULL) != RC_OK)
		rc = diag_set(&a->diag, RC_PROTOCOL, "the answer is not JSON");
	https_response_deinit(&response);
	return rc;
}

/* What one look at the status says of the job. */
typedef enum rc (*judge_fn)(struct admin *a, const json_t *status, int64_t elapsed_ms, bool *ret_done);

static enum rc wait_until_done(struct admin *a, judge_fn judge)
{
	int64_t start = monotonic_ms();
	bool done = false;
	enum rc rc = RC_OK;

	while (!done && rc == RC_OK) {
		json_t *status = NULL;
		int64_t elapsed = monotonic_ms() - start;
		if (elapsed / 1000 >= (int64_t)a->timeout_s)
			return diag_set(&a->diag, RC_TIMEOUT,
					"%s is not done after %llu s; it goes on, see 'throughcare admin status'",
					a->job, (unsigned long long)a->timeout_s);
		rc = https_get_json(a->https, "/v1/status", &status, &a->diag);
		if (rc == RC_BUSY || rc == RC_RATE)
			rc = RC_OK; /* ask again */
		if (status != NULL)
			rc = judge(a, status, elapsed, &done);
		json_decref(status);
		if (!done && rc == RC_OK)
			nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
	}
	return rc;
}

static enum rc start_release(struct admin *a)
{
	json_t *answer = NULL;
	char body[64];

	if (a->as_of != NULL)
		snprintf(body, sizeof body, "{\"as_of\":\"%.10s\"}", a->as_of);
	else
		strcpy(body, "{}");
	enum rc rc = post_json(a, "/v1/releases", body, strlen(body), &answer);
	if (rc != RC_OK)
		return rc;
	a->number = json_integer_value(json_object_get(answer, "release"));
	json_decref(answer);
	if (a->number <= 0)
		return diag_set(&a->diag, RC_PROTOCOL, "the answer does not say which release was started");
	snprintf(a->job, sizeof a->job, "release %" JSON_INTEGER_FORMAT, a->number);
	return RC_OK;
}

/* The result code that an answer of the daemon names. */
static enum rc code_of(const char *name)
{
	for (int i = 1; name != NULL && i < RC_COUNT; i++) {
		size_t len = strlen(rc_name((enum rc)i));
		if (strncmp(name, rc_name((enum rc)i), len) == 0 && (name[len] == '\0' || name[len] == ':'))
			return (enum rc)i;
	}
	return RC_INTERNAL;
}

static enum rc failure_of(struct admin *a, const json_t *release)
{
	const char *why = json_string_value(json_object_get(release, "error"));

	return diag_set(&a->diag, code_of(why), "release %" JSON_INTEGER_FORMAT " failed: %s",
			json_integer_value(json_object_get(release, "number")), why != NULL ? why : "no reason given");
}

static void show_state(struct admin *a, const json_t *release, int64_t elapsed_ms)
{
	const char *state = json_string_value(json_object_get(release, "state"));
	if (isatty(STDERR_FILENO) == 1 && state != NULL)
		fprintf(stderr, "\r%s: %.20s, %lld s\033[K", a->job, state, (long long)(elapsed_ms / 1000));
}

static enum rc judge_release(struct admin *a, const json_t *status, int64_t elapsed_ms, bool *ret_done)
{
	const json_t *release = json_object_get(status, "release");
	const char *state = json_string_value(json_object_get(release, "state"));
	json_int_t current = json_integer_value(json_object_get(release, "number"));

	if (state == NULL)
		return diag_set(&a->diag, RC_PROTOCOL, "the status does not say how the release stands");
	show_state(a, release, elapsed_ms);
	if (current == a->number && strcmp(state, "failed") == 0)
		return failure_of(a, release);
	*ret_done = current > a->number || (current == a->number && strcmp(state, "done") == 0);
	a->waits_for_witnesses = json_integer_value(json_object_get(status, "releases_waiting")) > 0;
	return RC_OK;
}

static enum rc publish(struct admin *a)
{
	enum rc rc = start_release(a);
	if (rc != RC_OK)
		return rc;
	if (a->no_wait) {
		printf("%s started\n", a->job);
		return RC_OK;
	}
	int64_t start = monotonic_ms();
	rc = wait_until_done(a, judge_release);
	if (isatty(STDERR_FILENO) == 1)
		fprintf(stderr, "\r\033[K");
	if (rc == RC_OK) {
		int64_t ms = monotonic_ms() - start;
		printf("%s published after %lld.%lld s%s\n", a->job, (long long)(ms / 1000),
		       (long long)(ms % 1000 / 100),
		       a->waits_for_witnesses ? "; it can be read once the study's witnesses have cosigned the log"
					      : "");
	}
	return rc;
}

/* ---- backup ---- */

#define BACKUP_JOB "backup "

/* Another backup than ours can only have been started after ours had ended. */
static enum rc judge_backup(struct admin *a, const json_t *status, int64_t elapsed_ms, bool *ret_done)
{
	const json_t *backup = json_object_get(status, "backup");
	const char *state = json_string_value(json_object_get(backup, "state"));
	const char *current = json_string_value(json_object_get(backup, "name"));
	const char *why = json_string_value(json_object_get(backup, "why"));

	if (state == NULL || current == NULL)
		return diag_set(&a->diag, RC_PROTOCOL, "the status does not say how the backup stands");
	if (strcmp(current, a->job + strlen(BACKUP_JOB)) != 0)
		return diag_set(&a->diag, RC_CONFLICT, "another backup was started since; look into the daemon's log");
	if (strcmp(state, "failed") == 0)
		return diag_set(&a->diag, code_of(json_string_value(json_object_get(backup, "error"))),
				"the backup failed: %s", why != NULL ? why : "no reason given");
	*ret_done = strcmp(state, "done") == 0;
	return RC_OK;
}

static enum rc backup(struct admin *a)
{
	json_t *answer = NULL;

	enum rc rc = post_json(a, "/v1/backups", "{}", 2, &answer);
	const char *name = json_string_value(json_object_get(answer, "backup"));
	if (rc == RC_OK && name == NULL)
		rc = diag_set(&a->diag, RC_PROTOCOL, "the answer does not say which backup was started");
	if (rc == RC_OK)
		snprintf(a->job, sizeof a->job, BACKUP_JOB "%.63s", name);
	if (rc == RC_OK && !a->no_wait)
		rc = wait_until_done(a, judge_backup);
	if (rc == RC_OK)
		printf("%s %s\n", a->job, a->no_wait ? "started" : "made, and checked by restoring it");
	json_decref(answer);
	return rc;
}

/* ---- purge ---- */

static enum rc judge_purge(struct admin *a, const json_t *status, int64_t elapsed_ms, bool *ret_done)
{
	const json_t *retention = json_object_get(status, "retention");
	const char *state = json_string_value(json_object_get(retention, "state"));
	const char *before = json_string_value(json_object_get(retention, "before"));

	if (state == NULL)
		return diag_set(&a->diag, RC_PROTOCOL, "the status does not say how the purge stands");
	if (json_integer_value(json_object_get(retention, "looks")) < a->number)
		return RC_OK;
	if (strcmp(state, "failed") == 0)
		return diag_set(
			&a->diag, code_of(json_string_value(json_object_get(retention, "error"))),
			"what is to be erased waits, and is tried again every half minute; see the daemon's log");
	if (strcmp(state, "waits-for-clock") == 0)
		return diag_set(
			&a->diag, RC_CONFLICT,
			"nothing is erased, since the daemon does not believe its clock; its log says what to do");
	*ret_done = strcmp(state, "done") == 0 && before != NULL;
	if (*ret_done)
		printf("records of before %.10s are erased; the log's 'purge' entries say how many\n", before);
	return RC_OK;
}

static enum rc purge(struct admin *a)
{
	json_t *answer = NULL;

	enum rc rc = post_json(a, "/v1/purges", "{}", 2, &answer);
	a->number = json_integer_value(json_object_get(answer, "look"));
	json_decref(answer);
	strcpy(a->job, "the purge");
	if (rc == RC_OK && a->no_wait)
		printf("%s has begun\n", a->job);
	else if (rc == RC_OK)
		rc = wait_until_done(a, judge_purge);
	return rc;
}

/* ---- rotate ---- */

static enum rc send_handover(struct admin *a, const struct buffer *handover)
{
	struct buffer body;
	json_t *answer = NULL;
	size_t len = handover->len;

	while (len > 0 && ((const char *)handover->data)[len - 1] == '\n')
		len--;
	json_t *json = json_pack("{s:s%}", "handover", (const char *)handover->data, len);
	buffer_init(&body);
	enum rc rc = json == NULL ? diag_set(&a->diag, RC_INVALID, "%s: is not a handover", a->operand)
				  : json_canonical(json, &body);
	json_decref(json);
	if (rc == RC_OK)
		rc = post_json(a, "/v1/keys", body.data, body.len, &answer);
	json_decref(answer);
	buffer_deinit(&body);
	return rc;
}

static enum rc judge_rotation(struct admin *a, const json_t *status, int64_t elapsed_ms, bool *ret_done)
{
	*ret_done = json_is_false(json_object_get(json_object_get(status, "sealing"), "rotating"));
	return RC_OK;
}

static enum rc rotate(struct admin *a)
{
	struct buffer handover;

	buffer_init(&handover);
	enum rc rc = private_file_read(a->operand, HANDOVER_MAX, &handover, &a->diag);
	if (rc == RC_OK)
		rc = send_handover(a, &handover);
	static const char log_prefix[] = LOG_HANDOVER_PREFIX;
	bool is_log =
		handover.len >= sizeof log_prefix && memcmp(handover.data, log_prefix, sizeof log_prefix - 1) == 0;
	buffer_wipe(&handover);
	if (rc == RC_OK && is_log) {
		printf("the log is signed by both keys from now on; put the new key in the place of the old one, which "
		       "signs nothing more\nafter the next start. Everybody who checks the log finds the new public "
		       "key through the old one\n");
		return RC_OK;
	}
	if (rc == RC_OK && a->no_wait) {
		printf("the rotation has begun; keep both keys until it is done\n");
		return RC_OK;
	}
	strcpy(a->job, "the rotation, for which both keys are to be kept,");
	if (rc == RC_OK)
		rc = wait_until_done(a, judge_rotation);
	if (rc == RC_OK)
		printf("the store is sealed under the new key; put it in the place of the old one now, which opens "
		       "nothing any more\n");
	return rc;
}

/* ---- the commands ---- */

static int run(struct admin *a, const struct option_table *table, int argc, char **argv,
	       enum rc (*action)(struct admin *))
{
	int first, status = 0;
	bool help;
	int32_t day;

	enum rc rc = options_parse(table, argc, argv, &first, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	a->operand = first < argc ? argv[first] : NULL;
	if (a->as_of != NULL && day_parse(a->as_of, &day) != RC_OK)
		rc = diag_set(&a->diag, RC_USAGE, "--as-of: expected a date YYYY-MM-DD");
	if (rc == RC_OK)
		rc = https_open(&a->https_options, &a->https, &a->diag);
	if (rc == RC_OK)
		rc = action(a);
	if (rc != RC_OK) {
		fflush(stdout);
		status = https_fail(table->command, rc, &a->diag);
	}
	https_close(a->https);
	return status;
}

static int admin_status(int argc, char **argv)
{
	struct admin a = {0};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(a.https_options),
		{.name = "json", .letter = 'j', .kind = OPTION_FLAG, .value = &a.json, .help = "as JSON, for programs"},
	};
	const struct option_table table = {
		.command = "throughcare admin status",
		.usage = "[OPTION]...",
		.about = "Show the state of the linkage unit: volumes, releases, budget, memory lock, free space.",
		.example = "throughcare admin status --url https://linkage.example:8443 \\\n"
			   "  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt",
		OPTION_ROWS(rows),
	};
	return run(&a, &table, argc, argv, show_status);
}

/* What starts something that takes a while, and waits for it. */
struct job {
	const char *command, *usage, *about, *example;
	unsigned timeout_s;
	bool has_date;     /* takes --as-of */
	size_t n_operands; /* wanted */
	enum rc (*action)(struct admin *);
};

#define EXAMPLE_CONNECTION                                                                                             \
	" --url https://linkage.example:8443 \\\n"                                                                     \
	"  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt"

static int run_job(const struct job *job, int argc, char **argv)
{
	struct admin a = {.timeout_s = job->timeout_s};
	char how_long[48];
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(a.https_options),
		{.name = "no-wait", .kind = OPTION_FLAG, .value = &a.no_wait, .help = "do not wait until it is done"},
		{.name = "timeout",
		 .kind = OPTION_NUMBER,
		 .value = &a.timeout_s,
		 .min = 1,
		 .max = 1000000,
		 .argument = "SECONDS",
		 .help = how_long},
		{.name = "as-of",
		 .kind = OPTION_TEXT,
		 .value = &a.as_of,
		 .argument = "DATE",
		 .help = "count periods as closed on this day, YYYY-MM-DD (today)"},
	};
	enum { N_ROWS = sizeof rows / sizeof rows[0] };
	const struct option_table table = {
		.command = job->command,
		.usage = job->usage,
		.about = job->about,
		.example = job->example,
		.rows = rows,
		.n_rows = job->has_date ? N_ROWS : N_ROWS - 1,
		.min_operands = job->n_operands,
		.max_operands = job->n_operands,
	};

	snprintf(how_long, sizeof how_long, "how long to wait (%u)", job->timeout_s);
	return run(&a, &table, argc, argv, job->action);
}

static int admin_publish(int argc, char **argv)
{
	static const struct job job = {
		.command = "throughcare admin publish",
		.usage = "[OPTION]...",
		.about = "Start a release and wait until it is readable. The study says how often, and what it costs.\n"
			 "The exit status is 0 when it is published, 75 when it is too early or takes too long.",
		.example = "throughcare admin publish --as-of 2024-12-31" EXAMPLE_CONNECTION,
		.timeout_s = 3600,
		.has_date = true,
		.action = publish,
	};
	return run_job(&job, argc, argv);
}

static int admin_rotate(int argc, char **argv)
{
	static const struct job job = {
		.command = "throughcare admin rotate",
		.usage = "HANDOVER [OPTION]...",
		.about = "Have the daemon take up the key that 'throughcare keys rotate' made, while it goes on "
			 "serving, and wait until\n"
			 "the store is sealed under it. Then put the new key in the place of the old before the next "
			 "start.",
		.example = "throughcare keys rotate --seal seal.key -o seal-2.key\n"
			   "throughcare admin rotate seal-2.key.handover" EXAMPLE_CONNECTION,
		.timeout_s = 3600,
		.n_operands = 1,
		.action = rotate,
	};
	return run_job(&job, argc, argv);
}

static int admin_backup(int argc, char **argv)
{
	static const struct job job = {
		.command = "throughcare admin backup",
		.usage = "[OPTION]...",
		.about = "Make a backup of the store on the daemon's machine, in the folder of its option "
			 "backup_directory,\n"
			 "while it goes on working. It is sealed, and checked by restoring it; throughcared --restore "
			 "reads it.",
		.example = "throughcare admin backup" EXAMPLE_CONNECTION,
		.timeout_s = 24 * 3600,
		.action = backup,
	};
	return run_job(&job, argc, argv);
}

static int admin_purge(int argc, char **argv)
{
	static const struct job job = {
		.command = "throughcare admin purge",
		.usage = "[OPTION]...",
		.about = "Have the daemon erase now what the study's retention is over for, and finish withdrawals "
			 "that a crash\n"
			 "interrupted, rather than at its next look (at its start and soon after midnight UTC).",
		.example = "throughcare admin purge" EXAMPLE_CONNECTION,
		.timeout_s = 3600,
		.action = purge,
	};
	return run_job(&job, argc, argv);
}

static const struct command commands[] = {
	{"status", admin_status, "state of the linkage unit"},
	{"publish", admin_publish, "start a release and wait until it is readable"},
	{"backup", admin_backup, "make a backup of the store, and wait until it is checked"},
	{"purge", admin_purge, "erase now what the study's retention is over for"},
	{"rotate", admin_rotate, "have the daemon take up a new key"},
};

int cmd_admin(int argc, char **argv)
{
	static const struct command_group group = {
		.name = "throughcare admin",
		.usage = "COMMAND [OPTION]...",
		.example = "throughcare admin status --url https://linkage.example:8443 \\\n"
			   "    --cert operator/client.crt --key operator/client.key --ca ca/ca.crt",
		COMMANDS(commands),
	};

	return command_run(&group, argc, argv);
}
