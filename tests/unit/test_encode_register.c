/* libs: tc_encode tc_proto */
/* Hostile and broken CSV: each is refused with the row and the rule, whatever the pieces in which the bytes come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tools/encode/register.h"

struct memory {
	const char *at;
	size_t left, piece;
	bool fails;
};

static ssize_t memory_read(void *ctx, void *buffer, size_t cap)
{
	struct memory *m = ctx;
	size_t n = m->left < cap ? m->left : cap;
	n = n < m->piece ? n : m->piece;
	if (m->fails && m->left == 0)
		return -1;
	memcpy(buffer, m->at, n);
	m->at += n;
	m->left -= n;
	return (ssize_t)n;
}

/* All rows as text: "number:field|field|field!problem;". */
static enum rc read_all(const char *csv, size_t len, size_t piece, char *out, size_t cap, struct diag *diag)
{
	struct memory memory = {csv, len, piece, false};
	struct register_source source = {memory_read, &memory};
	struct register_file *file = NULL;
	struct register_row row;
	bool more = true;
	size_t n = 0;
	out[0] = '\0';
	diag->text[0] = '\0';
	enum rc rc = register_open(&source, &file, diag);
	while (rc == RC_OK) {
		rc = register_next(file, &row, &more, diag);
		if (rc != RC_OK || !more)
			break;
		n += (size_t)snprintf(out + n, cap - n, "%llu/%llu:", (unsigned long long)row.number,
				      (unsigned long long)row.line);
		for (size_t i = 0; i < row.n_fields; i++)
			n += (size_t)snprintf(out + n, cap - n, "%s%.*s", i ? "|" : "", (int)row.fields[i].len,
					      row.fields[i].bytes);
		n += (size_t)snprintf(out + n, cap - n, "%s%s;", row.problem ? "!" : "",
				      row.problem ? row.problem : "");
	}
	register_close(file);
	return rc;
}

static void check(const char *csv, size_t len, enum rc expected_rc, const char *expected)
{
	static const size_t pieces[] = {1, 2, 3, 7, 1 << 20};
	char out[4096];
	struct diag diag;
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		enum rc rc = read_all(csv, len, pieces[i], out, sizeof out, &diag);
		if (rc != expected_rc)
			fail_msg("%s: %s", rc_name(rc), diag.text);
		if (rc == RC_OK)
			assert_string_equal(out, expected);
		else if (strstr(diag.text, expected) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", diag.text, expected);
	}
}

#define CHECK(csv, rc, expected) check(csv, sizeof(csv) - 1, rc, expected)

static void test_good(void **state)
{
	(void)state;
	CHECK("a,b\n1,2\n", RC_OK, "1/2:1|2;");
	CHECK("a,b\n1,2", RC_OK, "1/2:1|2;");
	CHECK("a,b\r\n1,2\r\n", RC_OK, "1/2:1|2;");
	/* CR LF translated once more, as some exports on Windows do: cut off the header as off the rows. */
	CHECK("a,b\r\r\n1,2\r\r\n", RC_OK, "1/2:1|2;");
	CHECK("a,\"b\"\r\r\n1,\"2\"\r\r\n", RC_OK, "1/2:1|2;");
	CHECK("a,b\r\r\n\r\r\n", RC_OK, "");
	CHECK("\xEF\xBB\xBF"
	      "a,b\n1,2\n",
	      RC_OK, "1/2:1|2;");
	CHECK("a,b\n\"x\ny\",\"p\"\"q\"\n3,4\n", RC_OK, "1/2:x\ny|p\"q;2/4:3|4;");
	CHECK("a,b\r\n1,2\n\r3\r,\r4\r5\r\r\n6,7\r", RC_OK, "1/2:1|2;2/3:3|4\r5;3/4:6|7;");
	CHECK("\"a\r\nx\",b\r\n1,2\n", RC_OK, "1/3:1|2;");
	CHECK("a\n1\r2\r3\r", RC_OK, "1/2:1\r2\r3;");
	CHECK("a,b\n , x \n", RC_OK, "1/2: | x ;");
	CHECK("a,b\n,\n", RC_OK, "1/2:|;");
	CHECK("a\n\"\"\n", RC_OK, "1/2:;");
	CHECK("a,b\n1,2\n\n\r\n\n", RC_OK, "1/2:1|2;");
	CHECK("a\n", RC_OK, "");
}

static void test_bad_rows(void **state)
{
	(void)state;
	CHECK("a,b\n1\n3,4\n", RC_OK, "1/2:1!has fewer fields than the header;2/3:3|4;");
	CHECK("a,b\n1,2,3\n3,4\n", RC_OK, "1/2:1|2|3!has more fields than the header;2/3:3|4;");
	CHECK("a,b\n1,2\r3,4\r5,6\r\n", RC_OK,
	      "1/2:1|2\r3|4\r5|6!has more fields than the header, and carriage returns; save the file with line "
	      "feeds;");
	CHECK("a,b\n\n\n3,4\n", RC_OK, "1/2:!is blank;3/4:3|4;");
	CHECK("a,b\n1,\xff\n3,4\n", RC_OK, "1/2:1|\xff!is not UTF-8;2/3:3|4;");
	CHECK("a,b\n1,\0x\n3,4\n", RC_OK, "1/2:1|!holds a NUL byte;2/3:3|4;");
}

