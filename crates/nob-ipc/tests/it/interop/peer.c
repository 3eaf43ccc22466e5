/* The other side of the tests with C: one action on one object, by the C library's own calls. */

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        exit(1);
    }
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static void semaphore(const char *action, const char *name, const char *argument)
{
    int create = strcmp(action, "sem-create") == 0;
    sem_t *semaphore = create ? sem_open(name, O_CREAT | O_EXCL, 0600, atoi(argument))
                              : sem_open(name, 0);
    check(semaphore != SEM_FAILED, "sem_open");
    if (strcmp(action, "sem-post") == 0) {
        check(sem_post(semaphore) == 0, "sem_post");
    } else if (strcmp(action, "sem-wait") == 0) {
        say("waiting");
        check(sem_wait(semaphore) == 0, "sem_wait");
        say("done");
    } else if (strcmp(action, "sem-value") == 0) {
        int value;
        check(sem_getvalue(semaphore, &value) == 0, "sem_getvalue");
        printf("%d\n", value);
    }
    check(sem_close(semaphore) == 0, "sem_close");
}

static void segment(const char *action, const char *name, const char *argument)
{
    int create = strcmp(action, "shm-create") == 0;
    int fd = shm_open(name, create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR, 0600);
    check(fd != -1, "shm_open");
    if (create)
        check(ftruncate(fd, 5000) == 0, "ftruncate");
    struct stat stat;
    check(fstat(fd, &stat) == 0, "fstat");
    char *bytes = mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(bytes != MAP_FAILED, "mmap");
    if (strcmp(action, "shm-read") == 0)
        printf("%ld %s\n", (long)stat.st_size, bytes);
    else
        strcpy(bytes, argument);
}

static void queue(const char *action, const char *name, const char *argument)
{
    struct mq_attr attributes = {.mq_maxmsg = 3, .mq_msgsize = 32};
    int create = strcmp(action, "mq-create") == 0;
    mqd_t queue = create ? mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes)
                         : mq_open(name, O_RDWR);
    check(queue != (mqd_t)-1, "mq_open");
    if (strcmp(action, "mq-receive") == 0) {
        char message[8192];
        unsigned priority;
        say("waiting");
        ssize_t length = mq_receive(queue, message, sizeof message, &priority);
        check(length != -1, "mq_receive");
        printf("%u %.*s\n", priority, (int)length, message);
    } else {
        check(mq_send(queue, argument, strlen(argument), 7) == 0, "mq_send");
    }
}

static void unlink_all(const char *name)
{
    check(sem_unlink(name) == 0, "sem_unlink");
    check(shm_unlink(name) == 0, "shm_unlink");
    check(mq_unlink(name) == 0, "mq_unlink");
}

int main(int count, char **arguments)
{
    check(count == 4, "usage: interop ACTION NAME ARGUMENT");
    const char *action = arguments[1];
    if (strncmp(action, "sem-", 4) == 0)
        semaphore(action, arguments[2], arguments[3]);
    else if (strncmp(action, "shm-", 4) == 0)
        segment(action, arguments[2], arguments[3]);
    else if (strncmp(action, "mq-", 3) == 0)
        queue(action, arguments[2], arguments[3]);
    else
        unlink_all(arguments[2]);
    return 0;
}
