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
	struct https *https;
	struct diag diag;
};

/* ---- status ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* Numbers with a unit in their name are shown in one that people read. */
static void print_number(const char *key, json_int_t v)
{
	char text[BYTES_TEXT_CAP];

	if (v >= 0 && ends_with(key, "_bytes")) {
		printf("%s\n", bytes_text((uint64_t)v, text));
	} else if (v >= 0 && ends_with(key, "_micro")) {
		printf("%" JSON_INTEGER_FORMAT ".%06" JSON_INTEGER_FORMAT "\n", v / 1000000, v % 1000000);
	} else if (v >= 0 && ends_with(key, "_s")) {
		printf("%" JSON_INTEGER_FORMAT " d %02d:%02d:%02d\n", v / 86400, (int)(v / 3600 % 24),
		       (int)(v / 60 % 60), (int)(v % 60));
	} else if (v >= 0) {
		char count[COUNT_TEXT_CAP];
		printf("%s\n", count_text((uint64_t)v, count));
	} else {
		printf("%" JSON_INTEGER_FORMAT "\n", v);
	}
}

static void print_text(const char *text)
{
	for (; *text != '\0'; text++)
		putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
	putchar('\n');
}

static void print_label(const char *key, int depth)
{
	char label[64];
	size_t n = 0;

	for (; key[n] != '\0' && n + 1 < sizeof label; n++)
		label[n] = (char)(key[n] == '_' ? ' ' : (unsigned char)key[n] < 0x20 ? '?' : key[n]);
	label[n] = '\0';
	/* The unit is said with the value. */
	static const char *const units[] = {" bytes", " micro", " s"};
	for (size_t i = 0; i < 3; i++) {
		if (ends_with(label, units[i]))
			label[strlen(label) - strlen(units[i])] = '\0';
	}
	printf("%*s%-*s ", 2 * depth, "", 28 - 2 * depth, label);
}

static void print_value(const char *key, const json_t *value, int depth);

static void print_object(const json_t *object, int depth, bool in_array)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (in_array && strcmp(key, "name") == 0)
			continue; /* it is the label already */
		print_label(key, depth);
		print_value(key, value, depth);
	}
}

static void print_array(const json_t *array, int depth)
{
	size_t i;
	json_t *value;

	putchar('\n');
	json_array_foreach((json_t *)array, i, value)
	{
		const char *name = json_string_value(json_object_get(value, "name"));
		print_label(name != NULL ? name : "-", depth + 1);
		if (json_is_object(value)) {
			putchar('\n');
			print_object(value, depth + 2, true);
		} else {
			print_value("", value, depth + 1);
		}
	}
}

static void print_value(const char *key, const json_t *value, int depth)
{
	if (json_is_object(value)) {
		putchar('\n');
		print_object(value, depth + 1, false);
	} else if (json_is_array(value)) {
		print_array(value, depth);
	} else if (json_is_string(value)) {
		print_text(json_string_value(value));
	} else if (json_is_integer(value)) {
		print_number(key, json_integer_value(value));
	} else if (json_is_real(value)) {
		printf("%g\n", json_real_value(value));
	} else {
		printf("%s\n", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "-");
	}
}

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
		print_object(status, 0, false);
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

static enum rc start_release(struct admin *a, json_int_t *ret_number)
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
	json_int_t number = json_integer_value(json_object_get(answer, "release"));
	json_decref(answer);
	if (number <= 0)
		return diag_set(&a->diag, RC_PROTOCOL, "the answer does not say which release was started");
	*ret_number = number;
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

/* What one look at the status says. */
static enum rc judge(struct admin *a, const json_t *release, json_int_t number, bool *ret_done)
{
	const char *state = json_string_value(json_object_get(release, "state"));
	json_int_t current = json_integer_value(json_object_get(release, "number"));

	if (state == NULL)
		return diag_set(&a->diag, RC_PROTOCOL, "the status does not say how the release stands");
	if (current == number && strcmp(state, "failed") == 0)
		return failure_of(a, release);
	*ret_done = current > number || (current == number && strcmp(state, "done") == 0);
	return RC_OK;
}

static void show_state(const json_t *release, json_int_t number, int64_t elapsed_ms)
{
	const char *state = json_string_value(json_object_get(release, "state"));
	if (isatty(STDERR_FILENO) == 1 && state != NULL)
		fprintf(stderr, "\rrelease %" JSON_INTEGER_FORMAT ": %.20s, %lld s\033[K", number, state,
			(long long)(elapsed_ms / 1000));
}

/* *ret_waiting: it is published, but some release waits for witnesses. */
static enum rc wait_for_release(struct admin *a, json_int_t number, bool *ret_waiting)
{
	int64_t start = monotonic_ms();
	bool done = false;
	enum rc rc = RC_OK;

