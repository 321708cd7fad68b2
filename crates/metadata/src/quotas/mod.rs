//! Client quotas (KIP-13, KIP-55, KIP-124, KIP-599, KIP-612): who may use how much, and what has been used. Pure: whoever measures passes the time in.
//!
//! # Layout
//! - `entity`: whom a quota is for
//! - `key`: what is limited
//! - `book`: all quotas that are set
//! - `levels`: which of them counts for a client
//! - `window`: use over time, and how long to wait when it was too much
//! - `meters`: one measure for each subject, of bounded number
//! - `payer`: who pays for changes of the cluster

mod book;
mod entity;
mod key;
mod levels;
mod meters;
mod payer;
mod window;

pub use book::{ClientQuotas, QuotaValues};
pub use entity::{CLIENT_ID, EntityName, IP, QuotaEntity, USER};
pub use key::{QuotaKey, QuotaValue};
pub use levels::{ClientLimit, QuotaLevels, Subject};
pub use meters::{Measure, Meters};
pub use payer::{Charged, Payer};
pub use window::{QuotaWindows, RateWindow, TokenBucket};
