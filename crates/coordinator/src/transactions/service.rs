//! What nodes ask each other about transactions, and who answers.
//!
//! Layout: kind (u8), then the fields. The answer: kind (u8), then its fields. Nodes of one cluster may be of different versions: keep stable, and add
//! kinds instead of changing one.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use caudal_partition::{AppendError, EndMarker};
use caudal_raft::CallHandler;
use caudal_types::{NodeId, TopicId};

use super::command::PendingCommand;
use super::node::TransactionNode;
use super::reply::{Refusal, Reply};
use super::{JoinTransaction, Participant, ProducerIdentity, TransactionError};
use crate::codec::{DecodeError, Reader, Writer};
use crate::command::write_list;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// To the coordinator: may these take part?
    Join { join: JoinTransaction, participants: Vec<Participant> },
    /// To a partition's leader: the transaction has ended.
    EndInPartition { topic: TopicId, partition: i32, marker: EndMarker },
    /// To a consumer group's coordinator: the transaction has ended.
    EndInGroup { group: Arc<str>, producer: ProducerIdentity, number: u64, commit: bool },
    /// To the coordinator: is this transaction over, and have all been told?
    IsOver { transactional_id: Arc<str>, producer: ProducerIdentity, number: u64 },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// They take part in the transaction of this number.
    Joined(u64),
    /// It is noted, and durable.
    Done,
    /// Another node has to be asked.
    NotHere,
    /// It may work later.
    Later(String),
    /// No.
    Refused(Refusal),
}

/// Serves `Service::Transactions`. The node may be gone already.
pub(super) struct TransactionHandler(pub(super) Weak<TransactionNode>);

impl CallHandler for TransactionHandler {
    fn call(&self, from: NodeId, body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send + '_>> {
        Box::pin(async move {
            let answer = match (self.0.upgrade(), Question::decode(body)) {
                (Some(node), Ok(question)) => node.answer(question).await,
                (None, _) => Answer::Later("the node is stopping".to_owned()),
                (_, Err(error)) => {
                    tracing::warn!(%from, %error, "a question about a transaction cannot be read");
                    Answer::Later(format!("the question cannot be read: {error}"))
                }
            };
            answer.encode()
        })
    }
}

impl TransactionNode {
    /// Answers another node, or this one.
    pub(super) async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Join { join, participants } => match self.join_here(&join, participants).await {
                Ok(number) => Answer::Joined(number),
                Err(error) => Answer::from(error),
            },
            Question::EndInPartition { topic, partition, marker } => {
                let Some(partition) = self.partitions.get(topic, partition) else { return Answer::NotHere };
                match partition.end_transaction(marker).await {
                    // A producer that is newer has written a marker of its own since: this one is not needed.
                    Ok(()) | Err(AppendError::FencedProducer { .. }) => Answer::Done,
                    Err(AppendError::NotLeader { .. }) => Answer::NotHere,
                    Err(error) => Answer::Later(error.to_string()),
                }
            }
            Question::EndInGroup { group, producer, number, commit } => {
                let command = PendingCommand::End { producer, number, commit };
                match self.ask_about_pending(&group, command).await {
                    Ok(Reply::Refused(refusal)) => Answer::Refused(refusal),
                    Ok(_) => Answer::Done,
                    Err(error) => Answer::from(error),
                }
            }
            Question::IsOver { transactional_id, producer, number } => {
                match self.is_over(&transactional_id, producer, number).await {
                    Ok(true) => Answer::Done,
                    Ok(false) => Answer::Later("it goes on".to_owned()),
                    Err(error) => Answer::from(error),
                }
            }
        }
    }
}

impl From<TransactionError> for Answer {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::NotCoordinator { .. } => Self::NotHere,
            TransactionError::UnknownProducer => Self::Refused(Refusal::UnknownProducer),
            TransactionError::Fenced => Self::Refused(Refusal::Fenced),
            TransactionError::OldEpoch => Self::Refused(Refusal::OldEpoch),
            TransactionError::Concurrent => Self::Refused(Refusal::Concurrent),
            TransactionError::InvalidState => Self::Refused(Refusal::InvalidState),
            TransactionError::NotEnlisted => Self::Refused(Refusal::NotEnlisted),
            other => Self::Later(other.to_string()),
        }
    }
}

