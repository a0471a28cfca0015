/* throughcare synth: two registers of invented people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"
#include "tools/command.h"
#include "tools/options.h"
#include "tools/synth.h"

/* "ost=50": the chance of an error for people whose first release was with that intervention. */
enum rc synth_read_typos_by(const struct option_list *list, uint64_t typos, struct synth_options *ret,
			    struct diag *diag)
{
	for (int i = 0; i < SYNTH_INTERVENTIONS; i++)
		ret->typos_by[i] = typos;
	ret->typos = typos;
	for (size_t k = 0; k < list->n; k++) {
		const char *equals = strchr(list->item[k], '=');
		char *end = NULL;
		uint64_t percent = equals != NULL ? strtoull(equals + 1, &end, 10) : 0;
		bool found = false;

		if (equals == NULL || equals[1] < '0' || equals[1] > '9' || *end != '\0' || percent > 100)
			return diag_set(diag, RC_USAGE, "--typos-by: expected INTERVENTION=PERCENT, such as ost=50");
		for (int i = 0; i < SYNTH_INTERVENTIONS; i++) {
			if (strlen(synth_interventions[i]) != (size_t)(equals - list->item[k]) ||
			    strncmp(synth_interventions[i], list->item[k], (size_t)(equals - list->item[k])) != 0)
				continue;
			ret->typos_by[i] = percent;
			found = true;
		}
		if (!found)
			return diag_set(diag, RC_USAGE, "--typos-by: expected ost, psychosocial, naltrexone or none");
	}
	return RC_OK;
}

int cmd_synth(int argc, char **argv)
{
	struct synth_options run = {.seed = 1, .movers = 12};
	struct synth_written written;
	struct option_list typos_by = {0};
	uint64_t overlap = 75, releases = 3, typos = 8;
	const struct option_row rows[] = {
		{"persons", 0, OPTION_NUMBER, &run.persons, 1, 20000000, .argument = "N", .required = true,
		 .help = "how many people; three of four are released from prison in 2024, the others treated only"},
		{"seed", 0, OPTION_NUMBER, &run.seed, 0, UINT64_MAX, .argument = "S",
		 .help = "the same seed makes the same registers, on every machine (default 1)"},
		{"output", 'o', OPTION_TEXT, &run.folder, .argument = "DIR", .required = true,
		 .help = "folder to write to"},
		{"releases-per-person", 0, OPTION_NUMBER, &releases, 1, SYNTH_MAX_SPELLS, .argument = "N",
		 .help = "at most so many releases a person (default 3)"},
		{"typos", 0, OPTION_NUMBER, &typos, 0, 100, .argument = "PCT",
		 .help = "chance of an error in a field, in each register (default 8)"},
		{"typos-by", 0, OPTION_LIST, &typos_by, .argument = "ARM=PCT",
		 .help = "… of people first released with that intervention (ost, psychosocial, naltrexone, none)"},
		{"overlap", 0, OPTION_NUMBER, &overlap, 0, 100, .argument = "PCT",
		 .help = "chance that a released person may turn up in treatment (default 75)"},
		{"movers", 0, OPTION_NUMBER, &run.movers, 0, 100, .argument = "PCT",
		 .help = "chance that place and postcode differ between the registers (default 12)"},
		{"rare-names", 0, OPTION_NUMBER, &run.rare, 0, 100, .argument = "PCT",
		 .help = "chance of a name, and of a place, beyond the few hundred in the lists; for large registers (default 0)"},
	};
	const struct option_table table = {
		.command = "throughcare synth",
		.usage = "[OPTION]...",
		.about = "Make two registers of invented people with known truth: prison.csv and treatment.csv with "
			 "the columns of\n"
			 "deploy/study-two-registers.yaml, truth.csv (which rows are one person's), expected.json "
			 "(true counts by\n"
			 "quarter and by intervention in prison). Nothing in them comes from a real person.",
		.example = "throughcare synth --persons 4000 --seed 1 -o registers",
		OPTION_ROWS(rows),
	};
	struct diag diag = {""};
	bool help = false;
	int operands = 0;
	enum rc rc = options_parse(&table, argc, argv, &operands, &help);
	if (rc != RC_OK || help)
		return rc_exit_code(rc);
	run.plan = (struct synth_plan){(uint32_t)releases, (uint32_t)overlap};
	rc = synth_read_typos_by(&typos_by, typos, &run, &diag);
	if (rc == RC_OK)
		rc = synth_write(&run, &written, &diag);
	if (rc == RC_OK)
		printf("%s: %" PRIu64
		       " persons, prison.csv %zu rows, treatment.csv %zu rows, truth.csv, expected.json\n",
		       run.folder, written.persons, written.prison_rows, written.treatment_rows);
	else
		fprintf(stderr, "throughcare synth: %s\n", diag.text[0] != '\0' ? diag.text : rc_text(rc));
	return rc_exit_code(rc);
}
