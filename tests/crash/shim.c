/* Preloaded into every process of a run: counts the calls that change files below one folder, and
 * ends the run, fails, or keeps a log at the one that was chosen. What to do stands in a file that
 * all of them map, so that children and threads count together.
 *
 * What libc does inside itself (stdio) is not seen; neither Python nor sqlite nor curl writes
 * files that way. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, CREATE = 2, MKDIR = 4, RENAME = 8, LINK = 16, UNLINK = 32, TRUNCATE = 64,
       SYNC = 128, MODE = 256, READ = 512, SYMLINK = 1024, RMDIR = 2048, SYNCALL = 4096 };
enum { NOTHING, KILL_ALL, KILL_ONE, FAIL_ONCE, FAIL_ON };
enum { NO_SYNC = 1, LOG = 2, TORN = 4, NO_RENAMEAT2 = 8, NO_LINK = 16 };

struct control {
  volatile uint32_t armed;
  uint32_t action, error, flags, mask, group;
  volatile uint32_t lock;
  uint32_t unused;
  uint64_t target;
  volatile uint64_t counter;
  char root[1024], log[1024], grave[1024];
};

struct record {
  uint64_t inode, offset, length, old_size;
  uint32_t kind, one, two, before, after, unused;
};

static struct control *control;

#define REAL(name) \
  static __typeof__(name) *real_##name; \
  if (!real_##name) real_##name = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CRASH_CONTROL");
  int handle = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
  if (handle < 0) return;
  void *found = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
  syscall(SYS_close, handle);
  if (found != MAP_FAILED) control = found;
}

static int armed(void) { return control && control->armed; }

static int below(const char *path) {
  size_t size = strlen(control->root);
  return !strncmp(path, control->root, size) && (path[size] == '/' || !path[size]);
}

static int path_of(int handle, char *into) {
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
  ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, name, into, 4000);
  if (size <= 0) return 0;
  into[size] = 0;
  return below(into);
}

/* The absolute path of a name below a folder that is open; 0 if it is none of ours. */
static int resolve(int folder, const char *path, char *into) {
  static const char handles[] = "/proc/self/fd/";
  if (!path) return 0;
  if (!strncmp(path, handles, sizeof handles - 1)) { /* through a folder that is held open */
    char *rest;
    long handle = strtol(path + sizeof handles - 1, &rest, 10);
    while (*rest == '/') rest++;
    return resolve(handle, *rest ? rest : ".", into);
  }
  if (path[0] == '/') {
    if (strlen(path) > 4000) return 0;
    strcpy(into, path);
    return below(into);
  }
  if (folder == AT_FDCWD) {
    if (syscall(SYS_getcwd, into, 4000) <= 0) return 0;
  } else {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, name, into, 4000);
    if (size <= 0) return 0;
    into[size] = 0;
  }
  size_t size = strlen(into);
  if (size + strlen(path) > 4000) return 0;
  into[size] = '/';
  strcpy(into + size + 1, path);
  return below(into);
}

static void hold(void) {
  if (control->flags & LOG)
    while (__sync_lock_test_and_set(&control->lock, 1)) sched_yield();
}

static void release(void) {
  if (control->flags & LOG) __sync_lock_release(&control->lock);
}

static void die(void) {
  if (control->action == KILL_ALL) syscall(SYS_kill, -(int)control->group, SIGKILL);
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/* Counts a call: 0 go on, 1 fail (errno is set), 2 do half of it, then end. */
static int reach(uint32_t kind, int can_tear) {
  if (!(control->mask & kind)) return 0;
  uint64_t number = __sync_fetch_and_add(&control->counter, 1);
  switch (control->action) {
    case KILL_ALL:
    case KILL_ONE:
      if (number != control->target) return 0;
      if (can_tear && (control->flags & TORN)) return 2;
      die();
      return 0;
    case FAIL_ONCE:
    case FAIL_ON:
      if (number < control->target || (control->action == FAIL_ONCE && number > control->target))
        return 0;
      if (can_tear && (control->flags & TORN) && number == control->target) return 2;
      errno = control->error;
      return 1;
  }
  return 0;
}

static void append(const struct record *record, const char *one, const char *two,
                   const void *before, const void *after) {
  if (!(control->flags & LOG)) return;
  int saved = errno;
  int handle = syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (handle >= 0) {
    struct iovec parts[5] = {{(void *)record, sizeof *record}, {(void *)one, record->one},
                             {(void *)two, record->two}, {(void *)before, record->before},
                             {(void *)after, record->after}};
    syscall(SYS_writev, handle, parts, 5);
    syscall(SYS_close, handle);
  }
  errno = saved;
}

static void note(uint32_t kind, uint64_t inode, const char *one, const char *two) {
  struct record record = {.kind = kind, .inode = inode, .one = one ? strlen(one) : 0,
                          .two = two ? strlen(two) : 0};
  append(&record, one, two, NULL, NULL);
}

static uint64_t inode_of(const char *path) {
  struct stat found;
  int saved = errno;
  int failed = syscall(SYS_newfstatat, AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW);
  errno = saved;
  return failed ? 0 : found.st_ino;
}

/* What loses its name is kept under its number, so that the loss can be undone. */
static void keep(const char *path) {
  if (!(control->flags & LOG)) return;
  int saved = errno;
  char grave[1200];
  snprintf(grave, sizeof grave, "%s/%llu", control->grave, (unsigned long long)inode_of(path));
  syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0);
  errno = saved;
}

