// A disk that fails on command, for tests of whole nodes.
//
// Preloaded into a node (LD_PRELOAD). FAULTY_DISK_UNDER names a directory, FAULTY_DISK_CONTROL
// a file of one byte that a test changes while the node runs:
//
//   '-'  nothing fails
//   'S'  what writes fails with ENOSPC
//   'W'  what writes fails with EIO
//   'F'  what forces to disk fails with EIO
//   'O'  what writes, or opens for writing, fails with EROFS
//   'R'  what reads fails with EIO
//
// Only files under the directory fail. The byte is looked at without a system call.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const volatile char *control = "-";
static const char *under = "";

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTY_DISK_CONTROL");
    const char *directory = getenv("FAULTY_DISK_UNDER");
    if (path == NULL || directory == NULL) return;
    int fd = open(path, O_RDONLY);
    if (fd < 0) return;
    void *byte = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (byte == MAP_FAILED) return;
    control = byte;
    under = directory;
}

static int is_path_under(const char *path) {
    return under[0] != 0 && strncmp(path, under, strlen(under)) == 0;
}

static int is_under(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_path_under(path);
}

// What a write of the file fails with; 0 if it does not.
static int write_fault(int fd) {
    int fault = 0;
    switch (*control) {
        case 'S': fault = ENOSPC; break;
        case 'W': fault = EIO; break;
        case 'O': fault = EROFS; break;
    }
    return fault != 0 && is_under(fd) ? fault : 0;
}

static int sync_fault(int fd) {
    return *control == 'F' && is_under(fd) ? EIO : 0;
}

static int read_fault(int fd) {
    return *control == 'R' && is_under(fd) ? EIO : 0;
}

static int change_fault(const char *path) {
    return *control == 'O' && is_path_under(path) ? EROFS : 0;
}

static int open_fault(const char *path, int flags) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0;
    return writes ? change_fault(path) : 0;
}

#define FAIL_IF(fault)       \
    do {                     \
        int error = (fault); \
        if (error != 0) {    \
            errno = error;   \
            return -1;       \
        }                    \
    } while (0)

#define REAL(type, name, ...)                    \
    static type (*real)(__VA_ARGS__);            \
    if (real == NULL) real = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    FAIL_IF(write_fault(fd));
    return real(fd, bytes, count);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    FAIL_IF(write_fault(fd));
    return real(fd, pieces, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    FAIL_IF(write_fault(fd));
    return real(fd, bytes, count, at);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count,
                        unsigned flags) {
    REAL(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned);
    FAIL_IF(write_fault(to));
    return real(from, from_at, to, to_at, count, flags);
}

int ftruncate64(int fd, off64_t length) {
    REAL(int, "ftruncate64", int, off64_t);
    FAIL_IF(write_fault(fd));
    return real(fd, length);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    FAIL_IF(sync_fault(fd));
    return real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    FAIL_IF(sync_fault(fd));
    return real(fd);
}

ssize_t read(int fd, void *bytes, size_t count) {
    REAL(ssize_t, "read", int, void *, size_t);
    FAIL_IF(read_fault(fd));
    return real(fd, bytes, count);
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t at) {
    REAL(ssize_t, "pread64", int, void *, size_t, off64_t);
    FAIL_IF(read_fault(fd));
    return real(fd, bytes, count, at);
}

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    FAIL_IF(open_fault(path, flags));
    return real(path, flags, mode);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    FAIL_IF(change_fault(to));
    return real(from, to);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    FAIL_IF(change_fault(path));
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    FAIL_IF(change_fault(path));
    return real(path, mode);
}
