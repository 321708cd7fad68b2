//! An answer that is being made, and one that is made.

use std::mem;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::kept::Log;

/// What is answered to a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// In one piece.
    Whole(Bytes),
    /// In pieces that follow each other.
    Pieces(Vec<Bytes>),
}

impl From<Bytes> for Answer {
    fn from(answer: Bytes) -> Self {
        Self::Whole(answer)
    }
}

#[cfg(test)]
impl Answer {
    /// All of it.
    pub(super) fn joined(self) -> Bytes {
        match self {
            Self::Whole(answer) => answer,
            Self::Pieces(pieces) => pieces.into_iter().flatten().collect(),
        }
    }
}

/// The answer to the next request: what is written here, and between that records, which are not copied to it.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) written: BytesMut,
    /// With where in `written` each has its place.
    records: Vec<(usize, Bytes)>,
    /// What was read for it.
    pub(super) read: Vec<Arc<Log>>,
}

impl Output {
    /// Puts records behind what there is.
    pub(super) fn put_records(&mut self, records: Bytes) {
        self.records.push((self.written.len(), records));
    }

    /// Its bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.written.len() + self.records.iter().map(|(_, records)| records.len()).sum::<usize>()
    }

    /// What was made; the next answer begins.
    pub(super) fn take(&mut self) -> Answer {
        let written = self.written.split().freeze();
        if self.records.is_empty() {
            return Answer::Whole(written);
        }
        let mut pieces = Vec::with_capacity(2 * self.records.len() + 1);
        let mut from = 0;
        for (at, records) in mem::take(&mut self.records) {
            pieces.extend([written.slice(from..at), records]);
            from = at;
        }
        pieces.push(written.slice(from..));
        pieces.retain(|piece| !piece.is_empty());
        Answer::Pieces(pieces)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    #[test]
    fn records_keep_their_place_and_are_not_copied() {
        let mut output = Output::default();
        output.written.put_slice(b"no records");
        assert!(matches!(output.take(), Answer::Whole(answer) if answer == "no records"));
        output.written.put_slice(b"a");
        let records = Bytes::from(vec![b'b'; 2]);
        let lies_at = records.as_ptr();
        output.put_records(records);
        output.put_records("c".into());
        output.written.put_slice(b"d");
        assert_eq!(output.bytes(), 5);
        let Answer::Pieces(pieces) = output.take() else { panic!("records are pieces of their own") };
        assert_eq!(pieces, ["a", "bb", "c", "d"]);
        assert_eq!(pieces[1].as_ptr(), lies_at);
        assert_eq!(output.bytes(), 0);
    }
}
