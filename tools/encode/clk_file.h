/* The filters that clkhash wrote, {"clks": ["base64", …]}, read one by one in constant memory. */
#ifndef TOOLS_ENCODE_CLK_FILE_H
#define TOOLS_ENCODE_CLK_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/rc.h"
#include "tools/encode/register.h"

struct clk_file;
/* Read up to the first filter; each has n_bytes. Errors: MALFORMED (diag says what was expected), IO, NOMEM. */
enum rc clk_file_open(const struct register_source *source, size_t n_bytes, struct clk_file **ret,
		      struct diag *diag) MUST_CHECK;
void clk_file_close(struct clk_file *file); /* wipes; NULL is a no-op */
/* The next filter into `out`; *ret_more is false at the end of the list, after which only the closing brace may come.
 * Errors: MALFORMED (the filter's number and what was expected), IO. */
enum rc clk_file_next(struct clk_file *file, uint8_t *out, bool *ret_more, struct diag *diag) MUST_CHECK;

#endif
