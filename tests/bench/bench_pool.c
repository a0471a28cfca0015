/* libs: tc_link */
/* draft */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/resource.h>
#include "daemon/link/pool.h"
#include "tools/lab/population.h"
static double now(clockid_t c){struct timespec t;clock_gettime(c,&t);return (double)t.tv_sec+(double)t.tv_nsec/1e9;}
static void make_domain(struct study_domain *domain, int floor)
{
	static const uint16_t cuts[] = {300, 400, 500, 600, 700, 850, 1000};
	static const int16_t weights[] = {-4, -3, -1, 1, 2, 5, 7, 8};
	memset(domain, 0, sizeof *domain);
	domain->n_filters = domain->n_comparisons = 6;
	for (unsigned f = 0; f < 6; f++) {
		struct study_comparison *c = &domain->comparisons[f];
		domain->filters[f].bits = 512;
		c->filters[0] = (uint8_t)f;
		c->n_filters = 1;
		c->n_cuts[0] = 7;
		memcpy(c->cuts[0], cuts, sizeof cuts);
		for (unsigned i = 0; i < 8; i++)
			c->reference_weight[i + 1] = (int16_t)(weights[i] * 256);
		c->n_levels = 8;
	}
	domain->floor = floor * 256;
}
int main(int argc, char **argv)
{
	uint32_t n = (uint32_t)atoi(argv[1]);
	static struct study_domain d;
	struct link_options o = {LINK_KERNEL_AUTO, LINK_MEMORY_TRY_LOCK, 2};
	struct population p = {6, 512, 10};
	uint8_t filters[POPULATION_FIELDS][POPULATION_MAX_BITS / 8];
	struct link_row row = {0};
	struct link_pool *pool; uint32_t number;
	make_domain(&d, 10);
	if (link_pool_new(&d,&o,&pool)!=RC_OK) return 1;
	double t=now(CLOCK_MONOTONIC);
	for (uint32_t i=0;i<n;i++){
		memcpy(row.record_id,&i,4); population_record(&p,i,filters);
		for(int f=0;f<6;f++) row.filters[f]=filters[f];
		if(link_pool_add(pool,&row,&number)!=RC_OK) return 1;
	}
	printf("add %.1f\n",now(CLOCK_MONOTONIC)-t);
	for (int k=0;k<4;k++){
		struct link_pair *pairs; size_t np; uint32_t nq = k==0?0:k==1?1:k==2?64:1000;
		t=now(CLOCK_MONOTONIC); double c=now(CLOCK_PROCESS_CPUTIME_ID);
		if(link_compare(pool,n-nq,n,NULL,&pairs,&np)!=RC_OK) return 1;
		struct rusage u; getrusage(RUSAGE_SELF,&u);
		printf("batch %u wall %.2f cpu %.2f hits %zu peak %ld MB\n",nq,now(CLOCK_MONOTONIC)-t,now(CLOCK_PROCESS_CPUTIME_ID)-c,np,u.ru_maxrss/1024);
		free(pairs);
	}
	return 0;
}
