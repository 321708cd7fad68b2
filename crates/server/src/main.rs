//! The program `caudal`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = caudal_server::args::command().get_matches();
    caudal_server::commands::run(&matches)
}
