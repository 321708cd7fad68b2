/* A disk that can lose what was not synced, be slow, be full, and fail.
 *
 * Preloaded into a process, it follows what the process does to the files below FAULTDISK_ROOT, and keeps in FAULTDISK_STATE what would undo
 * everything that is not synced yet:
 *
 *   control      the page of control.h
 *   files/INODE  of a file: records of writes, each with the bytes that it replaced; emptied by a sync
 *   directories  of all directories: records of names made, removed and changed, and of syncs
 *   grave/N      another link to a file whose name was removed, so that it can come back
 *
 * A record is there before what it tells of happens. So the process may be killed at any instant, and then the runner reverts what a power cut
 * would lose (src/disk/power.rs, which also has the formats). The records of a process that was killed stay for the next one: the page cache survived, the disk
 * does not have it yet.
 *
 * Files are known by their inodes, because RocksDB renames logs and overwrites them in place. Calls go to the kernel directly. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control.h"

#define PATH 4096
#define FDS 65536
#define BUCKETS 4096

/* ---- What is followed ---------------------------------------------------------------------------------------------- */

struct file {
    ino_t inode;
    int is_directory;
    char *path; /* of a directory */
    pthread_mutex_t lock;
    int log;          /* files/INODE, once there is something to tell */
    uint64_t log_end;
    int sync_failed;  /* what a failed sync left behind, no later one brings to the disk */
    struct file *next;
};

static struct control nothing;
struct control *control = &nothing;
static char root[PATH / 2], state[PATH / 2];
static size_t root_length;
static int directories = -1;
static uint64_t directories_end, graves;
static int names_unsynced;
static struct file *by_fd[FDS];
static struct file *by_inode[BUCKETS];
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what) {
    dprintf(2, "faultdisk: %s: %s\n", what, strerror(errno));
    syscall(SYS_exit_group, 70);
}

static int sys_open(const char *path, int flags, int mode) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode); }
static void sys_close(int fd) { syscall(SYS_close, fd); }

static void append(int fd, const void *bytes, size_t length) {
    for (const char *at = bytes; length > 0;) {
        ssize_t written = syscall(SYS_write, fd, at, length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) die("cannot keep what undoes a write");
        at += written;
        length -= (size_t)written;
    }
}

static int state_file(const char *name, int flags) {
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", state, name);
    return sys_open(path, flags | O_CLOEXEC, 0644);
}

static uint64_t size_of(int fd) {
    struct stat found;
    if (fstat(fd, &found) != 0) die("fstat");
    return (uint64_t)found.st_size;
}

__attribute__((constructor)) static void start(void) {
    const char *root_is = getenv("FAULTDISK_ROOT"), *state_is = getenv("FAULTDISK_STATE");
    if (!root_is || !state_is) return;
    snprintf(state, sizeof state, "%s", state_is);
    int page = state_file("control", O_RDWR);
    if (page < 0) die("there is no control page");
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (mapped == MAP_FAILED) die("cannot map the control page");
    sys_close(page);
    directories = state_file("directories", O_WRONLY | O_CREAT | O_APPEND);
    if (directories < 0) die("cannot open the log of the directories");
    directories_end = size_of(directories);
    names_unsynced = 1;
    /* Numbers that an earlier process did not use: it may have left graves behind. */
    graves = (uint64_t)getpid() << 32;
    control = mapped;
    snprintf(root, sizeof root, "%s", root_is);
    root_length = strlen(root);
}

/* The absolute form of a path that lies below the root, in `out`; whether it does. */
static int below_root(int dirfd, const char *path, char *out) {
    if (root_length == 0 || !path) return 0;
    int length;
    if (path[0] == '/') {
        length = snprintf(out, PATH, "%s", path);
    } else {
        char link[64], base[PATH];
        snprintf(link, sizeof link, dirfd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dirfd);
        ssize_t got = syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1);
        if (got < 0) return 0;
        base[got] = 0;
        length = snprintf(out, PATH, "%s/%s", base, path);
    }
    if (length < 0 || length >= PATH) return 0;
    /* RocksDB joins names with more slashes than it takes. */
    char *to = out;
    for (char *from = out; *from; from++)
        if (!(from[0] == '/' && (from[1] == '/' || (from[1] == 0 && from != out)))) *to++ = *from;
    *to = 0;
    return strncmp(out, root, root_length) == 0 && (out[root_length] == '/' || out[root_length] == 0);
}

