//! The program `caudal`: configuration, wiring, signals.
//!
//! # Layout
//! - [`config`]: every key, from file, flags and environment
//! - [`args`]: the command line
//! - [`commands`]: what the commands that run a node do
//! - [`node`]: a node: its components, started and stopped in their order
//! - [`view`]: what the admin listener is told
//! - [`process`]: what the operating system knows of this process
//! - `space`: how much space the disk has left
//! - `allocator`: memory that is kept for a thread
//! - [`logging`]: log lines
//! - [`signals`]: when to stop

mod allocator;
pub mod args;
pub mod commands;
pub mod config;
pub mod logging;
pub mod node;
pub mod process;
pub mod signals;
mod space;
pub mod view;

pub use config::Config;
pub use node::{Node, StartError};
