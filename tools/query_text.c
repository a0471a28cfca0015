/* Text of the server for a terminal. */
#include "tools/query_text.h"

#include <string.h>

#include "tools/query_table.h"

/* Copy for a terminal: control characters become '?', and what is too long ends with "..". */
void query_clean(const char *from, char out[QUERY_CELL_CAP], size_t max)
{
	size_t n = 0;

	if (max >= QUERY_CELL_CAP)
		max = QUERY_CELL_CAP - 1;
	for (; from[n] != '\0' && n < max; n++) {
		unsigned char c = (unsigned char)from[n];
		out[n] = (char)(c < 0x20 || c > 0x7e ? '?' : c);
	}
	out[n] = '\0';
	if (from[n] != '\0' && n >= 2)
		memcpy(out + n - 2, "..", 2);
}

void query_append_clean(struct buffer *out, const char *text)
{
	for (size_t i = 0; text != NULL && text[i] != '\0'; i++) {
		unsigned char c = (unsigned char)text[i];
		buffer_append(out, c < 0x20 || c == 0x7f ? "?" : &text[i], 1);
	}
}

const char *query_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text != NULL ? text : "";
}

/* Break at spaces so that the footer keeps to the width too. */
void query_put_wrapped(struct buffer *out, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");
		if (column > 0 && column + 1 + word > QUERY_WIDTH) {
			buffer_append(out, "\n", 1);
			column = 0;
		} else if (column > 0) {
			buffer_append(out, " ", 1);
			column++;
		}
		char piece[2] = {0};
		for (size_t i = 0; i < word; i++) {
			piece[0] = text[i];
			query_append_clean(out, piece);
		}
		column += word;
		text += word + (text[word] == ' ');
	}
	buffer_append(out, "\n", 1);
}
