/* A peer in C: uses the objects by the calls that POSIX has for them, and nothing else.
 *
 * peer COMMAND NAME [ARGUMENT...]; what it finds it prints, and what fails it says with status 1. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void need(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static sem_t *semaphore(const char *name) {
    sem_t *opened = sem_open(name, 0);
    need(opened != SEM_FAILED, "sem_open");
    return opened;
}

static void sem_create(char **words) {
    sem_t *opened = sem_open(words[0], O_CREAT | O_EXCL, 0600, (unsigned)atoi(words[1]));
    need(opened != SEM_FAILED, "sem_open");
    need(sem_close(opened) == 0, "sem_close");
}

static void sem_value(char **words) {
    int value;
    need(sem_getvalue(semaphore(words[0]), &value) == 0, "sem_getvalue");
    printf("%d\n", value);
}

static void sem_release(char **words) { need(sem_post(semaphore(words[0])) == 0, "sem_post"); }

static void sem_acquire(char **words) {
    sem_t *opened = semaphore(words[0]);
    ready();
    need(sem_wait(opened) == 0, "sem_wait");
    puts("acquired");
}

static void shm_create(char **words) {
    int fd = shm_open(words[0], O_CREAT | O_EXCL | O_RDWR, 0600);
    need(fd >= 0, "shm_open");
    need(ftruncate(fd, atol(words[1])) == 0, "ftruncate");
}

static char *segment(const char *name, size_t *size) {
    struct stat status;
    int fd = shm_open(name, O_RDWR, 0);
    need(fd >= 0, "shm_open");
    need(fstat(fd, &status) == 0, "fstat");
    *size = (size_t)status.st_size;
    char *memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    need(memory != MAP_FAILED, "mmap");
    return memory;
}

static void shm_write(char **words) {
    size_t size;
    char *memory = segment(words[0], &size);
    memcpy(memory, words[1], strlen(words[1]));
}

static void shm_read(char **words) {
    size_t size;
    char *memory = segment(words[0], &size);
    printf("%zu %.*s\n", size, (int)strnlen(memory, size), memory);
}

static void mq_create(char **words) {
    struct mq_attr attributes = {.mq_maxmsg = atol(words[1]), .mq_msgsize = atol(words[2])};
    mqd_t opened = mq_open(words[0], O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    need(opened != (mqd_t)-1, "mq_open");
}

static mqd_t queue(const char *name, int flags) {
    mqd_t opened = mq_open(name, flags);
    need(opened != (mqd_t)-1, "mq_open");
    return opened;
}

static void mq_put(char **words) {
    mqd_t opened = queue(words[0], O_WRONLY);
    ready();
    need(mq_send(opened, words[1], strlen(words[1]), (unsigned)atoi(words[2])) == 0, "mq_send");
    puts("sent");
}

static void mq_get(char **words) {
    struct mq_attr attributes;
    unsigned priority;
    mqd_t opened = queue(words[0], O_RDONLY);
    need(mq_getattr(opened, &attributes) == 0, "mq_getattr");
    char *buffer = malloc((size_t)attributes.mq_msgsize);
    need(buffer != NULL, "malloc");
    ready();
    ssize_t length = mq_receive(opened, buffer, (size_t)attributes.mq_msgsize, &priority);
    need(length >= 0, "mq_receive");
    printf("%.*s %u\n", (int)length, buffer, priority);
}

static void mq_attributes(char **words) {
    struct mq_attr attributes;
    need(mq_getattr(queue(words[0], O_RDONLY), &attributes) == 0, "mq_getattr");
    printf("%ld %ld %ld\n", attributes.mq_maxmsg, attributes.mq_msgsize, attributes.mq_curmsgs);
}

static void unlink_all(char **words) {
    need(sem_unlink(words[0]) == 0, "sem_unlink");
    need(shm_unlink(words[0]) == 0, "shm_unlink");
    need(mq_unlink(words[0]) == 0, "mq_unlink");
}

/* Adds one to the number in the segment, so many times, each inside the semaphore. */
static void count(char **words) {
    size_t size;
    volatile long *number = (volatile long *)segment(words[0], &size);
    sem_t *opened = semaphore(words[0]);
    ready();
    for (long left = atol(words[1]); left > 0; left--) {
        need(sem_wait(opened) == 0, "sem_wait");
        ++*number;
        need(sem_post(opened) == 0, "sem_post");
    }
}

static const struct {
    const char *command;
    void (*run)(char **words);
} commands[] = {
    {"sem-create", sem_create}, {"sem-value", sem_value},   {"sem-release", sem_release},
    {"sem-acquire", sem_acquire}, {"shm-create", shm_create}, {"shm-write", shm_write},
    {"shm-read", shm_read},     {"mq-create", mq_create},   {"mq-send", mq_put},
    {"mq-receive", mq_get},     {"mq-attributes", mq_attributes},
    {"unlink", unlink_all},     {"count", count},
};

int main(int argc, char **argv) {
    for (size_t i = 0; argc > 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].command) == 0) {
            commands[i].run(argv + 2);
            return 0;
        }
    }
    fputs("usage: peer COMMAND NAME [ARGUMENT...]\n", stderr);
    return 2;
}
