use super::*;

const NOW: TimestampMs = 1000;
const FRESH: ProducerId = 77;

fn producer(id: ProducerId, epoch: ProducerEpoch) -> ProducerIdentity {
    ProducerIdentity { id, epoch }
}

fn group(name: &str) -> Participant {
    Participant::Group(name.into())
}

/// A transactional id and what is asked of it.
#[derive(Clone, Debug)]
struct Id {
    row: Option<TransactionRow>,
}

impl Id {
    fn new() -> Self {
        let mut id = Self { row: None };
        assert_eq!(id.init(None), Reply::Producer(producer(FRESH, 0)));
        id
    }

    /// One whose producer has used `epoch`.
    fn at_epoch(epoch: ProducerEpoch) -> Self {
        let mut id = Self::new();
        id.row.as_mut().unwrap().epoch = epoch;
        id
    }

    fn ask(&mut self, command: TransactionCommand) -> Reply {
        let (row, reply) = decide(self.row.take(), command, NOW);
        self.row = row;
        reply
    }

    fn init(&mut self, expected: Option<ProducerIdentity>) -> Reply {
        self.init_with(expected, FRESH)
    }

    fn init_with(&mut self, expected: Option<ProducerIdentity>, fresh_id: ProducerId) -> Reply {
        self.ask(TransactionCommand::Init { timeout_ms: 60_000, expected, fresh_id })
    }

    fn join(&mut self, protocol: u8, epoch: ProducerEpoch) -> Reply {
        let producer = producer(self.row.as_ref().unwrap().producer_id, epoch);
        self.ask(TransactionCommand::Join { producer, protocol, participants: vec![group("g")] })
    }

    fn end(&mut self, protocol: u8, producer: ProducerIdentity, commit: bool) -> Reply {
        self.ask(TransactionCommand::End { producer, protocol, commit, fresh_id: 99 })
    }

    fn complete(&mut self) {
        let number = self.row().number;
        assert_eq!(self.ask(TransactionCommand::Complete { number }), Reply::Done);
    }

    fn row(&self) -> &TransactionRow {
        self.row.as_ref().unwrap()
    }

    fn state(&self) -> TransactionState {
        self.row().state
    }
}

fn refused(refusal: Refusal) -> Reply {
    Reply::Refused(refusal)
}

#[test]
fn a_new_id_needs_a_producer_id() {
    let mut id = Id { row: None };
    assert_eq!(id.init_with(None, NO_ID), Reply::NeedsId);
    assert_eq!(id.row, None);
    assert_eq!(id.init(None), Reply::Producer(producer(FRESH, 0)));
    assert_eq!(id.init_with(None, NO_ID), Reply::Producer(producer(FRESH, 1)), "whoever takes over fences");
}

#[test]
fn who_is_not_known_can_do_nothing() {
    let mut id = Id { row: None };
    let join = TransactionCommand::Join { producer: producer(1, 0), protocol: 1, participants: vec![group("g")] };
    assert_eq!(id.ask(join), refused(Refusal::UnknownProducer));
    assert_eq!(id.end(2, producer(1, 0), true), refused(Refusal::UnknownProducer));
    let mut id = Id::at_epoch(5);
    assert_eq!(id.join(1, 4), refused(Refusal::Fenced));
    assert_eq!(id.join(1, 6), refused(Refusal::Fenced));
    assert_eq!(id.end(1, producer(1, 5), true), refused(Refusal::UnknownProducer));
}

