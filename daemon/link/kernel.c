/* Names of the kernels, and the choice among them by what this processor has. */
#include "daemon/link/kernel.h"

#include <string.h>

static const char *const names[] = {
	[LINK_KERNEL_AUTO] = "auto",
	[LINK_KERNEL_SCALAR] = "scalar",
	[LINK_KERNEL_AVX2] = "avx2",
	[LINK_KERNEL_AVX512] = "avx512",
};
enum { N_KERNELS = sizeof names / sizeof names[0] };

bool link_kernel_parse(const char *name, enum link_kernel *ret)
{
	for (size_t i = 0; i < N_KERNELS; i++) {
		if (strcmp(names[i], name) == 0) {
			*ret = (enum link_kernel)i;
			return true;
		}
	}
	return false;
}

const char *link_kernel_name(enum link_kernel kernel)
{
	return (size_t)kernel < N_KERNELS ? names[kernel] : "unknown";
}

static const struct kernel *choose_scalar(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("popcnt"))
		return &kernel_scalar_popcnt;
#endif
	return &kernel_scalar;
}

static const struct kernel *choose_avx2(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return &kernel_avx2;
#endif
	return NULL;
}

static const struct kernel *choose_avx512(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq"))
		return &kernel_avx512;
#endif
	return NULL;
}

const struct kernel *kernel_choose(enum link_kernel kernel)
{
	const struct kernel *k;

	switch (kernel) {
	case LINK_KERNEL_SCALAR:
		return choose_scalar();
	case LINK_KERNEL_AVX2:
		return choose_avx2();
	case LINK_KERNEL_AVX512:
		return choose_avx512();
	case LINK_KERNEL_AUTO:
		k = choose_avx512();
		if (k == NULL)
			k = choose_avx2();
		return k != NULL ? k : choose_scalar();
	}
	return NULL;
}

bool link_kernel_is_available(enum link_kernel kernel)
{
	return kernel_choose(kernel) != NULL;
}
