/* Constructions of composite filters: how a profile is made, and what the lab compares profiles with. */
#ifndef PROTO_STUDY_CONSTRUCT_H
#define PROTO_STUDY_CONSTRUCT_H

#include "proto/study.h"

enum study_join {
	JOIN_NOTHING,         /* a filter a feature */
	JOIN_NAMES,           /* names; date; residence */
	JOIN_NAMES_AND_BIRTH, /* names; date with residence */
	JOIN_ALL,             /* one filter */
};

struct study_construction {
	enum study_join join;
	uint16_t bits, diffusion;
	enum study_incomplete incomplete;
};

/* Give a domain with roles the filters of a construction, and default comparisons, in place of its own. Its digests are
 * left as they are: what is encoded so is for measurements only. Errors: INVALID (a feature has no role). */
enum rc study_construct(struct study_domain *domain, const struct study_construction *construction,
			struct diag *diag) MUST_CHECK;

#endif