impl Question {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        match self {
            Self::Join { join, participants } => {
                out.u8(1);
                out.str(&join.transactional_id);
                join.producer.write(&mut out);
                out.u8(join.protocol);
                out.u8(u8::from(join.add));
                write_list(&mut out, participants, |out, participant| participant.write(out));
            }
            Self::EndInPartition { topic, partition, marker } => {
                out.u8(2);
                out.uuid(topic.0);
                out.i32(*partition);
                ProducerIdentity { id: marker.producer_id, epoch: marker.epoch }.write(&mut out);
                out.u64(marker.number);
                out.i32(marker.coordinator_epoch);
                out.u8(u8::from(marker.commit));
            }
            Self::EndInGroup { group, producer, number, commit } => {
                out.u8(3);
                out.str(group);
                producer.write(&mut out);
                out.u64(*number);
                out.u8(u8::from(*commit));
            }
            Self::IsOver { transactional_id, producer, number } => {
                out.u8(4);
                out.str(transactional_id);
                producer.write(&mut out);
                out.u64(*number);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            1 => Ok(Self::Join {
                join: JoinTransaction {
                    transactional_id: reader.str()?.into(),
                    producer: ProducerIdentity::read(&mut reader)?,
                    protocol: reader.u8()?,
                    add: reader.flag()?,
                },
                participants: reader.list(Participant::read)?,
            }),
            2 => {
                let (topic, partition) = (TopicId(reader.uuid()?), reader.i32()?);
                let ProducerIdentity { id: producer_id, epoch } = ProducerIdentity::read(&mut reader)?;
                let (number, coordinator_epoch) = (reader.u64()?, reader.i32()?);
                let marker = EndMarker { producer_id, epoch, number, coordinator_epoch, commit: reader.flag()? };
                Ok(Self::EndInPartition { topic, partition, marker })
            }
            3 => Ok(Self::EndInGroup {
                group: reader.str()?.into(),
                producer: ProducerIdentity::read(&mut reader)?,
                number: reader.u64()?,
                commit: reader.flag()?,
            }),
            4 => Ok(Self::IsOver {
                transactional_id: reader.str()?.into(),
                producer: ProducerIdentity::read(&mut reader)?,
                number: reader.u64()?,
            }),
            other => Err(DecodeError(format!("{other} is no kind of question about transactions"))),
        }
    }
}

impl Answer {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Writer::new();
        match self {
            Self::Joined(number) => {
                out.u8(1);
                out.u64(*number);
            }
            Self::Done => out.u8(2),
            Self::NotHere => out.u8(3),
            Self::Later(reason) => {
                out.u8(4);
                out.str(reason);
            }
            Self::Refused(refusal) => {
                out.u8(5);
                out.u8(*refusal as u8);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            1 => Self::Joined(reader.u64()?),
            2 => Self::Done,
            3 => Self::NotHere,
            4 => Self::Later(reader.str()?),
            5 => Self::Refused(Refusal::decode(reader.u8()?)?),
            other => return Err(DecodeError(format!("{other} is no kind of answer about transactions"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::rows::transaction::tests::any_participant;

    proptest! {
        #[test]
        fn questions_and_answers_survive_the_trip(
            (id, epoch, protocol, add) in any::<(i64, i16, u8, bool)>(),
            (number, coordinator_epoch, partition, commit) in any::<(u64, i32, i32, bool)>(),
            participants in vec(any_participant(), 0..3),
            text in ".{0,6}",
            topic: u128,
        ) {
            let producer = ProducerIdentity { id, epoch };
            let join = JoinTransaction { transactional_id: text.as_str().into(), producer, protocol, add };
            let marker = EndMarker { producer_id: id, epoch, number, coordinator_epoch, commit };
            for question in [
                Question::Join { join, participants },
                Question::EndInPartition { topic: TopicId(uuid::Uuid::from_u128(topic)), partition, marker },
                Question::EndInGroup { group: text.as_str().into(), producer, number, commit },
                Question::IsOver { transactional_id: text.as_str().into(), producer, number },
            ] {
                prop_assert_eq!(Question::decode(question.encode()), Ok(question));
            }
            let fixed = [Answer::Joined(number), Answer::Done, Answer::NotHere, Answer::Later(text)];
            for answer in fixed.into_iter().chain(Refusal::ALL.map(Answer::Refused)) {
                prop_assert_eq!(Answer::decode(answer.encode()), Ok(answer));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..64)) {
            let _ = (Question::decode(bytes.clone().into()), Answer::decode(bytes.into()));
        }
    }
}
