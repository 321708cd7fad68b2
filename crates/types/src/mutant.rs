//! Planted defects, which show that the tests find such: each is a line or two at the right place, switched on by its name. Without the
//! Cargo feature `mutants`, which no program that serves anybody can have, they compile to nothing.

/// Whether defects are planted at all.
pub const PLANTED: bool = cfg!(feature = "mutants");

/// The environment variable that names the one defect that is switched on.
pub const VARIABLE: &str = "CAUDAL_MUTANT";

/// Whether the defect of this name is switched on.
#[cfg(feature = "mutants")]
pub fn active(name: &str) -> bool {
    use std::sync::OnceLock;
    static ACTIVE: OnceLock<Option<String>> = OnceLock::new();
    ACTIVE.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
}

/// Whether the defect of this name is switched on.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn active(_: &str) -> bool {
    false
}
