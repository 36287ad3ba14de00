/* Fails one operation on the file system, for tests: preloaded into a process, armed by a call from Python.
 *
 * Counted is what happens to paths below a directory: opening to write, write, fsync, truncate, rename, mkdir, unlink.
 * The operation with the armed number does not happen: it kills the process, or returns an error of the system.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static char root[4096];
static int count, target, action;
static FILE *told;

/* action: an errno; 0: kill. number: of the operation, from 1; 0: fail nothing. list: where all are written, or NULL. */
void inject_arm(const char *directory, int number, int what, const char *list) {
    FILE *file = list ? fopen(list, "w") : NULL;
    snprintf(root, sizeof root, "%s", directory);
    count = 0, target = number, action = what, told = file;
}

static int hit(const char *what, const char *path) {
    if (!root[0] || strncmp(path, root, strlen(root))) return 0;
    count++;
    if (told) fprintf(told, "%s %s\n", what, path + strlen(root)), fflush(told);
    if (count != target) return 0;
    if (!action) kill(getpid(), SIGKILL), pause();
    errno = action;
    return 1;
}

static int hit_open(const char *what, int descriptor) {
    char link[64], path[4096];
    int error = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = root[0] ? readlink(link, path, sizeof path - 1) : -1;
    errno = error;
    if (length < 0) return 0;
    path[length] = 0;
    return hit(what, path);
}

static int hit_at(const char *what, int directory, const char *name) {
    char link[64], path[8192];
    if (name[0] == '/') return hit(what, name);
    if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = root[0] ? readlink(link, path, 4000) : -1;
    if (length < 0) return 0;
    snprintf(path + length, sizeof path - length, "/%s", name);
    return hit(what, path);
}

#define WRITES(flags) (((flags) & O_ACCMODE) != O_RDONLY)
#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE if (WRITES(flags) && hit_at("open", AT_FDCWD, path)) return -1; \
        return REAL(name)(path, flags, mode); }
#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        MODE if (WRITES(flags) && hit_at("open", directory, path)) return -1; \
        return REAL(name)(directory, path, flags, mode); }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64)

ssize_t write(int d, const void *p, size_t n) { return d > 2 && hit_open("write", d) ? -1 : REAL(write)(d, p, n); }
ssize_t writev(int d, const struct iovec *v, int n) { return d > 2 && hit_open("write", d) ? -1 : REAL(writev)(d, v, n); }
ssize_t pwrite(int d, const void *p, size_t n, off_t o) { return hit_open("write", d) ? -1 : REAL(pwrite)(d, p, n, o); }
ssize_t pwrite64(int d, const void *p, size_t n, off_t o) { return hit_open("write", d) ? -1 : REAL(pwrite64)(d, p, n, o); }
int fsync(int d) { return hit_open("fsync", d) ? -1 : REAL(fsync)(d); }
int fdatasync(int d) { return hit_open("fsync", d) ? -1 : REAL(fdatasync)(d); }
int ftruncate(int d, off_t n) { return hit_open("truncate", d) ? -1 : REAL(ftruncate)(d, n); }
int ftruncate64(int d, off_t n) { return hit_open("truncate", d) ? -1 : REAL(ftruncate64)(d, n); }
int rename(const char *a, const char *b) { return hit_at("rename", AT_FDCWD, b) ? -1 : REAL(rename)(a, b); }
int renameat(int d, const char *a, int e, const char *b) { return hit_at("rename", e, b) ? -1 : REAL(renameat)(d, a, e, b); }
int renameat2(int d, const char *a, int e, const char *b, unsigned f) {
    return hit_at("exchange", e, b) ? -1 : REAL(renameat2)(d, a, e, b, f); }
int mkdir(const char *p, mode_t m) { return hit_at("mkdir", AT_FDCWD, p) ? -1 : REAL(mkdir)(p, m); }
int unlink(const char *p) { return hit_at("unlink", AT_FDCWD, p) ? -1 : REAL(unlink)(p); }
int unlinkat(int d, const char *p, int f) { return hit_at("unlink", d, p) ? -1 : REAL(unlinkat)(d, p, f); }
int rmdir(const char *p) { return hit_at("unlink", AT_FDCWD, p) ? -1 : REAL(rmdir)(p); }
