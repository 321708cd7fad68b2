//! The allocator's settings for single threads.

use tikv_jemalloc_ctl::{Access, AsName, Error};

/// How long what the log writer freed is kept for it. On a busy node it fills a memtable within a second and frees it the next: pages that were given back in
/// between would have to be found again, which takes an eighth of the CPU of producing. What is kept is no more than memtables and batches may take anyway.
const KEEP_MS: isize = 10_000;

/// Gives the calling thread memory of its own that is kept longer than what others free. Where the allocator refuses, nothing changes.
pub(crate) fn keep_for_this_thread() {
    if let Err(error) = keep() {
        tracing::debug!(%error, "the allocator keeps nothing for the log writer");
    }
}

fn keep() -> Result<(), Error> {
    let arena: u32 = b"arenas.create\0"[..].name().read()?;
    let decay = format!("arena.{arena}.dirty_decay_ms\0");
    decay.as_bytes().name().write(KEEP_MS)?;
    b"thread.arena\0"[..].name().write(arena)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn arena_of_this_thread() -> u32 {
        b"thread.arena\0"[..].name().read().unwrap()
    }

    #[test]
    fn a_thread_gets_an_arena_of_its_own() {
        let before = arena_of_this_thread();
        let arena = thread::scope(|scope| {
            let inside = thread::Builder::new().spawn_scoped(scope, || {
                keep().unwrap();
                arena_of_this_thread()
            });
            inside.unwrap().join().unwrap()
        });
        assert_ne!(arena, before);
        let decay = format!("arena.{arena}.dirty_decay_ms\0");
        let decay: isize = decay.as_bytes().name().read().unwrap();
        assert_eq!(decay, KEEP_MS);
    }
}
