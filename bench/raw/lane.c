/* Semaphores and queues, and what a single process does with them. */
#define _GNU_SOURCE
#include "raw.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

enum { MAX_MESSAGE = 8192, BATCH = 10 };

void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void *shared_page(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(page != MAP_FAILED, "mmap");
    return page;
}

sem_t *new_semaphore(unsigned value)
{
    sem_t *semaphore = shared_page();
    check(sem_init(semaphore, 1, value) == 0, "sem_init");
    return semaphore;
}

/* The name goes at once: the descriptor is all that this process and its partner need. */
mqd_t new_queue(const struct slot *slot, long messages, size_t limit)
{
    struct mq_attr attributes = { .mq_maxmsg = messages, .mq_msgsize = (long)limit };
    mqd_t queue = mq_open(slot->name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    check(queue != (mqd_t)-1, "mq_open");
    check(mq_unlink(slot->name) == 0, "mq_unlink");
    return queue;
}

void close_lane(struct lane *lane)
{
    if (lane->semaphore)
        munmap(lane->semaphore, 4096);
    else
        mq_close(lane->queue);
}

void give(struct lane lane, size_t size)
{
    static char message[MAX_MESSAGE];
    if (lane.semaphore)
        check(sem_post(lane.semaphore) == 0, "sem_post");
    else
        check(mq_send(lane.queue, message, size, 0) == 0, "mq_send");
}

void take(struct lane lane, int tries)
{
    static char buffer[MAX_MESSAGE];
    static const struct timespec over = { 0, 0 };
    for (int i = 0; i < tries; i++) {
        if (lane.semaphore ? sem_trywait(lane.semaphore) == 0
                           : mq_timedreceive(lane.queue, buffer, sizeof buffer, NULL, &over) >= 0)
            return;
        relax();
    }
    if (lane.semaphore)
        check(sem_wait(lane.semaphore) == 0, "sem_wait");
    else
        check(mq_receive(lane.queue, buffer, sizeof buffer, NULL) >= 0, "mq_receive");
}

static void open_semaphore(struct slot *slot, size_t limit)
{
    (void)limit;
    slot->there.semaphore = new_semaphore(1);
}

static void run_acquire_release(struct slot *slot, long n)
{
    sem_t *semaphore = slot->there.semaphore;
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        check(sem_trywait(semaphore) == 0, "sem_trywait");
        check(sem_post(semaphore) == 0, "sem_post");
    }
    report(now() - start);
}

static void open_queue(struct slot *slot, size_t limit)
{
    slot->there.queue = new_queue(slot, 2, limit);
}

static void open_queue_for_batch(struct slot *slot, size_t limit)
{
    slot->there.queue = new_queue(slot, BATCH, limit);
}

static void run_send_receive(struct slot *slot, long n)
{
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        give(slot->there, slot->size);
        take(slot->there, 0);
    }
    report(now() - start);
}

static void run_batch(struct slot *slot, long n)
{
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        for (int j = 0; j < BATCH; j++)
            give(slot->there, slot->size);
        for (int j = 0; j < BATCH; j++)
            take(slot->there, 0);
    }
    report(now() - start);
}

static void close_alone(struct slot *slot)
{
    close_lane(&slot->there);
}

const struct operation LANE_OPERATIONS[] = {
    { "acquire_release", open_semaphore, run_acquire_release, NULL, close_alone },
    { "send_receive", open_queue, run_send_receive, NULL, close_alone },
    { "batch", open_queue_for_batch, run_batch, NULL, close_alone },
    { 0 },
};
