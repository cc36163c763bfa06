// Preloaded into a program under test: counts the calls by which it changes something outside of itself, notes them, and kills the program
// before or after the n-th, or lets calls on certain paths fail. The test and the program share one mapped file, whose layout seam.ts knows.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define SIZE (1 << 20)
#define HEAD 1024

struct shared {
  _Atomic uint32_t armed;
  _Atomic uint32_t kill_at;  // from 1; 0: never
  _Atomic uint32_t after;    // 0: before the call, 1: after it
  _Atomic uint32_t count;
  _Atomic uint32_t used;     // bytes of the notes
  _Atomic uint32_t fails;    // an errno; 0: none
  char kinds[64];            // names of the calls that fail, as " fsync rename "
  char prefix[512];          // of the paths on which they fail
  char only_name[32];        // of the calls that count; "": all
  char only_target[256];     // part of their target
};

static struct shared *seam;
static char *notes;
static const char *skip;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("DRACPU_SEAM");
  skip = getenv("DRACPU_SEAM_SKIP");
  if (path == NULL) return;
  int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at == MAP_FAILED) return;
  seam = at;
  notes = (char *)at + HEAD;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); }

static void note(const char *name, const char *target) {
  char line[PATH_MAX + 64];
  int length = snprintf(line, sizeof line, "%s %s\n", name, target);
  if (length > (int)sizeof line - 1) length = sizeof line - 1;
  uint32_t at = atomic_fetch_add(&seam->used, length);
  if (at + length < SIZE - HEAD) memcpy(notes + at, line, length);
}

// Before a call. Its number if it is the one after which to die, else 0.
static uint32_t enter(const char *name, const char *target) {
  if (seam->only_name[0] != 0 && (strcmp(name, seam->only_name) != 0 || strstr(target, seam->only_target) == NULL)) return 0;
  uint32_t n = atomic_fetch_add(&seam->count, 1) + 1;
  note(name, target);
  if (n != seam->kill_at) return 0;
  if (seam->after == 0) die();
  return n;
}

static int fails(const char *name, const char *target) {
  if (seam == NULL || seam->fails == 0 || strncmp(target, seam->prefix, strlen(seam->prefix)) != 0) return 0;
  char word[32];
  snprintf(word, sizeof word, " %s ", name);
  return strstr(seam->kinds, word) != NULL;
}

static int counts(void) { return seam != NULL && seam->armed != 0; }

// What a descriptor stands for; "" for what no other process sees.
static void name_fd(int fd, char *out, size_t size) {
  char link[64], path[PATH_MAX];
  out[0] = 0;
  if (fd <= 2) return;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return;
  path[length] = 0;
  if (path[0] == '/') {
    if (strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0) snprintf(out, size, "%s", path);
    return;
  }
  if (strncmp(path, "socket:", 7) != 0) return;
  struct sockaddr_storage address;
  for (int own = 0; own < 2; own++) {
    socklen_t n = sizeof address;
    memset(&address, 0, sizeof address);
    int rc = own ? getsockname(fd, (struct sockaddr *)&address, &n) : getpeername(fd, (struct sockaddr *)&address, &n);
    if (rc != 0) continue;
    if (address.ss_family == AF_UNIX && n > sizeof(sa_family_t)) {
      snprintf(out, size, "%s:%s", own ? "served" : "peer", ((struct sockaddr_un *)&address)->sun_path);
      return;
    }
    if (address.ss_family == AF_INET) {
      snprintf(out, size, "peer:%d", ntohs(((struct sockaddr_in *)&address)->sin_port));
      return;
    }
    if (address.ss_family == AF_INET6) {
      snprintf(out, size, "peer:%d", ntohs(((struct sockaddr_in6 *)&address)->sin6_port));
      return;
    }
  }
  snprintf(out, size, "socket");
}

static void name_at(int dir, const char *path, char *out, size_t size) {
  if (path == NULL) path = "";
  if (path[0] == '/' || dir == AT_FDCWD) { snprintf(out, size, "%s", path); return; }
  char base[PATH_MAX];
  name_fd(dir, base, sizeof base);
  snprintf(out, size, "%s/%s", base, path);
}

#define AROUND(name, target, call) \
  if (fails(name, target)) { errno = seam->fails; return -1; } \
  if (!counts()) return call; \
  uint32_t last = enter(name, target); \
  __typeof__(call) result = call; \
  if (last != 0) die(); \
  return result

#define ON_FD(name, fd, call) \
  char target[PATH_MAX + 16]; \
  if (seam == NULL || (seam->armed == 0 && seam->fails == 0)) return call; \
  name_fd(fd, target, sizeof target); \
  if (target[0] == 0 || (skip != NULL && strstr(target, skip) != NULL)) return call; \
  AROUND(name, target, call)

