//! The process that is killed: appends to several Raft groups without end, and says on its output what was acknowledged.

use std::path::Path;
use std::sync::Arc;

use caudal_storage::{Durability, Engine, LogWriter};
use caudal_types::{RaftGroupId, Tasks};
use tokio::sync::Semaphore;

use crate::entries;

/// The environment variable that names the data directory.
pub(super) const DIRECTORY: &str = "CAUDAL_CRASH_DIRECTORY";

/// What an acknowledgement's line begins with; group and index follow.
pub(super) const ACK: &str = "ack ";

pub(super) fn groups() -> impl Iterator<Item = RaftGroupId> {
    (1..=6).map(RaftGroupId)
}

pub(super) fn run(path: &Path) {
    let (_directory, engine) = entries::open(path);
    let engine: Arc<dyn Engine> = Arc::new(engine);
    let writer = LogWriter::start(Arc::clone(&engine));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let tasks = Tasks::new();
        for group in groups() {
            tasks.spawn("appender", append_forever(group, Arc::clone(&engine), writer.clone()));
        }
        writer.state().changed().await.unwrap();
        panic!("the store failed: {:?}", writer.state().borrow());
    });
}

async fn append_forever(group: RaftGroupId, engine: Arc<dyn Engine>, writer: LogWriter) {
    let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
    for index in entries::last_index(engine.as_ref(), group) + 1.. {
        let permit = Arc::clone(&in_flight).acquire_owned().await.unwrap();
        let engine = Arc::clone(&engine);
        let done = move |result: Result<(), _>| {
            result.unwrap();
            engine.write(entries::apply(group, index), Durability::Buffered).unwrap();
            println!("{ACK}{group} {index}");
            drop(permit);
        };
        writer.append(entries::append(group, index), Box::new(done)).await.unwrap();
    }
}

const IN_FLIGHT: usize = 32;
