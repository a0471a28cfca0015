/* How many index events a year a study expects, and how they spread over the codes of its dimensions: what a plan needs
 * to say more of a table than its noise. */
#ifndef TOOLS_STUDY_VOLUMES_H
#define TOOLS_STUDY_VOLUMES_H

#include "proto/rc.h"
#include "proto/study.h"

struct study_volumes {
	bool given; /* false: nothing was said, every measure has 1000 */
	double per_year[STUDY_MAX_MEASURES];
	double share[STUDY_MAX_MEASURES][STUDY_MAX_DIMENSIONS][STUDY_MAX_CODES + 1]; /* add up to 1 */
};

/* So many index events a year in every measure (0 = not said), spread evenly over the listed codes, none unknown. */
void study_volumes_init(struct study_volumes *volumes, const struct study *study, uint64_t per_year);
/* Read a CSV with the header `measure,dimension,code,per_year`. A line without dimension and code gives a measure's
 * total; lines of a dimension give its codes, and the total too where no line does. What is not said stays as it was.
 * Errors: those of reading the file; INVALID, with file and line. */
enum rc study_volumes_read(struct study_volumes *volumes, const struct study *study, const char *path,
			   struct diag *diag) MUST_CHECK;
/* Index events of a row of the table in one period; dimensions are taken as independent. */
double study_volumes_of_row(const struct study_volumes *volumes, const struct study *study,
			    const struct study_table *table, unsigned row);

#endif
