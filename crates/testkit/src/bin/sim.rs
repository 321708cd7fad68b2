//! `scripts/sim`: runs seeds of the simulation; see `docs/testing.md`.

fn main() -> anyhow::Result<std::process::ExitCode> {
    caudal_testkit::command::main()
}
