/* libs: tc_base */
/* The configuration: the table is complete and sorted, defaults are what help says, and a mistake is named with line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/base/conf.h"

static char folder[] = "/tmp/test_conf.XXXXXX";
static char path[64];

static const char minimal[] = "tls_certificate: tls.crt\n"
			      "tls_key: tls.key\n"
			      "tls_client_ca: ../ca/ca.crt\n"
			      "study: /etc/study.yaml\n"
			      "store_directory: store\n"
			      "seal_key: seal.key\n"
			      "log_key: log.key\n"
			      "log_origin: example.org/log\n";

static int set_up(void **state)
{
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/d.yaml", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static enum rc load(const char *extra, struct conf *ret, struct diag *diag)
{
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "%s%s", minimal, extra);
	assert_int_equal(fclose(f), 0);
	return conf_load(path, ret, diag);
}

static void test_table_is_sorted_and_documented(void **state)
{
	assert_true(conf_n_options() > 20);
	for (size_t i = 0; i < conf_n_options(); i++) {
		struct conf_option o = conf_option(i);
		if (i > 0 && strcmp(conf_option(i - 1).name, o.name) >= 0)
			fail_msg("%s is out of order", o.name);
		if (o.help == NULL || strlen(o.help) < 15 || o.help[strlen(o.help) - 1] != '.')
			fail_msg("%s has no sentence of help", o.name);
		assert_non_null(o.form);
	}
}

static void test_help_names_every_option(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	conf_print_help(out);
	fclose(out);
	for (size_t i = 0; i < conf_n_options(); i++) {
		char line[80];
		snprintf(line, sizeof line, "\n%s: ", conf_option(i).name);
		if (strstr(text, line) == NULL)
			fail_msg("help lacks %s", conf_option(i).name);
	}
	free(text);
}

static void test_defaults_and_paths(void **state)
{
	struct conf conf;
	struct diag diag = {""};
	char expected[128];

	if (load("", &conf, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	assert_string_equal(conf.listen_address, "127.0.0.1");
	assert_int_equal(conf.listen_port, 8443);
	snprintf(expected, sizeof expected, "%s/tls.crt", folder);
	assert_string_equal(conf.tls_certificate, expected);
	assert_string_equal(conf.study, "/etc/study.yaml");
	assert_string_equal(conf.tls_revocation_list, "");
	assert_string_equal(conf.signer_state, "");
	assert_int_equal(conf.max_body_bytes, 64 << 20);
	assert_true(conf.store_map_bytes == (uint64_t)1 << 40);
	assert_false(conf.memory_lock_required);
	assert_string_equal(conf.link_kernel, "auto");
	assert_string_equal(conf.port_file, "");
}

static void test_values_are_read(void **state)
{
	struct conf conf;
	struct diag diag = {""};

	if (load("listen: \"[::1]:0\"\nmax_body_bytes: 2M\nstore_map_bytes: 1G\nheader_timeout_s: 3\n"
		 "memory_lock: require\nlink_kernel: scalar\nlog_level: debug\nuser: throughcare\n"
		 "tls_revocation_list: revoked.crl\nworker_threads: 2\nclock_confirmed: 2026-05-31\n",
		 &conf, &diag) != RC_OK)
		fail_msg("%s", diag.text);
	assert_string_equal(conf.listen_address, "::1");
	assert_string_equal(conf.clock_confirmed, "2026-05-31");
	assert_int_equal(load("clock_confirmed: 2026-02-30\n", &conf, &diag), RC_CONFIG);
	assert_int_equal(conf.listen_port, 0);
	assert_int_equal(conf.max_body_bytes, 2 << 20);
	assert_int_equal(conf.store_map_bytes, 1 << 30);
	assert_int_equal(conf.header_timeout_s, 3);
	assert_true(conf.memory_lock_required);
	assert_string_equal(conf.link_kernel, "scalar");
	assert_string_equal(conf.user, "throughcare");
	assert_int_equal(conf.worker_threads, 2);
}

static void test_mistakes_are_named(void **state)
{
	/* minimal has eight lines, so the first extra line is line 9. */
	static const struct {
		const char *extra, *said;
	} cases[] = {
		{"max_conections: 5\n",
		 "d.yaml:9: max_conections: there is no such option; did you mean max_connections"},
		{"zzz: 5\n", "d.yaml:9: zzz: there is no such option"},
		{"listen: localhost:8443\n", "d.yaml:9: listen: expected a numeric address"},
		{"listen: 127.0.0.1\n", "numeric address"},
		{"listen: 127.0.0.1:65536\n", "numeric address"},
		{"listen: \"[127.0.0.1]:1\"\n", "numeric address"},
		{"listen: \"::1:1\"\n", "numeric address"},
		{"\nheader_timeout_s: 0\n", "d.yaml:10: header_timeout_s: expected a larger number"},
		{"header_timeout_s: -1\n", "expected a whole number"},
		{"header_timeout_s: 601\n", "expected a smaller number"},
		{"header_timeout_s: 18446744073709551617\n", "expected a smaller number"},
		{"header_timeout_s: 1K\n", "expected a whole number"},
		{"header_timeout_s: [1]\n", "expected one value"},
		{"max_body_bytes: 12X\n", "expected a number of bytes"},
		{"max_body_bytes: 99999999T\n", "expected a smaller number"},
		{"max_body_bytes: 1MM\n", "expected a number of bytes"},
		{"memory_lock: true\n", "expected require | try"},
		{"link_kernel: avx\n", "expected auto | scalar | avx2 | avx512"},
		{"log_level: aut\n", "expected error | warning | info | debug"},
		{"user: \"two words\"\n", "expected printable characters without spaces"},
		{"max_connections: 5\nmax_connections_per_client: 6\n", "max_connections_per_client is above"},
		{"max_inflight_bytes: 1M\n", "max_inflight_bytes is below max_body_bytes"},
		{"study: other.yaml\n", "d.yaml:9: "}, /* twice */
		{"study\n", "d.yaml:"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conf conf = {.header_timeout_s = 12345};
		struct diag diag = {""};
		assert_int_equal(load(cases[i].extra, &conf, &diag), RC_CONFIG);
		assert_int_equal(conf.header_timeout_s, 12345);
		if (strstr(diag.text, cases[i].said) == NULL)
			fail_msg("'%s' said '%s', expected '%s'", cases[i].extra, diag.text, cases[i].said);
	}
}

static void test_needed_option_left_out(void **state)
{
	struct conf conf;
	struct diag diag = {""};
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs("listen: 127.0.0.1:1\n", f);
	fclose(f);
	assert_int_equal(conf_load(path, &conf, &diag), RC_CONFIG);
	assert_non_null(strstr(diag.text, "log_key must be given"));
}

static void test_file_that_is_not_there(void **state)
{
	struct conf conf;
	struct diag diag = {""};

	assert_int_equal(conf_load("/nonexistent/x.yaml", &conf, &diag), RC_IO);
	assert_non_null(strstr(diag.text, "/nonexistent/x.yaml"));
	assert_int_equal(conf_load(folder, &conf, &diag), RC_IO);
	assert_int_equal(conf_load("/nonexistent/x.yaml", &conf, NULL), RC_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_sorted_and_documented),
		cmocka_unit_test(test_help_names_every_option),
		cmocka_unit_test(test_defaults_and_paths),
		cmocka_unit_test(test_values_are_read),
		cmocka_unit_test(test_mistakes_are_named),
		cmocka_unit_test(test_needed_option_left_out),
		cmocka_unit_test(test_file_that_is_not_there),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
