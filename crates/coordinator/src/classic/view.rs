//! How tools see a group.

use super::member::Member;
use super::{ClassicGroup, Phase};
use crate::model::{DescribedGroup, DescribedMember, ListedGroup};

impl Phase {
    /// Kafka's word.
    fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl ClassicGroup {
    pub(crate) fn list(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.to_string(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.phase.name(),
            group_type: "classic",
        }
    }

    pub(crate) fn describe(&self) -> DescribedGroup {
        // Only a stable group's assignor and subscriptions are those that its assignments rest on.
        let protocol = self.protocol.clone().filter(|_| self.phase == Phase::Stable);
        let describe = |member: &Member| DescribedMember {
            member_id: member.row.id.clone(),
            instance_id: member.row.instance_id.clone(),
            client_id: member.row.client_id.clone(),
            client_host: member.row.client_host.clone(),
            metadata: protocol.as_ref().map(|protocol| member.metadata(protocol)).unwrap_or_default(),
            assignment: member.row.assignment.clone(),
        };
        DescribedGroup {
            group_id: self.id.to_string(),
            state: self.phase.name(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            members: self.members.values().map(describe).collect(),
            protocol: protocol.clone().unwrap_or_default(),
        }
    }
}
