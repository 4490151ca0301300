/* Makes writes below a folder fail: preloaded into a process, armed by it through ctypes.
 *
 * fault_arm(folder, n, error): the n-th write from now on below the folder, and every one after
 * it, fails with this errno. n = 0 disarms. fault_count() is how many were made since then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[4096];
static volatile long first_bad = 0, made = 0;
static volatile int bad_errno = 0;

void fault_arm(const char *path, long n, int error) {
    strncpy(folder, path, sizeof folder - 1);
    made = 0;
    bad_errno = error;
    first_bad = n;
}

long fault_count(void) { return made; }

static int must_fail(int fd) {
    char link[64], path[4096];
    if (first_bad <= 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    if (strncmp(path, folder, strlen(folder)) != 0) return 0;
    if (__sync_add_and_fetch(&made, 1) < first_bad) return 0;
    errno = bad_errno;
    return 1;
}

#define REAL(name, type) \
    static __typeof__(type) real; \
    if (!real) real = (type)dlsym(RTLD_NEXT, name);

#define WRITE(name) \
    ssize_t name(int fd, const void *data, size_t size) { \
        REAL(#name, ssize_t (*)(int, const void *, size_t)) \
        return must_fail(fd) ? -1 : real(fd, data, size); \
    }
#define PWRITE(name) \
    ssize_t name(int fd, const void *data, size_t size, off_t at) { \
        REAL(#name, ssize_t (*)(int, const void *, size_t, off_t)) \
        return must_fail(fd) ? -1 : real(fd, data, size, at); \
    }
#define SYNC(name) \
    int name(int fd) { \
        REAL(#name, int (*)(int)) \
        return must_fail(fd) ? -1 : real(fd); \
    }

WRITE(write)
PWRITE(pwrite)
PWRITE(pwrite64)
SYNC(fsync)
SYNC(fdatasync)
