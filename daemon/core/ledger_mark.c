/* The high-water mark of the ledger; ledger_mark.h says what for. */
#include "daemon/core/ledger_mark.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/core/beside_signer.h"
#include "proto/bytes.h"

enum { LINE_CAP = 256 };

static int format_line(const struct ledger_mark *mark, char line[LINE_CAP])
{
	uint8_t digest[32];
	char hex[65];
	int n = snprintf(line, LINE_CAP, "throughcare-ledger-v1 %" PRIu32 " %" PRIu64, mark->n_releases,
			 mark->rho_total_micro);
	sha256_labelled("throughcare ledger mark v1", line, (size_t)n, digest);
	hex_encode(digest, sizeof digest, hex);
	return n + snprintf(line + n, LINE_CAP - (size_t)n, " %s\n", hex);
}

/* Take the fields apart, then write the line again and compare: one mark has one text. */
enum rc ledger_mark_read(const struct conf *conf, struct ledger_mark *ret)
{
	char path[BESIDE_SIGNER_CAP], line[LINE_CAP], again[LINE_CAP];
	struct ledger_mark mark;
	beside_signer_path(conf, "ledger", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ENOENT ? RC_NOTFOUND : RC_IO;
	ssize_t n = read(fd, line, sizeof line - 1);
	close(fd);
	if (n < 0)
		return RC_IO;
	line[n] = '\0';
	if (sscanf(line, "throughcare-ledger-v1 %10" SCNu32 " %20" SCNu64, &mark.n_releases, &mark.rho_total_micro) !=
	    2)
		return RC_DAMAGED;
	if (format_line(&mark, again) != n || memcmp(line, again, (size_t)n) != 0)
		return RC_DAMAGED;
	*ret = mark;
	return RC_OK;
}

struct ledger_mark ledger_mark_higher(const struct ledger_mark *a, const struct ledger_mark *b)
{
	return (struct ledger_mark){
		a->n_releases > b->n_releases ? a->n_releases : b->n_releases,
		a->rho_total_micro > b->rho_total_micro ? a->rho_total_micro : b->rho_total_micro,
	};
}

enum rc ledger_mark_raise(const struct conf *conf, const struct ledger_mark *mark)
{
	char line[LINE_CAP];
	struct ledger_mark is, to = *mark;
	if (ledger_mark_read(conf, &is) == RC_OK) {
		to = ledger_mark_higher(&is, mark);
		if (to.n_releases == is.n_releases && to.rho_total_micro == is.rho_total_micro)
			return RC_OK;
	}
	int n = format_line(&to, line);
	return beside_signer_write(conf, "ledger", line, (size_t)n);
}