#[test]
fn a_transaction_of_version_1() {
    let mut id = Id::new();
    let me = producer(FRESH, 0);
    assert_eq!(id.end(1, me, true), refused(Refusal::InvalidState), "there is none");
    assert_eq!(id.join(1, 0), Reply::Joined(1));
    assert_eq!(id.join(1, 0), Reply::Joined(1));
    assert_eq!((id.state(), id.row().started_at), (TransactionState::Ongoing, NOW));
    assert_eq!(id.end(1, producer(FRESH, 1), true), refused(Refusal::Fenced));
    assert_eq!(id.end(1, me, true), Reply::Done);
    assert_eq!(id.state(), TransactionState::PrepareCommit);
    assert_eq!(id.row().epoch, 0);
    assert_eq!(id.end(1, me, true), refused(Refusal::Concurrent));
    assert_eq!(id.end(1, me, false), refused(Refusal::InvalidState));
    assert_eq!(id.join(1, 0), refused(Refusal::Concurrent));
    assert_eq!(id.init(None), refused(Refusal::Concurrent));
    id.complete();
    assert_eq!(id.state(), TransactionState::CompleteCommit);
    assert!(id.row().participants.is_empty());
    assert_eq!(id.end(1, me, true), Reply::Done, "asked again");
    assert_eq!(id.end(1, me, false), refused(Refusal::InvalidState));
    assert_eq!(id.join(1, 0), Reply::Joined(2), "the next one");
    assert_eq!(id.end(1, me, false), Reply::Done);
    id.complete();
    assert_eq!(id.end(1, me, false), Reply::Done);
    assert_eq!(id.end(1, me, true), refused(Refusal::InvalidState));
}

#[test]
fn a_transaction_of_version_2_ends_with_a_new_epoch() {
    let mut id = Id::new();
    assert_eq!(id.join(2, 0), Reply::Joined(1));
    assert_eq!(id.end(2, producer(FRESH, 0), true), Reply::Producer(producer(FRESH, 1)));
    assert_eq!((id.state(), id.row().epoch), (TransactionState::PrepareCommit, 1), "its markers have the new epoch");
    assert_eq!(id.end(2, producer(FRESH, 0), true), refused(Refusal::Concurrent));
    assert_eq!(id.end(2, producer(FRESH, 0), false), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 2), true), refused(Refusal::Fenced), "nobody was given that epoch");
    id.complete();
    // The table of KIP-890: the same again, and the current epoch.
    assert_eq!(id.end(2, producer(FRESH, 0), true), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.end(2, producer(FRESH, 0), false), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 1), true), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 1), false), Reply::Producer(producer(FRESH, 2)), "aborted, and empty");
    assert_eq!(id.state(), TransactionState::CompleteAbort);
    assert_eq!(id.end(2, producer(FRESH, 1), false), Reply::Producer(producer(FRESH, 2)));
    assert_eq!(id.end(2, producer(FRESH, 1), true), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 2), true), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 0), true), refused(Refusal::Fenced));
}

#[test]
fn an_empty_transaction_of_version_2() {
    let mut id = Id::new();
    assert_eq!(id.end(2, producer(FRESH, 0), true), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(FRESH, 0), false), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.state(), TransactionState::CompleteAbort);
}

/// The producer knows the end, and its new epoch, before all that took part do: what it does next, even an empty abort, has to wait.
#[test]
fn a_producer_of_version_2_may_be_ahead_of_its_transactions_completion() {
    let mut id = Id::new();
    id.join(2, 0);
    id.end(2, producer(FRESH, 0), true);
    for commit in [true, false] {
        assert_eq!(id.end(2, producer(FRESH, 1), commit), refused(Refusal::Concurrent));
    }
    assert_eq!(id.join(2, 1), refused(Refusal::Concurrent));
    assert_eq!(id.join(2, 0), refused(Refusal::Fenced), "that epoch is over");
    id.complete();
    assert_eq!(id.end(2, producer(FRESH, 1), false), Reply::Producer(producer(FRESH, 2)));

    let mut id = Id::at_epoch(USED_UP);
    id.join(2, USED_UP);
    let next = producer(99, 0);
    assert_eq!(id.end(2, producer(FRESH, USED_UP), true), Reply::Producer(next));
    let join = TransactionCommand::Join { producer: next, protocol: 2, participants: vec![group("g")] };
    assert_eq!(id.ask(join.clone()), refused(Refusal::Concurrent), "a new producer id, too");
    assert_eq!(id.end(2, next, false), refused(Refusal::Concurrent));
    assert_eq!(id.init(Some(next)), refused(Refusal::Concurrent));
    id.complete();
    assert_eq!(id.ask(join), Reply::Joined(2));
}

