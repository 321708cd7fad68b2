//! Entries that this replica may sync later than they come, since their leader commits them without it. Their append is complete when they are synced, as ever:
//! nothing that was promised can be lost, and a power cut needs no mark.

use std::time::Duration;

use parking_lot::Mutex;

use crate::types::{LogId, term_of};

/// What leaders said of the entries that they have sent. An entry that no leader has sent is not in it: those of a term come from one leader.
#[derive(Debug, Default)]
pub(crate) struct Patience(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    /// The term of the entries.
    term: u64,
    /// Up to here they are to be synced at once,
    hasty: u64,
    /// and behind that up to here they may wait
    patient: u64,
    /// for so long.
    within: Duration,
}

impl Patience {
    /// The leader has sent entries up to `last`, to be synced `within` a time; zero is at once.
    pub(crate) fn note(&self, last: LogId, within: Duration) {
        let mut said = self.0.lock();
        let term = term_of(&last);
        if term > said.term {
            *said = Said { term, ..Said::default() };
        }
        if term < said.term {
            return;
        }
        if within.is_zero() {
            said.hasty = said.hasty.max(last.index);
        } else {
            said.patient = said.patient.max(last.index);
            said.within = within;
        }
    }

    /// For how long the sync of entries up to `last` may wait; nothing when it may not.
    pub(crate) fn of(&self, last: LogId) -> Option<Duration> {
        let said = self.0.lock();
        let may_wait = term_of(&last) == said.term && said.hasty < last.index && last.index <= said.patient;
        may_wait.then_some(said.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::log_id;

    const SOON: Duration = Duration::from_millis(5);

    #[test]
    fn what_was_not_sent_as_such_does_not_wait() {
        let patience = Patience::default();
        assert_eq!(patience.of(log_id(0, 0)), None);
        patience.note(log_id(3, 7), SOON);
        assert_eq!((patience.of(log_id(3, 7)), patience.of(log_id(3, 8))), (Some(SOON), None));
        assert_eq!((patience.of(log_id(2, 7)), patience.of(log_id(4, 7))), (None, None), "of another leader");
        patience.note(log_id(3, 9), Duration::ZERO);
        patience.note(log_id(3, 10), SOON);
        assert_eq!([7, 8, 9].map(|index| patience.of(log_id(3, index))), [None; 3], "in whatever order it comes");
        assert_eq!(patience.of(log_id(3, 10)), Some(SOON));
    }

    #[test]
    fn a_later_leader_says_anew() {
        let patience = Patience::default();
        patience.note(log_id(3, 7), Duration::ZERO);
        patience.note(log_id(4, 6), SOON);
        assert_eq!(patience.of(log_id(4, 6)), Some(SOON));
        patience.note(log_id(3, 9), SOON);
        assert_eq!(patience.of(log_id(3, 9)), None, "the earlier leader came late");
    }
}
