/* For LD_PRELOAD: once the file named by $SLEPT is there, CLOCK_BOOTTIME tells an hour more, as it does after the machine
 * was suspended for that long; CLOCK_MONOTONIC does not. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int (*real)(clockid_t, struct timespec *) =
		(int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	const char *file = getenv("SLEPT");
	int code = real(clock, out);

	if (code == 0 && clock == CLOCK_BOOTTIME && file && access(file, F_OK) == 0)
		out->tv_sec += 3600;
	return code;
}
