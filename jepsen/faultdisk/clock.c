/* A time of day that jumps when the runner says so. The monotonic clock is left alone, as it is by a real jump. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "control.h"

typedef int (*clock_function)(clockid_t, struct timespec *);
typedef int (*wait_function)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

static clock_function real_clock;
static wait_function real_wait;

/* Looking a symbol up may allocate, and the allocator asks for the time: until it is known, the kernel tells. */
__attribute__((constructor)) static void resolve_clock(void) { real_clock = (clock_function)dlsym(RTLD_NEXT, "clock_gettime"); }

/* Not by a constructor: the allocator has a thread that waits before constructors have run. */
static wait_function wait_until(void) {
    wait_function found = __atomic_load_n(&real_wait, __ATOMIC_ACQUIRE);
    if (found) return found;
    found = (wait_function)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!found) found = (wait_function)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    __atomic_store_n(&real_wait, found, __ATOMIC_RELEASE);
    return found;
}

static void add(struct timespec *time, int64_t ns) {
    int64_t total = time->tv_nsec + ns % 1000000000;
    time->tv_sec += ns / 1000000000;
    if (total < 0) total += 1000000000, time->tv_sec--;
    if (total >= 1000000000) total -= 1000000000, time->tv_sec++;
    time->tv_nsec = total;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = real_clock ? real_clock(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        COUNT(clock_reads, 1);
        add(time, COMMAND(clock_offset_ns));
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

/* Its deadline is a time of day, which the kernel knows without the offset. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec real = *until;
    if (real.tv_nsec >= 0 && real.tv_nsec < 1000000000) add(&real, -COMMAND(clock_offset_ns));
    return wait_until()(cond, mutex, &real);
}
