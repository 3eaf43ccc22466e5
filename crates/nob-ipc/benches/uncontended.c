/* The two calls that an uncontended acquire and release come down to. */
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Nanoseconds of `count` times both, on the semaphore called `name`; 0 if there is none. */
uint64_t uncontended(const char *name, uint64_t count)
{
    sem_t *semaphore = sem_open(name, 0);
    if (semaphore == SEM_FAILED)
        return 0;
    uint64_t start = now();
    for (uint64_t i = 0; i < count; i++)
        if (sem_trywait(semaphore) != 0 || sem_post(semaphore) != 0)
            abort();
    uint64_t elapsed = now() - start;
    sem_close(semaphore);
    return elapsed;
}