static int changes(int flags) { return (flags & (O_CREAT | O_TRUNC)) != 0; }

#define OPEN(name) \
  int name(const char *path, int flags, ...) { \
    REAL(name); \
    mode_t mode = 0; \
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); } \
    if (!changes(flags)) return real(path, flags, mode); \
    AROUND("open", path, real(path, flags, mode)); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
  int name(int dir, const char *path, int flags, ...) { \
    REAL(name); \
    mode_t mode = 0; \
    if ((flags & (O_CREAT | __O_TMPFILE)) != 0) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); } \
    if (!changes(flags)) return real(dir, path, flags, mode); \
    char target[PATH_MAX + 16]; \
    name_at(dir, path, target, sizeof target); \
    AROUND("open", target, real(dir, path, flags, mode)); \
  }
OPENAT(openat)
OPENAT(openat64)

int rename(const char *from, const char *to) { REAL(rename); AROUND("rename", to, real(from, to)); }
int unlink(const char *path) { REAL(unlink); AROUND("unlink", path, real(path)); }
int rmdir(const char *path) { REAL(rmdir); AROUND("rmdir", path, real(path)); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); AROUND("mkdir", path, real(path, mode)); }
int chmod(const char *path, mode_t mode) { REAL(chmod); AROUND("chmod", path, real(path, mode)); }
int link(const char *from, const char *to) { REAL(link); AROUND("link", to, real(from, to)); }
int symlink(const char *from, const char *to) { REAL(symlink); AROUND("symlink", to, real(from, to)); }
int truncate(const char *path, off_t length) { REAL(truncate); AROUND("truncate", path, real(path, length)); }
int unlinkat(int dir, const char *path, int flags) {
  REAL(unlinkat);
  char target[PATH_MAX + 16];
  name_at(dir, path, target, sizeof target);
  AROUND("unlink", target, real(dir, path, flags));
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  REAL(renameat2);
  AROUND("rename", to, real(from_dir, from, to_dir, to, flags));
}

int fsync(int fd) { REAL(fsync); ON_FD("fsync", fd, real(fd)); }
int fdatasync(int fd) { REAL(fdatasync); ON_FD("fsync", fd, real(fd)); }
int fchmod(int fd, mode_t mode) { REAL(fchmod); ON_FD("chmod", fd, real(fd, mode)); }
int ftruncate(int fd, off_t length) { REAL(ftruncate); ON_FD("truncate", fd, real(fd, length)); }
int ftruncate64(int fd, off64_t length) { REAL(ftruncate64); ON_FD("truncate", fd, real(fd, length)); }
ssize_t write(int fd, const void *data, size_t size) { REAL(write); ON_FD("write", fd, real(fd, data, size)); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REAL(pwrite); ON_FD("write", fd, real(fd, data, size, at)); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { REAL(pwrite64); ON_FD("write", fd, real(fd, data, size, at)); }
ssize_t writev(int fd, const struct iovec *parts, int count) { REAL(writev); ON_FD("write", fd, real(fd, parts, count)); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { REAL(pwritev); ON_FD("write", fd, real(fd, parts, count, at)); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { REAL(pwritev64); ON_FD("write", fd, real(fd, parts, count, at)); }
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) { REAL(sendmsg); ON_FD("write", fd, real(fd, message, flags)); }
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  REAL(sendto);
  ON_FD("write", fd, real(fd, data, size, flags, to, length));
}
int shutdown(int fd, int how) { REAL(shutdown); ON_FD("shutdown", fd, real(fd, how)); }
int listen(int fd, int backlog) { REAL(listen); ON_FD("listen", fd, real(fd, backlog)); }

static void name_address(const struct sockaddr *address, char *out, size_t size) {
  if (address->sa_family == AF_UNIX) snprintf(out, size, "%s", ((const struct sockaddr_un *)address)->sun_path);
  else if (address->sa_family == AF_INET) snprintf(out, size, "peer:%d", ntohs(((const struct sockaddr_in *)address)->sin_port));
  else snprintf(out, size, "socket");
}
int bind(int fd, const struct sockaddr *address, socklen_t length) {
  REAL(bind);
  char target[256];
  name_address(address, target, sizeof target);
  AROUND("bind", target, real(fd, address, length));
}
int connect(int fd, const struct sockaddr *address, socklen_t length) {
  REAL(connect);
  char target[256];
  name_address(address, target, sizeof target);
  AROUND("connect", target, real(fd, address, length));
}
