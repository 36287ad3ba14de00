/* Fails one operation on the file system, for tests: preloaded into a process, armed by a call from Python.
 *
 * Counted is what happens to paths below a directory: opening to write, write, fsync, truncate, rename, mkdir, unlink.
 * The operation with the armed number does not happen: it kills the process, or returns an error of the system.
 *
 * A process may be watched instead: it stops before each operation, and forks children in which that one fails. A child
 * sees a copy of the directory in the place of the directory, also through the files that are open.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

static char root[4096], seen[4096], copied[4096], said[4096];
static int count, target, action, orders = -1, answers = -1;
static FILE *told;

/* action: an errno; 0: kill. number: of the operation, from 1; 0: fail nothing. list: where all are written, or NULL. */
void inject_arm(const char *directory, int number, int what, const char *list) {
    FILE *file = list ? fopen(list, "w") : NULL;
    snprintf(root, sizeof root, "%s", directory);
    count = 0, target = number, action = what, told = file;
}

/* After inject_arm. At each stop an errno comes from pipe `in`: a child fails with it, and its status goes to pipe `out`;
 * 0: go on. The child sees `copy` at `place`; what it says on standard error goes to `text`. */
void inject_watch(int in, int out, const char *place, const char *copy, const char *text) {
    snprintf(seen, sizeof seen, "%s", place), snprintf(copied, sizeof copied, "%s", copy);
    snprintf(said, sizeof said, "%s", text);
    orders = in, answers = out;
}

/* Puts the copy into its place for this process alone. 0: done. */
int inject_see(const char *place, const char *copy) {
    return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount(copy, place, NULL, MS_BIND, NULL);
}

static void become_child(void) {
    struct dirent *entry;
    char here[4096], link[300], path[4096];
    orders = -1, target = 0, told = NULL, alarm(120);
    if (!getcwd(here, sizeof here) || inject_see(seen, copied) || chdir(here)) _exit(125);
    dup2(((typeof(&open))dlsym(RTLD_NEXT, "open"))(said, O_WRONLY | O_CREAT | O_TRUNC, 0644), 2);
    for (DIR *all = opendir("/proc/self/fd"); (entry = readdir(all));) {
        int old = atoi(entry->d_name), flags = fcntl(old, F_GETFL), closed = fcntl(old, F_GETFD);
        snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (entry->d_name[0] == '.' || length < 0) continue;
        path[length] = 0;
        if (strncmp(path, seen, strlen(seen))) continue;
        flags &= ~(O_CREAT | O_EXCL | O_TRUNC);
        int own = ((typeof(&open))dlsym(RTLD_NEXT, "open"))(path, flags);
        if (own < 0) continue; /* a lock file that has lost its name */
        lseek(own, lseek(old, 0, SEEK_CUR), SEEK_SET);
        dup3(own, old, closed & FD_CLOEXEC ? O_CLOEXEC : 0), close(own);
    }
}

/* An errno in a child that fails; 0 in the process that goes on. */
static int watched(void) {
    for (int error, status;;) {
        kill(getpid(), SIGSTOP);
        if (read(orders, &error, sizeof error) != sizeof error) _exit(124);
        if (!error) return 0;
        pid_t child = fork();
        if (!child) return become_child(), error;
        waitpid(child, &status, 0);
        if (((typeof(&write))dlsym(RTLD_NEXT, "write"))(answers, &status, sizeof status) < 0) _exit(124);
    }
}

static int hit(const char *what, const char *path) {
    if (!root[0] || strncmp(path, root, strlen(root))) return 0;
    count++;
    if (told) fprintf(told, "%s %s\n", what, path + strlen(root)), fflush(told);
    if (orders >= 0) return (errno = watched()) != 0;
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