/* Bytes: what stood there before, and what is written. */

static void note_bytes(int handle, int64_t at, const void *data, size_t size, int before_only) {
  struct stat found;
  if (!(control->flags & LOG) || syscall(SYS_fstat, handle, &found)) return;
  int64_t old = found.st_size, there = old > at ? old - at : 0;
  if (!before_only && there > (int64_t)size) there = size;
  char *before = there ? malloc(there) : NULL;
  if (there) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
    int reader = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    there = syscall(SYS_pread64, reader, before, there, at);
    syscall(SYS_close, reader);
    if (there < 0) there = 0;
  }
  struct record record = {.kind = before_only ? TRUNCATE : WRITE, .inode = found.st_ino,
                          .offset = at, .length = size, .old_size = old, .before = there,
                          .after = before_only ? 0 : size};
  append(&record, NULL, NULL, before, data);
  free(before);
}

static int64_t place_of(int handle) {
  if (syscall(SYS_fcntl, handle, F_GETFL) & O_APPEND) {
    struct stat found;
    return syscall(SYS_fstat, handle, &found) ? 0 : found.st_size;
  }
  return syscall(SYS_lseek, handle, 0, SEEK_CUR);
}

static ssize_t put(int handle, const void *data, size_t size, int64_t at, int positioned) {
  char path[4200];
  int ours = armed() && path_of(handle, path);
  if (!ours)
    return positioned ? syscall(SYS_pwrite64, handle, data, size, at)
                      : syscall(SYS_write, handle, data, size);
  hold();
  int verdict = reach(WRITE, size > 1);
  if (verdict == 1) { release(); return -1; }
  if (verdict == 2) size /= 2;
  int saved = errno;
  note_bytes(handle, positioned ? at : place_of(handle), data, size, 0);
  errno = saved;
  ssize_t done = positioned ? syscall(SYS_pwrite64, handle, data, size, at)
                            : syscall(SYS_write, handle, data, size);
  if (verdict == 2 && control->action <= KILL_ONE) die();
  release();
  return done;
}

ssize_t write(int handle, const void *data, size_t size) { return put(handle, data, size, 0, 0); }
ssize_t pwrite(int handle, const void *data, size_t size, off_t at) {
  return put(handle, data, size, at, 1);
}
ssize_t pwrite64(int handle, const void *data, size_t size, off64_t at) {
  return put(handle, data, size, at, 1);
}

static ssize_t put_all(int handle, const struct iovec *parts, int count, int64_t at,
                       int positioned) {
  size_t size = 0;
  for (int i = 0; i < count; i++) size += parts[i].iov_len;
  char *data = malloc(size + 1);
  size_t filled = 0;
  for (int i = 0; i < count; i++) {
    memcpy(data + filled, parts[i].iov_base, parts[i].iov_len);
    filled += parts[i].iov_len;
  }
  ssize_t done = put(handle, data, size, at, positioned);
  int saved = errno;
  free(data);
  errno = saved;
  return done;
}

static int is_ours(int handle) {
  char path[4200];
  return armed() && path_of(handle, path);
}