	while (!done && rc == RC_OK) {
		json_t *status = NULL;
		int64_t elapsed = monotonic_ms() - start;
		if (elapsed / 1000 >= (int64_t)a->timeout_s) {
			rc = diag_set(&a->diag, RC_TIMEOUT,
				      "release %" JSON_INTEGER_FORMAT " is not done after %llu s; it goes on, see "
				      "'throughcare admin status'",
				      number, (unsigned long long)a->timeout_s);
			break;
		}
		rc = https_get_json(a->https, "/v1/status", &status, &a->diag);
		if (rc == RC_BUSY || rc == RC_RATE)
			rc = RC_OK; /* ask again */
		if (status != NULL) {
			const json_t *release = json_object_get(status, "release");
			show_state(release, number, elapsed);
			rc = judge(a, release, number, &done);
			*ret_waiting = json_integer_value(json_object_get(status, "releases_waiting")) > 0;
			json_decref(status);
		}
		if (!done && rc == RC_OK)
			nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
	}
	if (isatty(STDERR_FILENO) == 1)
		fprintf(stderr, "\r\033[K");
	return rc;
}

static enum rc publish(struct admin *a)
{
	json_int_t number = 0;

	enum rc rc = start_release(a, &number);
	if (rc != RC_OK)
		return rc;
	if (a->no_wait) {
		printf("release %" JSON_INTEGER_FORMAT " started\n", number);
		return RC_OK;
	}
	int64_t start = monotonic_ms();
	bool waiting = false;
	rc = wait_for_release(a, number, &waiting);
	if (rc == RC_OK) {
		int64_t ms = monotonic_ms() - start;
		printf("release %" JSON_INTEGER_FORMAT " published after %lld.%lld s%s\n", number,
		       (long long)(ms / 1000), (long long)(ms % 1000 / 100),
		       waiting ? "; it can be read once the study's witnesses have cosigned the log" : "");
	}
	return rc;
}

/* ---- backup ---- */

/* What one look says; another backup than ours can only have been started after ours had ended. */
static enum rc judge_backup(struct admin *a, const json_t *backup, const char *name, bool *ret_done)
{
	const char *state = json_string_value(json_object_get(backup, "state"));
	const char *current = json_string_value(json_object_get(backup, "name"));
	const char *why = json_string_value(json_object_get(backup, "why"));

	if (state == NULL || current == NULL)
		return diag_set(&a->diag, RC_PROTOCOL, "the status does not say how the backup stands");
	if (strcmp(current, name) != 0)
		return diag_set(&a->diag, RC_CONFLICT, "another backup was started since; look into the daemon's log");
	if (strcmp(state, "failed") == 0)
		return diag_set(&a->diag, code_of(json_string_value(json_object_get(backup, "error"))),
				"the backup failed: %s", why != NULL ? why : "no reason given");
	*ret_done = strcmp(state, "done") == 0;
	return RC_OK;
}

static enum rc wait_for_backup(struct admin *a, const char *name)
{
	int64_t start = monotonic_ms();
	bool done = false;
	enum rc rc = RC_OK;

	while (!done && rc == RC_OK) {
		json_t *status = NULL;
		if ((monotonic_ms() - start) / 1000 >= (int64_t)a->timeout_s)
			return diag_set(&a->diag, RC_TIMEOUT, "the backup is not done after %llu s; it goes on",
					(unsigned long long)a->timeout_s);
		rc = https_get_json(a->https, "/v1/status", &status, &a->diag);
		if (rc == RC_BUSY || rc == RC_RATE)
			rc = RC_OK; /* ask again */
		if (status != NULL)
			rc = judge_backup(a, json_object_get(status, "backup"), name, &done);
		json_decref(status);
		if (!done && rc == RC_OK)
			nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
	}
	return rc;
}

static enum rc backup(struct admin *a)
{
	json_t *answer = NULL;

	enum rc rc = post_json(a, "/v1/backups", "{}", 2, &answer);
	const char *name = json_string_value(json_object_get(answer, "backup"));
	if (rc == RC_OK && name == NULL)
		rc = diag_set(&a->diag, RC_PROTOCOL, "the answer does not say which backup was started");
	if (rc == RC_OK && !a->no_wait)
		rc = wait_for_backup(a, name);
	if (rc == RC_OK)
		printf("backup %.63s %s\n", name, a->no_wait ? "started" : "made, and checked by restoring it");
	json_decref(answer);
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

static enum rc wait_for_rotation(struct admin *a)
{
	int64_t start = monotonic_ms();
	bool rotating = true;
	enum rc rc = RC_OK;

