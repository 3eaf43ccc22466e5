/* Hand-over between two processes, placed as peers/pairs.py says. */
#define _GNU_SOURCE
#include "raw.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEMAPHORE_TRIES = 200, QUEUE_TRIES = 20 };
static cpu_set_t allowed;
static int first, last; /* processors */
static bool stay;

void place(const char *placement)
{
    check(sched_getaffinity(0, sizeof allowed, &allowed) == 0, "sched_getaffinity");
    first = -1;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &allowed))
            continue;
        if (first < 0)
            first = i;
        last = i;
    }
    if (strcmp(placement, "one") == 0) {
        last = first;
        CPU_ZERO(&allowed);
        CPU_SET(first, &allowed);
        check(sched_setaffinity(0, sizeof allowed, &allowed) == 0, "sched_setaffinity");
    }
    stay = strcmp(placement, "apart") == 0;
}

static void move_to(int processor)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    check(sched_setaffinity(0, sizeof one, &one) == 0, "sched_setaffinity");
    if (!stay)
        check(sched_setaffinity(0, sizeof allowed, &allowed) == 0, "sched_setaffinity");
}

void work(struct pair *pair)
{
    if (!pair->work)
        return;
    int64_t end = now() + pair->work;
    while (now() < end)
        relax();
    *pair->stamp = now();
}

static void enter_lane(struct slot *slot)
{
    (void)slot;
}

static void take_and_give(struct slot *slot, long n)
{
    for (long i = 0; i < n; i++) {
        take(slot->there, slot->pair->tries);
        work(slot->pair);
        give(slot->back, slot->size);
    }
}

static void serve(struct slot *slot, void (*enter)(struct slot *),
                  void (*answer)(struct slot *, long))
{
    struct pair *pair = slot->pair;
    long n;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    enter(slot);
    for (;;) {
        check(read(pair->commands[0], &n, sizeof n) == sizeof n, "read");
        move_to(last);
        check(write(pair->answers[1], "!", 1) == 1, "write");
        answer(slot, n);
    }
}

void begin(struct pair *pair, long n)
{
    char ready;
    check(write(pair->commands[1], &n, sizeof n) == sizeof n, "write");
    check(read(pair->answers[0], &ready, 1) == 1, "read");
    move_to(first);
}

void start_pair(struct slot *slot, int tries, int64_t work, void (*enter)(struct slot *),
                void (*answer)(struct slot *, long))
{
    struct pair *pair = malloc(sizeof *pair);
    check(pair != NULL, "malloc");
    slot->pair = pair;
    pair->tries = tries;
    pair->work = work;
    pair->stamp = shared_page();
    check(pipe(pair->commands) == 0 && pipe(pair->answers) == 0, "pipe");
    pair->partner = fork();
    check(pair->partner >= 0, "fork");
    if (pair->partner == 0)
        serve(slot, enter, answer);
}

static void start_partner(struct slot *slot, int tries, int64_t work)
{
    start_pair(slot, tries, work, enter_lane, take_and_give);
}

static void open_semaphores(struct slot *slot)
{
    slot->there.semaphore = new_semaphore(0);
    slot->back.semaphore = new_semaphore(0);
}

static void open_queues(struct slot *slot, size_t limit)
{
    slot->there.queue = new_queue(slot, 1, limit);
    slot->back.queue = new_queue(slot, 1, limit);
}

static void open_semaphores_sleeping(struct slot *slot, size_t limit)
{
    (void)limit;
    open_semaphores(slot);
    start_partner(slot, 0, 0);
}

static void open_semaphores_spinning(struct slot *slot, size_t limit)
{
    (void)limit;
    open_semaphores(slot);
    start_partner(slot, SEMAPHORE_TRIES, 0);
}

static void open_semaphores_working(struct slot *slot, size_t limit)
{
    (void)limit;
    open_semaphores(slot);
    start_partner(slot, 0, WORK_NS);
}

static void open_queues_sleeping(struct slot *slot, size_t limit)
{
    open_queues(slot, limit);
    start_partner(slot, 0, 0);
}

static void open_queues_spinning(struct slot *slot, size_t limit)
{
    open_queues(slot, limit);
    start_partner(slot, QUEUE_TRIES, 0);
}

static void open_queues_working(struct slot *slot, size_t limit)
{
    open_queues(slot, limit);
    start_partner(slot, 0, WORK_NS);
}

static void run_round_trip(struct slot *slot, long n)
{
    begin(slot->pair, n);
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        give(slot->there, slot->size);
        take(slot->back, slot->pair->tries);
    }
    report(now() - start);
}

static void trace_round_trip(struct slot *slot, long n)
{
    begin(slot->pair, n);
    for (long i = 0; i < n; i++) {
        int64_t start = now();
        give(slot->there, slot->size);
        take(slot->back, slot->pair->tries);
        report(now() - start);
    }
}

static void trace_wake_up(struct slot *slot, long n)
{
    begin(slot->pair, n);
    for (long i = 0; i < n; i++) {
        give(slot->there, slot->size);
        take(slot->back, slot->pair->tries);
        report(now() - *slot->pair->stamp);
    }
}

void end_pair(struct slot *slot)
{
    struct pair *pair = slot->pair;
    kill(pair->partner, SIGKILL);
    waitpid(pair->partner, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(pair->commands[i]);
        close(pair->answers[i]);
    }
    munmap(pair->stamp, 4096);
    free(pair);
}

static void close_pair(struct slot *slot)
{
    end_pair(slot);
    close_lane(&slot->there);
    close_lane(&slot->back);
}

const struct operation PAIR_OPERATIONS[] = {
    { "semaphore_round_trip", open_semaphores_sleeping, run_round_trip, trace_round_trip,
      close_pair },
    { "semaphore_round_trip_spinning", open_semaphores_spinning, run_round_trip, trace_round_trip,
      close_pair },
    { "semaphore_wake_up", open_semaphores_working, NULL, trace_wake_up, close_pair },
    { "queue_round_trip", open_queues_sleeping, run_round_trip, trace_round_trip, close_pair },
    { "queue_round_trip_spinning", open_queues_spinning, run_round_trip, trace_round_trip,
      close_pair },
    { "queue_wake_up", open_queues_working, NULL, trace_wake_up, close_pair },
    { 0 },
};