/// Every number is of one transaction only, so that no two are taken for one another (KAFKA-17754).
#[test]
fn a_late_end_of_version_2_does_not_end_the_next_transaction() {
    let mut id = Id::new();
    let first = producer(FRESH, 0);
    id.join(2, 0);
    id.end(2, first, true);
    id.complete();
    assert_eq!(id.join(2, 1), Reply::Joined(2));
    for commit in [true, false] {
        assert_eq!(id.end(2, first, commit), refused(Refusal::Fenced));
    }
    assert_eq!(id.state(), TransactionState::Ongoing);
}

#[test]
fn taking_over_aborts_what_goes_on() {
    let mut id = Id::new();
    id.join(1, 0);
    assert_eq!(id.init(None), refused(Refusal::Concurrent));
    assert_eq!((id.state(), id.row().epoch), (TransactionState::PrepareAbort, 1), "the old producer is fenced");
    assert_eq!(id.end(1, producer(FRESH, 0), true), refused(Refusal::Fenced));
    id.complete();
    assert_eq!(id.init(None), Reply::Producer(producer(FRESH, 2)));
    assert_eq!(id.state(), TransactionState::Empty);
}

#[test]
fn a_producer_goes_on_after_an_error() {
    let mut id = Id::new();
    assert_eq!(id.init(Some(producer(FRESH, 0))), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.init(Some(producer(FRESH, 0))), Reply::Producer(producer(FRESH, 1)), "the same request again");
    assert_eq!(id.init(Some(producer(FRESH, 1))), Reply::Producer(producer(FRESH, 2)));
    assert_eq!(id.init(Some(producer(FRESH, 0))), refused(Refusal::Fenced));
    assert_eq!(id.init(Some(producer(5, 2))), refused(Refusal::Fenced), "another producer id");
    assert_eq!(id.init(None), Reply::Producer(producer(FRESH, 3)));
    assert_eq!(id.init(Some(producer(FRESH, 2))), refused(Refusal::Fenced), "another one has taken over");
    id.join(1, 3);
    assert_eq!(id.init(Some(producer(FRESH, 2))), refused(Refusal::Fenced));
    assert_eq!(id.state(), TransactionState::Ongoing, "who is fenced aborts nothing");
}

#[test]
fn a_producer_id_that_is_used_up_is_replaced() {
    let mut id = Id::at_epoch(USED_UP);
    assert_eq!(id.init_with(None, NO_ID), Reply::NeedsId);
    assert_eq!(id.init_with(None, 88), Reply::Producer(producer(88, 0)));
    assert_eq!(id.row().previous_producer_id, FRESH);

    let mut id = Id::at_epoch(USED_UP);
    let me = producer(FRESH, USED_UP);
    assert_eq!(id.init_with(Some(me), 88), Reply::Producer(producer(88, 0)));
    assert_eq!(id.init_with(Some(me), NO_ID), Reply::Producer(producer(88, 0)), "asked again");

    for (protocol, commit) in [(2, true), (2, false)] {
        let mut id = Id::at_epoch(USED_UP);
        id.join(protocol, USED_UP);
        assert_eq!(id.end(protocol, me, commit), Reply::Producer(producer(99, 0)));
        assert_eq!(id.row().producer(), producer(FRESH, ProducerEpoch::MAX), "the markers are the old id's");
        id.complete();
        assert_eq!(id.row().producer(), producer(99, 0));
        assert_eq!(id.end(protocol, me, commit), Reply::Producer(producer(99, 0)), "asked again");
        assert_eq!(id.join(protocol, 0), Reply::Joined(2));
    }
}

#[test]
fn a_transaction_that_has_had_its_time_is_aborted_with_a_new_epoch() {
    let mut id = Id::new();
    id.join(2, 0);
    assert_eq!(id.ask(time_out(9, NO_ID)), Reply::Done);
    assert_eq!(id.state(), TransactionState::Ongoing, "that was another one");
    assert_eq!(id.ask(time_out(1, NO_ID)), Reply::Done);
    assert_eq!((id.state(), id.row().epoch), (TransactionState::PrepareAbort, 1));
    id.complete();
    // No newer producer exists: what the client is told here, Kafka tells it as well.
    assert_eq!(id.end(2, producer(FRESH, 0), false), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.end(2, producer(FRESH, 0), true), refused(Refusal::InvalidState));

    let mut id = Id::at_epoch(USED_UP);
    id.join(1, USED_UP);
    assert_eq!(id.ask(time_out(1, NO_ID)), Reply::NeedsId);
    assert_eq!(id.state(), TransactionState::Ongoing);
    assert_eq!(id.ask(time_out(1, 88)), Reply::Done);
    id.complete();
    assert_eq!(id.row().producer(), producer(88, 0));
}

