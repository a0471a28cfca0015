/* Starting threads: signals from outside are the main thread's, faults are the thread's own. */
#ifndef DAEMON_BASE_THREAD_H
#define DAEMON_BASE_THREAD_H

#include <pthread.h>

/* As pthread_create. The thread sees no signal but SIGBUS and SIGSEGV, which its own reading of a mapped file may raise:
 * the kernel ends the process without a word where such a one is blocked, and with the handler's word where it is not. */
int thread_start(pthread_t *ret, void *(*fn)(void *), void *arg);

#endif