	while (rotating && rc == RC_OK) {
		json_t *status = NULL;
		if ((monotonic_ms() - start) / 1000 >= (int64_t)a->timeout_s)
			return diag_set(&a->diag, RC_TIMEOUT,
					"the rotation is not done after %llu s; it goes on, see 'throughcare admin "
					"status'. Keep both keys until it is done",
					(unsigned long long)a->timeout_s);
		rc = https_get_json(a->https, "/v1/status", &status, &a->diag);
		if (rc == RC_BUSY || rc == RC_RATE)
			rc = RC_OK; /* ask again */
		if (status != NULL)
			rotating = !json_is_false(json_object_get(json_object_get(status, "sealing"), "rotating"));
		json_decref(status);
		if (rotating && rc == RC_OK)
			nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
	}
	return rc;
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
	if (rc == RC_OK)
		rc = wait_for_rotation(a);
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

/* Of whoever starts something that takes a while: `seconds`, a string, is what timeout_s was set to. */
#define WAIT_OPTION_ROWS(admin, seconds)                                                                               \
	{.name = "no-wait", .kind = OPTION_FLAG, .value = &(admin).no_wait, .help = "do not wait until it is done"},   \
	{                                                                                                              \
		.name = "timeout", .kind = OPTION_NUMBER, .value = &(admin).timeout_s, .min = 1, .max = 1000000,       \
		.argument = "SECONDS", .help = "how long to wait (" seconds ")"                                        \
	}

static int admin_publish(int argc, char **argv)
{
	struct admin a = {.timeout_s = 3600};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(a.https_options),
		{.name = "as-of",
		 .kind = OPTION_TEXT,
		 .value = &a.as_of,
		 .argument = "DATE",
		 .help = "count periods as closed on this day, YYYY-MM-DD (today)"},
		WAIT_OPTION_ROWS(a, "3600"),
	};
	const struct option_table table = {
		.command = "throughcare admin publish",
		.usage = "[OPTION]...",
		.about = "Start a release and wait until it is readable. The study says how often, and what it costs.\n"
			 "The exit status is 0 when it is published, 75 when it is too early or takes too long.",
		.example = "throughcare admin publish --as-of 2024-12-31 --url https://linkage.example:8443 \\\n"
			   "  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt",
		OPTION_ROWS(rows),
	};
	return run(&a, &table, argc, argv, publish);
}

static int admin_rotate(int argc, char **argv)
{
	struct admin a = {.timeout_s = 3600};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(a.https_options),
		WAIT_OPTION_ROWS(a, "3600"),
	};
	const struct option_table table = {
		.command = "throughcare admin rotate",
		.usage = "HANDOVER [OPTION]...",
		.about = "Have the daemon take up the key that 'throughcare keys rotate' made, while it goes on "
			 "serving, and wait until\n"
			 "the store is sealed under it. Then put the new key in the place of the old before the next "
			 "start.",
		.example = "throughcare keys rotate --seal seal.key -o seal-2.key\n"
			   "throughcare admin rotate seal-2.key.handover --url https://linkage.example:8443 \\\n"
			   "  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt",
		OPTION_ROWS(rows),
		.min_operands = 1,
		.max_operands = 1,
	};
	return run(&a, &table, argc, argv, rotate);
}

static int admin_backup(int argc, char **argv)
{
	struct admin a = {.timeout_s = 24 * 3600};
	const struct option_row rows[] = {
		HTTPS_OPTION_ROWS(a.https_options),
		WAIT_OPTION_ROWS(a, "86400"),
	};
	const struct option_table table = {
		.command = "throughcare admin backup",
		.usage = "[OPTION]...",
		.about = "Make a backup of the store on the daemon's machine, in the folder of its option "
			 "backup_directory,\n"
			 "while it goes on working. It is sealed, and checked by restoring it; throughcared --restore "
			 "reads it.",
		.example = "throughcare admin backup --url https://linkage.example:8443 \\\n"
			   "  --cert operator/client.crt --key operator/client.key --ca ca/ca.crt",
		OPTION_ROWS(rows),
	};
	return run(&a, &table, argc, argv, backup);
}

static void usage(FILE *out)
{
	fprintf(out, "usage: throughcare admin COMMAND [OPTION]...\n\n"
		     "  status   state of the linkage unit\n"
		     "  publish  start a release and wait until it is readable\n"
		     "  backup   make a backup of the store, and wait until it is checked\n"
		     "  rotate   have the daemon take up a new key\n\n"
		     "'throughcare admin COMMAND --help' shows options and an example.\n"
		     "example:\n"
		     "  throughcare admin status --url https://linkage.example:8443 \\\n"
		     "    --cert operator/client.crt --key operator/client.key --ca ca/ca.crt\n");
}

int cmd_admin(int argc, char **argv)
{
	if (argc >= 2 && strcmp(argv[1], "status") == 0)
		return admin_status(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "publish") == 0)
		return admin_publish(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "backup") == 0)
		return admin_backup(argc - 1, argv + 1);
	if (argc >= 2 && strcmp(argv[1], "rotate") == 0)
		return admin_rotate(argc - 1, argv + 1);
	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(stdout);
		return 0;
	}
	fprintf(stderr, "throughcare admin: expected 'status', 'publish', 'backup' or 'rotate'\n");
	usage(stderr);
	return rc_exit_code(RC_USAGE);
}
