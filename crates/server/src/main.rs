//! The program `caudal`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const _: () = assert!(!caudal_types::mutant::PLANTED, "planted defects are for the simulation alone");

fn main() -> ExitCode {
    let matches = caudal_server::args::command().get_matches();
    caudal_server::commands::run(&matches)
}
