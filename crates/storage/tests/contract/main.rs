//! What every engine promises, checked on all of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod model;

use caudal_storage::{MemEngine, RocksEngine, RocksOptions, WriteBehind};
use tempfile::TempDir;

macro_rules! on_all_engines {
    ($($case:ident),* $(,)?) => {
        mod mem {
            $(#[test] fn $case() { super::cases::$case(&super::MemEngine::new()); })*
        }
        mod rocks {
            $(#[test] fn $case() { super::with_rocks(|engine| super::cases::$case(&engine)); })*
        }
        mod mem_written_behind {
            $(#[test] fn $case() { super::cases::$case(&super::WriteBehind::new(super::MemEngine::new())); })*
        }
        mod rocks_written_behind {
            $(#[test] fn $case() { super::with_rocks(|engine| super::cases::$case(&super::WriteBehind::new(engine))); })*
        }
    };
}

on_all_engines!(
    a_value_comes_back,
    the_last_write_wins,
    values_in_two_parts_are_joined,
    large_values_come_back_whole,
    many_values_come_back_in_the_order_of_their_keys,
    column_families_are_apart,
    deleting_what_is_not_there_is_fine,
    a_deleted_range_is_half_open,
    an_empty_or_backward_range_deletes_nothing,
    order_inside_a_batch_counts,
    an_empty_batch_is_fine,
    scans_are_ordered_and_half_open,
    scans_back_are_the_same_reversed,
    scans_of_empty_or_backward_ranges_are_empty,
    scans_stop_at_the_row_limit,
    scans_stop_behind_the_row_that_fills_the_bytes,
    scans_do_not_see_deleted_rows,
    concurrent_readers_see_batches_whole,
);

/// Runs `case` on a fresh database with memtables so small that flushes and blob files happen.
fn with_rocks(case: impl FnOnce(RocksEngine)) {
    let directory = TempDir::new().unwrap();
    let options = RocksOptions { log_memtable_bytes: 256 << 10, ..RocksOptions::default() };
    case(RocksEngine::open(directory.path(), &options).unwrap());
}
