// Lets the n-th call of one kind fail that concerns a file below a folder: FAULT="write 3 28", FAULT_FOLDER=/some/where.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int counted;

static int inside(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int inside_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

// Relative names are below the working directory.
static int inside_name(const char *name) {
    char path[8192], here[4096];
    if (!name || name[0] == '/') return inside(name);
    if (!getcwd(here, sizeof here)) return 0;
    snprintf(path, sizeof path, "%s/%s", here, name);
    return inside(path);
}

static int fails(const char *kind) {
    char wanted[16];
    int number, error;
    const char *fault = getenv("FAULT");
    if (!fault || sscanf(fault, "%15s %d %d", wanted, &number, &error) != 3 || strcmp(kind, wanted)) return 0;
    if (__sync_add_and_fetch(&counted, 1) != number) return 0;
    errno = error;
    return 1;
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t length) {
    return inside_fd(fd) && fails("write") ? -1 : REAL(write)(fd, data, length);
}

int fsync(int fd) { return inside_fd(fd) && fails("fsync") ? -1 : REAL(fsync)(fd); }

int rename(const char *from, const char *to) { return inside_name(to) && fails("rename") ? -1 : REAL(rename)(from, to); }

int mkdir(const char *path, mode_t mode) { return inside_name(path) && fails("mkdir") ? -1 : REAL(mkdir)(path, mode); }

static int opened(const char *name, const char *path, int flags, va_list arguments) {
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
    if (inside_name(path) && fails("open")) return -1;
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = opened("open", path, flags, arguments);
    va_end(arguments);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    int fd = opened("open64", path, flags, arguments);
    va_end(arguments);
    return fd;
}