fn time_out(number: u64, fresh_id: ProducerId) -> TransactionCommand {
    TransactionCommand::TimeOut { number, fresh_id }
}

/// No newer producer exists, and yet the epoch of one of version 1 is over when its transaction has had its time. Kafka 4.3 answers each of these the same.
#[test]
fn a_producer_of_version_1_goes_on_behind_its_time_out_by_init_alone() {
    let mut id = Id::new();
    let me = producer(FRESH, 0);
    id.join(1, 0);
    assert_eq!(id.ask(time_out(1, NO_ID)), Reply::Done);
    for when in ["it is being aborted", "it is aborted"] {
        assert_eq!(id.end(1, me, true), refused(Refusal::Fenced), "{when}");
        assert_eq!(id.end(1, me, false), refused(Refusal::Fenced), "{when}");
        assert_eq!(id.join(1, 0), refused(Refusal::Fenced), "{when}");
        if id.state() == TransactionState::PrepareAbort {
            assert_eq!(id.init(Some(me)), refused(Refusal::Concurrent), "{when}");
            id.complete();
        }
    }
    assert_eq!(id.init(Some(me)), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.init(Some(me)), Reply::Producer(producer(FRESH, 1)), "asked again");
    assert_eq!(id.join(1, 0), refused(Refusal::Fenced));
    assert_eq!(id.join(1, 1), Reply::Joined(2));
}

#[test]
fn a_producer_whose_id_another_one_has_taken_over_cannot_go_on() {
    let mut id = Id::new();
    let me = producer(FRESH, 0);
    id.join(1, 0);
    assert_eq!(id.init(None), refused(Refusal::Concurrent), "the newer one comes, and will ask again");
    id.complete();
    assert_eq!(id.init(None), Reply::Producer(producer(FRESH, 2)));
    for protocol in [1, 2] {
        assert_eq!(id.init(Some(me)), refused(Refusal::Fenced));
        assert_eq!(id.init(Some(producer(FRESH, 1))), refused(Refusal::Fenced), "nobody was given that epoch");
        assert_eq!(id.join(protocol, 0), refused(Refusal::Fenced));
        assert_eq!(id.end(protocol, me, false), refused(Refusal::Fenced));
    }
}

/// All transactions of a producer of version 1 share an epoch: nothing in a request says which of them it is about (KAFKA-17754).
#[test]
fn a_late_end_of_version_1_is_taken_for_one_of_the_next_transaction() {
    let me = producer(FRESH, 0);
    let next_goes_on = || {
        let mut id = Id::new();
        id.join(1, 0);
        assert_eq!(id.end(1, me, true), Reply::Done);
        id.complete();
        // Once the next one has not begun, being late does nothing.
        assert_eq!((id.end(1, me, true), id.state()), (Reply::Done, TransactionState::CompleteCommit));
        assert_eq!(id.join(1, 0), Reply::Joined(2));
        id
    };

    let mut id = next_goes_on();
    assert_eq!(id.end(1, me, true), Reply::Done, "late, and it commits what there is of the next one");
    assert_eq!((id.state(), id.row().number), (TransactionState::PrepareCommit, 2));
    assert_eq!(id.end(1, me, false), refused(Refusal::InvalidState), "the producer that wants to abort it is told");
    id.complete();
    assert_eq!(id.end(1, me, false), refused(Refusal::InvalidState), "then, too");
    assert_eq!(id.join(1, 0), Reply::Joined(3), "what else it writes is another transaction's");

    let mut id = next_goes_on();
    assert_eq!(id.end(1, me, false), Reply::Done, "late, of a producer that gave up: it aborts the next one");
    id.complete();
    assert_eq!(id.end(1, me, true), refused(Refusal::InvalidState), "the producer that wants to commit it is told");

    // A newer epoch is what helps: whoever begins with InitProducerId is safe from what was sent before.
    let mut id = next_goes_on();
    assert_eq!(id.init(Some(me)), refused(Refusal::Concurrent));
    id.complete();
    assert_eq!(id.init(Some(me)), Reply::Producer(producer(FRESH, 1)));
    assert_eq!(id.join(1, 1), Reply::Joined(3));
    for commit in [true, false] {
        assert_eq!(id.end(1, me, commit), refused(Refusal::Fenced));
    }
}