ssize_t writev(int handle, const struct iovec *parts, int count) {
  if (!is_ours(handle)) return syscall(SYS_writev, handle, parts, count);
  return put_all(handle, parts, count, 0, 0);
}
ssize_t pwritev(int handle, const struct iovec *parts, int count, off_t at) {
  return put_all(handle, parts, count, at, 1);
}
ssize_t pwritev64(int handle, const struct iovec *parts, int count, off64_t at) {
  return put_all(handle, parts, count, at, 1);
}
ssize_t pwritev2(int handle, const struct iovec *parts, int count, off_t at, int flags) {
  (void)flags;
  return put_all(handle, parts, count, at, at != -1);
}
ssize_t pwritev64v2(int handle, const struct iovec *parts, int count, off64_t at, int flags) {
  (void)flags;
  return put_all(handle, parts, count, at, at != -1);
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size,
                        unsigned flags) {
  if (is_ours(to)) { errno = ENOSYS; return -1; } /* copied by reads and writes that are seen */
  return syscall(SYS_copy_file_range, from, at, to, there, size, flags);
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) {
  if (is_ours(to)) { errno = EINVAL; return -1; }
  return syscall(SYS_sendfile, to, from, at, size);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
  if (is_ours(to)) { errno = EINVAL; return -1; }
  return syscall(SYS_sendfile, to, from, at, size);
}

static int cut(int handle, int64_t size) {
  if (!is_ours(handle)) return syscall(SYS_ftruncate, handle, size);
  hold();
  if (reach(TRUNCATE, 0)) { release(); return -1; }
  note_bytes(handle, size, NULL, size, 1);
  int done = syscall(SYS_ftruncate, handle, size);
  release();
  return done;
}
int ftruncate(int handle, off_t size) { return cut(handle, size); }
int ftruncate64(int handle, off64_t size) { return cut(handle, size); }

static int allocate(int handle) {
  if (!is_ours(handle)) return 0;
  return reach(WRITE, 0) ? -1 : 0;
}
int fallocate(int handle, int mode, off_t at, off_t size) {
  return allocate(handle) ? -1 : syscall(SYS_fallocate, handle, mode, at, size);
}
int fallocate64(int handle, int mode, off64_t at, off64_t size) {
  return allocate(handle) ? -1 : syscall(SYS_fallocate, handle, mode, at, size);
}
int posix_fallocate(int handle, off_t at, off_t size) {
  if (allocate(handle)) return errno;
  return syscall(SYS_fallocate, handle, 0, at, size) ? errno : 0;
}
int posix_fallocate64(int handle, off64_t at, off64_t size) {
  return posix_fallocate(handle, at, size);
}

/* Reading: only discs that fail are interested. */

static ssize_t get(int handle, void *into, size_t size, int64_t at, int positioned) {
  if (armed() && (control->mask & READ) && is_ours(handle) && reach(READ, 0)) return -1;
  return positioned ? syscall(SYS_pread64, handle, into, size, at)
                    : syscall(SYS_read, handle, into, size);
}
ssize_t read(int handle, void *into, size_t size) { return get(handle, into, size, 0, 0); }
ssize_t pread(int handle, void *into, size_t size, off_t at) {
  return get(handle, into, size, at, 1);
}
ssize_t pread64(int handle, void *into, size_t size, off64_t at) {
  return get(handle, into, size, at, 1);
}

/* Names. */

static int open_in(int folder, const char *path, int flags, mode_t mode) {
  char full[4200];
  if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE || !armed() ||
      !resolve(folder, path, full))
    return syscall(SYS_openat, folder, path, flags, mode);
  hold();
  struct stat found;
  int saved = errno;
  int there = !syscall(SYS_newfstatat, AT_FDCWD, full, &found, 0);
  errno = saved;
  uint32_t kind = there ? (flags & O_TRUNC ? TRUNCATE : 0) : (flags & O_CREAT ? CREATE : 0);
  if (kind && reach(kind, 0)) { release(); return -1; }
  if (kind == TRUNCATE && found.st_size) {
    int old = syscall(SYS_openat, folder, path, O_RDONLY | O_CLOEXEC);
    if (old >= 0) { note_bytes(old, 0, NULL, 0, 1); syscall(SYS_close, old); }
  }
  int handle = syscall(SYS_openat, folder, path, flags, mode);
  if (kind == CREATE && handle >= 0) note(CREATE, inode_of(full), full, NULL);
  release();
  return handle;
}

