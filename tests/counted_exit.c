/* In builds that count lines (preset coverage) before _exit: a child that ends without the C library's clean-up writes its
 * counters all the same. A process that has confined itself cannot: tests/coverage.sh says how those are run. */
#include <unistd.h>

void __gcov_dump(void);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
