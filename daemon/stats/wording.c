/* The words. Each note is one that a reader who skips the rest must not miss. */
#include "daemon/stats/wording.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct wording wordings[] = {
	[MEASURE_CONTINUITY] = {"releases to liberty", "releases", "Period of release", "Outcome after release",
				"treatment started within {days} days of release"},
	[MEASURE_RETURN] = {"releases to liberty", "releases", "Period of release", "Outcome after release",
			    "back in prison within {days} days of release"},
	[MEASURE_MORTALITY] = {"releases to liberty", "releases", "Period of release", "Outcome after release",
			       "died at liberty within {days} days of release"},
	[MEASURE_RETENTION] = {"treatment starts after release", "starts", "Period of treatment start",
			       "Days in treatment", "in treatment for at least {days} days"},
	[MEASURE_POPULATION] = {"persons", "persons", "Period", "Lists that caught the person", ""},
};

const struct wording *wording_of(enum study_measure_kind kind)
{
	return &wordings[kind];
}

static const char *const release_note =
	"Counts are releases to liberty, a person's first in a period; pooled periods may count a person once each. "
	"Rates are shares of those observed to the end of follow-up: in a closed period all of them, so that a "
	"difference there is noise.";

static const char correction_note[] =
	"Corrected rates allow for missed links, as if these were missed equally often in every group, which need not "
	"be so. Their intervals hold sampling, noise, and the doubt about how many links were missed, and allow for "
	"false links; crude rates are not corrected, and their intervals hold sampling and noise alone.";

static const char arms_note[] =
	"Corrected rates allow for missed links, counted apart for each arm of the dimension that the release names "
	"(linkage); in other groups as if they were missed equally often. Their intervals hold sampling, noise, and "
	"the doubt about how many links were missed, and allow for false links; crude rates are not corrected, and "
	"their intervals hold sampling and noise alone.";

static const char own_counts_note[] =
	"Corrected comparisons compare corrected rates, each arm corrected by the links that it misses itself; "
	"where one of the two rates is withheld there is none. Their intervals hold the doubt about both.";

static const char one_count_note[] =
	"Corrected comparisons take links to be missed equally often in all groups compared: if they are missed "
	"more often in one, a difference may come from that alone. The corrected ratio is therefore the crude one.";

static const char *const notes[][3] = {
	[MEASURE_CONTINUITY] =
		{release_note,
		 "Rates are not corrected for linkage errors: a missed link reads as no treatment. Intervals "
		 "hold sampling and noise."},
	[MEASURE_RETURN] =
		{release_note,
		 "A release counts as a return to prison only if the same register, or a linked one, shows a new "
		 "reception; people who died first stay in the denominator. Intervals hold sampling and noise."},
	[MEASURE_MORTALITY] =
		{release_note,
		 "A risk per release, not a rate per year at liberty: deaths after a return to prison are not in "
		 "it, and people back in prison stay in the denominator.",
		 "A death that was not linked reads as alive, and an unknown cause as not drug-related. Intervals hold "
		 "sampling and noise."},
	[MEASURE_RETENTION] =
		{"Counts are treatment starts after a release, a person's first in a period; pooled periods may "
		 "count a person once each.",
		 "Death and return to prison end a treatment on their day; a treatment that no service closed reads as "
		 "going on. Starts at services that do not report ends are unknown and not in the denominator.",
		 "Rates are not corrected for linkage errors: a start of somebody who was not linked to a release is "
		 "not counted. Intervals hold sampling and noise."},
	[MEASURE_POPULATION] = {"Counts are persons seen in the period; periods cannot be added up."},
};

static const char *population_note(unsigned n_lists)
{
	if (n_lists == 2)
		return "The estimate includes people on no list. It assumes that being on one list says nothing "
		       "about being on the other, and that nobody comes or goes within the period; where the lists "
		       "share people more than by chance it is too low. A missed link makes it too high, a false "
		       "link too low. The interval holds sampling and noise, not these.";
	return "The estimate includes people on no list. It assumes a log-linear model: lists may depend on each "
	       "other in pairs but not all three at once, and nobody comes or goes within the period. A missed link "
	       "makes it wrong, mostly too high. The interval holds sampling and noise, not these.";
}

static void note_apart(const struct answer *a, void (*put)(void *ctx, const char *note), void *ctx)
{
	struct answer_apart apart;
	char text[512];

	if (!answer_is_drawn_apart(a, &apart))
		return;
	snprintf(text, sizeof text,
		 "Table %s counts the same, but has %s as release %" PRId64
		 " published it, with noise of its own: sums of the two tables do not agree.",
		 apart.table, apart.period, apart.released_in);
	put(ctx, text);
}

void wording_notes(const struct answer *a, void (*put)(void *ctx, const char *note), void *ctx)
{
	enum study_measure_kind kind = a->table.shape.kind;

	if (a->head.synthetic)
		put(ctx, "Synthetic data: these figures describe no real person.");
	if (strcmp(a->head.method, "cell-key") == 0)
		put(ctx,
		    "Every count above zero carries random noise by the cell-key method; counts do not add up from "
		    "one table to another. This is not differentially private, and no budget bounds it.");
	else if (a->table.sigma2_milli > 0)
		put(ctx, "Every count carries random noise; a small one may be negative.");
	put(ctx, "Hidden rows are unknown, not zero.");
	for (unsigned i = 0; i < 3 && notes[kind][i] != NULL; i++)
		put(ctx, !answer_is_corrected(a) || i != 1 ? notes[kind][i]
			 : a->head.links_by != NULL        ? arms_note
							   : correction_note);
	note_apart(a, put, ctx);
	if (a->compare_at >= 0)
		put(ctx,
		    "Differences and ratios compare groups as they are, or standardised over the other dimensions "
		    "of the answer to the noisy totals of all groups; people are not assigned to groups at random, "
		    "so neither says that the group is the cause.");
	if (a->compare_at >= 0 && answer_is_corrected(a))
		put(ctx, a->head.links_by != NULL && strcmp(a->by[a->compare_at].name, a->head.links_by) == 0
				 ? own_counts_note
				 : one_count_note);
	if (kind == MEASURE_POPULATION)
		put(ctx, population_note(a->table.shape.n_lists));
}
