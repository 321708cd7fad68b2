//! Fault injection, built by its own issue: see README.md beside this crate.
