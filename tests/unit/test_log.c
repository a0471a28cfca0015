/* libs: tc_base */
/* The daemon's log: one event is one line whatever is in it, and levels below the threshold are silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/log.h"

static int saved_stderr, reader;

static int catch_stderr(void **state)
{
	int fds[2];

	if (pipe(fds) != 0)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(fds[1], STDERR_FILENO);
	close(fds[1]);
	reader = fds[0];
	return 0;
}

static int give_back_stderr(void **state)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(reader);
	return 0;
}

/* Everything logged since, ended by a marker of our own so that the read does not block. */
static const char *caught(void)
{
	static char text[8192];

	assert_int_equal(write(STDERR_FILENO, "|", 1), 1);
	ssize_t n = read(reader, text, sizeof text - 1);
	assert_true(n > 0 && text[n - 1] == '|');
	text[n - 1] = '\0';
	return text;
}

static void test_levels(void **state)
{
	unsetenv("JOURNAL_STREAM");
	log_init("front", LOG_WARNING);
	log_error("disk %s", "full");
	log_warning("n=%d", 3);
	log_info("not this");
	log_debug("nor this");
	assert_string_equal(caught(), "error front disk full\nwarning front n=3\n");
	log_init("core", LOG_DEBUG);
	log_debug("this");
	assert_string_equal(caught(), "debug core this\n");
}

static void test_one_event_is_one_line(void **state)
{
	unsetenv("JOURNAL_STREAM");
	log_init("front", LOG_INFO);
	log_info("a%cb%cc\x80", '\n', 0x1b);
	assert_string_equal(caught(), "info front a?b?c?\n");

	static char long_text[5000];
	memset(long_text, 'x', sizeof long_text - 1);
	log_info("%s", long_text);
	const char *text = caught();
	assert_true(strlen(text) <= 1024);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_journal_prefix(void **state)
{
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init("core", LOG_INFO);
	log_error("x");
	log_info("y");
	assert_string_equal(caught(), "<3>error core x\n<6>info core y\n");
	unsetenv("JOURNAL_STREAM");
}

/* What stands around the message; returns the message, still escaped. */
static const char *json_message(const char *level)
{
	static char message[2048];
	char found[16], component[16];
	int year, pid;

	assert_int_equal(sscanf(caught(),
				"{\"time\":\"%4d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ\",\"level\":\"%15[a-z]\",\"component\":"
				"\"%15[a-z]\","
				"\"pid\":%d,\"message\":%2000[^\n]",
				&year, found, component, &pid, message),
			 5);
	assert_true(year >= 2024);
	assert_string_equal(found, level);
	assert_string_equal(component, "core");
	assert_int_equal(pid, getpid());
	return message;
}

static void test_json(void **state)
{
	static char quotes[3000], last[2] = "x";

	unsetenv("JOURNAL_STREAM");
	log_init_from("core", "info", "json");
	log_warning("n=%d", 3);
	assert_string_equal(json_message("warning"), "\"n=3\"}");
	log_error("a\"},{\"level\":\"%c\\%c", '\n', '\x80');
	assert_string_equal(json_message("error"), "\"a\\\"},{\\\"level\\\":\\\"?\\\\?\"}");
	log_debug("not this");
	/* Cut where it would pass the line, never in the middle of an escape. */
	memset(quotes, '"', sizeof quotes - 2);
	for (size_t skip = 0; skip < 2; skip++) {
		log_info("%.*s%s", (int)skip, last, quotes);
		const char *message = json_message("info");
		size_t len = strlen(message);
		assert_true(len > 700 && len < 1024 && strcmp(message + len - 4, "\\\"\"}") == 0);
		assert_int_equal((len - 3 - skip) % 2, 0);
	}
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init_from("core", "error", "json");
	log_error("x");
	assert_memory_equal(caught(), "<3>{\"time\":\"", 12);
	unsetenv("JOURNAL_STREAM");
	log_from_handler("gone");
	assert_string_equal(caught(), "{\"level\":\"error\",\"component\":\"core\",\"message\":\"gone\"}\n");
	log_init_from("core", "info", "text");
	log_from_handler("gone");
	assert_string_equal(caught(), "error core gone\n");
}

static void test_parse(void **state)
{
	enum log_level level = LOG_DEBUG;

	assert_true(log_level_parse("warning", &level));
	assert_int_equal(level, LOG_WARNING);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_levels, catch_stderr, give_back_stderr),
		cmocka_unit_test_setup_teardown(test_one_event_is_one_line, catch_stderr, give_back_stderr),
		cmocka_unit_test_setup_teardown(test_journal_prefix, catch_stderr, give_back_stderr),
		cmocka_unit_test_setup_teardown(test_json, catch_stderr, give_back_stderr),
		cmocka_unit_test(test_parse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