static void test_bad_files(void **state)
{
	(void)state;
	CHECK("", RC_INVALID, "the file is empty");
	CHECK("\xEF\xBB\xBF", RC_INVALID, "the file is empty");
	CHECK("\n\n\n", RC_INVALID, "the file is empty");
	CHECK("\na,b\n1,2\n", RC_INVALID, "the header (line 1): is blank");
	CHECK("\xff\xfe"
	      "a\0,\0b\0\n\0",
	      RC_INVALID, "the header (line 1): holds NUL bytes, as UTF-16 does");
	CHECK("a\0,\0b\0\r\0\n\0", RC_INVALID, "as UTF-16 does; save the file as CSV UTF-8");
	CHECK("\0a\0,\0b\0\r\0\n", RC_INVALID, "as UTF-16 does");
	CHECK("PK\3\4\x14\0", RC_INVALID, "is that of a workbook");
	CHECK("\xD0\xCF\x11\xE0\xA1\n", RC_INVALID, "is that of a workbook");
	CHECK("a,b\r1,2\r3,4\r", RC_INVALID, "the header (line 1): ends with a carriage return alone");
	CHECK("a,b\r\r1,2\n", RC_INVALID, "carriage return alone");
	CHECK("\"a\r\nx\",b\r1,2\r", RC_INVALID, "carriage return alone");
	CHECK("a,\xff\n", RC_INVALID, "the header (line 1): field 2 is not UTF-8");
	CHECK("a,b\n1,\"2\n3,4\n", RC_INVALID, "row 1 (line 2): a quote is open");
	CHECK("a,b\n1,2\n1,x\"y\n", RC_INVALID, "row 2 (line 3): a quote is not where");
	CHECK("a,b\n1,\"2\"x\n", RC_INVALID, "row 1 (line 2): a quote is not where");
}

/* A file that never ends a row costs bounded memory. */
static void test_endless_row(void **state)
{
	size_t len = 8 << 20;
	char *csv = malloc(len);
	char out[256];
	struct diag diag;
	(void)state;
	assert_non_null(csv);
	memset(csv, 'x', len);
	memcpy(csv, "a,b\n\"", 5);
	assert_int_equal(read_all(csv, len, 1 << 16, out, sizeof out, &diag), RC_TOO_LARGE);
	assert_non_null(strstr(diag.text, "row 1 (line 2)"));
	memset(csv, ',', len);
	assert_int_equal(read_all(csv, len, 1 << 16, out, sizeof out, &diag), RC_TOO_LARGE);
	memset(csv, '\n', len);
	memcpy(csv, "a,b\n", 4);
	assert_int_equal(read_all(csv, len, 1 << 16, out, sizeof out, &diag), RC_OK);
	assert_string_equal(out, "");
	free(csv);
}

static void test_read_failure(void **state)
{
	struct memory memory = {"a,b\n1,2\n", 8, 100, true};
	struct register_source source = {memory_read, &memory};
	struct register_file *file = NULL;
	struct diag diag = {""};
	(void)state;
	assert_int_equal(register_open(&source, &file, &diag), RC_IO);
	assert_null(file);
}

static void test_columns(void **state)
{
	struct memory memory = {"a,b,a, c\n1,2,3,4\n", 17, 100, false}, semicolons = {"a;b\n1;2\n", 8, 100, false};
	struct register_source source = {memory_read, &memory}, other = {memory_read, &semicolons};
	struct register_file *file = NULL;
	struct diag diag = {""};
	(void)state;
	assert_int_equal(register_open(&source, &file, &diag), RC_OK);
	assert_int_equal(register_column(file, "a", 0), 0);
	assert_int_equal(register_column(file, "a", 1), 2);
	assert_int_equal(register_column(file, "a", 2), -1);
	assert_int_equal(register_column(file, "c", 0), -1);
	assert_int_equal(register_column(file, " c", 0), 3);
	assert_int_equal(register_n_columns(file), 4);
	assert_string_equal(register_hint(file, "b2"), "");
	assert_string_equal(register_hint(file, ""), "");
	assert_non_null(strstr(register_hint(file, "c"), "case or spaces"));
	assert_non_null(strstr(register_hint(file, "B"), "case or spaces"));
	register_close(file);
	assert_int_equal(register_open(&other, &file, &diag), RC_OK);
	assert_non_null(strstr(register_hint(file, "a"), "semicolons"));
	register_close(file);
}

/* Many rows across many reads: numbers and fields stay right. */
static void test_many_rows(void **state)
{
	char *csv = malloc(1 << 20), line[64];
	size_t len = 0;
	(void)state;
	assert_non_null(csv);
	len += (size_t)sprintf(csv, "n,square\n");
	for (int i = 2; i <= 20000; i++)
		len += (size_t)sprintf(csv + len, "%d,\"%d\"\n", i, i * 2);
	struct memory memory = {csv, len, 4093, false};
	struct register_source source = {memory_read, &memory};
	struct register_file *file = NULL;
	struct register_row row;
	struct diag diag = {""};
	bool more = true;
	assert_int_equal(register_open(&source, &file, &diag), RC_OK);
	for (int i = 2; i <= 20000; i++) {
		assert_int_equal(register_next(file, &row, &more, &diag), RC_OK);
		assert_true(more);
		assert_int_equal(row.number, i - 1);
		assert_int_equal(row.line, i);
		snprintf(line, sizeof line, "%d", i * 2);
		assert_int_equal(row.fields[1].len, strlen(line));
		assert_memory_equal(row.fields[1].bytes, line, strlen(line));
	}
	assert_int_equal(register_next(file, &row, &more, &diag), RC_OK);
	assert_false(more);
	register_close(file);
	free(csv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),         cmocka_unit_test(test_bad_rows),
		cmocka_unit_test(test_bad_files),    cmocka_unit_test(test_endless_row),
		cmocka_unit_test(test_read_failure), cmocka_unit_test(test_columns),
		cmocka_unit_test(test_many_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
