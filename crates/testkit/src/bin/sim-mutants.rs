//! `scripts/mutants`: the same as `sim`, with planted defects; see `docs/testing.md`.

fn main() -> anyhow::Result<std::process::ExitCode> {
    caudal_testkit::command::main()
}
