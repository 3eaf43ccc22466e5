/* The raw calls of libc and of the kernel, measured as the peers are: a worker that reads commands
 * on standard input and answers with nanoseconds. The protocol is that of peers/worker.py.
 * usage: raw PLACEMENT */
#define _GNU_SOURCE
#include "raw.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 64, REPORTS = 100000 };

static struct slot slots[SLOTS];
static int64_t reports[REPORTS];
static int reported;

int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void report(int64_t nanoseconds)
{
    if (reported < REPORTS)
        reports[reported++] = nanoseconds;
}

void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    _exit(1);
}

static const struct operation *operation_named(const char *name)
{
    const struct operation *tables[] = { LANE_OPERATIONS, PAIR_OPERATIONS, LOCK_OPERATIONS,
                                         SEGMENT_OPERATIONS };
    for (int i = 0; i < 4; i++)
        for (const struct operation *operation = tables[i]; operation->name; operation++)
            if (strcmp(operation->name, name) == 0)
                return operation;
    return NULL;
}

static struct slot *slot_with(const char *id)
{
    for (int i = 0; i < SLOTS; i++)
        if (strcmp(slots[i].id, id) == 0)
            return &slots[i];
    return NULL;
}

static const char *open_slot(const char *id, const char *name, const char *operation, size_t size,
                             size_t limit)
{
    struct slot *slot = slot_with("");
    if (!slot)
        return "too many open operations";
    *slot = (struct slot){ .operation = operation_named(operation), .size = size };
    if (!slot->operation)
        return "no such operation";
    snprintf(slot->name, sizeof slot->name, "%s", name);
    slot->operation->open(slot, limit);
    snprintf(slot->id, sizeof slot->id, "%s", id);
    return NULL;
}

static const char *use_slot(const char *verb, const char *id, long n)
{
    struct slot *slot = slot_with(id);
    if (!slot)
        return "no such id";
    if (strcmp(verb, "close") == 0) {
        slot->operation->close(slot);
        slot->id[0] = 0;
        return NULL;
    }
    void (*measure)(struct slot *, long) =
        strcmp(verb, "trace") == 0 ? slot->operation->trace : slot->operation->run;
    if (!measure)
        return "the operation does not do that";
    measure(slot, n);
    return NULL;
}

static void answer(const char *line)
{
    char verb[16], id[32], operation[64], name[256];
    const char *problem = "cannot read the command";
    size_t size, limit;
    long n;

    reported = 0;
    if (sscanf(line, "open %31s %63s %255s %zu %zu", id, operation, name, &size, &limit) == 5)
        problem = open_slot(id, name, operation, size, limit);
    else if (sscanf(line, "%15s %31s %ld", verb, id, &n) == 3)
        problem = use_slot(verb, id, n);

    if (problem) {
        printf("error %s\n", problem);
    } else {
        printf("ok");
        for (int i = 0; i < reported; i++)
            printf(" %" PRId64, reports[i]);
        putchar('\n');
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    char line[1024];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    place(argc > 1 ? argv[1] : "free");
    while (fgets(line, sizeof line, stdin))
        answer(line);
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].id[0])
            slots[i].operation->close(&slots[i]);
    return 0;
}