#define MODE_OF(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }
int open(const char *path, int flags, ...) {
  MODE_OF(flags) return open_in(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE_OF(flags) return open_in(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  MODE_OF(flags) return open_in(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
  MODE_OF(flags) return open_in(folder, path, flags | O_LARGEFILE, mode);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  char one[4200], two[4200];
  int ours = armed() && resolve(to_folder, to, two) && resolve(from_folder, from, one);
  if (!ours) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  if (flags && (control->flags & NO_RENAMEAT2)) { errno = EINVAL; return -1; }
  hold();
  if (reach(RENAME, 0)) { release(); return -1; }
  uint64_t inode = inode_of(one);
  if (inode_of(two) && !flags) keep(two);
  int done = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  if (!done) note(RENAME, inode, one, two);
  release();
  return done;
}
int rename(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
  return renameat2(from_folder, from, to_folder, to, 0);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  char one[4200], two[4200];
  int ours = armed() && resolve(to_folder, to, two);
  if (!ours) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  if (control->flags & NO_LINK) { errno = EPERM; return -1; }
  hold();
  if (reach(LINK, 0)) { release(); return -1; }
  resolve(from_folder, from, one);
  int done = syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  if (!done) note(LINK, inode_of(two), one, two);
  release();
  return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int symlinkat(const char *text, int folder, const char *path) {
  char full[4200];
  if (!armed() || !resolve(folder, path, full)) return syscall(SYS_symlinkat, text, folder, path);
  hold();
  if (reach(SYMLINK, 0)) { release(); return -1; }
  int done = syscall(SYS_symlinkat, text, folder, path);
  if (!done) note(CREATE, inode_of(full), full, NULL);
  release();
  return done;
}
int symlink(const char *text, const char *path) { return symlinkat(text, AT_FDCWD, path); }

int unlinkat(int folder, const char *path, int flags) {
  char full[4200];
  if (!armed() || !resolve(folder, path, full)) return syscall(SYS_unlinkat, folder, path, flags);
  if (!inode_of(full)) { errno = ENOENT; return -1; }
  hold();
  uint32_t kind = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
  if (reach(kind, 0)) { release(); return -1; }
  uint64_t inode = inode_of(full);
  if (kind == UNLINK) keep(full);
  int done = syscall(SYS_unlinkat, folder, path, flags);
  if (!done) note(kind, inode, full, NULL);
  release();
  return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  int done = unlink(path);
  return done && errno == EISDIR ? rmdir(path) : done;
}

int mkdirat(int folder, const char *path, mode_t mode) {
  char full[4200];
  if (!armed() || !resolve(folder, path, full) || inode_of(full))
    return syscall(SYS_mkdirat, folder, path, mode);
  hold();
  if (reach(MKDIR, 0)) { release(); return -1; }
  int done = syscall(SYS_mkdirat, folder, path, mode);
  if (!done) note(MKDIR, inode_of(full), full, NULL);
  release();
  return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* Modes and times: counted, never lost. */

int fchmod(int handle, mode_t mode) {
  if (is_ours(handle) && reach(MODE, 0)) return -1;
  return syscall(SYS_fchmod, handle, mode);
}
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
  char full[4200];
  if (armed() && resolve(folder, path, full) && reach(MODE, 0)) return -1;
  REAL(fchmodat);
  return real_fchmodat(folder, path, mode, flags);
}
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }
int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
  char full[4200];
  if (armed() && resolve(folder, path, full) && reach(MODE, 0)) return -1;
  return syscall(SYS_utimensat, folder, path, times, flags);
}
int futimens(int handle, const struct timespec times[2]) {
  if (is_ours(handle) && reach(MODE, 0)) return -1;
  return syscall(SYS_utimensat, handle, NULL, times, 0);
}

/* Bringing to disk: what happened before is safe from a power cut. */

static int sync_one(int handle, long number, uint32_t kind) {
  char path[4200];
  if (!armed() || !path_of(handle, path)) return syscall(number, handle);
  hold();
  if (reach(SYNC, 0)) { release(); return -1; }
  struct stat found;
  int failed = syscall(SYS_fstat, handle, &found);
  note(kind, failed ? 0 : found.st_ino, path, NULL);
  release();
  return control->flags & NO_SYNC ? 0 : syscall(number, handle);
}
int fsync(int handle) { return sync_one(handle, SYS_fsync, SYNC); }
int fdatasync(int handle) { return sync_one(handle, SYS_fdatasync, SYNC); }
int syncfs(int handle) { return sync_one(handle, SYS_syncfs, SYNCALL); }