/* The file that is followed as `fd`, if that is still what `fd` is open on: libc closes what it wraps (fclose) without `close`, and the number may
   be a socket's by now. */
static struct file *followed(int fd) {
    struct file *file = fd >= 0 && fd < FDS ? __atomic_load_n(&by_fd[fd], __ATOMIC_ACQUIRE) : NULL;
    struct stat found;
    if (!file) return NULL;
    if (fstat(fd, &found) == 0 && found.st_ino == file->inode && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) return file;
    __atomic_compare_exchange_n(&by_fd[fd], &(struct file *){file}, NULL, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return NULL;
}

/* Follows what `fd` is open on from now on; `fresh` when it was just made. */
static void follow(int fd, const char *path, int fresh) {
    struct stat found;
    if (fd < 0) return;
    if (fd >= FDS || fstat(fd, &found) != 0 || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode))) {
        COUNT(untracked, 1);
        return;
    }
    COUNT(opens, 1);
    pthread_mutex_lock(&files_lock);
    struct file **bucket = &by_inode[found.st_ino % BUCKETS], *file = *bucket;
    while (file && file->inode != found.st_ino) file = file->next;
    if (!file) {
        file = calloc(1, sizeof *file);
        if (!file) die("no memory");
        file->inode = found.st_ino;
        file->is_directory = S_ISDIR(found.st_mode);
        file->path = file->is_directory ? strdup(path) : NULL;
        file->log = -1;
        pthread_mutex_init(&file->lock, NULL);
        file->next = *bucket;
        *bucket = file;
        if (fresh) {
            char stale[PATH];
            snprintf(stale, sizeof stale, "%s/files/%llu", state, (unsigned long long)found.st_ino);
            syscall(SYS_unlinkat, AT_FDCWD, stale, 0);
        }
    }
    pthread_mutex_unlock(&files_lock);
    __atomic_store_n(&by_fd[fd], file, __ATOMIC_RELEASE);
}

/* ---- Faults -------------------------------------------------------------------------------------------------------- */

static int unlucky(uint64_t per_1000) {
    static __thread uint64_t random;
    if (per_1000 == 0) return 0;
    if (random == 0) random = 88172645463325252ULL ^ ((uint64_t)syscall(SYS_gettid) << 20);
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    if (random % 1000 >= per_1000) return 0;
    COUNT(failed, 1);
    errno = EIO;
    return 1;
}

static int full(void) {
    if (!COMMAND(no_space)) return 0;
    COUNT(refused, 1);
    errno = ENOSPC;
    return 1;
}

static void delay_sync(void) {
    uint64_t us = COMMAND(sync_delay_us);
    if (us == 0) return;
    COUNT(delayed, 1);
    /* In short naps: the delay ends when the runner ends it. */
    for (uint64_t slept = 0; slept < us && COMMAND(sync_delay_us) != 0; slept += 5000) usleep(5000);
}

/* ---- Data ---------------------------------------------------------------------------------------------------------- */

enum { CHANGE = 1, SYNCED = 2 };

struct record {
    uint64_t kind;
    uint64_t offset;   /* CHANGE: where; SYNCED: up to where in this log all is on the disk */
    uint64_t length;   /* CHANGE: how many bytes are written */
    uint64_t saved;    /* CHANGE: how many of the old bytes follow */
    uint64_t old_size; /* CHANGE: of the file */
};

static void open_log(struct file *file) {
    if (file->log >= 0) return;
    char name[64];
    snprintf(name, sizeof name, "files/%llu", (unsigned long long)file->inode);
    file->log = state_file(name, O_WRONLY | O_CREAT | O_APPEND);
    if (file->log < 0) die("cannot open a file's log");
    file->log_end = size_of(file->log);
}

static void append_record(struct file *file, const struct record *record) {
    append(file->log, record, sizeof *record);
    file->log_end += sizeof *record;
}

