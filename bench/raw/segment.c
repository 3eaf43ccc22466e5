/* Shared memory: the system calls that it takes to publish a segment whole, reserved and marked, to take
 * part in its use by a lock, and to remove the name under one, with what Python's mmap adds (fstat, a
 * duplicate of the descriptor, and its close). */
#define _GNU_SOURCE
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void *map_as_python(int fd, size_t size, int *copy)
{
    struct stat status;
    check(fstat(fd, &status) == 0, "fstat"); /* the size as it is now */
    check(fstat(fd, &status) == 0, "fstat"); /* mmap.mmap: is the file large enough? */
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    check(*copy >= 0, "fcntl");
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    check(memory != MAP_FAILED, "mmap");
    return memory;
}

/* The short way takes a privilege before Linux 6.10. */
static void publish(int fd, const char *path)
{
    char unnamed[64];
    if (linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0)
        return;
    check(errno == ENOENT, "linkat");
    snprintf(unnamed, sizeof unnamed, "/proc/self/fd/%d", fd);
    check(linkat(AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0, "linkat");
}

/* Nobody can link to it between the look and the removal. */
static void remove_unused(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    check(fd >= 0, "open");
    check(fstat(fd, &status) == 0, "fstat");
    check(flock(fd, LOCK_EX | LOCK_NB) == 0, "flock");
    check(fstat(fd, &status) == 0, "fstat");
    check(unlink(path) == 0, "unlink");
    check(flock(fd, LOCK_UN) == 0, "flock");
    close(fd);
}

static void open_nothing(struct slot *slot, size_t limit)
{
    (void)slot;
    (void)limit;
}

static void run_create(struct slot *slot, long n)
{
    static const char mark[] = "1 00000000 0000000000 00000000-0000-0000-0000-000000000000";
    char path[300];
    int copy;

    snprintf(path, sizeof path, "/dev/shm%s", slot->name);
    int64_t start = now();
    for (long i = 0; i < n; i++) {
        int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        check(fd >= 0, "open");
        check(flock(fd, LOCK_SH | LOCK_NB) == 0, "flock");
        check(fallocate(fd, 0, 0, (off_t)slot->size) == 0, "fallocate");
        if (fsetxattr(fd, "user.nob-ipc", mark, sizeof mark - 1, 0) != 0)
            check(errno == ENOTSUP, "fsetxattr"); /* a tmpfs before Linux 6.6 */
        publish(fd, path);
        char *memory = map_as_python(fd, slot->size, &copy);
        memory[0] = 1;
        check(munmap(memory, slot->size) == 0, "munmap");
        close(copy);
        close(fd);
        remove_unused(path);
    }
    report(now() - start);
}

static void close_nothing(struct slot *slot)
{
    (void)slot;
}

static void open_existing(struct slot *slot, size_t limit)
{
    (void)limit;
    int fd = shm_open(slot->name, O_RDWR | O_CREAT | O_EXCL, 0600);
    check(fd >= 0, "shm_open");
    check(ftruncate(fd, (off_t)slot->size) == 0, "ftruncate");
    close(fd);
}

static void run_attach(struct slot *slot, long n)
{
    struct stat status;
    int copy;

    int64_t start = now();
    for (long i = 0; i < n; i++) {
        int fd = shm_open(slot->name, O_RDWR, 0);
        check(fd >= 0, "shm_open");
        check(flock(fd, LOCK_SH | LOCK_NB) == 0, "flock");
        check(fstat(fd, &status) == 0, "fstat");
        void *memory = map_as_python(fd, slot->size, &copy);
        check(munmap(memory, slot->size) == 0, "munmap");
        close(copy);
        close(fd);
    }
    report(now() - start);
}

static void close_existing(struct slot *slot)
{
    check(shm_unlink(slot->name) == 0, "shm_unlink");
}

const struct operation SEGMENT_OPERATIONS[] = {
    { "segment_create", open_nothing, run_create, NULL, close_nothing },
    { "segment_attach", open_existing, run_attach, NULL, close_existing },
    { 0 },
};
