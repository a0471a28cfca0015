/* The clock that nobody sets: one set back by hours must not make a wait of a minute one of hours. */
#ifndef DAEMON_BASE_MONOTONIC_H
#define DAEMON_BASE_MONOTONIC_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

int64_t monotonic_ms(void);
/* A condition whose pthread_cond_timedwait takes a moment of monotonic_after(). */
void monotonic_cond_init(pthread_cond_t *cond);
/* The moment so many seconds from now. */
struct timespec monotonic_after(int seconds);

#endif
