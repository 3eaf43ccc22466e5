/* What the parts of the worker share: an operation is opened under an id, run many times, closed. */
#ifndef RAW_H
#define RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mqueue.h>
#include <semaphore.h>
#include <sys/types.h>

/* One direction of a hand-over: a semaphore or a queue. */
struct lane {
    sem_t *semaphore;
    mqd_t queue;
};

struct slot {
    char id[32], name[256];
    const struct operation *operation;
    size_t size;
    struct lane there, back;
    struct pair *pair; /* of an operation between two processes */
    struct ring *ring; /* of an operation on locks */
    long steps;        /* that this process has made in the ring */
};

/* Two processes. */
struct pair {
    int64_t *stamp; /* shared: when the partner gave */
    pid_t partner;
    int tries;    /* before it sleeps */
    int64_t work; /* nanoseconds that the partner lets the other wait */
    int commands[2], answers[2];
};

struct operation {
    const char *name;
    void (*open)(struct slot *, size_t limit);
    void (*run)(struct slot *, long n);   /* reports the nanoseconds that n took */
    void (*trace)(struct slot *, long n); /* reports the nanoseconds of each of n */
    void (*close)(struct slot *);
};

/* The last of each has no name. */
extern const struct operation LANE_OPERATIONS[], PAIR_OPERATIONS[], LOCK_OPERATIONS[],
    SEGMENT_OPERATIONS[];

enum { SHORT_WORK_NS = 3 * 1000, WORK_NS = 200 * 1000 }; /* see peers/pairs.py */

void place(const char *placement); /* `free`, `one` or `apart`: see peers/pairs.py */
int64_t now(void);
void report(int64_t nanoseconds);
void check(bool ok, const char *what); /* else ends the worker with errno's text */

void *shared_page(void); /* of 4096 bytes */
void relax(void);
sem_t *new_semaphore(unsigned value);
mqd_t new_queue(const struct slot *, long messages, size_t limit);
void close_lane(struct lane *);
void give(struct lane, size_t size);
void take(struct lane, int tries); /* before it sleeps */

/* Forks a partner that enters, and answers as often as it is told to. */
void start_pair(struct slot *, int tries, int64_t work, void (*enter)(struct slot *),
                void (*answer)(struct slot *, long n));
void begin(struct pair *, long n); /* the partner is about to answer n times */
void work(struct pair *);          /* of the partner, until it stamps */
void end_pair(struct slot *);

#endif
