/* Lives between prison and treatment. The chances are invented but keep the order that studies report: agonist
 * treatment in prison goes on outside most often, and the days after release are the deadliest. */
#include "tools/synth.h"

#include "proto/day.h"

const char *const synth_event_names[SYNTH_KINDS] = {"reception", "release", "treatment_start", "treatment_end",
						    "death"};

enum { OST, PSYCHOSOCIAL, NALTREXONE, NONE };

/* Per cent of those who may turn up in treatment that do so within 90 days, by intervention in prison; and of these
 * within a week, two, three, four weeks. */
static const struct {
	uint32_t treated, day_7, day_14, day_21, day_28;
} continuity[4] = {
	[OST] = {92, 40, 70, 90, 93},
	[PSYCHOSOCIAL] = {66, 25, 50, 70, 78},
	[NALTREXONE] = {72, 28, 52, 74, 80},
	[NONE] = {45, 18, 38, 58, 68},
};

static void add(struct synth_life *life, enum synth_kind kind, bool prison, int32_t day, uint32_t intervention)
{
	if (life->n_events < SYNTH_MAX_EVENTS)
		life->events[life->n_events++] = (struct synth_event){kind, prison, day, intervention};
}

static uint32_t draw_intervention(struct synth_random *random, uint32_t drug)
{
	uint32_t r = synth_below(random, 100);
	if (drug == 0)
		return r < 50 ? OST : r < 65 ? PSYCHOSOCIAL : r < 78 ? NALTREXONE : NONE;
	return r < 40 ? PSYCHOSOCIAL : NONE;
}

static int32_t between(struct synth_random *random, int32_t from, int32_t to)
{
	return from + (int32_t)synth_below(random, (uint32_t)(to - from + 1));
}

/* Days from release to treatment if nothing comes between, -1 = none within 90. */
static int32_t draw_treated(struct synth_random *random, uint32_t intervention)
{
	if (synth_below(random, 100) >= continuity[intervention].treated)
		return -1;
	uint32_t r = synth_below(random, 100);
	if (r < continuity[intervention].day_7)
		return between(random, 0, 7);
	if (r < continuity[intervention].day_14)
		return between(random, 8, 14);
	if (r < continuity[intervention].day_21)
		return between(random, 15, 21);
	return r < continuity[intervention].day_28 ? between(random, 22, 28) : between(random, 29, 90);
}

/* Days to death, -1 = not within the year. */
static int32_t draw_death(struct synth_random *random, uint32_t drug, uint32_t intervention)
{
	uint32_t factor = drug != 0 ? 1 : intervention == OST ? 2 : 5, r = synth_below(random, 10000);
	if (r < 12 * factor)
		return between(random, 1, 14);
	if (r < 18 * factor)
		return between(random, 15, 28);
	return r < 30 * factor ? between(random, 29, 300) : -1;
}

/* Days to re-imprisonment, -1 = not within the year. */
static int32_t draw_return(struct synth_random *random)
{
	uint32_t r = synth_below(random, 100);
	if (r < 4)
		return between(random, 3, 30);
	if (r < 12)
		return between(random, 31, 90);
	return r < 30 ? between(random, 91, 330) : -1;
}

static void add_treatment(struct synth_random *random, struct synth_life *life, int32_t start, int32_t last)
{
	int32_t end = start + between(random, 14, 250);
	add(life, SYNTH_TREATMENT_START, false, start, 0);
	if (end < last && synth_below(random, 100) < 80)
		add(life, SYNTH_TREATMENT_END, false, end, 0);
}

enum { FOREVER = 1 << 20 };

/* One release and what follows it: whichever of treatment, death and prison comes first. Returns the day of the next
 * reception, or -1. */
static int32_t live_spell(struct synth_random *random, const struct synth_person *person, bool may_be_treated,
			  int32_t release, struct synth_life *life)
{
	uint32_t intervention = draw_intervention(random, person->drug);
	int32_t treated = draw_treated(random, intervention), late = between(random, 91, 300);
	int32_t death = draw_death(random, person->drug, intervention), back = draw_return(random);
	bool comes_late = synth_below(random, 100) < 40;
	if (!may_be_treated)
		treated = -1;
	else if (treated < 0 && comes_late)
		treated = late;
	if (death >= 0 && back >= 0) {
		if (death <= back)
			back = -1;
		else
			death = -1;
	}
	int32_t last = death >= 0 ? death : back >= 0 ? back : FOREVER;
	if (treated >= last)
		treated = -1;
	add(life, SYNTH_RELEASE, true, release, intervention);
	life->spells[life->n_spells++] = (struct synth_spell){release, intervention, treated};
	if (treated >= 0)
		add_treatment(random, life, release + treated, last == FOREVER ? FOREVER : release + last);
	if (death >= 0)
		add(life, SYNTH_DEATH, treated < 0, release + death, 0);
	return back >= 0 ? release + back : -1;
}

static void live_in_prison(struct synth_random *random, const struct synth_plan *plan,
			   const struct synth_person *person, struct synth_life *life)
{
	int32_t first = day_from_civil(2024, 1, 1), last = day_from_civil(2024, 12, 31);
	bool may_be_treated = synth_below(random, 100) < plan->overlap;
	int32_t release = between(random, first, last), reception = release - between(random, 14, 400);
	if (may_be_treated && synth_below(random, 100) < 30) {
		int32_t start = reception - between(random, 30, 200);
		add_treatment(random, life, start, reception);
	}
	for (uint32_t i = 0; i < plan->max_releases; i++) {
		add(life, SYNTH_RECEPTION, true, reception, 0);
		if (release > last)
			return;
		reception = live_spell(random, person, may_be_treated, release, life);
		if (reception < 0)
			return;
		release = reception + between(random, 10, 150);
	}
	add(life, SYNTH_RECEPTION, true, reception, 0);
}

void synth_life_make(struct synth_random *random, const struct synth_plan *plan, const struct synth_person *person,
		     struct synth_life *ret)
{
	*ret = (struct synth_life){.n_events = 0};
	if (synth_below(random, 100) < 75) {
		live_in_prison(random, plan, person, ret);
		return;
	}
	int32_t start = between(random, day_from_civil(2023, 7, 1), day_from_civil(2025, 1, 31));
	add_treatment(random, ret, start, FOREVER);
	if (synth_below(random, 100) < 20)
		add_treatment(random, ret, start + between(random, 261, 400), FOREVER);
}
