/* For LD_PRELOAD: makes this C library one of before 2.30, without sem_clockwait, for who looks it up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
#else
#define FIRST_VERSION "GLIBC_2.17"
#endif

void *dlsym(void *restrict handle, const char *restrict name)
{
    static void *(*next)(void *, const char *);
    if (strcmp(name, "sem_clockwait") == 0) {
        static const char said[] = "hidden\n";
        if (write(STDERR_FILENO, said, sizeof said - 1) < 0)
            _exit(1);
        return NULL;
    }
    if (!next)
        *(void **)&next = dlvsym(RTLD_NEXT, "dlsym", FIRST_VERSION);
    return next(handle, name);
}
