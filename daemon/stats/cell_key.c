/* The p-table is data/vectors/ptable_D5_V3_js2.csv of the tests, as upper bounds of 32-bit numbers. */
#include "daemon/stats/cell_key.h"

#include <string.h>

#include "proto/bytes.h"

enum { MAX_STEPS = 11, N_ROWS = 8, MAX_ID = 64 };

/* Noise `value` where u is at most `last`. Row n − 1 is that of n contributors, the last one that of 8 and more. */
struct step {
	int8_t value;
	uint32_t last;
};

static const struct {
	struct step steps[MAX_STEPS];
} ptable[N_ROWS] = {
	{{{-1, 3154522658u}, {2, 3741731403u}, {3, 4054389189u}, {4, 4215147909u}, {5, 4294967295u}}},
	{{{-2, 1755812870u}, {1, 3502333666u}, {2, 4136373848u}, {3, 4275182134u}, {4, 4293508214u}, {5, 4294967295u}}},
	{{{-3, 876113958u},
	  {0, 2566881633u},
	  {1, 3629853355u},
	  {2, 4104741306u},
	  {3, 4255503433u},
	  {4, 4289514873u},
	  {5, 4294967295u}}},
	{{{-4, 364448889u},
	  {-1, 1558111496u},
	  {0, 2751774104u},
	  {1, 3565213826u},
	  {2, 4016724188u},
	  {3, 4211953459u},
	  {4, 4277712733u},
	  {5, 4294967295u}}},
	{{{-5, 86532777u},
	  {-2, 831054489u},
	  {-1, 1778666152u},
	  {0, 2729220947u},
	  {1, 3480701325u},
	  {2, 3948923376u},
	  {3, 4178844994u},
	  {4, 4267826855u},
	  {5, 4294967295u}}},
	{{{-3, 309365741u},
	  {-2, 896561122u},
	  {-1, 1744178858u},
	  {0, 2674696120u},
	  {1, 3451579495u},
	  {2, 3944860298u},
	  {3, 4183059112u},
	  {4, 4270535727u},
	  {5, 4294967295u}}},
	{{{-4, 79195746u},
	  {-3, 317497222u},
	  {-2, 839855591u},
	  {-1, 1673973276u},
	  {0, 2644266614u},
	  {1, 3466501158u},
	  {2, 3974082133u},
	  {3, 4202343231u},
	  {4, 4277121501u},
	  {5, 4294967295u}}},
	{{{-5, 16285915u},
	  {-4, 87543410u},
	  {-3, 312138560u},
	  {-2, 822081612u},
	  {-1, 1656136174u},
	  {0, 2638831120u},
	  {1, 3472885682u},
	  {2, 3982828734u},
	  {3, 4207423884u},
	  {4, 4278681379u},
	  {5, 4294967295u}}},
};

enum rc cell_key_of_record(stats_prf prf, void *prf_ctx, const void *id, size_t len, cell_key_sum *ret)
{
	uint8_t text[4 + MAX_ID] = {'r', 'k', '1', 0}, digest[32] = {0};
	cell_key_sum key = 0;

	if (len > MAX_ID)
		return RC_INVALID;
	memcpy(text + 4, id, len);
	enum rc rc = prf(prf_ctx, text, 4 + len, digest);
	for (int i = 0; i < 16; i++)
		key = key << 8 | digest[i];
	if (rc == RC_OK)
		*ret = key;
	explicit_bzero(digest, sizeof digest);
	return rc;
}

static int64_t look_up(uint32_t n, uint32_t u)
{
	const struct step *steps = ptable[(n < N_ROWS ? n : N_ROWS) - 1].steps;
	unsigned i = 0;

	while (u > steps[i].last) /* the last bound of a row is above every u */
		i++;
	return steps[i].value;
}

enum rc cell_key_noise(stats_prf prf, void *prf_ctx, cell_key_sum sum, uint32_t n, int64_t *ret)
{
	uint8_t text[4 + 16 + 4] = {'c', 'k', '1', 0}, digest[32] = {0};
	struct reader r;
	struct writer w;

	if (n == 0) {
		*ret = 0;
		return RC_OK;
	}
	for (int i = 0; i < 16; i++)
		text[4 + i] = (uint8_t)(sum >> (120 - 8 * i));
	writer_init(&w, text + 20, 4);
	write_u32(&w, n);
	enum rc rc = prf(prf_ctx, text, sizeof text, digest);
	if (rc == RC_OK) {
		reader_init(&r, digest, sizeof digest);
		*ret = look_up(n, read_u32(&r));
	}
	explicit_bzero(text, sizeof text);
	explicit_bzero(digest, sizeof digest);
	return rc;
}
