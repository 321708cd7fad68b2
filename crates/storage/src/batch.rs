//! The writes that belong together.

use bytes::{Bytes, BytesMut};

use crate::ColumnFamily;

/// One write.
#[derive(Clone, Debug)]
pub enum WriteOp {
    /// Stores `head` followed by `body` under `key`. The value comes in two parts so that a large body is not copied to
    /// put a header before it.
    Put {
        /// Where.
        cf: ColumnFamily,
        /// The key.
        key: Bytes,
        /// The first part of the value.
        head: Bytes,
        /// The second part of the value.
        body: Bytes,
    },
    /// Removes `key`.
    Delete {
        /// Where.
        cf: ColumnFamily,
        /// The key.
        key: Bytes,
    },
    /// Removes all keys from `from` up to, but without, `to`.
    DeleteRange {
        /// Where.
        cf: ColumnFamily,
        /// The first key to go.
        from: Bytes,
        /// The first key to stay.
        to: Bytes,
    },
}

/// Writes that take effect together or not at all, in their order.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    ops: Vec<WriteOp>,
    bytes: usize,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `value` under `key`.
    pub fn put(&mut self, cf: ColumnFamily, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.put_parts(cf, key, Bytes::new(), value);
    }

    /// Stores `head` followed by `body` under `key`.
    pub fn put_parts(
        &mut self,
        cf: ColumnFamily,
        key: impl Into<Bytes>,
        head: impl Into<Bytes>,
        body: impl Into<Bytes>,
    ) {
        let (key, head, body) = (key.into(), head.into(), body.into());
        self.push(key.len() + head.len() + body.len(), WriteOp::Put { cf, key, head, body });
    }

    /// Removes `key`.
    pub fn delete(&mut self, cf: ColumnFamily, key: impl Into<Bytes>) {
        let key = key.into();
        self.push(key.len(), WriteOp::Delete { cf, key });
    }

    /// Removes all keys from `from` up to, but without, `to`.
    pub fn delete_range(&mut self, cf: ColumnFamily, from: impl Into<Bytes>, to: impl Into<Bytes>) {
        let (from, to) = (from.into(), to.into());
        self.push(from.len() + to.len(), WriteOp::DeleteRange { cf, from, to });
    }

    /// Puts `other`'s writes behind this batch's.
    pub fn extend(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.ops.extend(other.ops);
    }

    /// The writes, in order.
    pub fn ops(&self) -> &[WriteOp] {
        &self.ops
    }

    /// The writes, in order.
    pub fn into_ops(self) -> Vec<WriteOp> {
        self.ops
    }

    /// The bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    fn push(&mut self, bytes: usize, op: WriteOp) {
        self.bytes += bytes;
        self.ops.push(op);
    }
}

/// The two parts of a value as one; nothing is copied when there is no first part.
pub(crate) fn join(head: &Bytes, body: &Bytes) -> Bytes {
    if head.is_empty() {
        return body.clone();
    }
    let mut value = BytesMut::with_capacity(head.len() + body.len());
    value.extend_from_slice(head);
    value.extend_from_slice(body);
    value.freeze()
}
