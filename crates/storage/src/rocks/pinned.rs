//! Values as RocksDB read them, handed on without a copy.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, DBPinnableSlice};
use self_cell::self_cell;

use super::open::Open;
use crate::StorageError;

/// An open database; it stays open for as long as anybody has a value of it.
#[derive(Debug)]
pub(super) struct Database {
    db: DB,
    /// The last field, for it must go when the database has gone.
    _open: Open,
}

impl Database {
    pub(super) fn new(db: DB, open: Open) -> Arc<Self> {
        Arc::new(Self { db, _open: open })
    }
}

impl Deref for Database {
    type Target = DB;

    fn deref(&self) -> &DB {
        &self.db
    }
}

/// From how many bytes on a value is handed on as it was read. Smaller ones are copied: they lie in blocks of the cache, with many others, which must not be
/// kept for their sake, and a copy costs no more than keeping count.
const SHARED_FROM: usize = 4 << 10;

type Found<'db> = Vec<Option<DBPinnableSlice<'db>>>;

self_cell!(
    /// What one look-up found.
    struct Values {
        owner: Arc<Database>,
        #[covariant]
        dependent: Found,
    }
);

/// One of them.
struct Value {
    values: Arc<Values>,
    at: usize,
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self.values.borrow_dependent()[self.at].as_deref().unwrap_or_default()
    }
}

/// The values under some keys, which come in order; `None` where there is none. Blocks.
pub(super) fn get_many(
    db: &Arc<Database>,
    family: &ColumnFamily,
    keys: &[Bytes],
) -> Result<Vec<Option<Bytes>>, StorageError> {
    let values = Values::try_new(Arc::clone(db), |db| {
        db.batched_multi_get_cf(family, keys, true).into_iter().collect::<Result<Found<'_>, _>>()
    })?;
    let values = Arc::new(values);
    let bytes = |(at, value): (usize, &Option<DBPinnableSlice<'_>>)| {
        let value = value.as_deref()?;
        let is_large = value.len() >= SHARED_FROM;
        let shared = || Bytes::from_owner(Value { values: Arc::clone(&values), at });
        Some(if is_large { shared() } else { Bytes::copy_from_slice(value) })
    };
    Ok(values.borrow_dependent().iter().enumerate().map(bytes).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{ColumnFamily, Durability, Engine, RocksEngine, RocksOptions, WriteBatch};

    use super::*;

    #[test]
    fn values_outlive_the_engine_that_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
        let value = |n: usize| vec![n as u8; [10, SHARED_FROM, 100_000][n]];
        let mut batch = WriteBatch::new();
        for n in 0..3 {
            batch.put(ColumnFamily::Log, vec![n as u8], value(n));
        }
        engine.write(batch, Durability::Synced).unwrap();
        let keys = [0, 1, 2, 9].map(|n| Bytes::from(vec![n]));
        let found = engine.get_many(ColumnFamily::Log, &keys).unwrap();
        drop(engine);
        assert_eq!(found[3], None);
        let found: Vec<_> = found.into_iter().flatten().collect();
        assert!(found.iter().enumerate().all(|(n, bytes)| *bytes == value(n)));
        drop(found);
        // The folder is free again.
        assert!(crate::wait_until_closed(Duration::from_secs(30)));
        RocksEngine::open(folder.path(), &RocksOptions::default()).unwrap();
    }
}