/* Saves the bytes from `offset` on that a change replaces. The file is locked. */
static void save(int fd, struct file *file, struct record *record) {
    open_log(file);
    append_record(file, record);
    if (record->saved == 0) return;
    char link[64];
    static __thread char buffer[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int reader = sys_open(link, O_RDONLY | O_CLOEXEC, 0);
    if (reader < 0) die("cannot read what is overwritten");
    for (uint64_t done = 0; done < record->saved;) {
        size_t want = record->saved - done < sizeof buffer ? record->saved - done : sizeof buffer;
        ssize_t got = syscall(SYS_pread64, reader, buffer, want, record->offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) die("cannot read what is overwritten");
        append(file->log, buffer, (size_t)got);
        done += (size_t)got;
    }
    sys_close(reader);
    file->log_end += record->saved;
    COUNT(saved_bytes, record->saved);
}

/* Notes that `length` bytes at `offset` are about to be written. The file is locked. Fails as the disk would. */
static int before_write(int fd, struct file *file, uint64_t offset, uint64_t length) {
    uint64_t size = size_of(fd), end = offset + length;
    if (unlucky(COMMAND(write_errors_per_1000))) return -1;
    if (end > size && full()) return -1;
    struct record record = {CHANGE, offset, length, 0, size};
    if (offset < size) record.saved = (end < size ? end : size) - offset;
    save(fd, file, &record);
    COUNT(writes, 1);
    COUNT(written_bytes, length);
    return 0;
}

static uint64_t write_position(int fd) {
    if (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) return size_of(fd);
    return (uint64_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
}

#define FOLLOWED_WRITE(offset, length, call)                                  \
    struct file *file = followed(fd);                                         \
    if (!file || file->is_directory) return call;                             \
    pthread_mutex_lock(&file->lock);                                          \
    ssize_t result = before_write(fd, file, (uint64_t)(offset), (length));    \
    if (result == 0) result = call;                                           \
    int error = errno;                                                        \
    pthread_mutex_unlock(&file->lock);                                        \
    errno = error;                                                            \
    return result;

static uint64_t sum(const struct iovec *parts, int count) {
    uint64_t total = 0;
    for (int at = 0; at < count; at++) total += parts[at].iov_len;
    return total;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    FOLLOWED_WRITE(write_position(fd), length, syscall(SYS_write, fd, bytes, length))
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    FOLLOWED_WRITE(write_position(fd), sum(parts, count), syscall(SYS_writev, fd, parts, count))
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    FOLLOWED_WRITE(offset, length, syscall(SYS_pwrite64, fd, bytes, length, offset))
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    FOLLOWED_WRITE(offset, sum(parts, count), syscall(SYS_pwritev, fd, parts, count, offset, 0))
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

/* Reads fail on command only. */
#define FOLLOWED_READ(call)                                                   \
    struct file *file = followed(fd);                                         \
    if (file && !file->is_directory && unlucky(COMMAND(read_errors_per_1000))) return -1; \
    return call;

ssize_t read(int fd, void *bytes, size_t length) { FOLLOWED_READ(syscall(SYS_read, fd, bytes, length)) }
ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) { FOLLOWED_READ(syscall(SYS_pread64, fd, bytes, length, offset)) }
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) { return pread64(fd, bytes, length, offset); }

static int resize(int fd, struct file *file, uint64_t to) {
    uint64_t size = size_of(fd);
    if (to > size && full()) return -1;
    struct record record = {CHANGE, to < size ? to : size, 0, to < size ? size - to : 0, size};
    save(fd, file, &record);
    COUNT(truncates, 1);
    return 0;
}

int ftruncate64(int fd, off64_t to) {
    struct file *file = followed(fd);
    if (!file || to < 0) return (int)syscall(SYS_ftruncate, fd, to);
    pthread_mutex_lock(&file->lock);
    int result = resize(fd, file, (uint64_t)to);
    if (result == 0) result = (int)syscall(SYS_ftruncate, fd, to);
    pthread_mutex_unlock(&file->lock);
    return result;
}

int ftruncate(int fd, off_t to) { return ftruncate64(fd, to); }

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    struct file *file = followed(fd);
    if (file && !(mode & FALLOC_FL_PUNCH_HOLE)) {
        if (full()) return -1;
        if (!(mode & FALLOC_FL_KEEP_SIZE)) {
            pthread_mutex_lock(&file->lock);
            uint64_t size = size_of(fd);
            int result = (uint64_t)(offset + length) > size ? resize(fd, file, (uint64_t)(offset + length)) : 0;
            if (result == 0) result = (int)syscall(SYS_fallocate, fd, mode, offset, length);
            pthread_mutex_unlock(&file->lock);
            return result;
        }
    }
    /* A hole punched behind the file's end, as RocksDB does at a close, changes nothing that can be read. */
    if (file && (mode & FALLOC_FL_PUNCH_HOLE) && (uint64_t)offset < size_of(fd)) COUNT(untracked, 1);
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno; }
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* Starts writing out; promises nothing, so that nothing is synced by it. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags) {
    return (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset) {
    if (fd >= 0 && (protection & PROT_WRITE) && (flags & MAP_SHARED) && followed(fd)) COUNT(untracked, 1);
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

/* ---- Names --------------------------------------------------------------------------------------------------------- */

enum { CREATED = 1, REMOVED = 2, RENAMED = 3, DIRECTORY_SYNCED = 4, FILE_SYNCED = 5 };

/* Two paths follow, without terminators. CREATED: the path. REMOVED: the path. RENAMED: from and to. DIRECTORY_SYNCED: the directory. */
struct name_record {
    uint64_t kind;
    uint64_t grave; /* REMOVED, RENAMED: which grave has what had the name; 0 for none */
    uint64_t until; /* DIRECTORY_SYNCED, FILE_SYNCED: up to where in this log names are on the disk */
    uint32_t first, second; /* lengths */
};

static void note(uint64_t kind, uint64_t grave, uint64_t until, const char *first, const char *second) {
    char bytes[sizeof(struct name_record) + 2 * PATH];
    struct name_record record = {kind, grave, until, (uint32_t)strlen(first), (uint32_t)strlen(second)};
    memcpy(bytes, &record, sizeof record);
    memcpy(bytes + sizeof record, first, record.first);
    memcpy(bytes + sizeof record + record.first, second, record.second);
    size_t length = sizeof record + record.first + record.second;
    append(directories, bytes, length);
    directories_end += length;
    names_unsynced = kind != FILE_SYNCED;
}

/* Another link to a file that is about to lose this name; 0 where there is none. */
static uint64_t bury(const char *path) {
    struct stat found;
    if (syscall(SYS_newfstatat, AT_FDCWD, path, &found, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(found.st_mode)) return 0;
    char grave[PATH];
    uint64_t number = ++graves;
    snprintf(grave, sizeof grave, "%s/grave/%llu", state, (unsigned long long)number);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0) die("cannot keep a file that is removed");
    return number;
}

static int is_there(const char *path) { return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0; }

static int open_followed(int dirfd, const char *path, int flags, mode_t mode) {
    char absolute[PATH];
    if (!below_root(dirfd, path, absolute)) return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    int fresh = 0, fd;
    if (flags & O_CREAT) {
        pthread_mutex_lock(&names_lock);
        fresh = !is_there(absolute);
        if (fresh && full()) {
            pthread_mutex_unlock(&names_lock);
            return -1;
        }
        if (fresh) note(CREATED, 0, 0, absolute, ""), COUNT(creates, 1);
        fd = (int)syscall(SYS_openat, dirfd, path, flags & ~O_TRUNC, mode);
        int error = errno;
        pthread_mutex_unlock(&names_lock);
        errno = error;
    } else {
        fd = (int)syscall(SYS_openat, dirfd, path, flags & ~O_TRUNC, mode);
    }
    int error = errno;
    follow(fd, absolute, fresh);
    if (fd >= 0 && (flags & O_TRUNC) && size_of(fd) > 0 && ftruncate64(fd, 0) != 0) die("cannot truncate");
    errno = error;
    return fd;
}

#define OPEN_MODE                                                              \
    mode_t mode = 0;                                                           \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                     \
        va_list arguments;                                                     \
        va_start(arguments, flags);                                            \
        mode = va_arg(arguments, mode_t);                                      \
        va_end(arguments);                                                     \
    }

int open(const char *path, int flags, ...) { OPEN_MODE return open_followed(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE return open_followed(AT_FDCWD, path, flags, mode); }
int openat(int dirfd, const char *path, int flags, ...) { OPEN_MODE return open_followed(dirfd, path, flags, mode); }
int openat64(int dirfd, const char *path, int flags, ...) { OPEN_MODE return open_followed(dirfd, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_followed(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_followed(AT_FDCWD, path, flags, 0); }
int creat(const char *path, mode_t mode) { return open_followed(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FDS) __atomic_store_n(&by_fd[fd], NULL, __ATOMIC_RELEASE);
    return (int)syscall(SYS_close, fd);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char absolute_from[PATH], absolute_to[PATH];
    int followed_from = below_root(from_dir, from, absolute_from), followed_to = below_root(to_dir, to, absolute_to);
    if (!followed_from && !followed_to) return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (followed_from != followed_to || flags != 0) COUNT(untracked, 1);
    pthread_mutex_lock(&names_lock);
    if (is_there(absolute_from)) note(RENAMED, bury(absolute_to), 0, absolute_from, absolute_to);
    int result = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), error = errno;
    COUNT(renames, 1);
    pthread_mutex_unlock(&names_lock);
    errno = error;
    return result;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dirfd, const char *path, int flags) {
    char absolute[PATH];
    if (!below_root(dirfd, path, absolute)) return (int)syscall(SYS_unlinkat, dirfd, path, flags);
    pthread_mutex_lock(&names_lock);
    if (is_there(absolute)) note(REMOVED, bury(absolute), 0, absolute, "");
    int result = (int)syscall(SYS_unlinkat, dirfd, path, flags), error = errno;
    COUNT(unlinks, 1);
    pthread_mutex_unlock(&names_lock);
    errno = error;
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    char absolute[PATH];
    if (!below_root(to_dir, to, absolute)) return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    if (full()) return -1;
    pthread_mutex_lock(&names_lock);
    if (!is_there(absolute)) note(CREATED, 0, 0, absolute, "");
    int result = (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags), error = errno;
    COUNT(links, 1);
    pthread_mutex_unlock(&names_lock);
    errno = error;
    return result;
}

int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int dirfd, const char *path, mode_t mode) {
    char absolute[PATH];
    if (!below_root(dirfd, path, absolute)) return (int)syscall(SYS_mkdirat, dirfd, path, mode);
    if (full()) return -1;
    pthread_mutex_lock(&names_lock);
    if (!is_there(absolute)) note(CREATED, 0, 0, absolute, "");
    int result = (int)syscall(SYS_mkdirat, dirfd, path, mode), error = errno;
    COUNT(mkdirs, 1);
    pthread_mutex_unlock(&names_lock);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- Syncs --------------------------------------------------------------------------------------------------------- */

static int sync_directory(int fd, struct file *file, long call) {
    pthread_mutex_lock(&names_lock);
    uint64_t until = directories_end;
    pthread_mutex_unlock(&names_lock);
    int result = (int)syscall(call, fd), error = errno;
    if (result == 0) {
        pthread_mutex_lock(&names_lock);
        note(DIRECTORY_SYNCED, 0, until, file->path, "");
        pthread_mutex_unlock(&names_lock);
        COUNT(directory_syncs, 1);
    }
    errno = error;
    return result;
}

/* What was changed before this began is on the disk when it has ended. */
static int sync_file(int fd, struct file *file, long call) {
    pthread_mutex_lock(&names_lock);
    int names = names_unsynced;
    uint64_t names_until = directories_end;
    pthread_mutex_unlock(&names_lock);
    pthread_mutex_lock(&file->lock);
    open_log(file);
    uint64_t until = file->log_end;
    pthread_mutex_unlock(&file->lock);
    int result = (int)syscall(call, fd), error = errno;
    if (result != 0) {
        errno = error;
        return result;
    }
    pthread_mutex_lock(&file->lock);
    if (file->sync_failed || until == 0) {
        /* Nothing to forget, or nothing that may be. */
    } else if (file->log_end == until) {
        if (syscall(SYS_ftruncate, file->log, 0) != 0) die("cannot empty a log");
        file->log_end = 0;
    } else {
        struct record record = {SYNCED, until, 0, 0, 0};
        append_record(file, &record);
    }
    pthread_mutex_unlock(&file->lock);
    if (names) {
        /* Journaling filesystems bring names along; which of both to believe is the runner's choice. */
        pthread_mutex_lock(&names_lock);
        note(FILE_SYNCED, 0, names_until, "", "");
        pthread_mutex_unlock(&names_lock);
    }
    COUNT(file_syncs, 1);
    errno = error;
    return result;
}

static int sync_any(int fd, long call) {
    struct file *file = followed(fd);
    if (!file) return (int)syscall(call, fd);
    delay_sync();
    if (unlucky(COMMAND(sync_errors_per_1000))) {
        file->sync_failed = 1;
        return -1;
    }
    return file->is_directory ? sync_directory(fd, file, call) : sync_file(fd, file, call);
}

int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }
