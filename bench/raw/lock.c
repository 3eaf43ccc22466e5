/* Robust mutexes: what libc and the kernel have for a lock that survives its owner. What is done with
 * them is what peers/pairs.py and peers/deaths.py do with locks. */
#define _GNU_SOURCE
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Shared. The first is all that an operation on a single lock needs. */
struct ring {
    struct {
        pthread_mutex_t mutex;
        char rest[128 - sizeof(pthread_mutex_t)]; /* each has cache lines of its own */
    } locks[3];
    int64_t killed; /* when the owner was */
};

static const useconds_t ASLEEP_US = 100 * 1000, SPREAD_US = 20 * 1000;

static pthread_mutex_t *lock_at(struct ring *ring, long step)
{
    return &ring->locks[step % 3].mutex;
}

static void check_error(int error, const char *what)
{
    if (error != 0) {
        errno = error;
        check(false, what);
    }
}

static void acquire(pthread_mutex_t *mutex)
{
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(mutex);
    check_error(error, "pthread_mutex_lock");
}

static void release(pthread_mutex_t *mutex)
{
    check_error(pthread_mutex_unlock(mutex), "pthread_mutex_unlock");
}

static void open_lock(struct slot *slot, size_t limit)
{
    pthread_mutexattr_t attributes;
    (void)limit;
    slot->ring = shared_page();
    check_error(pthread_mutexattr_init(&attributes), "pthread_mutexattr_init");
    check_error(pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED),
                "pthread_mutexattr_setpshared");
    check_error(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST),
                "pthread_mutexattr_setrobust");
    for (long i = 0; i < 3; i++)
        check_error(pthread_mutex_init(lock_at(slot->ring, i), &attributes), "pthread_mutex_init");
    pthread_mutexattr_destroy(&attributes);
}

static void close_lock(struct slot *slot)
{
    munmap(slot->ring, 4096);
}

static void run_acquire_release(struct slot *slot, long n)
{
    pthread_mutex_t *mutex = lock_at(slot->ring, 0);
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        acquire(mutex);
        release(mutex);
    }
    report(now() - start);
}

/* Takes the next lock, and gives up the one before. */
static pthread_mutex_t *step(struct slot *slot)
{
    pthread_mutex_t *held = lock_at(slot->ring, slot->steps);
    acquire(lock_at(slot->ring, ++slot->steps));
    return held;
}

static void enter_ring(struct slot *slot)
{
    slot->steps = 1;
    acquire(lock_at(slot->ring, slot->steps));
}

static void answer(struct slot *slot, long n)
{
    for (long i = 0; i < n; i++) {
        pthread_mutex_t *held = step(slot);
        work(slot->pair);
        release(held);
    }
}

static void open_ring(struct slot *slot, size_t limit, int64_t work)
{
    open_lock(slot, limit);
    acquire(lock_at(slot->ring, 0));
    start_pair(slot, 0, work, enter_ring, answer);
}

static void open_round_trip(struct slot *slot, size_t limit)
{
    open_ring(slot, limit, 0);
}

static void open_hand_over(struct slot *slot, size_t limit)
{
    open_ring(slot, limit, SHORT_WORK_NS);
}

static void open_wake_up(struct slot *slot, size_t limit)
{
    open_ring(slot, limit, WORK_NS);
}

static void run_round_trip(struct slot *slot, long n)
{
    begin(slot->pair, n);
    int64_t start = now();
    for (long i = 0; i < n; i++)
        release(step(slot));
    report(now() - start);
}

static void trace_round_trip(struct slot *slot, long n)
{
    begin(slot->pair, n);
    for (long i = 0; i < n; i++) {
        int64_t start = now();
        release(step(slot));
        report(now() - start);
    }
}

static void trace_hand_over(struct slot *slot, long n)
{
    begin(slot->pair, n + 1);
    release(step(slot)); /* the partner was a step ahead, and did not have to wait */
    for (long i = 0; i < n; i++) {
        pthread_mutex_t *held = step(slot);
        report(now() - *slot->pair->stamp);
        release(held);
    }
}

static void close_ring(struct slot *slot)
{
    /* Its memory goes, and the kernel would look for it among what this thread has. */
    release(lock_at(slot->ring, slot->steps));
    end_pair(slot);
    close_lock(slot);
}

/* A child that does something, and ends with its parent. */
static pid_t child(void)
{
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* A child that has the lock. */
static pid_t owner(struct slot *slot)
{
    int ready[2];
    char byte;
    check(pipe(ready) == 0, "pipe");
    pid_t pid = child();
    if (pid == 0) {
        acquire(lock_at(slot->ring, 0));
        check(write(ready[1], "!", 1) == 1, "write");
        for (;;)
            pause();
    }
    close(ready[1]);
    check(read(ready[0], &byte, 1) == 1, "read");
    close(ready[0]);
    return pid;
}

static void trace_death(struct slot *slot, long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = owner(slot);
        check(kill(pid, SIGKILL) == 0, "kill");
        waitpid(pid, NULL, 0);
        int64_t start = now();
        acquire(lock_at(slot->ring, 0));
        report(now() - start);
        release(lock_at(slot->ring, 0));
    }
}

static void trace_death_asleep(struct slot *slot, long n)
{
    for (long i = 0; i < n; i++) {
        pid_t pid = owner(slot), killer = child();
        if (killer == 0) {
            usleep(ASLEEP_US + (useconds_t)(now() % SPREAD_US));
            slot->ring->killed = now();
            check(kill(pid, SIGKILL) == 0, "kill");
            _exit(0);
        }
        acquire(lock_at(slot->ring, 0));
        report(now() - slot->ring->killed);
        release(lock_at(slot->ring, 0));
        waitpid(pid, NULL, 0);
        waitpid(killer, NULL, 0);
    }
}

const struct operation LOCK_OPERATIONS[] = {
    { "lock_acquire_release", open_lock, run_acquire_release, NULL, close_lock },
    { "lock_round_trip", open_round_trip, run_round_trip, trace_round_trip, close_ring },
    { "lock_hand_over", open_hand_over, NULL, trace_hand_over, close_ring },
    { "lock_wake_up", open_wake_up, NULL, trace_hand_over, close_ring },
    { "lock_death", open_lock, NULL, trace_death, close_lock },
    { "lock_death_asleep", open_lock, NULL, trace_death_asleep, close_lock },
    { 0 },
};
