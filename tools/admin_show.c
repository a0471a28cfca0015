/* The daemon's state as text: a label and a value a line, units as people read them. What the daemon says is printed,
 * whatever it says, but for control characters. */
#include "tools/admin_show.h"

#include <stdio.h>
#include <string.h>

#include "tools/progress.h"

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
	} else if (v >= 0 && ends_with(key, "_us")) {
		printf("%" JSON_INTEGER_FORMAT ".%03d ms\n", v / 1000, (int)(v % 1000));
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
	static const char *const units[] = {" bytes", " micro", " us", " s"};
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
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

	printf("%s\n", json_array_size(array) == 0 ? "-" : "");
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

void admin_show(const json_t *status)
{
	print_object(status, 0, false);
}
