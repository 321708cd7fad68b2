/* The page through which the runner commands the library and reads what it did. Its layout is also in src/disk/control.rs. */
#ifndef FAULTDISK_CONTROL_H
#define FAULTDISK_CONTROL_H

#include <stdint.h>

struct control {
    /* Commands, written by the runner. */
    uint64_t sync_delay_us;        /* how long each sync takes longer */
    uint64_t no_space;             /* what takes space fails with ENOSPC */
    uint64_t write_errors_per_1000; /* writes that fail with EIO */
    uint64_t sync_errors_per_1000; /* syncs that fail with EIO */
    uint64_t read_errors_per_1000; /* reads that fail with EIO */
    int64_t clock_offset_ns;       /* added to the time of day */
    uint64_t commands_reserved[10];
    /* Counters, written by the library. */
    uint64_t opens, creates, writes, written_bytes, saved_bytes, truncates, file_syncs, directory_syncs;
    uint64_t renames, unlinks, links, mkdirs, delayed, refused, failed, clock_reads;
    uint64_t untracked; /* calls on files below the root that the library could not follow */
};

/* The page, or one of zeros when there is none. Never NULL. */
extern struct control *control;

#define COUNT(counter, by) __atomic_fetch_add(&control->counter, (uint64_t)(by), __ATOMIC_RELAXED)
#define COMMAND(command) __atomic_load_n(&control->command, __ATOMIC_RELAXED)

#endif
