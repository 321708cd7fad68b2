//! Committing and removing offsets.

use std::sync::Arc;

use caudal_metadata::ClusterImage;
use caudal_types::TopicId;

use super::{Leader, Pending, Results};
use crate::GroupError;
use crate::classic::Millis;
use crate::command::{Command, OffsetCommit, TopicCommit};
use crate::consumer::Context;
use crate::group::Group;
use crate::model::{MemberIdentity, OffsetKey, OffsetToCommit};
use crate::tables::Tables;

impl Leader {
    /// Commits offsets, if the member may.
    pub(crate) fn commit(
        &mut self,
        tables: &Tables,
        member: &MemberIdentity,
        command: &Command,
        now: Millis,
    ) -> Result<Pending<()>, GroupError> {
        let Command::CommitOffsets { group, .. } = command else { return Err(GroupError::UnknownMember) };
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.check_commit(tables, group, member, now)?;
        let seq = self.outbox.push(command);
        Ok(self.when_committed(seq))
    }

    /// Commits those of the offsets that the member may commit; one result each, which count when the answer comes.
    pub(crate) fn commit_offsets(
        &mut self,
        tables: &Tables,
        group: &Arc<str>,
        member: &MemberIdentity,
        offsets: Vec<OffsetToCommit>,
        now: Millis,
    ) -> Result<(Results, Option<Pending<()>>), GroupError> {
        self.check_commit(tables, group, member, now)?;
        let mut results: Results = offsets.iter().map(|offset| self.check_commit_of(group, member, offset)).collect();
        let allowed = offsets.into_iter().zip(&results).filter(|(_, result)| result.is_ok());
        let allowed = allowed.map(|(offset, _)| offset).collect();
        let max = self.config.offset_metadata_max_bytes;
        let (topics, committed) = topics_to_commit(allowed, &self.image, max);
        for (result, committed) in results.iter_mut().filter(|result| result.is_ok()).zip(committed) {
            *result = committed;
        }
        if topics.is_empty() {
            return Ok((results, None));
        }
        let command = Command::CommitOffsets { group: group.clone(), topics };
        Ok((results, Some(self.commit(tables, member, &command, now)?)))
    }

    /// Members of a consumer group may be behind, and commit all the same what they have had since the epoch that they know.
    fn check_commit_of(&self, group: &str, member: &MemberIdentity, offset: &OffsetToCommit) -> Result<(), GroupError> {
        let (topic, partition) = &offset.key;
        match self.groups.get(group).map(|slot| &slot.group) {
            Some(Group::Consumer(group)) => {
                let id = self.image.topic(topic).map_or(TopicId::NIL, |topic| topic.id);
                group.check_commit_of(member, id, *partition)
            }
            Some(Group::Classic(_)) | None => Ok(()),
        }
    }

    /// Whether a member may fetch its group's offsets. Members of the classic protocol are not asked for their generation.
    pub(crate) fn check_fetch(
        &self,
        tables: &Tables,
        group: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), GroupError> {
        match self.groups.get(group).map(|slot| &slot.group) {
            Some(Group::Consumer(group)) => group.check_fetch(member_id, epoch),
            None if member_id.is_some() && tables.consumer_group(group).is_some() => Err(GroupError::UnknownMember),
            Some(Group::Classic(_)) | None => Ok(()),
        }
    }

    /// Whether the member may commit, when there is nothing to commit.
    pub(crate) fn check_commit(
        &mut self,
        tables: &Tables,
        group: &Arc<str>,
        member: &MemberIdentity,
        now: Millis,
    ) -> Result<(), GroupError> {
        if let Some(slot) = self.groups.get_mut(group) {
            let ctx = Context { config: &self.config, now, image: &self.image };
            return match &mut slot.group {
                Group::Classic(group) => group.check_commit(ctx.classic(), member),
                Group::Consumer(group) => group.check_commit(member),
            };
        }
        check_without_members(tables, group, member)
    }

    /// Whether the member may commit all of the offsets with a transaction.
    pub(crate) fn check_transactional_commit(
        &self,
        tables: &Tables,
        group: &Arc<str>,
        member: &MemberIdentity,
        offsets: &[OffsetToCommit],
    ) -> Result<(), GroupError> {
        match self.groups.get(group) {
            Some(slot) => slot.group.check_transactional_commit(member)?,
            None => check_without_members(tables, group, member)?,
        }
        offsets.iter().try_for_each(|offset| self.check_commit_of(group, member, offset))
    }

    /// Removes offsets of topics that nobody is subscribed to; one result each, which count when the answer comes.
    pub(crate) fn remove_offsets(
        &mut self,
        tables: &Tables,
        group_id: &str,
        keys: Vec<OffsetKey>,
    ) -> Result<(Results, Pending<()>), GroupError> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.check_exists(tables, group_id)?;
        let id: Arc<str> = group_id.into();
        self.view(tables, &id, Group::check_offset_delete)?;
        let check = |group: &Group| {
            let check = |(topic, _): &OffsetKey| {
                if group.is_subscribed(topic) { Err(GroupError::SubscribedToTopic) } else { Ok(()) }
            };
            keys.iter().map(check).collect::<Vec<_>>()
        };
        let results = self.view(tables, &id, check);
        let keys: Vec<_> = keys.into_iter().zip(&results).filter(|(_, ok)| ok.is_ok()).map(|(key, _)| key).collect();
        if keys.is_empty() {
            return Ok((results, self.when_committed(0)));
        }
        let seq = self.outbox.push(&Command::RemoveOffsets { group: id, keys });
        Ok((results, self.when_committed(seq)))
    }
}

/// A group without members takes the offsets of those that are no members.
fn check_without_members(tables: &Tables, group: &Arc<str>, member: &MemberIdentity) -> Result<(), GroupError> {
    match (member.generation < 0, tables.has_group(group)) {
        (true, _) => Ok(()),
        (false, true) => Err(GroupError::UnknownMember),
        (false, false) => Err(GroupError::GroupNotFound(group.to_string())),
    }
}

/// What may be committed of `offsets`, by topic, and one result each.
pub(crate) fn topics_to_commit(
    offsets: Vec<OffsetToCommit>,
    image: &ClusterImage,
    metadata_max: usize,
) -> (Vec<TopicCommit>, Results) {
    let mut topics: Vec<TopicCommit> = Vec::new();
    let mut results = Vec::with_capacity(offsets.len());
    for commit in offsets {
        let size = metadata_size(&commit.metadata, metadata_max);
        if size > metadata_max {
            results.push(Err(GroupError::MetadataTooLarge { size, max: metadata_max }));
            continue;
        }
        results.push(Ok(()));
        let (topic, partition) = commit.key;
        if topics.last().is_none_or(|last| last.topic != topic) {
            let id = image.topic(&topic).map_or(TopicId::NIL, |topic| topic.id);
            topics.push(TopicCommit { topic, id, offsets: Vec::new() });
        }
        if let Some(last) = topics.last_mut() {
            last.offsets.push(OffsetCommit {
                partition,
                offset: commit.offset,
                leader_epoch: commit.leader_epoch,
                retention_ms: commit.retention_ms,
                metadata: commit.metadata,
            });
        }
    }
    (topics, results)
}

/// The length of a text as Kafka counts it, in UTF-16 units, which are never more than the bytes.
fn metadata_size(metadata: &str, max: usize) -> usize {
    if metadata.len() <= max { metadata.len() } else { metadata.encode_utf16().count() }
}