#[test]
fn taking_over_at_the_last_epoch_goes_on_with_another_producer_id() {
    for protocol in [1, 2] {
        let mut id = Id::at_epoch(USED_UP);
        let me = producer(FRESH, USED_UP);
        id.join(protocol, USED_UP);
        assert_eq!(id.init_with(None, NO_ID), Reply::NeedsId);
        assert_eq!(id.state(), TransactionState::Ongoing);
        assert_eq!(id.init_with(None, 88), refused(Refusal::Concurrent));
        assert_eq!(id.row().producer(), producer(FRESH, ProducerEpoch::MAX), "the marker's, which nobody is given");
        assert_eq!(
            id.end(protocol, me, true),
            refused(if protocol == 1 { Refusal::Fenced } else { Refusal::InvalidState })
        );
        id.complete();
        assert_eq!(id.row().producer(), producer(88, 0));
        assert_eq!(id.init_with(None, NO_ID), Reply::Producer(producer(88, 1)), "the newer one asks again");
        for expected in [me, producer(FRESH, ProducerEpoch::MAX), producer(88, 0)] {
            assert_eq!(id.init_with(Some(expected), NO_ID), refused(Refusal::Fenced));
        }
        let join = TransactionCommand::Join { producer: me, protocol, participants: vec![group("g")] };
        assert_eq!(id.ask(join), refused(Refusal::UnknownProducer));
        assert_eq!(id.end(protocol, me, false), refused(Refusal::UnknownProducer));
    }
}

#[test]
fn a_time_out_at_the_last_epoch_is_answered_to_who_asks_again() {
    let mut id = Id::at_epoch(USED_UP);
    let me = producer(FRESH, USED_UP);
    id.join(2, USED_UP);
    assert_eq!(id.ask(time_out(1, NO_ID)), Reply::NeedsId);
    assert_eq!(id.state(), TransactionState::Ongoing);
    assert_eq!(id.ask(time_out(1, 88)), Reply::Done);
    assert_eq!(id.end(2, me, false), refused(Refusal::Concurrent));
    assert_eq!(id.end(2, me, true), refused(Refusal::InvalidState));
    assert_eq!(id.end(2, producer(88, 0), false), refused(Refusal::Concurrent));
    id.complete();
    assert_eq!(id.end(2, me, false), Reply::Producer(producer(88, 0)), "aborted, as it was asked for");
    assert_eq!(id.end(2, me, true), refused(Refusal::InvalidState), "it is aborted, and not committed");
    assert_eq!(id.row().number, 1);
    assert_eq!(id.init_with(Some(me), NO_ID), Reply::Producer(producer(88, 0)), "of no newer producer");
    let join = TransactionCommand::Join { producer: producer(88, 0), protocol: 2, participants: vec![group("g")] };
    assert_eq!(id.ask(join), Reply::Joined(2));

    let mut id = Id::at_epoch(USED_UP);
    id.join(1, USED_UP);
    assert_eq!(id.ask(time_out(1, 88)), Reply::Done);
    id.complete();
    assert_eq!(id.end(1, me, false), refused(Refusal::UnknownProducer), "with version 1 nothing is asked again");
    assert_eq!(id.init_with(Some(me), NO_ID), Reply::Producer(producer(88, 0)));
}

#[test]
fn only_an_idle_id_is_forgotten() {
    let mut id = Id::new();
    let forget = |updated_at| TransactionCommand::Forget { updated_at };
    id.ask(forget(NOW - 1));
    assert!(id.row.is_some(), "it was used since");
    id.join(1, 0);
    id.ask(forget(NOW));
    assert!(id.row.is_some(), "it is in use");
    id.end(1, producer(FRESH, 0), true);
    id.ask(forget(NOW));
    assert!(id.row.is_some());
    id.complete();
    id.ask(forget(NOW));
    assert_eq!(id.row, None);
}
