//! A connection's answers: they leave in the order of its requests, each once enough copies of its request are synced.

use std::collections::VecDeque;
use std::io::{IoSlice, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::output::Answer;
use super::vectored;

/// How many of the three copies must be synced: a majority.
pub(super) const MAJORITY: usize = 2;
/// An answer from this size on, in bytes, leaves by itself: to copy it would cost more than a call.
const LARGE: usize = 64 * 1024;

/// Counts a request's synced copies.
#[derive(Debug, Default)]
pub(super) struct Ticket(AtomicUsize);

impl Ticket {
    /// One more copy is synced; whether that makes them a majority.
    pub(super) fn count(&self) -> bool {
        self.0.fetch_add(1, Ordering::AcqRel) + 1 == MAJORITY
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) >= MAJORITY
    }
}

/// The answer to a request of which another copy is being made.
#[derive(Debug)]
pub(super) struct Due<W> {
    ticket: Arc<Ticket>,
    answers: Arc<Answers<W>>,
}

impl<W: Write> Due<W> {
    pub(super) fn new(ticket: &Arc<Ticket>, answers: &Arc<Answers<W>>) -> Self {
        Self { ticket: Arc::clone(ticket), answers: Arc::clone(answers) }
    }

    /// One more copy of each is synced. All are counted first, so that what becomes ready together leaves together.
    pub(super) fn settle(synced: impl IntoIterator<Item = Self>) {
        let ready: Vec<_> = synced.into_iter().filter(|due| due.ticket.count()).collect();
        ready.iter().for_each(|due| due.answers.settle());
    }
}

/// What waits to be sent to a client, and the way there.
#[derive(Debug)]
pub(super) struct Answers<W>(Mutex<Waiting<W>>);

#[derive(Debug)]
struct Waiting<W> {
    /// Without a ticket, an answer waits only for those before it.
    queue: VecDeque<(Option<Arc<Ticket>>, Answer)>,
    /// What leaves together; its memory is used again and again.
    output: Vec<u8>,
    /// Nothing when the client is gone.
    sink: Option<W>,
}

impl<W: Write> Answers<W> {
    pub(super) fn new(sink: W) -> Self {
        Self(Mutex::new(Waiting { queue: VecDeque::new(), output: Vec::new(), sink: Some(sink) }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the next request. It is sent by a later [`Self::settle`].
    pub(super) fn push(&self, ticket: Option<Arc<Ticket>>, answer: impl Into<Answer>) {
        self.waiting().queue.push_back((ticket, answer.into()));
    }

    /// Sends all answers at the front that need not wait any more.
    pub(super) fn settle(&self) {
        let Waiting { queue, output, sink } = &mut *self.waiting();
        let is_ready = |ticket: &Option<Arc<Ticket>>| ticket.as_ref().is_none_or(|ticket| ticket.is_ready());
        while let Some((_, answer)) = queue.pop_front_if(|(ticket, _)| is_ready(ticket)) {
            if let Answer::Whole(answer) = &answer
                && answer.len() < LARGE
            {
                output.extend_from_slice(answer);
                continue;
            }
            send(sink, output);
            output.clear();
            match answer {
                Answer::Whole(answer) => send(sink, &answer),
                Answer::Pieces(pieces) => send_pieces(sink, &pieces),
            }
        }
        send(sink, output);
        output.clear();
    }
}

/// Its reading thread learns by itself that a client is gone.
fn send(sink: &mut Option<impl Write>, bytes: &[u8]) {
    if !bytes.is_empty() && sink.as_mut().is_some_and(|sink| sink.write_all(bytes).is_err()) {
        *sink = None;
    }
}

/// The same with one call, or few.
fn send_pieces(sink: &mut Option<impl Write>, pieces: &[Bytes]) {
    let mut parts: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    if sink.as_mut().is_some_and(|sink| vectored::write_all(sink, &mut parts).is_err()) {
        *sink = None;
    }
}

/// What the tests of those who keep requests have in common.
#[cfg(test)]
pub(super) mod testing {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;

    /// One byte each, ten times in the request.
    pub(in super::super) const REQUESTS: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    /// Hands on what it is sent.
    pub(in super::super) struct Client(Sender<Vec<u8>>);

    impl Write for Client {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Has requests kept; their answers come, in the same order.
    pub(in super::super) fn assert_answered_in_order(store: impl Fn(&Bytes, &Arc<Ticket>, &Arc<Answers<Client>>)) {
        let (sender, received) = channel();
        let answers = Arc::new(Answers::new(Client(sender)));
        for n in REQUESTS {
            let ticket = Arc::new(Ticket::default());
            answers.push(Some(Arc::clone(&ticket)), Bytes::copy_from_slice(&[n]));
            store(&Bytes::from(vec![n; 10]), &ticket, &answers);
        }
        let mut got = Vec::new();
        while got.len() < REQUESTS.len() {
            got.extend(received.recv_timeout(Duration::from_secs(30)).unwrap());
        }
        assert_eq!(got, REQUESTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(answers: &Answers<Vec<u8>>) -> String {
        String::from_utf8(answers.waiting().sink.clone().unwrap()).unwrap()
    }

    #[test]
    fn a_majority_is_reached_once() {
        let ticket = Ticket::default();
        assert_eq!([ticket.count(), ticket.count(), ticket.count()], [false, true, false]);
        assert!(ticket.is_ready());
    }

    #[test]
    fn answers_leave_in_order() {
        let answers = Answers::new(Vec::new());
        let tickets = [Arc::new(Ticket::default()), Arc::new(Ticket::default())];
        answers.push(None, Bytes::from("a"));
        answers.push(Some(Arc::clone(&tickets[0])), Bytes::from("b"));
        answers.push(None, Bytes::from("c"));
        answers.push(Some(Arc::clone(&tickets[1])), Bytes::from("d"));
        answers.settle();
        assert_eq!(sent(&answers), "a", "what needs no copies waits for nothing, unless something before it does");
        tickets[1].count();
        tickets[1].count();
        tickets[0].count();
        answers.settle();
        assert_eq!(sent(&answers), "a", "one copy is not enough, and d has to wait for b");
        tickets[0].count();
        answers.settle();
        assert_eq!(sent(&answers), "abcd");
        answers.settle();
        assert_eq!(sent(&answers), "abcd", "each is sent once");
    }

    #[test]
    fn answers_in_pieces_keep_their_place() {
        let answers = Answers::new(Vec::new());
        answers.push(None, Bytes::from("a"));
        answers.push(None, Answer::Pieces(vec!["b".into(), "c".into()]));
        answers.push(None, Bytes::from(vec![b'd'; LARGE]));
        answers.push(None, Bytes::from("e"));
        answers.settle();
        assert_eq!(sent(&answers), format!("abc{}e", "d".repeat(LARGE)));
    }

    /// A client that is gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_client_that_is_gone_holds_nothing_up() {
        let answers = Answers::new(Gone);
        answers.push(None, Bytes::from("a"));
        answers.settle();
        answers.push(None, Bytes::from("b"));
        answers.settle();
        assert!(answers.waiting().sink.is_none());
        assert!(answers.waiting().queue.is_empty());
    }
}
