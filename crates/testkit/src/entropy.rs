//! The process's chance, by seed.
//!
//! Hash maps, tokio's `select!`, UUIDs and random generators all draw from the system's `getrandom`. This crate defines that function: once
//! [`seed`] was called it gives what follows from the seed; before, it asks the system.

#![allow(unsafe_code, reason = "a function of the C library is replaced")]

use std::ffi::{c_uint, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::SeedableRng;
use rand::rngs::StdRng;

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on all chance of this process follows from `seed`. To be called before anything has drawn, by a process with one thread.
pub fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// A generator of the simulation's own for one purpose: what it gives does not depend on what anybody else has drawn.
pub fn generator(seed: u64, purpose: u64) -> StdRng {
    StdRng::seed_from_u64(mix(seed ^ mix(purpose)))
}

fn next() -> u64 {
    mix(STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst))
}

/// The finalizer of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The C library's function of this name.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if !SEEDED.load(Ordering::SeqCst) {
        // SAFETY: the caller's promise is the system call's condition.
        let read = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return isize::try_from(read).unwrap_or(-1);
    }
    let mut written = 0;
    while written < length {
        let drawn = next().to_le_bytes();
        let count = drawn.len().min(length - written);
        // SAFETY: `written + count` is at most `length`, for which the caller has promised that the buffer is valid.
        unsafe { std::ptr::copy_nonoverlapping(drawn.as_ptr(), buffer.cast::<u8>().add(written), count) };
        written += count;
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
