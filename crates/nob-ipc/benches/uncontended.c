/* What an uncontended acquire and release come down to in libc: on a semaphore, and on a robust mutex. */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void check(int error)
{
    if (error != 0)
        abort();
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

/* The same on a new mutex that processes share; 0 if there is no memory for it. */
uint64_t uncontended_mutex(uint64_t count)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t *mutex =
        mmap(NULL, sizeof *mutex, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mutex == MAP_FAILED)
        return 0;
    check(pthread_mutexattr_init(&attributes));
    check(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
    check(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
    check(pthread_mutex_init(mutex, &attributes));
    check(pthread_mutexattr_destroy(&attributes));
    uint64_t start = now();
    for (uint64_t i = 0; i < count; i++)
        if (pthread_mutex_lock(mutex) != 0 || pthread_mutex_unlock(mutex) != 0)
            abort();
    uint64_t elapsed = now() - start;
    munmap(mutex, sizeof *mutex);
    return elapsed;
}
