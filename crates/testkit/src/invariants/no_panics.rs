//! Nothing panics.

use std::panic;
use std::sync::OnceLock;

use super::{Invariant, World};

static FIRST: OnceLock<String> = OnceLock::new();

/// From now on panics are remembered.
pub fn watch() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        FIRST.get_or_init(|| info.to_string());
        before(info);
    }));
}

/// The invariant.
#[derive(Debug)]
pub struct NoPanics;

impl Invariant for NoPanics {
    fn name(&self) -> &'static str {
        "no_panics"
    }

    fn check(&mut self, _: &World<'_>) -> Result<(), String> {
        FIRST.get().map_or(Ok(()), |panic| Err(panic.clone()))
    }
}
